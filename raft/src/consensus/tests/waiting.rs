#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::pin::pin;

use adapter::memory::MemoryAdapter;
use conf::ClusterConfig;
use openraft::raft::AppendEntriesRequest;

use super::super::*;
use crate::elections::Elections;
use crate::log_store::Options;
use crate::network::client::RaftNetworkClients;
use crate::network::credentials::Credentials;
use crate::network::peers::Peers;
use crate::state_machine::KiwiStateMachine;
use crate::types::Peer;

/// The first of so many voters, of which no other runs: it never leads.
async fn one_of(voters: u64, directory: &Path) -> RaftConsensus {
    let config = ClusterConfig::default();
    let elections = Elections::new((config.raft.election_timeout_min, config.raft.election_timeout_max));
    let lease = Arc::new(Lease::new(1, &config.raft));
    let peers = Peers::new(Credentials::new(1, "cluster", "secret").unwrap(), HashMap::new());
    let log = LogStore::open(directory, Options::new(1, &config.raft)).unwrap();
    let adapter: Arc<dyn Adapter> = Arc::new(MemoryAdapter::new());
    let machine =
        KiwiStateMachine::open(Arc::clone(&adapter), directory, "cluster", log.reader()).await.unwrap();
    let interval = config.raft.heartbeat_interval;
    let network = RaftNetworkClients::new(
        peers.clone(),
        interval,
        Arc::clone(&elections),
        Arc::clone(&lease),
        Arc::default(),
    );
    let settings = openraft::Config { enable_elect: false, ..openraft::Config::default() };
    let raft =
        Raft::new(1, Arc::new(settings.validate().unwrap()), network, log.clone(), machine).await.unwrap();
    let nobody = Peer { raft: "127.0.0.1:1".to_owned(), ..Peer::default() };
    let members: BTreeMap<NodeId, Peer> = (1..=voters).map(|id| (id, nobody.clone())).collect();
    raft.initialize(members).await.unwrap();
    let leadership = Leadership::new(1, &raft, peers, &elections);
    let (busy, snapshots, clock) = (Arc::default(), Arc::default(), LogClock::new(0));
    let config = Live::new(config);
    RaftConsensus::new(leadership, Means { raft, adapter, busy, log, lease, clock, snapshots, config })
}

#[tokio::test]
async fn what_was_never_appended_is_not_done_however_many_voters_there_are() {
    for (voters, cut_off) in [(3, Outcome::NotDone), (5, Outcome::Unknown)] {
        let directory = tempfile::tempdir().unwrap();
        let consensus = one_of(voters, directory.path()).await;
        let mut group = CommandBuffer::default();
        group.push(&[b"SET", b"k", b"v"]);
        assert_eq!(consensus.submit(&[group]).await, Outcome::NotDone, "{voters} voters");
        // Of five, one that is not heard of may still have what was cut off here.
        let before = consensus.means.log.truncations() + 1;
        assert_eq!(consensus.refused(before), cut_off, "{voters} voters");
        consensus.means.raft.shutdown().await.unwrap();
    }
}

/// Has this node follow another one, as the first append of that leader does.
async fn follow(consensus: &RaftConsensus, leader: NodeId) {
    let vote = Vote::new_committed(leader + 1, leader);
    let heartbeat =
        AppendEntriesRequest { vote, prev_log_id: None, entries: Vec::new(), leader_commit: None };
    consensus.means.raft.append_entries(heartbeat).await.unwrap();
    let mut leadership = consensus.leadership.clone();
    while leadership.route() != Route::To(leader) {
        assert!(leadership.changed().await);
    }
}

#[tokio::test]
async fn nobody_waits_for_a_leader_when_another_leads() {
    let directory = tempfile::tempdir().unwrap();
    let consensus = one_of(3, directory.path()).await;
    follow(&consensus, 2).await;
    let patience = Patience { elsewhere: Duration::from_millis(40), nowhere: Duration::from_secs(60) };
    for patience in [Patience::NONE, patience] {
        let mut lost = pin!(consensus.leadership.lost(2, patience));
        assert!(timeout(Duration::from_millis(60), &mut lost).await.is_err(), "it leads");
    }
    let mut waits = pin!(consensus.leadership.lost(2, patience));
    assert!(timeout(Duration::from_millis(10), &mut waits).await.is_err());
    follow(&consensus, 3).await;
    let changed = Instant::now();
    timeout(Duration::from_secs(10), consensus.leadership.lost(2, Patience::NONE)).await.unwrap();
    timeout(Duration::from_secs(10), waits).await.unwrap();
    assert!(changed.elapsed() >= patience.elsewhere, "the answer may be on its way");
    consensus.means.raft.shutdown().await.unwrap();
}
