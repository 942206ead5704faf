//! What clients are told when consensus has no answer: the RESP error of each of its errors, the code first.
//!
//! `raft` says what has gone wrong; how that is said in the Redis protocol is decided here. Clients act on the codes,
//! and tests and scripts on the texts, so both stay as they are.
//!
//! | code | what a client may take from it |
//! |---|---|
//! | `CLUSTERDOWN` | nothing was done: nobody leads who could be reached, or the node goes down |
//! | `NOCLUSTER` | nothing was done: the node belongs to no cluster yet |
//! | `BUSY` | nothing was done: a bound is reached |
//! | `TIMEOUT` | a read or a wait took too long; a write may or may not be done, now or later |
//! | `STALE` | what the node has may be older than the read allows |
//! | `ERR` | everything else |

use std::borrow::Cow;

use adapter::{Reply, Stop};
use raft::backup::{IDLE, MOST, TakeError};
use raft::checkpoint::{DigestError, MOST_AWAITED};
use raft::handle::ChangeError;
use raft::{ProposeError, ReadError};

const NO_LEADER: &str = "CLUSTERDOWN No raft leader";
const SHUTTING_DOWN: &str = "CLUSTERDOWN this node is shutting down";
const NO_CLUSTER: &str = "NOCLUSTER No Raft Cluster";
const JOINING: &str = "NOCLUSTER No Raft Cluster (joining now)";
const NOT_COMMITTED: &str = "TIMEOUT not committed yet";

/// An error that clients are told.
pub(crate) trait RespError {
    /// The whole text of the error reply.
    fn text(&self) -> Cow<'static, str>;

    /// The error reply.
    fn reply(&self) -> Reply {
        Reply::Error(self.text())
    }

    /// The same, for a command that ends with it.
    fn stop(&self) -> Stop {
        Stop::Error(self.text())
    }
}

impl RespError for ProposeError {
    fn text(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NoLeader => NO_LEADER,
            Self::NoCluster => NO_CLUSTER,
            Self::Busy => "BUSY too many writes are waiting to be committed",
            Self::ShuttingDown => SHUTTING_DOWN,
            Self::Unknown => NOT_COMMITTED,
            Self::Joining => JOINING,
        })
    }
}

impl RespError for ReadError {
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::NoLeader => NO_LEADER.into(),
            Self::NoCluster => NO_CLUSTER.into(),
            Self::NoQuorum => "TIMEOUT no quorum for read".into(),
            Self::NotApplied(index) => format!("TIMEOUT this node has not applied index {index} yet").into(),
            Self::Stale(bound_ms) => {
                format!("STALE this node may be behind the leader by more than {bound_ms} ms").into()
            }
            Self::Joining => JOINING.into(),
        }
    }
}

impl RespError for ChangeError {
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::NoLeader => NO_LEADER.into(),
            Self::NoCluster => NO_CLUSTER.into(),
            Self::AlreadyMember => "ERR Already cluster member".into(),
            Self::IdUsed => "ERR node id has already been used in this cluster".into(),
            Self::NoSuchNode => "ERR node id does not exist".into(),
            Self::Busy(change) => format!("ERR a membership change is in progress: {change}").into(),
            Self::Refused(reason) | Self::Unreachable(reason) => format!("ERR {reason}").into(),
            Self::Unknown => NOT_COMMITTED.into(),
            Self::GoesOn(reason) => {
                format!("ERR the change goes on, but is not finished yet: {reason}").into()
            }
            Self::TransferTimedOut => "ERR transfer timed out".into(),
            Self::DifferentLeader => "ERR different node elected leader".into(),
            Self::StandAlone => "ERR this node runs without a cluster (cluster.enabled = false)".into(),
        }
    }
}

impl RespError for DigestError {
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Passed { applied } => {
                format!("ERR this node has applied {applied} already; ask for an index ahead of that").into()
            }
            Self::Late { applied, index } => {
                format!("TIMEOUT this node has applied {applied} so far, not {index}").into()
            }
            Self::Busy => format!("BUSY digests at {MOST_AWAITED} indices are awaited already").into(),
            Self::Storage(error) => format!("ERR {error}").into(),
        }
    }
}

impl RespError for TakeError {
    fn text(&self) -> Cow<'static, str> {
        match self {
            Self::Read(error) => error.text(),
            Self::Behind => "ERR the storage is being rebuilt; ask again later, or another node".into(),
            Self::Busy => format!("BUSY {MOST} snapshots are being read already").into(),
            Self::Unknown => format!(
                "ERR there is no such snapshot; its connection was closed, or it was not read for {} seconds",
                IDLE.as_secs()
            )
            .into(),
            Self::Beyond => "ERR the snapshot is shorter than that".into(),
            Self::NotWritten(_) | Self::File(_) => format!("ERR {self}").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use adapter::StorageError;

    use super::*;

    #[test]
    fn every_error_begins_with_its_code() {
        let text = |text: &str| text.to_owned();
        let storage = StorageError::Corrupt(text("a key"));
        let errors: &[(&dyn RespError, &str)] = &[
            (&ProposeError::NoLeader, "CLUSTERDOWN No raft leader"),
            (&ProposeError::ShuttingDown, "CLUSTERDOWN this node is shutting down"),
            (&ProposeError::Unknown, "TIMEOUT not committed yet"),
            (&ReadError::NoQuorum, "TIMEOUT no quorum for read"),
            (&ReadError::Stale(5), "STALE this node may be behind the leader by more than 5 ms"),
            (&ReadError::Joining, "NOCLUSTER No Raft Cluster (joining now)"),
            (&ChangeError::Refused(text("no")), "ERR no"),
            (&ChangeError::Busy(text("add 4")), "ERR a membership change is in progress: add 4"),
            (&DigestError::Busy, "BUSY digests at 16 indices are awaited already"),
            (&DigestError::Storage(storage), "ERR storage holds damaged data: a key"),
            (&TakeError::Read(ReadError::NoLeader), "CLUSTERDOWN No raft leader"),
            (&TakeError::Busy, "BUSY 4 snapshots are being read already"),
        ];
        for (error, text) in errors {
            assert_eq!(error.reply(), Reply::error(text));
        }
    }
}
