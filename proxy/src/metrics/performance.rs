//! One line in the log, every `log.performance_interval`, that says how fast the node is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use raft::Handle;
use tokio::time::sleep;

use super::histogram::Counts;
use super::registry::Registry;

const WRITES: &str = "raft_proxy_write_duration_seconds";
const READS: &str = "raft_proxy_read_duration_seconds";
const FSYNC: &str = "raft_proxy_disk_wal_fsync_duration_seconds";

/// What was counted up to a moment.
struct Seen {
    at: Instant,
    commands: u64,
    errors: u64,
    writes: Counts,
    reads: Counts,
    fsync: Counts,
}

impl Seen {
    fn now(registry: &Registry) -> Self {
        Self {
            at: Instant::now(),
            commands: registry.total("raft_proxy_commands_total"),
            errors: registry.total("raft_proxy_error_replies_total"),
            writes: registry.counts(WRITES),
            reads: registry.counts(READS),
            fsync: registry.counts(FSYNC),
        }
    }
}

/// Writes the lines. For ever, or not at all if the interval is zero.
pub async fn tell(registry: Arc<Registry>, node: Handle, interval: Duration) {
    if interval.is_zero() {
        return;
    }
    let mut before = Seen::now(&registry);
    loop {
        sleep(interval).await;
        let now = Seen::now(&registry);
        line(&before, &now, &node);
        before = now;
    }
}

fn line(before: &Seen, now: &Seen, node: &Handle) {
    let seconds = now.at.duration_since(before.at).as_secs_f64();
    let rate = |count: u64| (count as f64 / seconds).round();
    let (writes, reads) = (now.writes.since(&before.writes), now.reads.since(&before.reads));
    let fsync = now.fsync.since(&before.fsync);
    let status = node.status();
    tracing::info!(
        node = status.id,
        ops_per_second = rate(now.commands - before.commands),
        errors_per_second = rate(now.errors - before.errors),
        write_p50_ms = ms(&writes, 0.5),
        write_p99_ms = ms(&writes, 0.99),
        read_p50_ms = ms(&reads, 0.5),
        read_p99_ms = ms(&reads, 0.99),
        fsync_p50_ms = ms(&fsync, 0.5),
        fsync_p99_ms = ms(&fsync, 0.99),
        fsyncs_per_second = rate(fsync.count()),
        term = status.term,
        applied = status.applied,
        lag = status.last_log.saturating_sub(status.applied),
        "performance"
    );
}

/// A quantile in milliseconds, to the microsecond; zero where nothing was counted.
fn ms(counts: &Counts, part: f64) -> f64 {
    (counts.quantile(part).unwrap_or(0.0) * 1e6).round() / 1e3
}
