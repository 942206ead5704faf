//! A snapshot's way from file to file, in bounded memory.
//!
//! ```text
//! offset:  request := head (postcard)                                    answer := have u64 (postcard)
//! snapshot: request := length u32 | head (postcard) | the file, from the byte that the head says to its end
//!           answer  := 0x00 * n | 0x01 | SnapshotResponse (postcard)
//! ```
//! A transfer that breaks off leaves what has arrived. The sender asks first how much of the very same file that is,
//! and goes on behind it. The same file has the same sender, log id, length and *seal*: a checksum of its ends, of which
//! the last holds the digest of all content. Whoever installs it verifies the checksums and the digest of the whole
//! anyway. Unfinished files do not outlive the process, nor ten minutes in which nobody goes on.
//!
//! Installing may take long after the last byte has arrived: until it is done the receiver sends a zero byte every
//! second. So both ways, ten seconds without a byte mean that the other side is gone.

mod receive;
mod send;

use std::time::Duration;

use openraft::SnapshotMeta;
use serde::{Deserialize, Serialize};

use crate::types::{NodeId, Peer, Vote};

pub(super) use receive::{ReceiveError, Receiving};
pub(super) use send::send;

/// A transfer on which nothing has moved for this long is given up.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// How often a receiver shows that it is still installing.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(1);
const CHUNK_BYTES: usize = 256 * 1024;
const MAX_HEAD_BYTES: usize = 1 << 20;
const BUSY: u8 = 0;
const DONE: u8 = 1;

/// What is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Head {
    vote: Vote,
    meta: SnapshotMeta<NodeId, Peer>,
    /// The length of the file.
    bytes: u64,
    /// See the module.
    seal: u32,
    /// Where in the file the bytes begin that follow.
    from: u64,
}
