//! What the server counts: for `INFO stats`, and for the metrics recorder if one is installed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adapter::Spec;
use adapter::command;
use metrics::{Counter, Gauge, Histogram};

/// A number that `CONFIG RESETSTAT` can set back, though the metric behind it only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
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
    by_command: HashMap<usize, Counter>,
    connected: Gauge,
    protocol_errors_metric: Counter,
    rejected_metric: Counter,
    writes: Histogram,
    reads: Histogram,
}

impl Stats {
    /// Registers the metrics with the recorder that is installed at this moment.
    pub fn new() -> Self {
        let mut by_command = HashMap::new();
        for spec in command::all() {
            by_command.insert(address(spec), command_counter(spec.name.to_owned()));
            for sub in spec.subcommands {
                by_command.insert(address(sub), command_counter(sub.full_name(spec)));
            }
        }
        Self {
            connections: Count::default(),
            rejected: Count::default(),
            commands: Count::default(),
            input_bytes: Count::default(),
            output_bytes: Count::default(),
            errors: Count::default(),
            protocol_errors: Count::default(),
            by_command,
            connected: metrics::gauge!("raft_proxy_connected_clients"),
            protocol_errors_metric: metrics::counter!("raft_proxy_protocol_errors_total"),
            rejected_metric: metrics::counter!("raft_proxy_rejected_connections_total"),
            writes: metrics::histogram!("raft_proxy_write_duration_seconds"),
            reads: metrics::histogram!("raft_proxy_read_duration_seconds"),
        }
    }

    /// Counts calls of one command.
    pub fn called(&self, spec: &'static Spec, times: u64) {
        if let Some(counter) = self.by_command.get(&address(spec)) {
            counter.increment(times);
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
        self.rejected_metric.increment(1);
    }

    /// A connection broke the protocol.
    pub fn protocol_error(&self) {
        self.protocol_errors.add(1);
        self.protocol_errors_metric.increment(1);
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

fn command_counter(name: String) -> Counter {
    metrics::counter!("raft_proxy_commands_total", "cmd" => name)
}

/// A command's identity: the table is static, so an entry's address never changes.
fn address(spec: &'static Spec) -> usize {
    std::ptr::from_ref(spec).addr()
}
