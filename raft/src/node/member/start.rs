//! A member is put together and set going.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapter::Adapter;
use conf::{ClusterConfig, Live};
use openraft::SnapshotPolicy;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Member, report, spawn};
use crate::applying::Applying;
use crate::backup::Backups;
use crate::checkpoint::Checkpointer;
use crate::consensus::{Means, RaftConsensus};
use crate::data_id::DataId;
use crate::elections::Elections;
use crate::health::HealthMonitor;
use crate::leadership::Leadership;
use crate::lease::Lease;
use crate::log_clock::LogClock;
use crate::log_store::LogStore;
use crate::logger::RaftLogger;
use crate::membership::dead::Dead;
use crate::membership::manager::ConfigChangeManager;
use crate::membership::transfer::Transfer;
use crate::network::client::RaftNetworkClients;
use crate::network::credentials::Credentials;
use crate::network::message::Beginning;
use crate::network::peers::Peers;
use crate::node::bootstrap::Admission;
use crate::node::campaign::Campaign;
use crate::node::cluster_map::ClusterMap;
use crate::node::enrollment::{self, Enrollment, How};
use crate::node::error::StartError;
use crate::node::opening::Opened;
use crate::node::reads::Reads;
use crate::node::upkeep;
use crate::proposer::Proposer;
use crate::proposer::limits::limits;
use crate::server::Server;
use crate::server::inbound::Inbound;
use crate::state_machine::{Keeper, Mark, Progress};
use crate::types::{NodeId, Raft};
use crate::watermark::Watermark;

/// The longest body of a request with commands or entries: more than a client can send as one command, and so as one
/// entry. It is no option: what one member takes in, all others must.
const MAX_BODY_BYTES: usize = (4 << 30) + (1 << 20);

/// What a member is put together from.
struct Components {
    id: NodeId,
    data: DataId,
    beginning: Option<Beginning>,
    live: Live,
    adapter: Arc<dyn Adapter>,
    clock: Arc<LogClock>,
    busy: Arc<Applying>,
    raft: Raft,
    log: LogStore,
    peers: Peers,
    lease: Arc<Lease>,
    health: Arc<HealthMonitor>,
    elections: Arc<Elections>,
    progress: watch::Receiver<Progress>,
    watermark: Arc<Watermark>,
    checkpointer: Arc<Checkpointer>,
    keeper: Keeper,
    /// Whether the node forms a new cluster.
    is_founder: bool,
}

impl Components {
    fn assemble(self) -> Arc<Member> {
        let Self { id, data, beginning, live, adapter, clock, busy, raft, is_founder, .. } = self;
        let Self { log, peers, lease, health, elections, progress, watermark, checkpointer, keeper, .. } =
            self;
        let leadership = Leadership::new(id, &raft, peers.clone(), &elections);
        let means = Means {
            raft: raft.clone(),
            adapter: Arc::clone(&adapter),
            busy,
            log: log.clone(),
            lease: Arc::clone(&lease),
            clock: Arc::clone(&clock),
            snapshots: keeper.taken(),
            config: live.clone(),
        };
        let consensus = RaftConsensus::new(leadership.clone(), means);
        let proposer = Proposer::new(consensus, limits(&live, live.load().raft.max_inflight_entries));
        let votes = (log.clone(), Arc::clone(&elections));
        let (writes, promises) = (Arc::clone(&proposer), Arc::clone(&lease));
        let transfer = Transfer::new(id, raft.clone(), votes, leadership.clone(), writes, promises);
        let (transfer, yielding) = (Arc::new(transfer), Arc::<AtomicBool>::default());
        let manager = ConfigChangeManager {
            id,
            raft: raft.clone(),
            leadership: leadership.clone(),
            adapter: Arc::clone(&adapter),
            progress: progress.clone(),
            transfer: Arc::clone(&transfer),
            config: live.clone(),
            dead: Dead::new(live.clone()),
            turn: tokio::sync::Mutex::default(),
            nudged: tokio::sync::Notify::new(),
            is_new: AtomicBool::new(is_founder),
        };
        let storage = Arc::clone(&adapter);
        let campaign = Campaign {
            id,
            elections: Arc::clone(&elections),
            raft: raft.clone(),
            log: log.clone(),
            leadership: leadership.clone(),
            yielding: Arc::clone(&yielding),
            has_lost: Box::new(move |id| {
                Mark::of(&storage.applied().position).is_ok_and(|mark| mark.has_lost(id))
            }),
        };
        let seen = (progress.clone(), watermark);
        let reads = Reads::new(id, leadership.clone(), log.clone(), seen, lease, live.clone());
        let backups = Backups::new(&live.load().node.data_dir);
        Arc::new(Member {
            id,
            data,
            beginning,
            cluster_id: raft.config().cluster_name.clone(),
            config: live,
            started: Instant::now(),
            adapter,
            clock,
            raft,
            log,
            peers,
            leadership,
            health,
            progress,
            proposer,
            reads,
            transfer,
            manager: Arc::new(manager),
            elections,
            campaign: Arc::new(campaign),
            checkpointer,
            keeper,
            backups,
            cluster_map: ClusterMap::default(),
            stopping: Arc::default(),
            yielding,
            leader_changes: Arc::default(),
            tasks: Mutex::default(),
        })
    }
}

