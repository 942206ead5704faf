//! The cluster version: which forms the members of a cluster store and send.
//!
//! Every form that outlives a process or leaves it (log entries, the position kept with the data, snapshots, requests
//! between nodes) belongs to a version. A program reads the forms of all versions from [`FIRST`] to [`newest`]; which
//! of them it *writes* is decided by the cluster version. That number is in the log and in every snapshot, so all
//! members agree on it at every index. It rises only when an operator says so (`RAFT.CLUSTER VERSION FINALIZE`), and
//! only when every member runs a program that knows the new forms. Until then each node can be taken back to the
//! program before; after it, the program before refuses to start. etcd calls it the cluster version, CockroachDB
//! calls the step finalization.
//!
//! | version | what it brought |
//! |---|---|
//! | 1 | the forms without a cluster version |
//! | 2 | the cluster version in the position, and the log entry that raises it; large commands in pieces |
//! | 3 | revisions of keys, in records and in snapshots |
//!
//! A cluster that is formed anew, with no data to go back to, begins at the newest version of its members.

/// The first version. Positions and logs that say none are of this one.
pub const FIRST: u16 = 1;

/// From this version on, commands that are too large for one log entry travel in pieces.
pub(crate) const WITH_PIECES: u16 = 2;

/// From this version on, keys have revisions.
pub const WITH_REVISIONS: u16 = 3;

/// The newest version whose forms this program knows.
#[cfg(not(debug_assertions))]
pub const fn newest() -> u16 {
    CURRENT
}

/// The newest version whose forms this program knows. With debug assertions, the variable `SPEAK_CLUSTER_VERSION`
/// makes it an earlier one, so that tests have a program of the version before.
#[cfg(debug_assertions)]
pub fn newest() -> u16 {
    use std::sync::OnceLock;

    static SPOKEN: OnceLock<u16> = OnceLock::new();
    *SPOKEN.get_or_init(|| {
        let asked = std::env::var("SPEAK_CLUSTER_VERSION").ok().and_then(|version| version.parse().ok());
        asked.unwrap_or(CURRENT).clamp(FIRST, CURRENT)
    })
}

/// What this source code knows.
const CURRENT: u16 = 3;

/// Data, or a log, of a cluster whose version this program does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster has been finalized at version {found}, and this program knows versions up to {newest}: \
     run the newer program on this node"
)]
pub struct TooNew {
    /// The cluster's version.
    pub found: u16,
    /// The newest that this program knows.
    pub newest: u16,
}

/// Checks that this program knows the forms of a cluster version.
pub fn check(found: u16) -> Result<(), TooNew> {
    let newest = newest();
    if found <= newest { Ok(()) } else { Err(TooNew { found, newest }) }
}
