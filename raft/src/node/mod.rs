//! A member of a cluster, put together.
//!
//! | module | what it says |
//! |---|---|
//! | [`start`] | how it is put together |
//! | [`entry`] | what a node has to do with a cluster when it starts |
//! | [`lone`] | a node without a cluster, or on its way into it, until it is a member |
//! | [`bootstrap`] | how a node whose log is empty comes into its cluster |
//! | [`opening`] | its data, opened and found to belong together |
//! | [`rejoin`] | what the others know of a node that comes back with its log |
//! | [`word`] | what a node tells one that starts |
//! | [`announce`] | where the members are reached, kept true |
//! | [`changes`] | members that come and go, and leaders that change, as asked for |
//! | [`sight`] | what clients are told of the cluster at once |
//! | [`consensus`] | the two ways of a batch |
//! | [`campaign`] | when it stands for election |
//! | [`reads`] | read barriers |
//! | [`acknowledgements`] | on how many disks a log entry is |
//! | [`upkeep`] | what a member does by itself |
//! | [`farewell`] | how a member leaves for a while |
//! | [`report`] | what a member says of itself |
//! | [`measures`] | a member's numbers, for operators |

mod acknowledgements;
mod announce;
mod bootstrap;
pub(crate) mod campaign;
mod changes;
pub(crate) mod consensus;
mod entry;
mod farewell;
mod lone;
mod measures;
mod opening;
mod reads;
mod rejoin;
mod report;
mod sight;
mod start;
pub(crate) mod upkeep;
mod word;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adapter::snapshot::Digest;
use adapter::{Adapter, CommandBuffer};
use bytes::Bytes;
use conf::{Consistency, Live};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::backup::{Backups, Begun, TakeError};
use crate::checkpoint::{Checkpointer, DigestError};
use crate::data_id::DataId;
use crate::elections::Elections;
use crate::error::{ProposeError, ReadError};
use crate::handle::{Boxed, Committed, Handle, Lead, MemberStatus, NodeStatus, Service};
use crate::health::{HealthMonitor, HealthView};
use crate::identity::IdentityError;
use crate::leadership::Leadership;
use crate::log_clock::LogClock;
use crate::log_store::LogStore;
use crate::membership::change::{Change, ChangeError, Join, Joined, View};
use crate::membership::manager::ConfigChangeManager;
use crate::membership::transfer::Transfer;
use crate::network::credentials::CredentialsError;
use crate::network::message::{
    Announced, Answers, Beginning, Forwarded, PreVote, PreVoteAnswer, Proposed, ReadIndexAnswer, Replicated,
    StatusReport, Word,
};
use crate::network::peers::Peers;
use crate::network::traffic::Traffic;
use crate::proposer::{Limits, Proposer};
use crate::remote_clock::Reading;
use crate::server::inbound::Inbound;
use crate::state_machine::{KeepError, Keeper, Progress};
use crate::types::{NodeId, Peer, Raft, SnapshotFile, Vote};
pub(crate) use bootstrap::Members;
use campaign::Campaign;
use consensus::RaftConsensus;
pub use entry::claim_data_dir;
pub(crate) use entry::{members, standalone_id};
use lone::Lone;
use measures::LeaderChanges;
use reads::Reads;
use sight::Sight;

/// Why a node cannot start. Nothing that was there has been written over.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The data directory is not this node's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The cluster id cannot be said to other nodes.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The Raft log cannot be opened.
    #[error(transparent)]
    Log(#[from] crate::log_store::OpenError),
    /// The storage or the snapshots cannot be opened.
    #[error(transparent)]
    StateMachine(#[from] crate::state_machine::OpenError),
    /// openraft cannot start.
    #[error("Raft cannot start: {0}")]
    Raft(String),
    /// The other members do not know this node.
    #[error(
        "the other members refuse this node: {reason}; check cluster.id, cluster.secret and cluster.members"
    )]
    Stranger {
        /// What one of them said.
        reason: String,
    },
    /// Its data is lost.
    #[error(
        "node {node} has an empty log, or one that begins with a backup, but {how}: its data is lost. \
         Under this id it could undo writes that were acknowledged. Put its data directory back as it was, or remove the \
         node (RAFT.NODE REMOVE {node}) and let it join with an empty data directory and a new id"
    )]
    Wiped {
        /// This node.
        node: NodeId,
        /// How that is known.
        how: String,
    },
    /// Its data is of an earlier time.
    #[error(
        "the data directory of node {node} is an older copy, or not its own: {how}. With it this node could undo writes that \
         were acknowledged. Put its newest data directory back, or remove the node (RAFT.NODE REMOVE {node}) and let it join \
         with an empty data directory and a new id"
    )]
    OlderCopy {
        /// This node.
        node: NodeId,
        /// How that is known.
        how: String,
    },
    /// Another founder has another cluster in mind.
    #[error(
        "node {node} does not begin with what this node begins with: {how}. Members form a cluster only together: give all the \
         same cluster.members, and restore all from the same backup, or none"
    )]
    OtherBeginning {
        /// The other one.
        node: NodeId,
        /// What differs.
        how: String,
    },
    /// Between storage and log something is missing.
    #[error(
        "the storage has what was applied up to index {applied}, the Raft log begins behind index {begins_behind}, and there is no \
         snapshot of what lies between: this node's data is not complete. Put its data directory back as it was, or remove \
         the node from the cluster (RAFT.NODE REMOVE) and let it join with an empty data directory and a new id"
    )]
    Gap {
        /// How far the storage is.
        applied: u64,
        /// What the log no longer has.
        begins_behind: u64,
    },
    /// Storage and log are not of one node.
    #[error(
        "the storage has applied another entry at index {applied} than the Raft log has there: they do not belong together. \
         Put the data directory back as it was, or remove the node from the cluster (RAFT.NODE REMOVE) and let it \
         join with an empty data directory and a new id"
    )]
    OtherHistory {
        /// How far the storage is.
        applied: u64,
    },
    /// It was a member once.
    #[error(
        "node {node} was removed from its cluster: an id is never used again. Start it with an empty data directory and \
         another node.id, and let it join"
    )]
    Removed {
        /// This node.
        node: NodeId,
    },
    /// Its log is gone.
    #[error(
        "the data directory holds what a member has left, but its Raft log is empty: it is lost. Under its id this node could \
         undo writes that were acknowledged. Put its data directory back as it was, or remove the node from the cluster \
         (RAFT.NODE REMOVE) and let it join with an empty data directory and a new id"
    )]
    Lost,
}

