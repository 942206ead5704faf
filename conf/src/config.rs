//! The finished configuration: plain values, checked, in the units that the code computes with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::consistency::Consistency;
pub use crate::member::Member;
pub use crate::memory_bound::MemoryBound;

/// Everything a node needs to know to start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterConfig {
    /// Who this node is and where its files are.
    pub node: Node,
    /// Where it listens.
    pub listen: Listen,
    /// What it tells others to connect to.
    pub advertise: Advertise,
    /// Which cluster it belongs to.
    pub cluster: Cluster,
    /// Consensus.
    pub raft: Raft,
    /// Its storage.
    pub storage: Storage,
    /// The bounds of everything that could grow.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
}

/// `[node]`
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The node's id in the cluster, from 1 on, never used for another node; 0 for the one that it is given.
    pub id: u64,
    /// The directory of the Raft log, the snapshots, the identity and the embedded storage.
    pub data_dir: PathBuf,
    /// Whether the file is watched for changes.
    pub watch_config: bool,
}

/// `[listen]`
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Where Redis clients connect.
    pub resp: SocketAddr,
    /// Where the other nodes connect.
    pub raft: SocketAddr,
    /// Where Prometheus and operators connect; none switches it off.
    pub http: Option<SocketAddr>,
    /// The password that clients must give (`requirepass`); empty for none.
    pub password: String,
    /// Whether only this machine is served while no password is set (`protected-mode`).
    pub protected_mode: bool,
    /// The level of reads of clients that name none; none for that of `[raft]`.
    pub consistency: Option<Consistency>,
}

/// `[advertise]`: host and port as others reach them; the listen addresses if not set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advertise {
    /// `host:port` for clients.
    pub resp: Option<String>,
    /// `host:port` for other nodes.
    pub raft: Option<String>,
}

/// `[cluster]`
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    /// False: stand-alone, no Raft.
    pub enabled: bool,
    /// The cluster's id; empty: made from the members at first start.
    pub id: String,
    /// The secret that nodes prove to each other that they know; required in a cluster of more than one.
    pub secret: String,
    /// The members that form the cluster.
    pub members: Vec<Member>,
    /// Nodes of a cluster that this one is to join, `host:port` of their Raft listeners.
    pub join: Vec<String>,
    /// What a client is told whose command is another node's.
    pub routing: Routing,
}

/// What becomes of a client's command that is for the leader, on a node that does not lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// It is passed on to the leader.
    Forward,
    /// The client is told where the leader is (`MOVED`).
    Redirect,
    /// Clients that have shown that they know clusters are told, the others' commands are passed on.
    #[default]
    Auto,
}

impl Routing {
    /// The name in `cluster.conf`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Redirect => "redirect",
            Self::Auto => "auto",
        }
    }
}

/// When an acknowledged write is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A majority has synced it.
    Fsync,
    /// A majority has it in the operating system's cache.
    OsCache,
}

/// `[raft]`
#[derive(Clone, Debug, PartialEq)]
pub struct Raft {
    /// How often a leader shows itself to followers.
    pub heartbeat_interval: Duration,
    /// The shortest wait of a follower before it stands for election.
    pub election_timeout_min: Duration,
    /// The longest.
    pub election_timeout_max: Duration,
    /// When a write is durable.
    pub durability: Durability,
    /// How long a client waits for a write or a read index before it is told `TIMEOUT`.
    pub request_timeout: Duration,
    /// How many entries may be proposed and not yet committed.
    pub max_inflight_entries: usize,
    /// The size at which a batch is closed, bytes.
    pub max_batch_bytes: usize,
    /// The most commands in one batch.
    pub max_batch_commands: usize,
    /// The most bytes of entries in one replication request (one larger entry travels alone).
    pub max_append_bytes: usize,
    /// Bytes of recent entries kept in memory for replication and apply.
    pub entry_cache_bytes: usize,
    /// A snapshot is made, and the log before it given up, when the log has grown by this many bytes.
    pub snapshot_log_bytes: u64,
    /// Entries kept before the newest snapshot, for followers that are a little behind.
    pub keep_entries: u64,
    /// The level of reads that name none.
    pub consistency: Consistency,
    /// Whether reads at the level `lease` rest on the leader's lease; if not, they are linearizable ones.
    pub lease_reads: bool,
    /// By how many percent one node's clock may be slower than another's.
    pub max_clock_drift: u32,
    /// How often each node asks each other one whether it is there.
    pub health_interval: Duration,
    /// A voter that is silent for so long is removed; zero for never.
    pub remove_dead_after: Duration,
    /// With so many voters, or fewer, none is removed by itself.
    pub remove_dead_min_voters: usize,
}

