//! What a batch's proposer is told when another leader takes its entry away. openraft, the log and the state machine
//! are the real ones; the peers vote for this node and answer nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use adapter::memory::MemoryAdapter;
use openraft::raft::AppendEntriesRequest;
use openraft::storage::RaftStateMachine;
use openraft::{CommittedLeaderId, EntryPayload, Membership, RaftSnapshotBuilder, Snapshot};

use super::super::*;
use crate::log_store::Options;
use crate::silent_peers::SilentPeersLeader;
use crate::state_machine::KiwiStateMachine;
use crate::types::{Entry, LogId, Peer};

/// A leader, and the consensus that proposes to it.
struct Leader {
    node: SilentPeersLeader,
    consensus: Arc<RaftConsensus>,
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, if term == 0 { 0 } else { 2 }), index)
}

fn blank(term: u64, index: u64) -> Entry {
    Entry { log_id: id(term, index), payload: EntryPayload::Blank }
}

fn members() -> BTreeMap<NodeId, Peer> {
    (1..=3).map(|id| (id, Peer::default())).collect()
}

async fn leader() -> Leader {
    let node = SilentPeersLeader::of(members()).await;
    let consensus = Arc::new(node.consensus());
    Leader { node, consensus }
}

impl Leader {
    /// Proposes batches that become the entries 2 and 3, and waits until they are in the log.
    async fn propose_two(&self) -> Vec<tokio::task::JoinHandle<Outcome>> {
        let mut waiting = Vec::new();
        for index in [2, 3] {
            let consensus = Arc::clone(&self.consensus);
            let mut group = CommandBuffer::default();
            group.push(&[b"SET", b"key", b"value"]);
            waiting.push(tokio::spawn(async move { consensus.submit(&[group]).await }));
            let waits = self.node.raft.wait(Some(Duration::from_secs(10)));
            waits.metrics(|metrics| metrics.last_log_index >= Some(index), "it is in the log").await.unwrap();
        }
        waiting
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_removed_for_a_snapshot_which_may_hold_it_is_unknown_and_not_called_undone() {
    let leader = leader().await;
    let waiting = leader.propose_two().await;
    // The next leader had entry 2 and committed it, with one of its own behind it, and sends both in a snapshot.
    let there = tempfile::tempdir().unwrap();
    let log = LogStore::open(there.path(), Options::new(2, &conf::Raft::default())).unwrap();
    let mut machine = KiwiStateMachine::open(Arc::new(MemoryAdapter::new()), there.path(), "c", log.reader())
        .await
        .unwrap();
    let membership = Membership::new(vec![members().into_keys().collect()], members());
    let first = Entry { log_id: id(0, 0), payload: EntryPayload::Membership(membership) };
    machine.apply([first, blank(5, 3)]).await.unwrap();
    let Snapshot { meta, snapshot } = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let snapshot = leader.node.keeper.keep(snapshot).await.unwrap();
    let vote = Vote::new_committed(5, 2);
    leader.node.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await.unwrap();
    for outcome in waiting {
        let outcome = outcome.await.unwrap();
        assert!(matches!(outcome, Outcome::Unknown), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_gives_way_to_another_leaders_is_not_done() {
    let leader = leader().await;
    let waiting = leader.propose_two().await;
    let entries = (1..=3).map(|index| blank(5, index)).collect();
    let (vote, prev_log_id) = (Vote::new_committed(5, 2), Some(id(0, 0)));
    let append = AppendEntriesRequest { vote, prev_log_id, entries, leader_commit: None };
    leader.node.raft.append_entries(append).await.unwrap();
    for outcome in waiting {
        let outcome = outcome.await.unwrap();
        assert!(matches!(outcome, Outcome::NotDone), "{outcome:?}");
    }
}
