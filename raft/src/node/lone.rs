//! A node without a cluster, until `RAFT.CLUSTER INIT` makes it the first of one, or `JOIN`, or the seeds of its
//! configuration, bring it into one. From then on it is a [`Member`].

use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use adapter::snapshot::Digest;
use adapter::{Adapter, CommandBuffer};
use conf::{ClusterConfig, Consistency, Live};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::entry::{self, How, Place};
use super::{Member, Members, StartError};
use crate::backup::{Backups, Begun, TakeError};
use crate::discovery::{self, NodeDiscovery};
use crate::freezer::DigestError;
use crate::handle::{Boxed, Committed, MemberStatus, NodeStatus, ProposeError, ReadError, Role, Service};
use crate::health::HealthView;
use crate::identity;
use crate::membership::change::{Change, ChangeError, Join, Joined};
use crate::network::credentials::Credentials;
use crate::network::gate;
use crate::network::pool::Pool;
use crate::network::traffic::Traffic;
use crate::network::{path, wire};
use crate::types::{NodeId, Peer};

/// How long one seed has to let this node in: it asks its leader, and that has the entry committed.
const JOIN_TIMEOUT: Duration = Duration::from_secs(6);
/// How long seeds that cannot let this node in yet are asked again, by one command.
const SEEDS_TIMEOUT: Duration = Duration::from_secs(10);
/// How long seeds that are not there are asked again; they may be starting.
const STARTING_TIMEOUT: Duration = Duration::from_millis(700);
/// How long all seeds together have to prove that they are nodes of a cluster.
const PROOF_TIMEOUT: Duration = Duration::from_millis(1250);
/// The wait before the seeds are asked again.
const RETRY: Duration = Duration::from_millis(500);
/// Every how many rounds it is logged that no seed has let this node in.
const NOTICE_EVERY: u32 = 10;

