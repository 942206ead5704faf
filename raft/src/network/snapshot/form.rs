//! What sender and receiver of a snapshot agree on.

use std::time::Duration;

use openraft::SnapshotMeta;
use serde::{Deserialize, Serialize};

use crate::types::{NodeId, Peer, Vote};

/// A transfer on which nothing has moved for this long is given up.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(10);
/// How often a receiver shows that it is still installing.
pub(crate) const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(1);
pub(super) const CHUNK_BYTES: usize = 256 * 1024;
pub(crate) const MAX_HEAD_BYTES: usize = 1 << 20;
pub(crate) const BUSY: u8 = 0;
pub(crate) const DONE: u8 = 1;

/// What is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta<NodeId, Peer>,
    /// The length of the file.
    pub(crate) bytes: u64,
    /// See the [module above](super).
    pub(crate) seal: u32,
    /// Where in the file the bytes begin that follow.
    pub(crate) from: u64,
}