/// The kind of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageKind {
    /// RocksDB inside the proxy.
    Embedded,
    /// An unchanged Kiwi beside the proxy.
    Kiwi,
    /// Memory only; for tests.
    Memory,
}

impl StorageKind {
    /// The name in `cluster.conf`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kiwi => "kiwi",
            Self::Memory => "memory",
        }
    }
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Which storage.
    pub kind: StorageKind,
    /// The block cache of the embedded engine, bytes.
    pub block_cache_bytes: usize,
    /// The write buffer of the embedded engine, bytes.
    pub write_buffer_bytes: usize,
    /// Where the storage process is, `host:port`.
    pub address: String,
    /// The user that is named to it; empty for the default one.
    pub username: String,
    /// The password that is given to it; empty for none.
    pub password: String,
    /// Connections to it.
    pub connections: usize,
    /// How long one answer of it may take.
    pub timeout: Duration,
    /// How long after a lost answer it may still carry the request out.
    pub settle_time: Duration,
    /// Whether enough requests are sent at once for it to begin at once.
    pub hurry: bool,
    /// Values up to this length stay in the index beside it too, bytes.
    pub keep_values: usize,
    /// Memory for values that were read from it or given to it lately, bytes; zero for none.
    pub cache_size: usize,
    /// Files that the engine, or the index beside a Kiwi, keeps open.
    pub max_open_files: usize,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Client connections.
    pub max_clients: usize,
    /// The longest single argument, bytes (Redis's `proto-max-bulk-len`).
    pub max_bulk_bytes: usize,
    /// The most arguments of one command.
    pub max_args: usize,
    /// Unparsed input of one connection, bytes.
    pub query_buffer_bytes: usize,
    /// Unsent replies of one connection, bytes.
    pub reply_buffer_bytes: usize,
    /// Commands taken from one connection's buffer at once.
    pub max_pipeline: usize,
    /// Bytes of writes that are proposed and not yet answered, over all connections.
    pub max_inflight_bytes: usize,
    /// A connection that is idle this long is closed; zero for never.
    pub idle_timeout: Duration,
    /// Client connections from one address that is not this machine's; zero for no bound.
    pub max_clients_per_address: usize,
    /// How long a new connection has for its first command and for its password; zero for ever.
    pub handshake_timeout: Duration,
    /// Memory of all client connections together.
    pub max_client_memory: MemoryBound,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// A level, or levels by target as in `info,raft=debug`.
    pub level: String,
    /// The form.
    pub format: LogFormat,
    /// A file; none for standard error.
    pub file: Option<PathBuf>,
    /// How often a line says how fast the node is; zero for never.
    pub performance_interval: Duration,
    /// A follower that lacks this many entries is told of.
    pub lagging_entries: u64,
    /// The size at which that file is put aside, bytes; zero for never.
    pub max_file_bytes: u64,
    /// The most files, the one that is written among them.
    pub max_files: u32,
}

const MIB: usize = 1024 * 1024;

impl Default for Node {
    fn default() -> Self {
        Self { id: 0, data_dir: PathBuf::from("raft-proxy-data"), watch_config: false }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            resp: local(6400),
            raft: local(16400),
            http: None,
            password: String::new(),
            protected_mode: true,
            consistency: None,
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            enabled: true,
            id: String::new(),
            secret: String::new(),
            members: Vec::new(),
            join: Vec::new(),
            routing: Routing::Auto,
        }
    }
}