/// What stands in the place of the cluster's id in the directory of a node without one. The blank keeps it from being
/// any cluster's id.
pub(crate) const STANDALONE: &str = "(stand alone)";

/// A member of a cluster.
pub struct Node;

impl Node {
    /// Starts a member on `adapter`, serving its peers on `raft_listener`. A node that has no data yet returns from
    /// here once all members are up, or a leader has answered it. Without members in the configuration and without an identity in the data
    /// directory the node belongs to no cluster, and waits to be the first of one or to join one.
    pub async fn start(
        config: impl Into<Live>,
        adapter: Arc<dyn Adapter>,
        raft_listener: TcpListener,
    ) -> Result<Handle, StartError> {
        let (handle, arrival) = Self::begin(config, adapter, raft_listener)?;
        arrival.await?;
        Ok(handle)
    }

    /// As [`Self::start`], and returns at once: clients can be told how the node is while it is on its way into its
    /// cluster. Must be called inside a tokio runtime.
    pub fn begin(
        config: impl Into<Live>,
        adapter: Arc<dyn Adapter>,
        raft_listener: TcpListener,
    ) -> Result<(Handle, Arrival), StartError> {
        let live = config.into();
        let place = entry::find(&live.load())?;
        Ok(match place {
            Some(place) => {
                let (node, task) = Lone::arrive(live, place, adapter, raft_listener);
                (Handle::new(node), Arrival(Some(task)))
            }
            None => (Handle::new(Lone::start(live, adapter, raft_listener)?), Arrival(None)),
        })
    }
}

/// The way of a node into its cluster: ends when it is there, or cannot get there. Dropped, it is given up.
pub struct Arrival(Option<AbortOnDropHandle<Result<(), StartError>>>);

impl IntoFuture for Arrival {
    type Output = Result<(), StartError>;
    type IntoFuture = Boxed<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Some(task) = self.0 else { return Ok(()) };
            task.await.unwrap_or_else(|error| Err(StartError::Raft(error.to_string())))
        })
    }
}

/// What a running member consists of.
struct Member {
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
    sight: Sight,
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

/// The proposer's bounds, as they are at any time.
pub(crate) fn limits(
    config: &Live,
    max_inflight_entries: usize,
) -> impl Fn() -> Limits + Send + Sync + 'static {
    let config = config.clone();
    move || {
        let config = config.load();
        Limits {
            max_inflight_entries,
            max_batch_bytes: config.raft.max_batch_bytes,
            max_batch_commands: config.raft.max_batch_commands,
            max_inflight_bytes: config.limits.max_inflight_bytes,
            request_timeout: config.raft.request_timeout,
        }
    }
}

impl Service for Member {
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Committed, ProposeError>> {
        if self.elections.is_removed() {
            return Box::pin(std::future::ready(Err(ProposeError::NoCluster)));
        }
        Box::pin(self.proposer.propose(commands))
    }

