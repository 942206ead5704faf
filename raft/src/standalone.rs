//! The same storage without a cluster: no log, no peers, the same interface.
//!
//! Batches are made by the same proposer, one under way at a time, and applied at once. Whether an applied batch
//! survives a crash is the storage's business here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adapter::clock::unix_ms;
use adapter::snapshot::Digest;
use adapter::{Adapter, Batch, CommandBuffer, Position, Reply, Run};
use bytes::Bytes;
use conf::ClusterConfig;
use tokio_util::task::AbortOnDropHandle;

use crate::backup::{Backups, Begun, TakeError};
use crate::freezer::{DigestError, Freezer};
use crate::handle::{Boxed, Handle, MemberStatus, NodeStatus, ProposeError, ReadError, Role, Service};
use crate::node::{limits, upkeep};
use crate::proposer::{Consensus, Outcome, Proposer, Route};
use crate::types::NodeId;

/// How long what is under way may take to be answered at the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A node without a cluster.
pub struct Standalone;

impl Standalone {
    /// Starts on `adapter`. Must be called inside a tokio runtime.
    pub fn start<A: Adapter>(config: &ClusterConfig, adapter: A) -> Handle<A> {
        let adapter = Arc::new(adapter);
        let now_ms = Mutex::new(adapter.applied().now_ms);
        let freezer = Arc::new(Freezer::new(Arc::clone(&adapter), Arc::default()));
        let direct = Direct { adapter: Arc::clone(&adapter), freezer: Arc::clone(&freezer), now_ms };
        let proposer = Proposer::new(direct, limits(config, 1));
        let expire = upkeep::expire_keys(Arc::clone(&adapter), Arc::clone(&proposer), || Route::Here);
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(Arc::clone(&proposer).run())),
            AbortOnDropHandle::new(tokio::spawn(expire)),
        ];
        let (config, started) = (config.clone(), Instant::now());
        let (backups, tasks) = (Backups::new(&config.node.data_dir), Mutex::new(tasks));
        Handle::new(Arc::new(Alone { config, started, adapter, proposer, freezer, backups, tasks }))
    }
}

/// Applies what is proposed.
struct Direct<A> {
    adapter: Arc<A>,
    freezer: Arc<Freezer<A>>,
    /// The time of the last batch.
    now_ms: Mutex<u64>,
}

impl<A: Adapter> Direct<A> {
    fn next_ms(&self) -> u64 {
        let mut now_ms = self.now_ms.lock().unwrap_or_else(PoisonError::into_inner);
        *now_ms = unix_ms().max(*now_ms);
        *now_ms
    }
}

impl<A: Adapter> Consensus for Direct<A> {
    fn route(&self) -> Route {
        Route::Here
    }

    async fn submit(&self, groups: &[CommandBuffer]) -> Outcome {
        let batch = Batch::new(self.next_ms(), rand::random(), groups);
        let _turn = self.freezer.turn().await;
        let index = self.adapter.applied().position.index + 1;
        let position = Position { index, ..Position::default() };
        match self.adapter.apply(Run { batches: vec![batch], position }).await {
            Ok(mut replies) => {
                self.freezer.reached(index);
                replies.pop().map_or(Outcome::Unknown, Outcome::Done)
            }
            Err(error) => {
                // The storage is at an unknown place: what it would answer from here on may be wrong.
                tracing::error!(%error, "the storage has failed; the process ends");
                std::process::abort();
            }
        }
    }

    async fn forward(&self, _: NodeId, groups: &[CommandBuffer], _: tokio::time::Instant) -> Vec<Outcome> {
        // Never routed anywhere.
        vec![Outcome::NotDone; groups.len()]
    }
}

struct Alone<A: Adapter> {
    config: ClusterConfig,
    started: Instant,
    adapter: Arc<A>,
    proposer: Arc<Proposer<Direct<A>>>,
    freezer: Arc<Freezer<A>>,
    backups: Backups,
    tasks: Mutex<Vec<AbortOnDropHandle<()>>>,
}

impl<A: Adapter> Service<A> for Alone<A> {
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Vec<Reply>, ProposeError>> {
        Box::pin(self.proposer.propose(commands))
    }

    fn read_barrier(&self) -> Boxed<'_, Result<(), ReadError>> {
        // A write is answered after its apply, so the storage holds it.
        Box::pin(std::future::ready(Ok(())))
    }

    fn adapter(&self) -> &A {
        &self.adapter
    }

    fn status(&self) -> NodeStatus {
        let applied = self.adapter.applied().position.index;
        NodeStatus {
            id: self.config.node.id,
            cluster_id: String::new(),
            role: Role::Standalone,
            resp: self.config.advertised_resp(),
            raft: String::new(),
            term: 0,
            leader: None,
            last_log: applied,
            applied,
            snapshot: 0,
            purged: 0,
            storage: self.adapter.health(),
            storage_kind: format!("{:?}", self.config.storage.kind).to_lowercase(),
            uptime_seconds: self.started.elapsed().as_secs(),
            process_id: std::process::id(),
        }
    }

    fn members(&self) -> Boxed<'_, Vec<MemberStatus>> {
        let node = self.status();
        let only = MemberStatus { id: node.id, voter: true, raft: String::new(), node: Some(node) };
        Box::pin(std::future::ready(vec![only]))
    }

    fn digest_at(&self, index: u64) -> Boxed<'_, Result<Digest, DigestError>> {
        Box::pin(self.freezer.digest_at(index, self.config.raft.request_timeout))
    }

    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>> {
        // A write is answered after its apply, so the storage holds it.
        Box::pin(async { self.backups.begin(self.freezer.freeze().await?, Bytes::new()) })
    }

    fn backups(&self) -> &Backups {
        &self.backups
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
