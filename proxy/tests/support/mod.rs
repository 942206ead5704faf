//! A server on a free port over a storage in memory, and a client that sees every byte.

#![allow(dead_code, clippy::unwrap_used, reason = "shared by several tests, which fail by panicking")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapter::clock::unix_ms;
use adapter::memory::MemoryAdapter;
use adapter::snapshot::Digest;
use adapter::{Adapter, Batch, CommandBuffer, Position, Run};
use conf::ClusterConfig;
use raft::backup::{Backups, Begun, TakeError};
use raft::boxed::Boxed;
use raft::checkpoint::{Checkpointer, DigestError};
use raft::handle::{Change, ChangeError, Lead, Service};
use raft::health::HealthView;
use raft::status::{MemberStatus, NodeStatus};
use raft::{Committed, Consistency, Handle, ProposeError, ReadError};
use raft_proxy::Server;
use raft_proxy::reload::Reloader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A storage without a cluster, which counts what it is asked and can be told to fail or to wait.
pub(crate) struct TestService {
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) proposals: AtomicUsize,
    /// The level and the position of each barrier.
    pub(crate) barriers: Mutex<Vec<(Consistency, u64)>>,
    /// What the next proposals answer instead of being applied.
    pub(crate) fails: Mutex<Option<ProposeError>>,
    /// Whether barriers fail.
    pub(crate) no_quorum: AtomicBool,
    /// Proposals wait for a permit each.
    pub(crate) gate: Semaphore,
    index: tokio::sync::Mutex<u64>,
    checkpointer: Checkpointer,
    backups: Backups,
}

impl TestService {
    fn new() -> Self {
        let adapter: Arc<dyn Adapter> = Arc::new(MemoryAdapter::new());
        Self {
            checkpointer: Checkpointer::new(Arc::clone(&adapter), Arc::default()),
            backups: Backups::new(&std::env::temp_dir()),
            adapter,
            proposals: AtomicUsize::new(0),
            barriers: Mutex::default(),
            fails: Mutex::new(None),
            no_quorum: AtomicBool::new(false),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            index: tokio::sync::Mutex::new(0),
        }
    }

    async fn apply(&self, commands: CommandBuffer) -> Result<Committed, ProposeError> {
        self.proposals.fetch_add(1, Ordering::Relaxed);
        let _permit = self.gate.acquire().await.unwrap();
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        let mut last = self.index.lock().await;
        *last += 1;
        let index = *last;
        let batch = Batch::new(unix_ms(), index, [&commands]).at_revision(index);
        let position = Position { index, ..Position::default() };
        let _turn = self.checkpointer.turn().await;
        let replies = self.adapter.apply(Run { batches: vec![batch], position }).await.unwrap();
        self.checkpointer.reached(index);
        Ok(Committed { index, replies: replies.concat() })
    }
}

impl Service for TestService {
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Committed, ProposeError>> {
        Box::pin(self.apply(commands))
    }

