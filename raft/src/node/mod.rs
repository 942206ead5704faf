//! A member of a cluster, put together.
//!
//! | module | what it says |
//! |---|---|
//! | [`announce`] | where the members are reached, kept true |
//! | [`sight`] | what clients are told of the cluster at once |
//! | [`bootstrap`] | how a node comes into its cluster |
//! | [`consensus`] | who leads, and the two ways of a batch |
//! | [`elections`] | when it stands for election before its time |
//! | [`reads`] | read barriers |
//! | [`acknowledgements`] | on how many disks a log entry is |
//! | [`upkeep`] | what a member does by itself |
//! | [`farewell`] | how a member leaves for a while |
//! | [`report`] | what a member says of itself |
//! | [`measures`] | a member's numbers, for operators |

mod acknowledgements;
pub(crate) mod announce;
mod bootstrap;
pub(crate) mod consensus;
pub(crate) mod elections;
mod farewell;
mod measures;
mod reads;
mod report;
mod sight;
pub(crate) mod upkeep;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adapter::snapshot::Digest;
use adapter::{Adapter, CommandBuffer, Frozen};
use bytes::Bytes;
use conf::{ClusterConfig, Consistency, Live};
use openraft::SnapshotPolicy;
use openraft::storage::RaftLogStorage;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::backup::{Backups, Begun, TakeError};
use crate::freezer::{DigestError, Freezer};
use crate::handle::{
    Boxed, Committed, Handle, Lead, MemberStatus, NodeStatus, ProposeError, ReadError, Service,
};
use crate::health::{HealthMonitor, HealthView};
use crate::identity::{Identity, IdentityError};
use crate::lease::Lease;
use crate::log_store::{LogStore, Options};
use crate::logger::RaftLogger;
use crate::network::client::RaftNetworkClients;
use crate::network::credentials::{Credentials, CredentialsError};
use crate::network::peers::Peers;
use crate::network::server::{Inbound, Server, StatusReport};
use crate::network::traffic::Traffic;
use crate::network::wire::{Answers, ReadIndexAnswer, Replicated};
use crate::proposer::{Limits, Proposer};
use crate::state_machine::{KeepError, Keeper, KiwiStateMachine, Progress};
use crate::types::{NodeId, Peer, Raft, SnapshotFile, Vote};
use announce::Announced;
use bootstrap::Admission;
pub(crate) use bootstrap::Members;
use consensus::{Leadership, RaftConsensus};
use elections::Elections;
use measures::LeaderChanges;
use reads::Reads;
use sight::Sight;

/// The longest body of a request with commands or entries: more than a client can send as one command, and so as one
/// entry. It is no option: what one member takes in, all others must.
const MAX_BODY_BYTES: usize = (4 << 30) + (1 << 20);

/// Why a node cannot start. Nothing that was there has been written over.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// The data directory is not this node's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The secret or the cluster id cannot be sent.
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
        "node {node} has an empty log, or one that begins with a backup, but the cluster has seen its log up to index \
         {index}: its data is lost. \
         Under this id it could undo writes that were acknowledged. Restore its data directory, or add it with a \
         new id"
    )]
    Wiped {
        /// This node.
        node: NodeId,
        /// How far its log was.
        index: u64,
    },
}

/// What stands in the place of the cluster's id in the directory of a node without one. The blank keeps it from being
/// any cluster's id.
pub(crate) const STANDALONE: &str = "(stand alone)";

/// A member of a cluster.
pub struct Node;

impl Node {
    /// Starts a member on `adapter`, serving its peers on `raft_listener`. A node that has no data yet returns from
    /// here once a majority of the members is up.
    pub async fn start<A: Adapter>(
        config: impl Into<Live>,
        adapter: A,
        raft_listener: TcpListener,
    ) -> Result<Handle<A>, StartError> {
        Ok(Handle::new(Member::start(config.into(), adapter, raft_listener).await?))
    }
}

