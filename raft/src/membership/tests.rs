//! What becomes of changes that meet each other. openraft, the log and the state machine are the real ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use openraft::ChangeMembers;

use super::change::ChangeError;
use super::dead::Dead;
use super::manager::ConfigChangeManager;
use super::transfer::Transfer;
use crate::proposer::Proposer;
use crate::proposer::limits::limits;
use crate::silent_peers::SilentPeersLeader;
use crate::types::{Peer, TargetRole};

fn manager(leader: &SilentPeersLeader) -> ConfigChangeManager {
    let proposer = Proposer::new(leader.consensus(), limits(&leader.config, 8));
    let votes = (leader.log.clone(), Arc::clone(&leader.elections));
    let (raft, leadership) = (leader.raft.clone(), leader.leadership.clone());
    let lease = Arc::clone(&leader.lease);
    let transfer = Transfer::new(1, raft, votes, leadership, proposer, lease);
    ConfigChangeManager {
        id: 1,
        raft: leader.raft.clone(),
        leadership: leader.leadership.clone(),
        adapter: Arc::clone(&leader.adapter),
        progress: leader.progress.clone(),
        transfer: Arc::new(transfer),
        config: leader.config.clone(),
        dead: Dead::new(leader.config.clone()),
        turn: tokio::sync::Mutex::default(),
        nudged: tokio::sync::Notify::new(),
        is_new: false.into(),
    }
}

fn at(raft: &str, target: TargetRole) -> Peer {
    Peer { raft: raft.to_owned(), target, ..Peer::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_address_is_recorded_beside_what_was_asked_for_before_and_undoes_nothing_of_it() {
    let leader = SilentPeersLeader::of(BTreeMap::from([(1, at("old:1", TargetRole::Voter))])).await;
    let manager = manager(&leader);
    // openraft's core stands still, with a change before it whose author waits no longer.
    let (go_on, held) = mpsc::channel::<()>();
    let stands = leader.raft.with_raft_state(move |_| held.recv().is_ok());
    let change = ChangeMembers::SetNodes(BTreeMap::from([(1, at("old:1", TargetRole::Learner))]));
    let asked = leader.raft.change_membership(change, true);
    let (mut stands, mut asked) = (pin!(stands), pin!(asked));
    let mut nobody = Context::from_waker(Waker::noop());
    assert!(stands.as_mut().poll(&mut nobody).is_pending());
    assert!(asked.as_mut().poll(&mut nobody).is_pending());
    // What openraft has told of the members so far is that nothing has changed.
    let announced = at("old:1", TargetRole::Voter);
    let mut placing = pin!(manager.set_place(1, announced.clone()));
    assert!(placing.as_mut().poll(&mut nobody).is_pending(), "it was answered by an older view");
    go_on.send(()).unwrap();
    assert!(stands.await.unwrap());
    asked.await.unwrap();
    let mut placed = placing.await;
    while placed.is_err() {
        assert!(matches!(placed, Err(ChangeError::Busy(_))), "{placed:?}");
        placed = manager.set_place(1, Peer { raft: "new:1".to_owned(), ..announced.clone() }).await;
    }
    let moved = manager.set_place(1, Peer { raft: "new:1".to_owned(), ..announced }).await;
    assert_eq!(moved, Ok(()));
    let metrics = leader.raft.wait(Some(Duration::from_secs(10)));
    let is_there = |metrics: &openraft::RaftMetrics<u64, Peer>| {
        let known = metrics.membership_config.membership().get_node(&1).cloned();
        known == Some(at("new:1", TargetRole::Learner))
    };
    metrics.metrics(is_there, "the address and the change before it").await.unwrap();
}
