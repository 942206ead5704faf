//! A running member of a cluster: what it consists of, and what it does when it is asked.
//!
//! | module | what it says |
//! |---|---|
//! | this one | what it consists of |
//! | [`start`] | how it is put together and set going |
//! | [`service`] | what clients ask of it |
//! | [`inbound`] | what its peers ask of it |
//! | [`announce`] | where the members are reached, kept true |
//! | [`changes`] | members that come and go, and leaders that change, as asked for |
//! | [`glance`] | what clients are told of the cluster at once |
//! | [`acknowledgements`] | on how many disks a log entry is |
//! | [`introduction`] | what it tells a node that starts |
//! | [`report`] | what it says of itself, and asks of the others |
//! | [`metrics`] | its numbers, for operators |
//! | [`shutdown`] | how it leaves for a while |
//!
//! Each of them is a part of `impl Member`. They import the struct from here, and this file imports none of them.

mod acknowledgements;
mod announce;
mod changes;
mod glance;
mod inbound;
mod introduction;
mod metrics;
mod report;
mod service;
mod shutdown;
mod start;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use adapter::Adapter;
use conf::Live;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::backup::Backups;
use crate::checkpoint::Checkpointer;
use crate::consensus::RaftConsensus;
use crate::data_id::DataId;
use crate::elections::Elections;
use crate::health::HealthMonitor;
use crate::leadership::Leadership;
use crate::log_clock::LogClock;
use crate::log_store::LogStore;
use crate::membership::manager::ConfigChangeManager;
use crate::membership::transfer::Transfer;
use crate::network::message::Beginning;
use crate::network::peers::Peers;
use crate::node::campaign::Campaign;
use crate::node::cluster_map::ClusterMap;
use crate::node::measures::LeaderChanges;
use crate::node::reads::Reads;
use crate::proposer::Proposer;
use crate::state_machine::{Keeper, Progress};
use crate::types::{NodeId, Raft};

/// What a running member consists of.
pub(super) struct Member {
    id: NodeId,
    /// Which data directory it has.
    data: DataId,
    /// What its cluster began with, if it is one of those that formed it.
    beginning: Option<Beginning>,
    cluster_id: String,
    config: Live,
    started: Instant,
    adapter: Arc<dyn Adapter>,
    clock: Arc<LogClock>,
    raft: Raft,
    log: LogStore,
    peers: Peers,
    leadership: Leadership,
    health: Arc<HealthMonitor>,
    progress: watch::Receiver<Progress>,
    proposer: Arc<Proposer<RaftConsensus>>,
    reads: Arc<Reads>,
    transfer: Arc<Transfer<RaftConsensus>>,
    manager: Arc<ConfigChangeManager>,
    elections: Arc<Elections>,
    campaign: Arc<Campaign>,
    checkpointer: Arc<Checkpointer>,
    keeper: Keeper,
    backups: Backups,
    cluster_map: ClusterMap,
    stopping: Arc<AtomicBool>,
    /// It gives up leading, for now or for good.
    yielding: Arc<AtomicBool>,
    leader_changes: Arc<LeaderChanges>,
    /// Ends with the member.
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

impl Member {
    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<AbortOnDropHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}
