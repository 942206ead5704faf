//! Every option, declared once. From this table come the keys of `cluster.conf`, the flags, the environment
//! variables, the reference page and the errors.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{ClusterConfig, Durability, LogFormat, Routing, StorageKind};
use crate::consistency::Consistency;
use crate::expected::Expected;
use crate::value;

/// How a value is written in TOML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bare: a number or a boolean.
    Bare,
    /// A string.
    Text,
    /// An array of strings.
    List,
}

/// One option.
pub struct ConfigOption {
    /// The section of `cluster.conf`.
    pub section: &'static str,
    /// The key in it.
    pub key: &'static str,
    /// The unit or the kind of value, for people.
    pub unit: &'static str,
    /// What is allowed, for people.
    pub range: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// How it is written.
    pub form: Form,
    /// Never shown in logs or errors.
    pub secret: bool,
    /// Whether it can be changed while the node runs.
    pub live: bool,
    /// Writes the value out of a configuration.
    pub get: fn(&ClusterConfig) -> String,
    /// Reads a text into a configuration.
    pub set: fn(&mut ClusterConfig, &str) -> Result<(), Expected>,
}

impl ConfigOption {
    /// `raft.heartbeat_interval`
    pub fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }

    /// `--raft-heartbeat-interval`, without the dashes in front.
    pub fn flag(&self) -> String {
        self.name().replace(['.', '_'], "-")
    }

    /// `RAFT_PROXY_RAFT_HEARTBEAT_INTERVAL`
    pub fn variable(&self) -> String {
        format!("RAFT_PROXY_{}", self.name().replace('.', "_").to_ascii_uppercase())
    }

    /// The value in a configuration, as it may be shown.
    pub fn shown(&self, config: &ClusterConfig) -> String {
        let value = (self.get)(config);
        if self.secret && !value.is_empty() { SHOWN_SECRET.to_owned() } else { value }
    }

    /// Why it cannot be changed while the node runs; follows "it".
    pub fn fixed_because(&self) -> &'static str {
        match self.section {
            "node" | "cluster" => "says who the node is",
            "listen" | "advertise" => "is told to others, or bound, when the node starts",
            "raft" => "is given to the log and to consensus when they start",
            "storage" => "is given to the storage when it is opened",
            _ => "is read when the node starts",
        }
    }

    /// The default, as text.
    pub fn default(&self) -> String {
        (self.get)(&ClusterConfig::default())
    }
}

/// The sections, in the order of the reference, each with what it is about.
pub const SECTIONS: &[(&str, &str)] = &[
    ("node", "Who this node is and where its files are."),
    ("listen", "Where it listens."),
    ("advertise", "What it tells others to connect to, where that differs from the listen addresses."),
    ("cluster", "Which cluster it belongs to."),
    ("raft", "Consensus: timing, durability, sizes."),
    ("storage", "The storage that commands are applied to."),
    ("limits", "The bounds of everything that could grow."),
    ("log", "What is logged, and how."),
];

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// What is shown in the place of a secret.
const SHOWN_SECRET: &str = "(secret)";

/// Declares one option; keeps the table readable, hides nothing.
macro_rules! option {
    ($section:literal $key:literal, $unit:literal, $range:literal, $form:ident, $summary:literal,
     $get:expr, $set:expr) => {
        ConfigOption {
            section: $section,
            key: $key,
            unit: $unit,
            range: $range,
            summary: $summary,
            form: Form::$form,
            secret: false,
            live: false,
            get: $get,
            set: $set,
        }
    };
}

/// Declares one option that can be changed while the node runs.
macro_rules! live {
    ($($option:tt)*) => {
        ConfigOption { live: true, ..option!($($option)*) }
    };
}

/// Finds an option by its name, `raft.heartbeat_interval`.
pub fn by_name(name: &str) -> Option<&'static ConfigOption> {
    name.split_once('.').and_then(|(section, key)| find(section, key))
}

/// Finds an option by section and key.
pub fn find(section: &str, key: &str) -> Option<&'static ConfigOption> {
    OPTIONS.iter().find(|option| option.section == section && option.key == key)
}

