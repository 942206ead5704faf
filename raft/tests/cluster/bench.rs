//! A cluster to test with. Each member has a runtime of its own; dropping that is as near to `kill -9` as one process
//! allows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter::memory::MemoryAdapter;
use adapter::{Adapter, CommandBuffer, Reply};
use conf::{ClusterConfig, Member};
use raft::status::Role;
use raft::{Consistency, Handle, Node, ProposeError, StartError};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub const SECRET: &str = "a secret of the tests";
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Running {
    runtime: Runtime,
    pub handle: Handle,
}

pub struct Cluster {
    directory: tempfile::TempDir,
    pub addresses: Vec<SocketAddr>,
    pub nodes: Vec<Option<Running>>,
    pub adjust: fn(&mut ClusterConfig),
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Waits until `done` answers something.
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "in vain waited for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn commands(list: &[&[&[u8]]]) -> CommandBuffer {
    let mut buffer = CommandBuffer::default();
    list.iter().for_each(|command| buffer.push(command));
    buffer
}

impl Running {
    pub fn propose(&self, list: &[&[&[u8]]]) -> Result<Vec<Reply>, ProposeError> {
        self.runtime.block_on(self.handle.propose(commands(list))).map(|committed| committed.replies)
    }

    pub fn set(&self, key: &str, value: &[u8]) -> Result<Vec<Reply>, ProposeError> {
        self.propose(&[&[b"SET", key.as_bytes(), value]])
    }

    /// A linearizable read.
    pub fn get(&self, key: &str) -> Reply {
        self.runtime.block_on(async {
            self.handle.read_barrier(Consistency::Linearizable, 0).await.unwrap();
            let args = vec![b"GET".to_vec().into(), key.as_bytes().to_vec().into()];
            self.handle.adapter().read(args, 0).await.reply
        })
    }

    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(future)
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl Cluster {
    /// Three members that have elected a leader and follow it.
    pub fn of_three() -> Self {
        Self::of_three_with(|_| {})
    }

    pub fn of_three_with(adjust: fn(&mut ClusterConfig)) -> Self {
        let mut cluster = Self::prepare(3, adjust);
        cluster.start_all();
        let applied = cluster.node(cluster.leader()).handle.status().applied;
        // A leader needs two; the third may not have heard of it.
        until("all members to follow", || {
            cluster.nodes.iter().flatten().all(|node| node.handle.status().applied >= applied).then_some(())
        });
        cluster
    }

    /// Members that are not started.
    pub fn prepare(members: usize, adjust: fn(&mut ClusterConfig)) -> Self {
        // Held together, so that no two get the same port.
        let listeners: Vec<_> =
            (0..members).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        let nodes = (0..members).map(|_| None).collect();
        Self { directory: tempfile::tempdir().unwrap(), addresses, nodes, adjust }
    }

    pub fn config(&self, index: usize) -> ClusterConfig {
        let mut config = ClusterConfig::default();
        config.node.id = index as u64 + 1;
        config.node.data_dir = self.directory.path().join(format!("node-{}", index + 1));
        config.listen.raft = self.addresses[index];
        config.cluster.secret = SECRET.to_owned();
        config.cluster.members = (1..)
            .zip(&self.addresses)
            .map(|(id, address)| Member { id, address: address.to_string() })
            .collect();
        config.raft.heartbeat_interval = Duration::from_millis(100);
        config.raft.election_timeout_min = Duration::from_millis(400);
        config.raft.election_timeout_max = Duration::from_millis(800);
        config.raft.entry_cache_bytes = 4 << 20;
        (self.adjust)(&mut config);
        config
    }

    pub fn try_start(&self, index: usize) -> Result<Running, StartError> {
        start(&self.config(index))
    }

    /// Starts a member in a thread of its own: it may have to wait for others.
    pub fn try_start_later(&self, index: usize) -> std::thread::JoinHandle<Running> {
        let config = self.config(index);
        std::thread::spawn(move || start(&config).unwrap())
    }

    pub fn start(&mut self, index: usize) {
        self.nodes[index] = Some(self.try_start(index).unwrap());
    }

    pub fn start_all(&mut self) {
        let configs: Vec<_> = (0..self.nodes.len()).map(|index| self.config(index)).collect();
        let starting: Vec<_> =
            configs.into_iter().map(|config| std::thread::spawn(move || start(&config).unwrap())).collect();
        self.nodes = starting.into_iter().map(|node| Some(node.join().unwrap())).collect();
    }

    pub fn node(&self, index: usize) -> &Running {
        self.nodes[index].as_ref().unwrap()
    }

    /// Ends a member without a goodbye.
    pub fn kill(&mut self, index: usize) {
        let Running { runtime, handle } = self.nodes[index].take().unwrap();
        runtime.shutdown_timeout(Duration::from_secs(5));
        drop(handle);
    }

    /// The place of the member that leads.
    pub fn leader(&self) -> usize {
        until("a leader", || {
            let leads = |node: &Option<Running>| {
                node.as_ref().is_some_and(|node| node.handle.status().role == Role::Leader)
            };
            let leader = self.nodes.iter().position(leads)?;
            self.node(leader).set("leader-probe", b"1").is_ok().then_some(leader)
        })
    }

    pub fn follower(&self) -> usize {
        let leader = self.leader();
        (0..self.nodes.len()).find(|index| *index != leader && self.nodes[*index].is_some()).unwrap()
    }

    /// Asserts that all running members come to the same content.
    pub fn assert_equal(&self) {
        until("equal digests", || {
            let digests: Vec<_> = self
                .nodes
                .iter()
                .flatten()
                .map(|node| node.run(node.handle.adapter().digest()).unwrap().1)
                .collect();
            digests.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
        });
    }
}

pub fn start(config: &ClusterConfig) -> Result<Running, StartError> {
    start_on(config, Arc::new(MemoryAdapter::new()))
}

/// Starts a member on a storage of one's own.
pub fn start_on(config: &ClusterConfig, storage: Arc<dyn Adapter>) -> Result<Running, StartError> {
    let runtime = runtime();
    let handle = runtime.block_on(async {
        let listener = until("the port", || {
            std::net::TcpListener::bind(config.listen.raft).ok().and_then(|listener| {
                listener.set_nonblocking(true).ok()?;
                TcpListener::from_std(listener).ok()
            })
        });
        Node::start(config, storage, listener).await
    });
    match handle {
        Ok(handle) => Ok(Running { runtime, handle }),
        Err(error) => {
            runtime.shutdown_timeout(Duration::from_secs(5));
            Err(error)
        }
    }
}

/// Commands from many tasks at once; the replies in order.
pub fn many(node: &Running, writers: u64, each: u64) -> u64 {
    let done = Arc::new(std::sync::atomic::AtomicU64::new(0));
    node.run(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..writers {
            let (handle, done) = (node.handle.clone(), Arc::clone(&done));
            tasks.spawn(async move {
                for _ in 0..each {
                    if handle.propose(commands(&[&[b"INCR", b"counter"]])).await.is_ok() {
                        done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
        }
        tasks.join_all().await;
    });
    done.load(std::sync::atomic::Ordering::Relaxed)
}