/// See the module.
pub(super) struct Lone<A: Adapter> {
    config: Live,
    adapter: Arc<A>,
    listener: StdListener,
    member: OnceLock<Arc<Member<A>>>,
    /// Held while it becomes a member.
    turn: tokio::sync::Mutex<()>,
    /// How many are having it join right now.
    joining: AtomicUsize,
    closed: AtomicBool,
    backups: Backups,
    started: Instant,
    seeking: Mutex<Option<AbortOnDropHandle<()>>>,
    /// Tells whoever calls, and knows the secret, that this node belongs to no cluster.
    answering: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl<A: Adapter> Lone<A> {
    pub(super) fn start(
        config: Live,
        adapter: Arc<A>,
        listener: TcpListener,
    ) -> Result<Arc<Self>, StartError> {
        let listener = listener.into_std().map_err(|error| StartError::Config(error.to_string()))?;
        let backups = Backups::new(&config.load().node.data_dir);
        let lone = Arc::new(Self {
            config,
            adapter,
            listener,
            member: OnceLock::new(),
            turn: tokio::sync::Mutex::default(),
            joining: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            backups,
            started: Instant::now(),
            seeking: Mutex::default(),
            answering: Mutex::default(),
        });
        lone.answer_callers().map_err(|error| StartError::Config(error.to_string()))?;
        tracing::info!("this node belongs to no cluster: it waits for RAFT.CLUSTER INIT or JOIN");
        if !lone.config.load().cluster.join.is_empty() {
            let seeking = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&lone).seek()));
            *lone.seeking.lock().unwrap_or_else(PoisonError::into_inner) = Some(seeking);
        }
        Ok(lone)
    }

    /// Answers callers that this node belongs to no cluster, until it does.
    fn answer_callers(&self) -> std::io::Result<()> {
        let config = self.config.load();
        let credentials = Credentials::new(config.node.id, "", &config.cluster.secret);
        let credentials = credentials.map_err(std::io::Error::other)?;
        let listener = self.listener.try_clone().and_then(TcpListener::from_std)?;
        // It lets nobody in.
        let answering = gate::run(credentials, listener, |_, _| async {});
        *self.answering.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(AbortOnDropHandle::new(tokio::spawn(answering)));
        Ok(())
    }

    /// Asks the configured seeds until one lets this node in.
    async fn seek(self: Arc<Self>) {
        let seeds = self.config.load().cluster.join.clone();
        let _joining = self.joining();
        for round in 0u32.. {
            match self.join_once(&seeds).await {
                Ok(()) | Err(ChangeError::AlreadyMember) => return,
                Err(error) if round.is_multiple_of(NOTICE_EVERY) => {
                    tracing::warn!(?seeds, %error, "no seed has let this node in yet");
                }
                Err(_) => {}
            }
            sleep(RETRY).await;
        }
    }

    async fn init(&self, cluster_id: Option<String>) -> Result<String, ChangeError> {
        let _turn = self.turn.try_lock().map_err(|_| refused("this node is joining a cluster"))?;
        let config = ClusterConfig::clone(&self.config.load());
        let wanted = cluster_id.or_else(|| Some(config.cluster.id.clone()).filter(|id| !id.is_empty()));
        let cluster_id = wanted.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let id = config.node.id.max(1);
        let me = Peer { raft: config.advertised_raft(), ..Peer::default() };
        let how = How::Founder(Members::from([(id, me)]));
        self.enter(Place { id, cluster_id: cluster_id.clone(), how }).await?;
        Ok(cluster_id)
    }

    async fn join(&self, seeds: &[String]) -> Result<(), ChangeError> {
        let began = Instant::now();
        let _joining = self.joining();
        loop {
            let joined = self.join_once(seeds).await;
            let patience = match &joined {
                // One node after the other.
                Err(ChangeError::NoLeader | ChangeError::Busy(_)) => SEEDS_TIMEOUT,
                Err(ChangeError::Unreachable(_)) => STARTING_TIMEOUT,
                _ => return joined,
            };
            if began.elapsed() >= patience {
                return joined;
            }
            sleep(RETRY).await;
        }
    }

    /// Asks each seed once, and becomes a member of the cluster of the first that lets this node in.
    async fn join_once(&self, seeds: &[String]) -> Result<(), ChangeError> {
        let _turn = self.turn.try_lock().map_err(|_| refused("this node is joining a cluster"))?;
        if self.member.get().is_some() {
            return Err(ChangeError::AlreadyMember);
        }
        if self.config.load().cluster.secret.is_empty() {
            return Err(refused("cluster.secret must be set, and be that of the cluster, to join one"));
        }
        if self.adapter.applied().position.index > 0 {
            return Err(refused(
                "the storage of this node has data of a cluster: a node joins with an empty one",
            ));
        }
        self.enter_joined(self.ask(seeds).await?).await
    }

    /// Until the answer is dropped, clients are told that this node is joining.
    fn joining(&self) -> Joining<'_> {
        self.joining.fetch_add(1, Ordering::AcqRel);
        Joining(&self.joining)
    }

    async fn ask(&self, seeds: &[String]) -> Result<Joined, ChangeError> {
        let config = ClusterConfig::clone(&self.config.load());
        let credentials = Credentials::new(config.node.id, "", &config.cluster.secret)
            .map_err(|error| ChangeError::Refused(error.to_string()))?;
        let join = Join { id: config.node.id, raft: config.advertised_raft() };
        let uncounted = Arc::new(Traffic::uncounted());
        let (mut answer, mut absent) = (None, Vec::new());
        let found = discovery::find_seeds(seeds).await;
        let share = PROOF_TIMEOUT / u32::try_from(found.len().max(1)).unwrap_or(u32::MAX);
        for seed in found {
            let place = NodeDiscovery::new(seed.clone(), None);
            let pool = Pool::new(0, place, credentials.clone(), Arc::clone(&uncounted));
            if let Err(error) = pool.open_ahead(tokio::time::Instant::now() + share).await {
                absent.push(error.to_string());
                continue;
            }
            let deadline = tokio::time::Instant::now() + JOIN_TIMEOUT;
            answer = Some(match pool.call(path::JOIN, wire::encode(&join), deadline).await {
                Ok(answer) => match wire::decode::<Result<Joined, ChangeError>>(&answer) {
                    Ok(Ok(joined)) => return Ok(joined),
                    Ok(Err(error)) => error,
                    Err(error) => ChangeError::Refused(format!("{seed}: {error}")),
                },
                Err(error) => {
                    tracing::debug!(%error, "a seed does not answer");
                    answer.unwrap_or(ChangeError::NoLeader)
                }
            });
        }
        Err(answer.unwrap_or_else(|| {
            if absent.is_empty() {
                absent.push("no address is found".to_owned());
            }
            ChangeError::Unreachable(format!("this node has not joined: {}", absent.join("; ")))
        }))
    }

    async fn enter_joined(&self, joined: Joined) -> Result<(), ChangeError> {
        let config = ClusterConfig::clone(&self.config.load());
        let wanted = &config.cluster.id;
        if !wanted.is_empty() && *wanted != joined.cluster_id {
            return Err(refused(&format!(
                "that is the cluster {}, and cluster.id is {wanted}",
                joined.cluster_id
            )));
        }
        let others = joined.members.into_iter().filter(|(id, _)| *id != joined.id).collect();
        entry::write(&config.node.data_dir, &How::Joined(others)).map_err(not_started)?;
        self.enter(Place { id: joined.id, cluster_id: joined.cluster_id, how: How::Joining }).await
    }

    async fn enter(&self, place: Place) -> Result<(), ChangeError> {
        if self.member.get().is_some() {
            return Err(ChangeError::AlreadyMember);
        }
        let directory = self.config.load().node.data_dir.clone();
        entry::write(&directory, &place.how).map_err(not_started)?;
        identity::create(&directory, place.id, &place.cluster_id).map_err(not_started)?;
        let listener = self.listener.try_clone().and_then(TcpListener::from_std).map_err(not_started)?;
        drop(self.answering.lock().unwrap_or_else(PoisonError::into_inner).take());
        tracing::info!(node = place.id, cluster = place.cluster_id, "this node enters a cluster");
        let member = Member::start(self.config.clone(), place, Arc::clone(&self.adapter), listener).await;
        let member = match member {
            Ok(member) => member,
            Err(error) => {
                // Where it cannot answer callers any more, they see it by that.
                let _ = self.answer_callers();
                return Err(not_started(error));
            }
        };
        // The turn is held: nobody else has set it.
        let _ = self.member.set(member);
        Ok(())
    }

    fn absent(&self) -> ProposeError {
        if self.closed.load(Ordering::Acquire) {
            ProposeError::ShuttingDown
        } else if self.joining.load(Ordering::Acquire) > 0 {
            ProposeError::Joining
        } else {
            ProposeError::NoCluster
        }
    }

    fn lone_status(&self) -> NodeStatus {
        let config = self.config.load();
        NodeStatus {
            id: config.node.id,
            cluster_id: String::new(),
            role: Role::Learner,
            resp: config.advertised_resp(),
            raft: config.advertised_raft(),
            term: 0,
            leader: None,
            last_log: 0,
            applied: 0,
            snapshot: 0,
            purged: 0,
            storage: self.adapter.health(),
            storage_kind: config.storage.kind.name().to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            process_id: std::process::id(),
        }
    }
}