/// All options.
pub static OPTIONS: &[ConfigOption] = &[
    option!("node" "id", "number", "1 to 2^53; 0 for the one that the node is given when it enters a cluster", Bare,
        "The node's id; never used for another node, also not after this one is gone.",
        |c| c.node.id.to_string(),
        |c, t| put(&mut c.node.id, value::number(t, 0..=1 << 53))),
    option!("node" "data_dir", "path", "any directory", Text,
        "The directory of the Raft log, the snapshots, the identity and the embedded storage.",
        |c| c.node.data_dir.display().to_string(),
        |c, t| put(&mut c.node.data_dir, non_empty_path(t))),
    option!("node" "watch_config", "boolean", "true or false", Bare,
        "Whether the file is watched: a change of it is put in force as SIGHUP does.",
        |c| c.node.watch_config.to_string(),
        |c, t| put(&mut c.node.watch_config, value::boolean(t))),
    option!("listen" "resp", "ip:port", "any local address", Text,
        "Where Redis clients connect.",
        |c| c.listen.resp.to_string(),
        |c, t| put(&mut c.listen.resp, value::socket(t))),
    option!("listen" "raft", "ip:port", "any local address", Text,
        "Where the other nodes connect; keep it off the public network.",
        |c| c.listen.raft.to_string(),
        |c, t| put(&mut c.listen.raft, value::socket(t))),
    option!("listen" "http", "ip:port", "any local address, or empty for none", Text,
        "Where operators, Prometheus and probes ask over HTTP; see docs/http.md.",
        |c| c.listen.http.map(|a| a.to_string()).unwrap_or_default(),
        |c, t| put(&mut c.listen.http, if t.is_empty() { Ok(None) } else { value::socket(t).map(Some) })),
    ConfigOption {
        secret: true,
        ..live!("listen" "password", "text", "empty for none", Text,
        "The password that clients must give with AUTH or HELLO (Redis's requirepass).",
        |c| c.listen.password.clone(),
        |c, t| put(&mut c.listen.password, password(t)))
    },
    live!("listen" "protected_mode", "boolean", "true or false", Bare,
        "Whether clients of listen.resp and listen.http are taken from this machine only while no password is set (Redis's protected-mode).",
        |c| c.listen.protected_mode.to_string(),
        |c, t| put(&mut c.listen.protected_mode, value::boolean(t))),
    live!("listen" "consistency", "level", "as raft.consistency; empty for raft.consistency", Text,
        "How recent the reads of clients of listen.resp are that name no level.",
        |c| c.listen.consistency.map(|level| level.to_string()).unwrap_or_default(),
        |c, t| put(&mut c.listen.consistency, if t.is_empty() { Ok(None) } else { consistency(t).map(Some) })),
    option!("advertise" "resp", "host:port", "empty for listen.resp, with the host of advertise.raft where that listens on all addresses", Text,
        "What clients are told to connect to. A host name stays a name.",
        |c| c.advertise.resp.clone().unwrap_or_default(),
        |c, t| put(&mut c.advertise.resp, optional_host_port(t))),
    option!("advertise" "raft", "host:port", "empty for this node's address in cluster.members", Text,
        "What other nodes are told to connect to. A host name is looked up anew for each connection.",
        |c| c.advertise.raft.clone().unwrap_or_default(),
        |c, t| put(&mut c.advertise.raft, optional_host_port(t))),
    option!("cluster" "enabled", "boolean", "true or false", Bare,
        "False starts the same server stand-alone: no Raft, the same storage, the same commands.",
        |c| c.cluster.enabled.to_string(),
        |c, t| put(&mut c.cluster.enabled, value::boolean(t))),
    option!("cluster" "id", "text", "up to 64 letters, digits, - and _; empty for one made from the members", Text,
        "The cluster's id, equal on all members; it is fixed at the first start.",
        |c| c.cluster.id.clone(),
        |c, t| put(&mut c.cluster.id, cluster_id(t))),
    ConfigOption {
        secret: true,
        ..option!("cluster" "secret", "text", "16 to 256 visible ASCII characters; required with two members or more", Text,
        "The shared secret that two nodes prove to each other that they know, on every connection between them. It is never sent; make it long and random (`openssl rand -hex 32`).",
        |c| c.cluster.secret.clone(),
        |c, t| put(&mut c.cluster.secret, secret(t)))
    },
    option!("cluster" "members", "id=host:port", "this node and up to 14 others, or none", List,
        "The nodes that form the cluster, each with the address of its Raft listener. With none, the node waits for RAFT.CLUSTER INIT or JOIN, or joins by cluster.join.",
        |c| c.cluster.members.iter().map(|m| format!("{}={}", m.id, m.address)).collect::<Vec<_>>().join(","),
        |c, t| put(&mut c.cluster.members, value::members(t))),
    live!("cluster" "routing", "auto | forward | redirect", "one of the three", Text,
        "What becomes of a client's command that is for the leader, on another node: passed on, or answered with MOVED; auto passes on, but to clients that have asked for the cluster's slots says MOVED.",
        |c| c.cluster.routing.name().to_owned(),
        |c, t| put(&mut c.cluster.routing, one_of(t, &[("auto", Routing::Auto), ("forward", Routing::Forward), ("redirect", Routing::Redirect)]))),
    option!("cluster" "join", "host:port, or the name of SRV records", "up to 15, only without cluster.members", List,
        "Nodes of a cluster, by the addresses of their Raft listeners: a node without data asks them in turn to be let in.",
        |c| c.cluster.join.join(","),
        |c, t| put(&mut c.cluster.join, value::seeds(t))),
    option!("raft" "heartbeat_interval", "duration", "20ms to 10s", Text,
        "How often a leader shows itself to its followers; also the time that one replication request may take before it is looked at again.",
        |c| value::write_duration(c.raft.heartbeat_interval),
        |c, t| put(&mut c.raft.heartbeat_interval, value::duration(t, millis(20)..=secs(10)))),
    option!("raft" "election_timeout_min", "duration", "100ms to 60s", Text,
        "The shortest time without a leader after which a follower stands for election; at least twice the heartbeat interval.",
        |c| value::write_duration(c.raft.election_timeout_min),
        |c, t| put(&mut c.raft.election_timeout_min, value::duration(t, millis(100)..=secs(60)))),
    option!("raft" "election_timeout_max", "duration", "100ms to 120s", Text,
        "The longest such time; each node draws its own between the two.",
        |c| value::write_duration(c.raft.election_timeout_max),
        |c, t| put(&mut c.raft.election_timeout_max, value::duration(t, millis(100)..=secs(120)))),
    option!("raft" "durability", "fsync | os-cache", "one of the two", Text,
        "When a write is acknowledged: synced to disk by a majority, or handed to the operating system by a majority (a power cut of several nodes may then lose it).",
        |c| match c.raft.durability { Durability::Fsync => "fsync", Durability::OsCache => "os-cache" }.to_owned(),
        |c, t| put(&mut c.raft.durability, one_of(t, &[("fsync", Durability::Fsync), ("os-cache", Durability::OsCache)]))),
    live!("raft" "request_timeout", "duration", "100ms to 5m", Text,
        "How long a client waits for a write to be committed or a read to be ordered before it is told TIMEOUT.",
        |c| value::write_duration(c.raft.request_timeout),
        |c, t| put(&mut c.raft.request_timeout, value::duration(t, millis(100)..=secs(300)))),
    option!("raft" "max_inflight_entries", "number", "1 to 64", Bare,
        "Log entries that are proposed and not yet committed; while they travel, the next one fills.",
        |c| c.raft.max_inflight_entries.to_string(),
        |c, t| put(&mut c.raft.max_inflight_entries, value::number(t, 1..=64).map(|n| n as usize))),
    live!("raft" "max_batch_bytes", "size", "1KiB to 256MiB", Text,
        "The size at which one log entry is closed; a single larger command travels alone.",
        |c| value::write_size(c.raft.max_batch_bytes as u64),
        |c, t| put(&mut c.raft.max_batch_bytes, value::size(t, KIB..=256 * MIB).map(|n| n as usize))),
    live!("raft" "max_batch_commands", "number", "1 to 1048576", Bare,
        "The most commands in one log entry.",
        |c| c.raft.max_batch_commands.to_string(),
        |c, t| put(&mut c.raft.max_batch_commands, value::number(t, 1..=MIB).map(|n| n as usize))),
    option!("raft" "max_append_bytes", "size", "64KiB to 256MiB", Text,
        "The most bytes of entries in one replication request; a single larger entry travels alone.",
        |c| value::write_size(c.raft.max_append_bytes as u64),
        |c, t| put(&mut c.raft.max_append_bytes, value::size(t, 64 * KIB..=256 * MIB).map(|n| n as usize))),
    option!("raft" "entry_cache_bytes", "size", "1MiB to 64GiB", Text,
        "Recent log entries kept in memory, so that replication and apply don't read them back from disk.",
        |c| value::write_size(c.raft.entry_cache_bytes as u64),
        |c, t| put(&mut c.raft.entry_cache_bytes, value::size(t, MIB..=64 * GIB).map(|n| n as usize))),
    live!("raft" "snapshot_log_bytes", "size", "64KiB to 1024GiB", Text,
        "A snapshot is made, and the log before it given up, when the log has grown by this much.",
        |c| value::write_size(c.raft.snapshot_log_bytes),
        |c, t| put(&mut c.raft.snapshot_log_bytes, value::size(t, 64 * KIB..=1024 * GIB))),
    live!("raft" "keep_entries", "number", "0 to 10000000", Bare,
        "Log entries kept before the newest snapshot, so that a follower a little behind needs no snapshot.",
        |c| c.raft.keep_entries.to_string(),
        |c, t| put(&mut c.raft.keep_entries, value::number(t, 0..=10_000_000))),
    live!("raft" "consistency", "level", "linearizable, lease, session, bounded with a duration (\"bounded 500ms\") or eventual", Text,
        "How recent reads are that name no level.",
        |c| c.raft.consistency.to_string(),
        |c, t| put(&mut c.raft.consistency, consistency(t))),
    option!("raft" "lease_reads", "boolean", "true or false", Bare,
        "Whether a leader answers reads at the level lease without asking the others, while its lease lasts. It rests on clocks; without it such reads are linearizable ones.",
        |c| c.raft.lease_reads.to_string(),
        |c, t| put(&mut c.raft.lease_reads, value::boolean(t))),
    option!("raft" "max_clock_drift", "percent", "1 to 50", Bare,
        "By how much one node's clock may run slower than another's; a lease is shorter by that.",
        |c| c.raft.max_clock_drift.to_string(),
        |c, t| put(&mut c.raft.max_clock_drift, value::number(t, 1..=50).map(|n| n as u32))),
    option!("raft" "health_interval", "duration", "50ms to 1m", Text,
        "How often each node asks each other one whether it is there; a link is down after two questions without an answer.",
        |c| value::write_duration(c.raft.health_interval),
        |c, t| put(&mut c.raft.health_interval, value::duration(t, millis(50)..=secs(60)))),
    live!("raft" "remove_dead_after", "duration", "0s to 720h; 0s for never", Text,
        "A voter that has been silent for so long is removed from the cluster for good, if a majority of the others answers.",
        |c| value::write_duration(c.raft.remove_dead_after),
        |c, t| put(&mut c.raft.remove_dead_after, value::duration(t, Duration::ZERO..=secs(720 * 3600)))),
    live!("raft" "remove_dead_min_voters", "number", "1 to 15", Bare,
        "With so many voters, or fewer, none is removed by raft.remove_dead_after.",
        |c| c.raft.remove_dead_min_voters.to_string(),
        |c, t| put(&mut c.raft.remove_dead_min_voters, value::number(t, 1..=15).map(|n| n as usize))),
    option!("storage" "kind", "embedded | kiwi | memory", "one of the three", Text,
        "The storage: RocksDB inside the proxy, a Kiwi beside it, or memory only (for tests: everything is gone with the process and comes back from the log).",
        |c| c.storage.kind.name().to_owned(),
        |c, t| put(&mut c.storage.kind, one_of(t, &[("embedded", StorageKind::Embedded), ("kiwi", StorageKind::Kiwi), ("memory", StorageKind::Memory)]))),
    option!("storage" "block_cache_bytes", "size", "1MiB to 1024GiB", Text,
        "Memory for blocks of the files of the embedded engine, or of the index beside a Kiwi.",
        |c| value::write_size(c.storage.block_cache_bytes as u64),
        |c, t| put(&mut c.storage.block_cache_bytes, value::size(t, MIB..=1024 * GIB).map(|n| n as usize))),
    option!("storage" "write_buffer_bytes", "size", "1MiB to 64GiB", Text,
        "Memory for writes of the embedded engine, or of the index beside a Kiwi, that are not in its files yet.",
        |c| value::write_size(c.storage.write_buffer_bytes as u64),
        |c, t| put(&mut c.storage.write_buffer_bytes, value::size(t, MIB..=64 * GIB).map(|n| n as usize))),
    option!("storage" "address", "host:port", "a host name or an IP address, and a port", Text,
        "Where the Kiwi of this node is. It must be this node's alone.",
        |c| c.storage.address.clone(),
        |c, t| put(&mut c.storage.address, value::host_port(t))),
    option!("storage" "username", "text", "empty for the default user", Text,
        "The user that is named to the Kiwi.",
        |c| c.storage.username.clone(),
        |c, t| put(&mut c.storage.username, Ok(t.to_owned()))),
    ConfigOption {
        secret: true,
        ..option!("storage" "password", "text", "empty for none", Text,
        "The password that is given to the Kiwi.",
        |c| c.storage.password.clone(),
        |c, t| put(&mut c.storage.password, Ok(t.to_owned())))
    },
    option!("storage" "connections", "number", "1 to 900", Bare,
        "Connections to the Kiwi. It is fastest with a hundred requests in flight, and takes 1000 connections in all.",
        |c| c.storage.connections.to_string(),
        |c, t| put(&mut c.storage.connections, value::number(t, 1..=900).map(|n| n as usize))),
    option!("storage" "timeout", "duration", "100ms to 10m", Text,
        "How long one answer of the Kiwi may take. It gives a request up itself after 30 s.",
        |c| value::write_duration(c.storage.timeout),
        |c, t| put(&mut c.storage.timeout, value::duration(t, millis(100)..=secs(600)))),
    option!("storage" "settle_time", "duration", "0ms to 1h", Text,
        "How long after a lost answer the Kiwi may still carry the request out, if its process lives on. Nothing new is written to it before.",
        |c| value::write_duration(c.storage.settle_time),
        |c, t| put(&mut c.storage.settle_time, value::duration(t, millis(0)..=secs(3600)))),
    option!("storage" "hurry", "boolean", "true or false", Bare,
        "Fills what is read from the Kiwi up to a hundred requests at once, so that it does not wait 10 ms for more: faster, for more CPU time.",
        |c| c.storage.hurry.to_string(),
        |c, t| put(&mut c.storage.hurry, value::boolean(t))),
    option!("storage" "keep_values", "size", "0 to 1MiB", Text,
        "Values up to this length stay in the index beside the Kiwi too, so that reading them does not ask the Kiwi.",
        |c| value::write_size(c.storage.keep_values as u64),
        |c, t| put(&mut c.storage.keep_values, value::size(t, 0..=MIB).map(|n| n as usize))),
    option!("storage" "cache_size", "size", "0 to 1024GiB", Text,
        "Memory for values that were read from the Kiwi or written to it lately; 0 for none.",
        |c| value::write_size(c.storage.cache_size as u64),
        |c, t| put(&mut c.storage.cache_size, value::size(t, 0..=1024 * GIB).map(|n| n as usize))),
    option!("storage" "max_open_files", "number", "32 to 1048576", Bare,
        "Files of the embedded engine, or of the index beside a Kiwi, that stay open; fewer where the limit of open files (ulimit -n) is low.",
        |c| c.storage.max_open_files.to_string(),
        |c, t| put(&mut c.storage.max_open_files, value::number(t, 32..=MIB).map(|n| n as usize))),
    live!("limits" "max_clients", "number", "1 to 4294967295", Bare,
        "Client connections, lowered to what the limit of open files (ulimit -n) allows. One more is told so and closed, unless one that has never sent a command can make room, or it comes from this machine to administer the node.",
        |c| c.limits.max_clients.to_string(),
        |c, t| put(&mut c.limits.max_clients, value::number(t, 1..=u64::from(u32::MAX)).map(|n| n as usize))),
    live!("limits" "max_clients_per_address", "number", "0 to 4294967295; 0 for no bound", Bare,
        "Client connections from one address (of IPv6, from one /64); this machine's own are not counted.",
        |c| c.limits.max_clients_per_address.to_string(),
        |c, t| put(&mut c.limits.max_clients_per_address, value::number(t, 0..=u64::from(u32::MAX)).map(|n| n as usize))),
    live!("limits" "handshake_timeout", "duration", "0s to 1h; 0s for ever", Text,
        "How long a new client may take to give its password, if one is set. A client that has sent no command for so long is closed when another needs its place.",
        |c| value::write_duration(c.limits.handshake_timeout),
        |c, t| put(&mut c.limits.handshake_timeout, value::duration(t, Duration::ZERO..=secs(3600)))),
    live!("limits" "max_client_memory", "size or percent", "0 to 1024GiB, 0 for no bound; or 1% to 100%", Text,
        "Memory of all client connections together: requests, and replies that are not sent yet (Redis's maxmemory-clients). Beyond it, those that hold most are closed, but for who has said CLIENT NO-EVICT. Percents are of the memory that the process may have.",
        |c| value::write_memory(c.limits.max_client_memory),
        |c, t| put(&mut c.limits.max_client_memory, value::memory(t, 1024 * GIB))),
    live!("limits" "max_bulk_bytes", "size", "1KiB to 512MiB", Text,
        "The longest single argument (Redis's proto-max-bulk-len).",
        |c| value::write_size(c.limits.max_bulk_bytes as u64),
        |c, t| put(&mut c.limits.max_bulk_bytes, value::size(t, KIB..=512 * MIB).map(|n| n as usize))),
    live!("limits" "max_args", "number", "16 to 1048576", Bare,
        "The most arguments of one command.",
        |c| c.limits.max_args.to_string(),
        |c, t| put(&mut c.limits.max_args, value::number(t, 16..=MIB).map(|n| n as usize))),
    live!("limits" "query_buffer_bytes", "size", "64KiB to 4GiB", Text,
        "Unparsed input of one connection (Redis's client-query-buffer-limit).",
        |c| value::write_size(c.limits.query_buffer_bytes as u64),
        |c, t| put(&mut c.limits.query_buffer_bytes, value::size(t, 64 * KIB..=4 * GIB).map(|n| n as usize))),
    live!("limits" "reply_buffer_bytes", "size", "64KiB to 4GiB", Text,
        "Unsent replies of one connection; at the bound the connection is not read until its client has read.",
        |c| value::write_size(c.limits.reply_buffer_bytes as u64),
        |c, t| put(&mut c.limits.reply_buffer_bytes, value::size(t, 64 * KIB..=4 * GIB).map(|n| n as usize))),
    live!("limits" "max_pipeline", "number", "1 to 1048576", Bare,
        "Commands of one connection that are worked on at once.",
        |c| c.limits.max_pipeline.to_string(),
        |c, t| put(&mut c.limits.max_pipeline, value::number(t, 1..=MIB).map(|n| n as usize))),
    live!("limits" "max_inflight_bytes", "size", "1MiB to 64GiB", Text,
        "Writes that are proposed and not yet answered, over all connections; beyond it, writes are answered BUSY.",
        |c| value::write_size(c.limits.max_inflight_bytes as u64),
        |c, t| put(&mut c.limits.max_inflight_bytes, value::size(t, MIB..=64 * GIB).map(|n| n as usize))),
    live!("limits" "idle_timeout", "duration", "0s to 2147483647s; 0s for never", Text,
        "A client connection that is idle this long is closed (Redis's timeout). Who takes a reply, however slowly, is not idle.",
        |c| value::write_duration(c.limits.idle_timeout),
        |c, t| put(&mut c.limits.idle_timeout, value::duration(t, Duration::ZERO..=secs(i32::MAX as u64)))),
    live!("log" "level", "levels", "error, warn, info; also by target, as in info,openraft=warn", Text,
        "What is logged.",
        |c| c.log.level.clone(),
        |c, t| put(&mut c.log.level, non_empty(t))),
    option!("log" "format", "text | json", "one of the two", Text,
        "The form of a log line.",
        |c| match c.log.format { LogFormat::Text => "text", LogFormat::Json => "json" }.to_owned(),
        |c, t| put(&mut c.log.format, one_of(t, &[("text", LogFormat::Text), ("json", LogFormat::Json)]))),
    option!("log" "file", "path", "empty for standard error", Text,
        "The file that log lines are appended to.",
        |c| c.log.file.as_ref().map(|p| p.display().to_string()).unwrap_or_default(),
        |c, t| put(&mut c.log.file, Ok((!t.is_empty()).then(|| PathBuf::from(t))))),
    option!("log" "performance_interval", "duration", "0s to 24h; 0s for never", Text,
        "How often a line says how fast the node is: commands a second, latencies, how far it has applied, fsync.",
        |c| value::write_duration(c.log.performance_interval),
        |c, t| put(&mut c.log.performance_interval, value::duration(t, Duration::ZERO..=secs(86_400)))),
    live!("log" "lagging_entries", "number", "1 to 1000000000", Bare,
        "A follower that lacks this many log entries is told of in the leader's log, and again when it has caught up.",
        |c| c.log.lagging_entries.to_string(),
        |c, t| put(&mut c.log.lagging_entries, value::number(t, 1..=1_000_000_000))),
    live!("log" "max_file_bytes", "size", "0 to 1024GiB; 0 for no bound", Text,
        "The size at which the log file is put aside, as FILE.1, and a new one begun.",
        |c| value::write_size(c.log.max_file_bytes),
        |c, t| put(&mut c.log.max_file_bytes, value::size(t, 0..=1024 * GIB))),
    live!("log" "max_files", "number", "1 to 1000", Bare,
        "The most log files, the one that is written among them; the oldest goes first.",
        |c| c.log.max_files.to_string(),
        |c, t| put(&mut c.log.max_files, value::number(t, 1..=1000).map(|n| n as u32))),
];