/// What a running member consists of.
struct Member<A: Adapter> {
    id: NodeId,
    cluster_id: String,
    config: Live,
    started: Instant,
    adapter: Arc<A>,
    raft: Raft,
    log: LogStore,
    peers: Peers,
    leadership: Leadership,
    health: Arc<HealthMonitor>,
    progress: watch::Receiver<Progress>,
    proposer: Arc<Proposer<RaftConsensus<A>>>,
    reads: Arc<Reads>,
    freezer: Arc<Freezer<A>>,
    keeper: Keeper<A>,
    backups: Backups,
    elections: Arc<Elections>,
    sight: Sight,
    /// The membership is changed by one at a time.
    changes: tokio::sync::Mutex<()>,
    stopping: Arc<AtomicBool>,
    /// It gives up leading, for now or for good.
    yielding: Arc<AtomicBool>,
    leader_changes: Arc<LeaderChanges>,
    /// Ends with the member.
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

impl<A: Adapter> Member<A> {
    async fn start(live: Live, adapter: A, listener: TcpListener) -> Result<Arc<Self>, StartError> {
        let config = &ClusterConfig::clone(&live.load());
        let members = members(config)?;
        let id = config.node.id;
        let identity = identity(config, &members)?;
        let credentials = Credentials::new(id, &identity.cluster_id, &config.cluster.secret)?;
        let peers = Peers::new(credentials.clone(), configured_places(&members));
        let elections = Elections::new(config.raft.election_timeout_max);
        let server = Server::new(credentials, MAX_BODY_BYTES, Arc::clone(&elections));
        let listening_at = listener.local_addr().ok();
        let serving = spawn(Arc::clone(&server).run(listener));

        let mut log = open_log(&config.node.data_dir, Options::new(id, &config.raft)).await?;
        let adapter = Arc::new(adapter);
        let state_machine = KiwiStateMachine::open(
            Arc::clone(&adapter),
            &config.node.data_dir,
            &identity.cluster_id,
            log.reader(),
        )
        .await?;
        let (progress, rebuilder) = (state_machine.progress(), state_machine.rebuilder());
        let content = (state_machine.freezer(), state_machine.keeper());
        let state = log.get_log_state().await.map_err(|error| StartError::Raft(error.to_string()))?;
        let applied = progress.borrow().applied;
        // Nobody is ever elected in term 0: what was applied in it was restored from a backup.
        let is_empty = state.last_log_id.is_none()
            && log.current_vote().is_none_or(|vote| vote == Vote::default())
            && applied.is_none_or(|applied| applied.leader_id.term == 0);
        let base = applied.map_or(0, |applied| applied.index);
        let admission =
            if is_empty { Some(bootstrap::admit(&peers, id, &members, base).await?) } else { None };

        let raft_config = Arc::new(openraft_config(config, &identity.cluster_id)?);
        let interval = config.raft.heartbeat_interval;
        let lease = Arc::new(Lease::new(id, &config.raft));
        let network =
            RaftNetworkClients::new(peers.clone(), interval, Arc::clone(&elections), Arc::clone(&lease));
        let raft = Raft::new(id, raft_config, network, log.clone(), state_machine)
            .await
            .map_err(|error| StartError::Raft(error.to_string()))?;
        let health = HealthMonitor::new(config, &identity.cluster_id, listening_at, peers.clone()).await;
        let ways = (peers, lease, health, Arc::clone(&elections));
        let member = Self::assemble(live, adapter, raft, log, ways, progress, content);
        server.open(Arc::clone(&member) as Arc<dyn Inbound>);
        member.spawn_tasks(serving, elections);
        member.spawn_announcer();
        let fitness = Member::lead_only_when_fit(Arc::downgrade(&member));
        member.tasks().extend([spawn(fitness), spawn(rebuilder.run())]);
        // Restored, it has a membership already.
        if admission == Some(Admission::Form) && applied.is_none() {
            bootstrap::form(&member.raft, id, &members).await?;
        }
        Ok(member)
    }