    fn read_barrier(&self, consistency: Consistency, seen: u64) -> Boxed<'_, Result<(), ReadError>> {
        self.barriers.lock().unwrap().push((consistency, seen));
        let fails = self.no_quorum.load(Ordering::Relaxed);
        Box::pin(async move { if fails { Err(ReadError::NoQuorum) } else { Ok(()) } })
    }

    fn seen_upto(&self) -> u64 {
        self.adapter.applied().position.index
    }

    fn wait_applied(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        Box::pin(async move {
            if self.seen_upto() < index {
                tokio::time::sleep(timeout).await;
            }
            self.seen_upto() >= index
        })
    }

    /// There are two others, and the last of them is one entry behind.
    fn wait_replicated(&self, index: u64, wanted: usize, timeout: Duration) -> Boxed<'_, usize> {
        Box::pin(async move {
            let known = if index < self.seen_upto() { 2 } else { 1 };
            if known < wanted {
                tokio::time::sleep(timeout).await;
            }
            known
        })
    }

    fn wait_synced(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        self.wait_applied(index, timeout)
    }

    fn now_ms(&self) -> u64 {
        unix_ms()
    }

    fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    fn status(&self) -> NodeStatus {
        let config = conf::ClusterConfig::default();
        let of_process = NodeStatus::of_process(&config, self.adapter.health(), Instant::now());
        let (resp, raft) = ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
        NodeStatus { id: 1, resp, raft, storage_kind: "memory".to_owned(), ..of_process }
    }

    fn members(&self) -> Boxed<'_, Vec<MemberStatus>> {
        let node = self.status();
        Box::pin(async move {
            let (raft, resp) = (node.raft.clone(), node.resp.clone());
            vec![MemberStatus { id: 1, voter: true, raft, resp, connected_ms: 0, node: Some(node) }]
        })
    }

    fn health_view(&self) -> HealthView {
        HealthView::default()
    }

    fn publish_metrics(&self) {}

    fn glance(&self) -> Boxed<'_, Vec<MemberStatus>> {
        self.members()
    }

    fn lead(&self) -> Lead {
        Lead::Here
    }

    fn make_snapshot(&self) -> Boxed<'_, ()> {
        Box::pin(async {})
    }

    fn digest_at(&self, index: u64) -> Boxed<'_, Result<Digest, DigestError>> {
        Box::pin(self.checkpointer.digest_at(index, Duration::from_millis(200)))
    }

    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>> {
        Box::pin(async {
            self.backups.begin(self.checkpointer.snapshot().await?, adapter::snapshot::Origin::anywhere())
        })
    }

    fn backups(&self) -> &Backups {
        &self.backups
    }

    fn change_membership(&self, _: Change) -> Boxed<'_, Result<u64, ChangeError>> {
        Box::pin(async { Err(ChangeError::StandAlone) })
    }

    fn transfer_leadership(&self, _: Option<u64>) -> Boxed<'_, Result<u64, ChangeError>> {
        Box::pin(async { Err(ChangeError::StandAlone) })
    }

    fn init_cluster(&self, _: Option<String>) -> Boxed<'_, Result<String, ChangeError>> {
        Box::pin(async { Err(ChangeError::StandAlone) })
    }

    fn join_cluster(&self, _: Vec<String>) -> Boxed<'_, Result<(), ChangeError>> {
        Box::pin(async { Err(ChangeError::StandAlone) })
    }

    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>> {
        Box::pin(async { Err(ChangeError::StandAlone) })
    }

    fn shutdown(&self) -> Boxed<'_, ()> {
        Box::pin(async {})
    }
}

/// A running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) service: Arc<TestService>,
    stop: CancellationToken,
    served: JoinHandle<bool>,
}

impl TestServer {
    /// With the default configuration.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut ClusterConfig)) -> Self {
        let mut config = ClusterConfig::default();
        change(&mut config);
        let service = Arc::new(TestService::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let reloader = Arc::new(Reloader::without_sources(&config));
        let server = Server::new(Handle::new(Arc::clone(&service) as Arc<dyn Service>), reloader);
        let stopped = stop.clone();
        let served = tokio::spawn(async move {
            server.run(listener, stopped.cancelled_owned(), Duration::from_millis(500)).await
        });
        Self { address, service, stop, served }
    }

    /// A new connection.
    pub(crate) async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether all connections finished in time.
    pub(crate) async fn stopped(self) -> bool {
        self.served.await.unwrap()
    }
}

/// A connection that sees every byte.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads as many bytes as are expected, and checks that they are these.
    pub(crate) async fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut got = vec![0; expected.len()];
        let mut length = 0;
        while length < expected.len() {
            let read = tokio::time::timeout(Duration::from_secs(5), self.0.read(&mut got[length..])).await;
            match read {
                Ok(Ok(read @ 1..)) => length += read,
                _ => break,
            }
        }
        got.truncate(length);
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expected));
    }

    /// Sends and checks the reply.
    pub(crate) async fn ask(&mut self, bytes: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send(bytes).await;
        self.expect(expected).await;
    }

    /// Sends, and reads what comes until there is silence.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes).await;
        let (mut got, mut patience) = (Vec::new(), Duration::from_secs(5));
        while let Ok(Ok(1..)) = tokio::time::timeout(patience, self.0.read_buf(&mut got)).await {
            patience = Duration::from_millis(100);
        }
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Sends all there is to say, and reads what comes until the server closes.
    pub(crate) async fn converse(mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes).await;
        // Fails where the server has closed already.
        let _ = self.0.shutdown().await;
        let mut got = Vec::new();
        while let Ok(1..) =
            tokio::time::timeout(Duration::from_secs(5), self.0.read_buf(&mut got)).await.unwrap()
        {}
        String::from_utf8_lossy(&got).into_owned()
    }

    /// Checks that the server has closed the connection.
    pub(crate) async fn expect_closed(&mut self) {
        let read = tokio::time::timeout(Duration::from_secs(5), self.0.read(&mut [0; 16])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}