fn put<T>(slot: &mut T, value: Result<T, Expected>) -> Result<(), Expected> {
    *slot = value?;
    Ok(())
}

fn one_of<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Expected> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        Expected::from(names.join(" or "))
    })
}

fn consistency(text: &str) -> Result<Consistency, Expected> {
    Consistency::parse(text).map_err(|_| {
        "linearizable, lease, session, eventual, or bounded and a duration, as in \"bounded 500ms\"".into()
    })
}

fn non_empty(text: &str) -> Result<String, Expected> {
    if text.trim().is_empty() { Err("a text that is not empty".into()) } else { Ok(text.to_owned()) }
}

fn non_empty_path(text: &str) -> Result<PathBuf, Expected> {
    non_empty(text).map(PathBuf::from)
}

fn optional_host_port(text: &str) -> Result<Option<String>, Expected> {
    if text.is_empty() { Ok(None) } else { value::host_port(text).map(Some) }
}

fn cluster_id(text: &str) -> Result<String, Expected> {
    let well_formed =
        text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if well_formed { Ok(text.to_owned()) } else { Err("up to 64 letters, digits, - and _".into()) }
}

/// Who saves what `CONFIG GET` shows and sets it again must not make that the password.
fn password(text: &str) -> Result<String, Expected> {
    if text == SHOWN_SECRET {
        return Err(format!("the password itself: {SHOWN_SECRET} only stands in its place").into());
    }
    Ok(text.to_owned())
}

fn secret(text: &str) -> Result<String, Expected> {
    let well_formed = (16..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if text.is_empty() || well_formed {
        Ok(text.to_owned())
    } else {
        Err("16 to 256 visible ASCII characters without blanks".into())
    }
}
