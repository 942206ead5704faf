//! How much the proposer takes on at once.

use std::time::Duration;

use conf::Live;

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries that are proposed and not yet answered.
    pub(crate) max_inflight_entries: usize,
    /// A batch is closed at this size; one larger group travels alone.
    pub(crate) max_batch_bytes: usize,
    /// A batch is closed at this many commands.
    pub(crate) max_batch_commands: usize,
    /// Bytes of groups that are not yet answered.
    pub(crate) max_inflight_bytes: usize,
    /// How long a group may take.
    pub(crate) request_timeout: Duration,
}

/// The proposer's bounds, as they are at any time.
pub(crate) fn limits(
    config: &Live,
    max_inflight_entries: usize,
) -> impl Fn() -> Limits + Send + Sync + 'static {
    let config = config.clone();
    move || {
        let config = config.load();
        Limits {
            max_inflight_entries,
            max_batch_bytes: config.raft.max_batch_bytes,
            max_batch_commands: config.raft.max_batch_commands,
            max_inflight_bytes: config.limits.max_inflight_bytes,
            request_timeout: config.raft.request_timeout,
        }
    }
}