    fn assemble(
        live: Live,
        adapter: Arc<A>,
        raft: Raft,
        log: LogStore,
        (peers, lease, health, elections): (Peers, Arc<Lease>, Arc<HealthMonitor>, Arc<Elections>),
        progress: watch::Receiver<Progress>,
        (freezer, keeper): (Arc<Freezer<A>>, Keeper<A>),
    ) -> Arc<Self> {
        let (id, entries) = (live.load().node.id, live.load().raft.max_inflight_entries);
        let leadership = Leadership::new(id, &raft, peers.clone());
        let consensus =
            RaftConsensus::new(leadership.clone(), raft.clone(), Arc::clone(&adapter), live.clone());
        let proposer = Proposer::new(consensus, limits(&live, entries));
        let reads = Reads::new(id, leadership.clone(), log.clone(), progress.clone(), lease, live.clone());
        let backups = Backups::new(&live.load().node.data_dir);
        Arc::new(Self {
            id,
            cluster_id: raft.config().cluster_name.clone(),
            config: live,
            started: Instant::now(),
            adapter,
            raft,
            log,
            peers,
            leadership,
            health,
            progress,
            proposer,
            reads,
            freezer,
            keeper,
            backups,
            elections,
            sight: Sight::default(),
            changes: tokio::sync::Mutex::default(),
            stopping: Arc::default(),
            yielding: Arc::default(),
            leader_changes: Arc::default(),
            tasks: Mutex::default(),
        })
    }

    fn spawn_tasks(&self, serving: AbortOnDropHandle<()>, elections: Arc<Elections>) {
        let bound = upkeep::bound_log(
            self.raft.clone(),
            self.log.clone(),
            self.progress.clone(),
            self.config.clone(),
        );
        let adapter = Arc::clone(&self.adapter);
        let log = RaftLogger::of(&self.raft).watch(&self.raft, self.config.clone(), move || adapter.health());
        let leadership = self.leadership.clone();
        let expire = upkeep::expire_keys(Arc::clone(&self.adapter), Arc::clone(&self.proposer), move || {
            leadership.route()
        });
        let (mut changes, proposer) = (self.leadership.clone(), Arc::clone(&self.proposer));
        let leaders = Arc::clone(&self.leader_changes);
        let follow = async move {
            while changes.changed().await {
                leaders.see(changes.leader());
                proposer.route_changed();
            }
        };
        let tasks = [
            serving,
            spawn(Arc::clone(&self.proposer).run()),
            spawn(Arc::clone(&self.reads).run()),
            spawn(Arc::clone(&self.health).run(report::roster(&self.raft))),
            spawn(bound),
            spawn(log),
            spawn(expire),
            spawn(follow),
            spawn(elections.stand(self.raft.clone(), self.log.clone(), Arc::clone(&self.yielding))),
            spawn(upkeep::watch_over(self.raft.clone(), Arc::clone(&self.stopping))),
        ];
        self.tasks().extend(tasks);
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, Vec<AbortOnDropHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

async fn open_log(data_dir: &Path, options: Options) -> Result<LogStore, StartError> {
    let data_dir = data_dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || LogStore::open(&data_dir, options)).await;
    Ok(opened.map_err(|error| StartError::Raft(error.to_string()))??)
}

/// The members, with this node among them; without any in the configuration, this node alone.
pub(crate) fn members(config: &ClusterConfig) -> Result<Members, StartError> {
    let at = |raft: String| Peer { raft, resp: String::new() };
    if config.cluster.members.is_empty() {
        return Ok(Members::from([(config.node.id, at(config.advertised_raft()))]));
    }
    let members: Members =
        config.cluster.members.iter().map(|member| (member.id, at(member.address.clone()))).collect();
    if !members.contains_key(&config.node.id) {
        return Err(StartError::Config(format!("node.id {} is not among cluster.members", config.node.id)));
    }
    if members.len() > 1 && config.cluster.secret.is_empty() {
        return Err(StartError::Config("a cluster of more than one member needs cluster.secret".to_owned()));
    }
    Ok(members)
}

/// Where the configuration says that the members are.
fn configured_places(members: &Members) -> HashMap<NodeId, String> {
    members.iter().map(|(id, peer)| (*id, peer.raft.clone())).collect()
}

/// Makes sure that the data directory belongs to this node as it is configured, before anything in it is opened; an
/// empty one is made this node's. A stand-alone node's data and a cluster's are never taken for each other's.
pub fn claim_data_dir(config: &ClusterConfig) -> Result<(), StartError> {
    if config.cluster.enabled {
        identity(config, &members(config)?)?;
    } else {
        Identity::load_or_create(&config.node.data_dir, config.node.id, STANDALONE)?;
    }
    Ok(())
}

/// The identity of the data directory. A cluster without a configured id keeps the one that it was given at its
/// first start, whatever becomes of its members.
fn identity(config: &ClusterConfig, members: &Members) -> Result<Identity, StartError> {
    let (data_dir, id) = (&config.node.data_dir, config.node.id);
    if !config.cluster.id.is_empty() {
        return Ok(Identity::load_or_create(data_dir, id, &config.cluster.id)?);
    }
    match Identity::load_or_create(data_dir, id, &bootstrap::cluster_id(members)) {
        Err(IdentityError::Other { found, .. }) if found.node_id == id && found.cluster_id != STANDALONE => {
            Ok(found)
        }
        other => Ok(other?),
    }
}

fn openraft_config(config: &ClusterConfig, cluster_id: &str) -> Result<openraft::Config, StartError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let raft = &config.raft;
    let built = openraft::Config {
        cluster_name: cluster_id.to_owned(),
        heartbeat_interval: millis(raft.heartbeat_interval),
        election_timeout_min: millis(raft.election_timeout_min),
        election_timeout_max: millis(raft.election_timeout_max),
        snapshot_policy: SnapshotPolicy::Never,
        // What to give up is decided by `upkeep`, from options that can change.
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: raft.keep_entries.max(1),
        ..openraft::Config::default()
    };
    built.validate().map_err(|error| StartError::Config(format!("[raft]: {error}")))
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

impl<A: Adapter> Service<A> for Member<A> {
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Committed, ProposeError>> {
        Box::pin(self.proposer.propose(commands))
    }

