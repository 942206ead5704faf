//! A node that is no member of its cluster yet. Either it has none, until `RAFT.CLUSTER INIT` makes it the first of
//! one, or `JOIN`, or the seeds of its configuration, bring it into one. Or it has one, and is on its way into it: it
//! opens its log, and an empty one waits for the other members. From then on it is a [`Member`].
//!
//! It answers clients from the first moment on: what it is, and at once that it cannot serve.

mod service;

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use adapter::Adapter;
use conf::{ClusterConfig, Live};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::enrollment::{self, Enrollment, How};
use super::error::StartError;
use super::member::Member;
use crate::backup::Backups;
use crate::discovery::{self, NodeDiscovery};
use crate::error::{ProposeError, ReadError};
use crate::identity;
use crate::membership::change::{ChangeError, Join, Joined};
use crate::network::credentials::Credentials;
use crate::network::gate;
use crate::network::pool::Pool;
use crate::network::traffic::Traffic;
use crate::network::{path, wire};
use crate::status::{MemberStatus, NodeStatus, Role};
use crate::types::{Members, NodeId, Peer};
use crate::version;

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

/// How long after its start a node that is on its way into its cluster has clients wait: one that is started again is a
/// member in a moment.
const GRACE: Duration = Duration::from_secs(2);

/// A node on its way into the cluster that it belongs to.
struct Arriving {
    id: NodeId,
    cluster_id: String,
    /// The members, as far as they are known without the log.
    known: Vec<MemberStatus>,
    /// Ends with the attempt to become a member, well or not.
    ended: watch::Receiver<()>,
}

/// The listener for other nodes, which outlives an attempt to become a member. None for a node on its way into its
/// cluster: it is the member's there.
#[derive(Default)]
struct Listening(Mutex<Option<StdListener>>);

impl Listening {
    fn new(listener: StdListener) -> Self {
        Self(Mutex::new(Some(listener)))
    }

    fn try_clone(&self) -> io::Result<StdListener> {
        let listener = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listener.as_ref().ok_or(io::ErrorKind::NotConnected)?.try_clone()
    }