/// See [`Lone::joining`].
struct Joining<'a>(&'a AtomicUsize);

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn refused(why: &str) -> ChangeError {
    ChangeError::Refused(why.to_owned())
}

fn not_started(error: impl std::fmt::Display) -> ChangeError {
    tracing::error!(%error, "this node cannot enter the cluster");
    ChangeError::Refused(format!("this node cannot enter the cluster: {error}"))
}

impl<A: Adapter> Service<A> for Lone<A> {
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Committed, ProposeError>> {
        match self.member.get() {
            Some(member) => Service::propose(&**member, commands),
            None => Box::pin(std::future::ready(Err(self.absent()))),
        }
    }

    fn read_barrier(&self, consistency: Consistency, seen: u64) -> Boxed<'_, Result<(), ReadError>> {
        match self.member.get() {
            Some(member) => member.read_barrier(consistency, seen),
            None => {
                let error = match self.absent() {
                    ProposeError::Joining => ReadError::Joining,
                    _ => ReadError::NoCluster,
                };
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }

    fn applied(&self) -> u64 {
        self.member.get().map_or(0, |member| member.applied())
    }

    fn wait_applied(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        match self.member.get() {
            Some(member) => member.wait_applied(index, timeout),
            None => Box::pin(std::future::ready(index == 0)),
        }
    }

    fn wait_replicated(&self, index: u64, wanted: usize, timeout: Duration) -> Boxed<'_, usize> {
        match self.member.get() {
            Some(member) => member.wait_replicated(index, wanted, timeout),
            None => Box::pin(std::future::ready(0)),
        }
    }

