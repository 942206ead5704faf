//! What a member does by itself: bound its log, keep the log's time, remove expired keys, notice that it has failed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapter::{Adapter, command};
use conf::Live;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::error::ProposeError;
use crate::failure;
use crate::health::HealthMonitor;
use crate::leadership::Leadership;
use crate::log_clock::LogClock;
use crate::log_store::LogStore;
use crate::proposer::{Consensus, Proposer, Route};
use crate::state_machine::Progress;
use crate::types::{NodeId, Raft};

/// How often the size of the log is looked at.
const LOG_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A snapshot that takes longer is looked at again.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);
/// How often expired keys are looked for.
const EXPIRE_INTERVAL: Duration = Duration::from_millis(100);
/// How often the others' clocks are looked at.
const TIME_INTERVAL: Duration = Duration::from_millis(100);
/// The most keys that one command removes.
const EXPIRE_KEYS: usize = 512;
/// Lets the last log lines out before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Makes a snapshot whenever the log has grown by `raft.snapshot_log_bytes`, and gives up what snapshots make unneeded,
/// except `raft.keep_entries` entries for followers that are a little behind. For ever.
pub(super) async fn bound_log(
    raft: Raft,
    log: LogStore,
    mut progress: watch::Receiver<Progress>,
    config: Live,
) {
    loop {
        sleep(LOG_CHECK_INTERVAL).await;
        let keep_entries = config.load().raft.keep_entries;
        if !purge(&raft, keep_entries).await {
            return;
        }
        let Progress { applied, snapshot: before } = *progress.borrow_and_update();
        if log.log_bytes() < config.load().raft.snapshot_log_bytes || applied <= before {
            continue;
        }
        tracing::info!(log_bytes = log.log_bytes(), "the log has grown: a snapshot is made");
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        let newer = progress.wait_for(|progress| progress.snapshot > before);
        let Ok(Ok(made)) = timeout(SNAPSHOT_TIMEOUT, newer).await.map(|made| made.map(|made| made.snapshot))
        else {
            continue;
        };
        log.snapshot_made();
        // openraft hears of the snapshot a little later, and purges no further than it knows of.
        // If it does not in time, the log is looked at again.
        let waits = raft.wait(Some(SNAPSHOT_TIMEOUT));
        let _ = waits.metrics(|metrics| metrics.snapshot >= made, "snapshot").await;
    }
}

/// Gives up what is in the newest snapshot, but for the last `keep_entries`. Answers false at the end.
async fn purge(raft: &Raft, keep_entries: u64) -> bool {
    let (snapshot, purged) = {
        let metrics = raft.data_metrics();
        let metrics = metrics.borrow();
        (metrics.snapshot, metrics.purged)
    };
    let upto = snapshot.map_or(0, |snapshot| snapshot.index).saturating_sub(keep_entries);
    upto <= purged.map_or(0, |purged| purged.index) || raft.trigger().purge_log(upto).await.is_ok()
}

/// Has keys removed whose deadline has passed, while this node leads. For ever.
pub(crate) async fn expire_keys<C: Consensus>(
    adapter: Arc<dyn Adapter>,
    proposer: Arc<Proposer<C>>,
    clock: Arc<LogClock>,
    route: impl Fn() -> Route + Send,
) {
    loop {
        let more = route() == Route::Here && expire_some(&*adapter, &proposer, clock.now_ms()).await;
        if !more {
            sleep(EXPIRE_INTERVAL).await;
        }
    }
}

/// Answers whether there may be more to remove at once.
async fn expire_some<C: Consensus>(adapter: &dyn Adapter, proposer: &Proposer<C>, now_ms: u64) -> bool {
    let due = match adapter.due_keys(now_ms, EXPIRE_KEYS).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(%error, "expired keys cannot be looked up");
            return false;
        }
    };
    if due.is_empty() {
        return false;
    }
    match proposer.propose(command::expire_due(&due)).await {
        Ok(_) => due.len() == EXPIRE_KEYS,
        // Found again the next time.
        Err(ProposeError::ShuttingDown | ProposeError::NoLeader) => false,
        Err(error) => {
            tracing::warn!(%error, "expired keys were not removed");
            false
        }
    }
}

/// Has this node's clock of the log follow the leader's, and know what the others' wall clocks say. For ever.
pub(super) async fn keep_time(
    me: NodeId,
    clock: Arc<LogClock>,
    adapter: Arc<dyn Adapter>,
    health: Arc<HealthMonitor>,
    leadership: Leadership,
) {
    loop {
        clock.applied(adapter.applied().now_ms);
        clock.heard(me, leadership.leader(), &health.clocks());
        sleep(TIME_INTERVAL).await;
    }
}

/// Ends the process when openraft's core has ended without being asked to: a node that guesses on is worse than one
/// that its supervisor restarts. A core that has panicked shows only in its closed channel.
pub(super) async fn watch_over(raft: Raft, stopping: Arc<AtomicBool>) {
    let mut metrics = raft.metrics();
    drop(raft);
    let reason = loop {
        if let Err(fatal) = &metrics.borrow_and_update().running_state {
            break fatal.to_string();
        }
        if metrics.changed().await.is_err() {
            break "its core has ended unexpectedly".to_owned();
        }
    };
    if stopping.load(Ordering::Acquire) {
        return;
    }
    tracing::error!(reason, "Raft has failed; the process ends, start it again once the cause is gone");
    sleep(LAST_WORDS).await;
    if !stopping.load(Ordering::Acquire) {
        failure::fail(format!("Raft has failed: {reason}"));
    }
}