    /// From now on, whoever connects is refused, once nobody else listens.
    fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// See the module.
pub(super) struct Unclustered {
    config: Live,
    adapter: Arc<dyn Adapter>,
    listener: Listening,
    /// None for a node without a cluster.
    arriving: Option<Arriving>,
    /// Ends the attempt to become a member.
    closing: CancellationToken,
    member: OnceLock<Arc<Member>>,
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

impl Unclustered {
    pub(super) fn start(
        config: Live,
        adapter: Arc<dyn Adapter>,
        listener: TcpListener,
    ) -> Result<Arc<Self>, StartError> {
        let listener = listener.into_std().map_err(|error| StartError::Config(error.to_string()))?;
        let unclustered = Arc::new(Self::new(config, adapter, Listening::new(listener), None));
        unclustered.answer_callers().map_err(|error| StartError::Config(error.to_string()))?;
        tracing::info!("this node belongs to no cluster: it waits for RAFT.CLUSTER INIT or JOIN");
        if !unclustered.config.load().cluster.join.is_empty() {
            let seeking = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&unclustered).seek()));
            *unclustered.seeking.lock().unwrap_or_else(PoisonError::into_inner) = Some(seeking);
        }
        Ok(unclustered)
    }

    /// A node that has a cluster, and the task that makes it a member. When that is dropped, it is given up.
    pub(super) fn arrive(
        config: Live,
        enrollment: Enrollment,
        adapter: Arc<dyn Adapter>,
        listener: TcpListener,
    ) -> (Arc<Self>, AbortOnDropHandle<Result<(), StartError>>) {
        let (end, ended) = watch::channel(());
        let members = enrollment.how.places();
        let voter = matches!(enrollment.how, How::Configured(_) | How::Founder(_));
        let known = members.into_iter().filter(|(id, _)| *id != enrollment.id).map(|(id, raft)| {
            MemberStatus { id, voter, raft, resp: String::new(), connected_ms: 0, node: None }
        });
        let mut known: Vec<MemberStatus> = known.collect();
        known.sort_by_key(|member| member.id);
        let arriving =
            Arriving { id: enrollment.id, cluster_id: enrollment.cluster_id.clone(), known, ended };
        let unclustered = Arc::new(Self::new(config, adapter, Listening::default(), Some(arriving)));
        let node = Arc::clone(&unclustered);
        let task = tokio::spawn(async move {
            // Dropped when the attempt has ended, also by being given up.
            let _end = end;
            let start = Member::start(node.config.clone(), enrollment, Arc::clone(&node.adapter), listener);
            let member = tokio::select! {
                member = start => member?,
                () = node.closing.cancelled() => return Ok(()),
            };
            // Nobody else sets it.
            let _ = node.member.set(member);
            Ok(())
        });
        (unclustered, AbortOnDropHandle::new(task))
    }

    fn new(config: Live, adapter: Arc<dyn Adapter>, listener: Listening, arriving: Option<Arriving>) -> Self {
        let backups = Backups::new(&config.load().node.data_dir);
        Self {
            config,
            adapter,
            listener,
            arriving,
            closing: CancellationToken::new(),
            member: OnceLock::new(),
            turn: tokio::sync::Mutex::default(),
            joining: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            backups,
            started: Instant::now(),
            seeking: Mutex::default(),
            answering: Mutex::default(),
        }
    }

    /// The member, if it is one by now. One that has just been started and is on its way is waited for, for a moment.
    async fn soon(&self) -> Option<&Arc<Member>> {
        if let (None, Some(arriving)) = (self.member.get(), &self.arriving) {
            let mut ended = arriving.ended.clone();
            // It only ever ends, and nothing is sent.
            let _ = timeout(GRACE.saturating_sub(self.started.elapsed()), ended.changed()).await;
        }
        self.member.get()
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
        if self.arriving.is_some() {
            return Err(ChangeError::AlreadyMember);
        }
        let _turn = self.turn.try_lock().map_err(|_| refused("this node is joining a cluster"))?;
        let config = ClusterConfig::clone(&self.config.load());
        let wanted = cluster_id.or_else(|| Some(config.cluster.id.clone()).filter(|id| !id.is_empty()));
        let cluster_id = wanted.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let id = config.node.id.max(1);
        let me = Peer { raft: config.advertised_raft(), ..Peer::default() };
        let how = How::Founder(Members::from([(id, me)]));
        self.enter(Enrollment { id, cluster_id: cluster_id.clone(), how }).await?;
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
        if self.arriving.is_some() {
            return Err(ChangeError::AlreadyMember);
        }
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
        let join =
            Join { id: config.node.id, raft: config.advertised_raft(), newest_version: version::newest() };
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
        enrollment::write(&config.node.data_dir, &How::Joined(others)).map_err(not_started)?;
        self.enter(Enrollment { id: joined.id, cluster_id: joined.cluster_id, how: How::Joining }).await
    }

    async fn enter(&self, enrollment: Enrollment) -> Result<(), ChangeError> {
        if self.member.get().is_some() {
            return Err(ChangeError::AlreadyMember);
        }
        let directory = self.config.load().node.data_dir.clone();
        enrollment::write(&directory, &enrollment.how).map_err(not_started)?;
        identity::create(&directory, enrollment.id, &enrollment.cluster_id).map_err(not_started)?;
        let listener = self.listener.try_clone().and_then(TcpListener::from_std).map_err(not_started)?;
        drop(self.answering.lock().unwrap_or_else(PoisonError::into_inner).take());
        tracing::info!(node = enrollment.id, cluster = enrollment.cluster_id, "this node enters a cluster");
        let member =
            Member::start(self.config.clone(), enrollment, Arc::clone(&self.adapter), listener).await;
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
        } else if self.arriving.is_some() {
            ProposeError::NoLeader
        } else if self.joining.load(Ordering::Acquire) > 0 {
            ProposeError::Joining
        } else {
            ProposeError::NoCluster
        }
    }

    /// The same, for a read.
    fn absent_read(&self) -> ReadError {
        match self.absent() {
            ProposeError::Joining => ReadError::Joining,
            ProposeError::NoCluster => ReadError::NoCluster,
            _ => ReadError::NoLeader,
        }
    }

    /// The same, for a change of the members.
    fn absent_change(&self) -> ChangeError {
        if self.arriving.is_some() { ChangeError::NoLeader } else { ChangeError::NoCluster }
    }

    fn unclustered_status(&self) -> NodeStatus {
        let config = self.config.load();
        let (id, cluster_id, role) = match &self.arriving {
            Some(arriving) => (arriving.id, arriving.cluster_id.clone(), Role::Starting),
            None => (config.node.id, String::new(), Role::Learner),
        };
        let of_process = NodeStatus::of_process(&config, self.adapter.health(), self.started);
        NodeStatus { id, cluster_id, role, ..of_process }
    }
}

/// See [`Unclustered::joining`].
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
