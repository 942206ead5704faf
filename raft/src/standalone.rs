//! The same storage without a cluster: no log, no peers, the same interface.
//!
//! Batches are made by the same proposer, one under way at a time, and applied at once. Whether an applied batch
//! survives a crash is the storage's business here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adapter::snapshot::{Digest, Origin};
use adapter::{Adapter, Batch, CommandBuffer, Position, Run};
use conf::{Consistency, Live, StorageKind};
use tokio::sync::OwnedRwLockWriteGuard;
use tokio_util::task::AbortOnDropHandle;

use crate::applying::Applying;
use crate::backup::{Backups, Begun, TakeError};
use crate::boxed::Boxed;
use crate::checkpoint::{Checkpointer, DigestError};
use crate::committed::Committed;
use crate::failure;
use crate::handle::{Change, ChangeError, Handle, Lead, ProposeError, ReadError, Service};
use crate::health::{HealthView, MemberHealth, MemberState};
use crate::log_clock::LogClock;
use crate::node::enrollment::standalone_id;
use crate::node::upkeep;
use crate::proposer::limits::limits;
use crate::proposer::{Consensus, Outcome, Proposer, Route};
use crate::status::{MemberStatus, NodeStatus};
use crate::types::NodeId;

/// How often it is looked whether an index is applied.
const APPLY_PAUSE: Duration = Duration::from_millis(2);
/// How often the wall clock is looked at.
const CLOCK_PAUSE: Duration = Duration::from_secs(1);
/// How long what is under way may take to be answered at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A node without a cluster.
pub struct Standalone;

impl Standalone {
    /// Starts on `adapter`. Must be called inside a tokio runtime.
    pub fn start(config: impl Into<Live>, adapter: Arc<dyn Adapter>) -> Handle {
        let config: Live = config.into();
        let clock = LogClock::new(adapter.applied().now_ms);
        let checkpointer = Arc::new(Checkpointer::new(Arc::clone(&adapter), Arc::default()));
        let direct = Direct {
            adapter: Arc::clone(&adapter),
            checkpointer: Arc::clone(&checkpointer),
            clock: Arc::clone(&clock),
            busy: Arc::default(),
        };
        let proposer = Proposer::new(direct, limits(&config, 1));
        let (storage, writes, time) = (Arc::clone(&adapter), Arc::clone(&proposer), Arc::clone(&clock));
        let expire = upkeep::expire_keys(storage, writes, time, || Route::Here);
        let id = standalone_id(&config.load());
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(Arc::clone(&proposer).run())),
            AbortOnDropHandle::new(tokio::spawn(expire)),
            AbortOnDropHandle::new(tokio::spawn(watch_clock(id, Arc::clone(&clock)))),
        ];
        let started = Instant::now();
        let (backups, tasks) = (Backups::new(&config.load().node.data_dir), Mutex::new(tasks));
        Handle::new(Arc::new(Alone {
            id,
            config,
            started,
            adapter,
            clock,
            proposer,
            checkpointer,
            backups,
            tasks,
        }))
    }
}

/// Has it told when the wall clock has jumped. For ever.
async fn watch_clock(id: NodeId, clock: Arc<LogClock>) {
    loop {
        clock.heard(id, None, &BTreeMap::new());
        tokio::time::sleep(CLOCK_PAUSE).await;
    }
}

/// Applies what is proposed.
struct Direct {
    adapter: Arc<dyn Adapter>,
    checkpointer: Arc<Checkpointer>,
    clock: Arc<LogClock>,
    busy: Arc<Applying>,
}

impl Consensus for Direct {
    fn route(&self) -> Route {
        Route::Here
    }

    fn busy(&self) -> Arc<Applying> {
        Arc::clone(&self.busy)
    }

    async fn hold_uploads(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        None
    }

    async fn submit(&self, groups: &[CommandBuffer]) -> Outcome {
        let batch = Batch::new(self.clock.next_ms(), rand::random(), groups);
        let _turn = self.checkpointer.turn().await;
        let index = self.adapter.applied().position.index + 1;
        let batch = batch.at_revision(index);
        let position = Position { index, ..Position::default() };
        let _running = self.busy.begin();
        match self.adapter.apply(Run { batches: vec![batch], position }).await {
            Ok(mut replies) => {
                self.checkpointer.reached(index);
                let committed = |replies| Outcome::Done(Committed { index, replies });
                replies.pop().map_or(Outcome::Unknown, committed)
            }
            Err(error) => {
                // The storage is at an unknown place: what it would answer from here on may be wrong.
                tracing::error!(%error, "the storage has failed; the process ends");
                failure::fail(format!("the storage has failed: {error}"));
                std::future::pending().await
            }
        }
    }

    async fn forward(&self, _: NodeId, groups: &[CommandBuffer], _: &[tokio::time::Instant]) -> Vec<Outcome> {
        // Never routed anywhere.
        vec![Outcome::NotDone; groups.len()]
    }
}

