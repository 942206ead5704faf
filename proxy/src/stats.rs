//! What the server counts: for `INFO stats`, and for the metrics recorder if one is installed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adapter::Spec;
use adapter::command;
use metrics::{Counter, Gauge, Histogram};

/// The first words of errors that are counted by themselves.
const ERROR_KINDS: &[&str] = &[
    "ASK",
    "BUSY",
    "BUSYGROUP",
    "BUSYKEY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "ERR",
    "EXECABORT",
    "INDEX",
    "LOADING",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOCLUSTER",
    "NOGROUP",
    "NOPERM",
    "NOPROTO",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "STALE",
    "TIMEOUT",
    "TRYAGAIN",
    "UNBLOCKED",
    "UNKILLABLE",
    "WRONGPASS",
    "WRONGTYPE",
];
/// The kind of all others.
const OTHER_KIND: &str = "OTHER";

/// A number that `CONFIG RESETSTAT` can set back, though the metric behind it only grows.
pub struct Count {
    value: AtomicU64,
    metric: Option<Counter>,
}

impl Count {
    fn of(metric: Counter) -> Self {
        Self { value: AtomicU64::new(0), metric: Some(metric) }
    }

    /// Without a metric of its own: others tell it apart by kind.
    fn plain() -> Self {
        Self { value: AtomicU64::new(0), metric: None }
    }

    /// Adds to it.
    pub fn add(&self, amount: u64) {
        self.value.fetch_add(amount, Ordering::Relaxed);
        if let Some(metric) = &self.metric {
            metric.increment(amount);
        }
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.value.store(0, Ordering::Relaxed);
    }
}

/// One command's.
struct Calls {
    count: Counter,
    duration: Histogram,
}

impl Calls {
    fn of(name: String) -> Self {
        Self {
            count: metrics::counter!("raft_proxy_commands_total", "cmd" => name.clone()),
            duration: metrics::histogram!("raft_proxy_command_duration_seconds", "cmd" => name),
        }
    }
}

/// All counts of a server.
pub struct Stats {
    /// Connections that were accepted.
    pub connections: Count,
    /// Connections that were turned away because there were too many.
    pub rejected: Count,
    /// Commands that were answered.
    pub commands: Count,
    /// Bytes that came in as commands.
    pub input_bytes: Count,
    /// Bytes that went out as replies.
    pub output_bytes: Count,
    /// Error replies.
    pub errors: Count,
    /// Connections that were closed because they broke the protocol.
    pub protocol_errors: Count,
    by_command: HashMap<usize, Calls>,
    by_kind: Vec<(&'static str, Counter)>,
    connected: Gauge,
    writes: Histogram,
    reads: Histogram,
}

impl Stats {
    /// Registers the metrics with the recorder that is installed at this moment.
    pub fn new() -> Self {
        let mut by_command = HashMap::new();
        for spec in command::all() {
            by_command.insert(address(spec), Calls::of(spec.name.to_owned()));
            for sub in spec.subcommands {
                by_command.insert(address(sub), Calls::of(sub.full_name(spec)));
            }
        }
        let kind = |kind: &&'static str| {
            (*kind, metrics::counter!("raft_proxy_error_replies_total", "kind" => *kind))
        };
        Self {
            connections: Count::of(metrics::counter!("raft_proxy_connections_total")),
            rejected: Count::of(metrics::counter!("raft_proxy_rejected_connections_total")),
            commands: Count::plain(),
            input_bytes: Count::of(metrics::counter!("raft_proxy_input_bytes_total")),
            output_bytes: Count::of(metrics::counter!("raft_proxy_output_bytes_total")),
            errors: Count::plain(),
            protocol_errors: Count::of(metrics::counter!("raft_proxy_protocol_errors_total")),
            by_command,
            by_kind: ERROR_KINDS.iter().chain(&[OTHER_KIND]).map(kind).collect(),
            connected: metrics::gauge!("raft_proxy_connected_clients"),
            writes: metrics::histogram!("raft_proxy_write_duration_seconds"),
            reads: metrics::histogram!("raft_proxy_read_duration_seconds"),
        }
    }

    /// Counts calls of one command, which were answered together after this time.
    pub fn called(&self, spec: &'static Spec, times: u64, took: Duration) {
        if let Some(calls) = self.by_command.get(&address(spec)) {
            calls.count.increment(times);
            calls.duration.record_many(took, times as usize);
        }
    }

    /// Counts an error reply by its kind.
    pub fn failed(&self, text: &str) {
        let word = text.split(' ').next().unwrap_or_default();
        let known = self.by_kind.iter().find(|(kind, _)| *kind == word).or(self.by_kind.last());
        if let Some((_, counter)) = known {
            counter.increment(1);
        }
    }

    /// A connection came.
    pub fn connected(&self) {
        self.connections.add(1);
        self.connected.increment(1);
    }

    /// A connection went.
    pub fn disconnected(&self) {
        self.connected.decrement(1);
    }

    /// A connection was turned away.
    pub fn turned_away(&self) {
        self.rejected.add(1);
    }

    /// A connection broke the protocol.
    pub fn protocol_error(&self) {
        self.protocol_errors.add(1);
    }

    /// A group of writes was answered after this time.
    pub fn wrote(&self, took: Duration) {
        self.writes.record(took);
    }

    /// A group of reads was answered after this time.
    pub fn read(&self, took: Duration) {
        self.reads.record(took);
    }

    /// Sets back what `CONFIG RESETSTAT` sets back.
    pub fn reset(&self) {
        for count in [
            &self.connections,
            &self.rejected,
            &self.commands,
            &self.input_bytes,
            &self.output_bytes,
            &self.errors,
            &self.protocol_errors,
        ] {
            count.reset();
        }
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

/// A command's identity: the table is static, so an entry's address never changes.
fn address(spec: &'static Spec) -> usize {
    std::ptr::from_ref(spec).addr()
}