    fn read_barrier(&self, consistency: Consistency, seen: u64) -> Boxed<'_, Result<(), ReadError>> {
        if self.elections.is_removed() && consistency != Consistency::Eventual {
            return Box::pin(std::future::ready(Err(ReadError::NoCluster)));
        }
        Box::pin(self.reads.barrier(consistency, seen))
    }

    fn applied(&self) -> u64 {
        self.reads.applied_upto()
    }

    fn wait_applied(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        Box::pin(self.reads.wait_applied(index, timeout))
    }

    fn wait_replicated(&self, index: u64, wanted: usize, timeout: Duration) -> Boxed<'_, usize> {
        Box::pin(self.acknowledged(index, wanted, timeout))
    }

    fn wait_synced(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        Box::pin(self.synced(index, timeout))
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    fn status(&self) -> NodeStatus {
        self.node_status()
    }

    fn members(&self) -> Boxed<'_, Vec<MemberStatus>> {
        Box::pin(self.member_statuses())
    }

    fn health_view(&self) -> HealthView {
        self.health.view()
    }

    fn publish_metrics(&self) {
        self.set_metrics();
    }

    fn glance(&self) -> Boxed<'_, Vec<MemberStatus>> {
        Box::pin(self.glance_around())
    }

    fn lead(&self) -> Lead {
        self.sure_lead()
    }

    fn make_snapshot(&self) -> Boxed<'_, ()> {
        Box::pin(async {
            // It fails when the node ends.
            let _ = self.raft.trigger().snapshot().await;
        })
    }

    fn digest_at(&self, index: u64) -> Boxed<'_, Result<Digest, DigestError>> {
        Box::pin(self.checkpointer.digest_at(index, self.config.load().raft.request_timeout))
    }

    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>> {
        Box::pin(async {
            self.reads.barrier(Consistency::Linearizable, 0).await?;
            let applied = reads::applied_index(&self.progress.borrow());
            let snapshot = self.checkpointer.snapshot().await?;
            if snapshot.applied().position.index < applied {
                return Err(TakeError::Behind);
            }
            self.backups.begin(snapshot, Bytes::copy_from_slice(self.cluster_id.as_bytes()))
        })
    }

    fn backups(&self) -> &Backups {
        &self.backups
    }

    fn change_membership(&self, change: Change) -> Boxed<'_, Result<NodeId, ChangeError>> {
        Box::pin(self.change(change))
    }

    fn transfer_leadership(&self, target: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>> {
        Box::pin(self.transfer_to(target))
    }

    fn init_cluster(&self, _id: Option<String>) -> Boxed<'_, Result<String, ChangeError>> {
        Box::pin(std::future::ready(Err(ChangeError::AlreadyMember)))
    }

    fn join_cluster(&self, _seeds: Vec<String>) -> Boxed<'_, Result<(), ChangeError>> {
        Box::pin(std::future::ready(Err(ChangeError::AlreadyMember)))
    }

    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>> {
        Box::pin(self.finalize())
    }

    fn shutdown(&self) -> Boxed<'_, ()> {
        Box::pin(self.leave())
    }
}

impl Inbound for Member {
    fn raft(&self) -> &Raft {
        &self.raft
    }

    fn vote(&self) -> Vote {
        self.log.current_vote().unwrap_or_default()
    }

    fn propose(&self, groups: Vec<Forwarded>) -> Boxed<'_, Proposed> {
        Box::pin(async move {
            // All queue before any is waited for, so that they can share an entry.
            let queue = |(deadline, group): Forwarded| match deadline.left() {
                Some(budget) => self.proposer.queue_here(group, budget),
                // Its sender waits no longer, or means the process that was here before.
                None => Err(ProposeError::NoLeader),
            };
            let queued: Vec<_> = groups.into_iter().map(queue).collect();
            let mut answers = Answers::with_capacity(queued.len());
            for group in queued {
                answers.push(match group {
                    Ok(waiting) => waiting.answer().await,
                    Err(error) => Err(error),
                });
            }
            (answers, Reading::now())
        })
    }

    fn read_index(&self, by_lease: bool) -> Boxed<'_, ReadIndexAnswer> {
        Box::pin(self.reads.leader_index(by_lease))
    }

    fn replicated(&self, question: Replicated) -> Boxed<'_, Option<u32>> {
        Box::pin(self.replicated_here(question))
    }

    fn keep_snapshot(&self, file: Box<SnapshotFile>) -> Boxed<'_, Result<Box<SnapshotFile>, KeepError>> {
        Box::pin(self.keeper.keep(file))
    }

    fn report(&self, asker: NodeId) -> StatusReport {
        self.status_report(asker)
    }

    fn word(&self, asker: NodeId) -> Word {
        self.word_to(asker)
    }

    fn health(&self) -> &HealthMonitor {
        &self.health
    }

    fn traffic(&self, from: NodeId) -> Arc<Traffic> {
        self.peers.traffic(from)
    }

    fn announced(&self, member: NodeId, place: Peer) -> Boxed<'_, Announced> {
        Box::pin(self.place_announced(member, place))
    }

    fn pre_vote(&self, asker: NodeId, question: &PreVote) -> PreVoteAnswer {
        self.campaign.answer(asker, question)
    }

    fn join(&self, join: Join) -> Boxed<'_, Result<Joined, ChangeError>> {
        Box::pin(self.let_in(join))
    }

    fn change(&self, change: Change) -> Boxed<'_, Result<NodeId, ChangeError>> {
        Box::pin(async move { self.take_on(&change).await })
    }

    fn transfer(&self, target: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>> {
        Box::pin(self.transfer_here(target))
    }

    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>> {
        Box::pin(self.manager.finalize())
    }

    fn view(&self) -> Option<View> {
        self.membership_view()
    }
}