    fn wait_synced(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        match self.member.get() {
            Some(member) => member.wait_synced(index, timeout),
            None => Box::pin(std::future::ready(index == 0)),
        }
    }

    fn now_ms(&self) -> u64 {
        self.member.get().map_or_else(|| self.adapter.applied().now_ms, |member| member.now_ms())
    }

    fn adapter(&self) -> &A {
        &self.adapter
    }

    fn health_view(&self) -> HealthView {
        self.member.get().map_or_else(HealthView::default, |member| member.health_view())
    }

    fn publish_metrics(&self) {
        if let Some(member) = self.member.get() {
            member.publish_metrics();
        }
    }

    fn status(&self) -> NodeStatus {
        self.member.get().map_or_else(|| self.lone_status(), |member| member.status())
    }

    fn members(&self) -> Boxed<'_, Vec<MemberStatus>> {
        match self.member.get() {
            Some(member) => member.members(),
            None => {
                let node = self.lone_status();
                let raft = node.raft.clone();
                let only = MemberStatus {
                    id: node.id,
                    voter: false,
                    raft,
                    resp: node.resp.clone(),
                    connected_ms: 0,
                    node: Some(node),
                };
                Box::pin(std::future::ready(vec![only]))
            }
        }
    }

    fn make_snapshot(&self) -> Boxed<'_, ()> {
        match self.member.get() {
            Some(member) => member.make_snapshot(),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn digest_at(&self, index: u64) -> Boxed<'_, Result<Digest, DigestError>> {
        match self.member.get() {
            Some(member) => member.digest_at(index),
            None => Box::pin(std::future::ready(Err(DigestError::Late { applied: 0, index }))),
        }
    }

    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>> {
        match self.member.get() {
            Some(member) => member.begin_backup(),
            None => Box::pin(std::future::ready(Err(ReadError::NoCluster.into()))),
        }
    }

    fn backups(&self) -> &Backups {
        self.member.get().map_or(&self.backups, |member| member.backups())
    }

    fn change_membership(&self, change: Change) -> Boxed<'_, Result<NodeId, ChangeError>> {
        match self.member.get() {
            Some(member) => member.change_membership(change),
            None => Box::pin(std::future::ready(Err(ChangeError::NoCluster))),
        }
    }

    fn transfer_leadership(&self, target: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>> {
        match self.member.get() {
            Some(member) => member.transfer_leadership(target),
            None => Box::pin(std::future::ready(Err(ChangeError::NoCluster))),
        }
    }

    fn init_cluster(&self, id: Option<String>) -> Boxed<'_, Result<String, ChangeError>> {
        Box::pin(self.init(id))
    }

    fn join_cluster(&self, seeds: Vec<String>) -> Boxed<'_, Result<(), ChangeError>> {
        Box::pin(async move { self.join(&seeds).await })
    }

    fn shutdown(&self) -> Boxed<'_, ()> {
        Box::pin(async {
            self.closed.store(true, Ordering::Release);
            self.seeking.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(member) = self.member.get() {
                return member.shutdown().await;
            }
            if let Err(error) = self.adapter.flush().await {
                tracing::error!(%error, "the storage could not be flushed");
            }
            self.adapter.close().await;
        })
    }
}