impl Member {
    pub(crate) async fn start(
        live: Live,
        Enrollment { id, cluster_id, how }: Enrollment,
        adapter: Arc<dyn Adapter>,
        listener: TcpListener,
    ) -> Result<Arc<Self>, StartError> {
        let config = &ClusterConfig::clone(&live.load());
        let credentials = Credentials::new(id, &cluster_id, &config.cluster.secret)?;
        let peers = Peers::new(credentials.clone(), how.places());
        let elections = Elections::new((config.raft.election_timeout_min, config.raft.election_timeout_max));
        let server = Server::new(credentials, MAX_BODY_BYTES, Arc::clone(&elections));
        let listening_at = listener.local_addr().ok();
        let serving = spawn(Arc::clone(&server).run(listener));

        let opened = Opened::open(config, id, &cluster_id, Arc::clone(&adapter)).await?;
        let beginning = opened.beginning(&how);
        let candidacy = opened.candidacy(id, &how, &peers)?;
        if let (Some(_), Some(beginning)) = (&candidacy, &beginning) {
            server.introduce(opened.introduction(beginning.clone()));
        }
        let admission = opened.come_in(candidacy.as_ref(), id, &how, &peers).await?;
        let Opened { log, state_machine, applied, .. } = opened;
        let (progress, rebuilder) = (state_machine.progress(), state_machine.rebuilder());
        let (checkpointer, keeper, busy) =
            (state_machine.checkpointer(), state_machine.keeper(), state_machine.busy());

        let raft_config = Arc::new(openraft_config(config, &cluster_id)?);
        let interval = config.raft.heartbeat_interval;
        let lease = Arc::new(Lease::new(id, &config.raft));
        let (votes, watermark) = (Arc::clone(&elections), state_machine.watermark());
        let network = RaftNetworkClients::new(
            peers.clone(),
            interval,
            votes,
            Arc::clone(&lease),
            Arc::clone(&watermark),
        );
        let raft = Raft::new(id, raft_config, network, log.clone(), state_machine)
            .await
            .map_err(|error| StartError::Raft(error.to_string()))?;
        let clock = LogClock::new(adapter.applied().now_ms);
        let health =
            HealthMonitor::new(config, id, &cluster_id, listening_at, peers.clone(), Arc::clone(&clock))
                .await;
        let parts = Components {
            id,
            data: log.data(),
            beginning,
            live,
            adapter,
            clock,
            busy,
            raft,
            log,
            peers: peers.clone(),
            lease,
            health,
            elections,
            progress,
            watermark,
            checkpointer,
            keeper,
            is_founder: matches!(admission, Some(Admission::Form(_))),
        };
        let member = parts.assemble();
        server.open(Arc::clone(&member) as Arc<dyn Inbound>);
        member.spawn_tasks(serving);
        member.spawn_announcer();
        let fitness = Member::lead_only_when_fit(Arc::downgrade(&member));
        member.tasks().extend([spawn(fitness), spawn(rebuilder.run())]);
        // Restored, it has a membership already.
        if let (Some(candidacy), Some(Admission::Form(founders)), None) = (&candidacy, &admission, applied) {
            candidacy.form(&member.raft, founders).await?;
        }
        if matches!(how, How::Founder(_)) {
            enrollment::forget(&config.node.data_dir)?;
        }
        Ok(member)
    }

    fn spawn_tasks(&self, serving: AbortOnDropHandle<()>) {
        let bound = upkeep::bound_log(
            self.raft.clone(),
            self.log.clone(),
            self.progress.clone(),
            self.config.clone(),
        );
        let adapter = Arc::clone(&self.adapter);
        let log = RaftLogger::new(self.id).watch(
            &self.raft,
            self.leadership.clone(),
            self.config.clone(),
            move || adapter.health(),
        );
        let leadership = self.leadership.clone();
        let (storage, writes) = (Arc::clone(&self.adapter), Arc::clone(&self.proposer));
        let expire =
            upkeep::expire_keys(storage, writes, Arc::clone(&self.clock), move || leadership.route());
        let time = upkeep::keep_time(
            self.id,
            Arc::clone(&self.clock),
            Arc::clone(&self.adapter),
            Arc::clone(&self.health),
            self.leadership.clone(),
        );
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
            spawn(time),
            spawn(follow),
            spawn(Arc::clone(&self.campaign).run()),
            spawn(Arc::clone(&self.manager).run()),
            spawn(upkeep::watch_over(self.raft.clone(), Arc::clone(&self.stopping))),
        ];
        self.tasks().extend(tasks);
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
        // When to stand is decided in `campaign`.
        enable_elect: false,
        // What to give up is decided by `upkeep`, from options that can change.
        max_in_snapshot_log_to_keep: u64::MAX,
        replication_lag_threshold: raft.keep_entries.max(1),
        ..openraft::Config::default()
    };
    built.validate().map_err(|error| StartError::Config(format!("[raft]: {error}")))
}