impl Default for Raft {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_millis(150),
            election_timeout_min: Duration::from_millis(400),
            election_timeout_max: Duration::from_millis(600),
            durability: Durability::Fsync,
            request_timeout: Duration::from_secs(5),
            max_inflight_entries: 2,
            max_batch_bytes: MIB,
            max_batch_commands: 4096,
            max_append_bytes: 4 * MIB,
            entry_cache_bytes: 64 * MIB,
            snapshot_log_bytes: 512 * MIB as u64,
            keep_entries: 20_000,
            consistency: Consistency::Linearizable,
            lease_reads: false,
            max_clock_drift: 10,
            health_interval: Duration::from_secs(1),
            remove_dead_after: Duration::ZERO,
            remove_dead_min_voters: 3,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            kind: StorageKind::Embedded,
            block_cache_bytes: 256 * MIB,
            write_buffer_bytes: 64 * MIB,
            address: "127.0.0.1:7379".to_owned(),
            username: String::new(),
            password: String::new(),
            connections: 128,
            timeout: Duration::from_secs(35),
            settle_time: Duration::from_secs(100),
            hurry: true,
            keep_values: 32,
            cache_size: 256 * MIB,
            max_open_files: 1024,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            max_bulk_bytes: 512 * MIB,
            max_args: 1024 * 1024,
            query_buffer_bytes: 1024 * MIB,
            reply_buffer_bytes: 1024 * MIB,
            max_pipeline: 1024,
            max_inflight_bytes: 1024 * MIB,
            idle_timeout: Duration::ZERO,
            max_clients_per_address: 0,
            handshake_timeout: Duration::from_secs(10),
            max_client_memory: MemoryBound::Percent(25),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info,openraft=warn".to_owned(),
            format: LogFormat::Text,
            file: None,
            performance_interval: Duration::from_secs(60),
            lagging_entries: 10_000,
            max_file_bytes: 100 * MIB as u64,
            max_files: 5,
        }
    }
}

impl ClusterConfig {
    /// The node's id: `node.id`, or that of the only member; 0 if the configuration does not say.
    pub fn own_id(&self) -> u64 {
        match &self.cluster.members[..] {
            [only] if self.node.id == 0 => only.id,
            _ => self.node.id,
        }
    }

    /// `host:port` that other nodes are told to connect to: what is set, or how the members call this node, or where
    /// it listens.
    pub fn advertised_raft(&self) -> String {
        let own = || self.cluster.members.iter().find(|member| member.id == self.own_id());
        let set = self.advertise.raft.clone().or_else(|| own().map(|member| member.address.clone()));
        set.unwrap_or_else(|| self.listen.raft.to_string())
    }

    /// The level of reads of clients that name none.
    pub fn default_consistency(&self) -> Consistency {
        self.listen.consistency.unwrap_or(self.raft.consistency)
    }

    /// `host:port` that clients are told to connect to. A node that listens on every address is reached by clients
    /// under the host that other nodes reach it under.
    pub fn advertised_resp(&self) -> String {
        let listen = self.listen.resp;
        if let Some(set) = &self.advertise.resp {
            return set.clone();
        }
        match self.advertised_raft().rsplit_once(':') {
            Some((host, _)) if listen.ip().is_unspecified() => format!("{host}:{}", listen.port()),
            _ => listen.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_everywhere_is_announced_as_the_members_call_it() {
        let mut config = ClusterConfig::default();
        config.listen.resp = SocketAddr::from(([0, 0, 0, 0], 6400));
        config.listen.raft = SocketAddr::from(([0, 0, 0, 0], 16400));
        assert_eq!(config.advertised_resp(), "0.0.0.0:6400");
        config.cluster.members = vec![Member { id: 1, address: "node1.example:16400".to_owned() }];
        assert_eq!(config.advertised_raft(), "node1.example:16400");
        assert_eq!(config.advertised_resp(), "node1.example:6400");
        config.advertise.raft = Some("10.0.0.1:7".to_owned());
        assert_eq!(config.advertised_raft(), "10.0.0.1:7");
        assert_eq!(config.advertised_resp(), "10.0.0.1:6400");
        config.advertise.resp = Some("redis.example:6379".to_owned());
        assert_eq!(config.advertised_resp(), "redis.example:6379");
        config.advertise.resp = None;
        config.listen.resp = SocketAddr::from(([127, 0, 0, 1], 6400));
        assert_eq!(config.advertised_resp(), "127.0.0.1:6400");
    }
}