struct Alone {
    id: NodeId,
    config: Live,
    started: Instant,
    adapter: Arc<dyn Adapter>,
    clock: Arc<LogClock>,
    proposer: Arc<Proposer<Direct>>,
    checkpointer: Arc<Checkpointer>,
    backups: Backups,
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

impl Service for Alone {
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Committed, ProposeError>> {
        Box::pin(self.proposer.propose(commands))
    }

    fn read_barrier(&self, _: Consistency, _: u64) -> Boxed<'_, Result<(), ReadError>> {
        // A write is answered after its apply, so the storage holds it. One that has failed may hold part of a run.
        Box::pin(async {
            if failure::has_failed() {
                std::future::pending::<()>().await;
            }
            Ok(())
        })
    }

    fn seen_upto(&self) -> u64 {
        self.adapter.applied().position.index
    }

    fn wait_applied(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        Box::pin(async move {
            let deadline = Instant::now() + timeout;
            while self.seen_upto() < index && Instant::now() < deadline {
                tokio::time::sleep(APPLY_PAUSE.min(timeout)).await;
            }
            self.seen_upto() >= index
        })
    }

    fn wait_replicated(&self, _: u64, wanted: usize, timeout: Duration) -> Boxed<'_, usize> {
        Box::pin(async move {
            if wanted > 0 {
                // Nobody else will ever have it; who asks for somebody waits as long as it has said.
                tokio::time::sleep(timeout).await;
            }
            0
        })
    }

    fn wait_synced(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        // Alone, every run is synced to the storage's own log before it is answered, if it has one.
        let kept = self.config.load().storage.kind != StorageKind::Memory;
        Box::pin(async move { kept && self.wait_applied(index, timeout).await })
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    fn status(&self) -> NodeStatus {
        let applied = self.adapter.applied().position.index;
        let config = self.config.load();
        let of_process = NodeStatus::of_process(&config, self.adapter.health(), self.started);
        NodeStatus { id: self.id, raft: String::new(), last_log: applied, applied, ..of_process }
    }

    fn members(&self) -> Boxed<'_, Vec<MemberStatus>> {
        let node = self.status();
        let only = MemberStatus {
            id: node.id,
            voter: true,
            raft: String::new(),
            resp: node.resp.clone(),
            connected_ms: 0,
            node: Some(node),
        };
        Box::pin(std::future::ready(vec![only]))
    }

    fn health_view(&self) -> HealthView {
        let (id, state) = (self.id, MemberState::Up);
        let skews = self.clock.skews(id);
        let alone = MemberHealth {
            id,
            voter: true,
            state,
            heard_ms: Some(0),
            clock_skew_ms: skews.members.get(&id).copied(),
            connections: None,
        };
        HealthView {
            node: id,
            quorum: true,
            members: vec![alone],
            links: Vec::new(),
            log_time_skew_ms: skews.log,
        }
    }

    fn publish_metrics(&self) {}

    fn glance(&self) -> Boxed<'_, Vec<MemberStatus>> {
        self.members()
    }

    fn lead(&self) -> Lead {
        Lead::Here
    }

    fn make_snapshot(&self) -> Boxed<'_, ()> {
        // There is no log that one would stand for.
        Box::pin(std::future::ready(()))
    }

    fn digest_at(&self, index: u64) -> Boxed<'_, Result<Digest, DigestError>> {
        Box::pin(self.checkpointer.digest_at(index, self.config.load().raft.request_timeout))
    }

    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>> {
        // A write is answered after its apply, so the storage holds it.
        Box::pin(async { self.backups.begin(self.checkpointer.snapshot().await?, Origin::anywhere()) })
    }

    fn backups(&self) -> &Backups {
        &self.backups
    }

    fn change_membership(&self, _: Change) -> Boxed<'_, Result<NodeId, ChangeError>> {
        no_cluster()
    }

    fn transfer_leadership(&self, _: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>> {
        no_cluster()
    }

    fn init_cluster(&self, _: Option<String>) -> Boxed<'_, Result<String, ChangeError>> {
        no_cluster()
    }

    fn join_cluster(&self, _: Vec<String>) -> Boxed<'_, Result<(), ChangeError>> {
        no_cluster()
    }

    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>> {
        no_cluster()
    }

    fn shutdown(&self) -> Boxed<'_, ()> {
        Box::pin(async {
            self.proposer.close();
            self.proposer.drain(tokio::time::Instant::now() + DRAIN_TIMEOUT).await;
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clear();
            if let Err(error) = self.adapter.flush().await {
                tracing::error!(%error, "the storage could not be flushed");
            }
            self.adapter.close().await;
        })
    }
}

fn no_cluster<T: Send + 'static>() -> Boxed<'static, Result<T, ChangeError>> {
    Box::pin(std::future::ready(Err(ChangeError::StandAlone)))
}