    fn read_barrier(&self, consistency: Consistency, seen: u64) -> Boxed<'_, Result<(), ReadError>> {
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

    fn adapter(&self) -> &A {
        &self.adapter
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
        Box::pin(self.freezer.digest_at(index, self.config.load().raft.request_timeout))
    }

    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>> {
        Box::pin(async {
            self.reads.barrier(Consistency::Linearizable, 0).await?;
            let applied = reads::applied_index(&self.progress.borrow());
            let frozen = self.freezer.freeze().await?;
            if frozen.applied().position.index < applied {
                return Err(TakeError::Behind);
            }
            self.backups.begin(frozen, Bytes::copy_from_slice(self.cluster_id.as_bytes()))
        })
    }

    fn backups(&self) -> &Backups {
        &self.backups
    }

    fn shutdown(&self) -> Boxed<'_, ()> {
        Box::pin(self.leave())
    }
}

impl<A: Adapter> Inbound for Member<A> {
    fn raft(&self) -> &Raft {
        &self.raft
    }

    fn vote(&self) -> Vote {
        self.log.current_vote().unwrap_or_default()
    }

    fn propose(&self, budget: Duration, groups: Vec<CommandBuffer>) -> Boxed<'_, Answers> {
        Box::pin(async move {
            // All queue before any is waited for, so that they can share an entry.
            let queued: Vec<_> =
                groups.into_iter().map(|group| self.proposer.queue_here(group, budget)).collect();
            let mut answers = Answers::with_capacity(queued.len());
            for group in queued {
                answers.push(match group {
                    Ok(waiting) => waiting.answer().await,
                    Err(error) => Err(error),
                });
            }
            answers
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

    fn health(&self) -> &HealthMonitor {
        &self.health
    }

    fn traffic(&self, from: NodeId) -> Arc<Traffic> {
        self.peers.traffic(from)
    }

    fn announced(&self, member: NodeId, place: Peer) -> Boxed<'_, Announced> {
        Box::pin(self.place_announced(member, place))
    }
}
