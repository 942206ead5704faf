//! A snapshot's way from file to file, in bounded memory.
//!
//! ```text
//! offset:  request := head (postcard)                                    answer := have u64 (postcard)
//! snapshot: request := length u32 | head (postcard) | the file, from the byte that the head says to its end
//!           answer  := 0x00 * n | 0x01 | SnapshotResponse (postcard)
//! ```
//! A transfer that breaks off leaves what has arrived. The sender asks first how much of the very same file that is,
//! and goes on behind it. The same file has the same sender, log id, length and *seal*: a checksum of its ends, of
//! which the last holds the digest of all content. Whoever installs it verifies the checksums and the digest of the
//! whole anyway. Unfinished files do not outlive the process, nor ten minutes in which nobody goes on.
//!
//! Installing may take long after the last byte has arrived: until it is done the receiver sends a zero byte every
//! second. So both ways, ten seconds without a byte mean that the other side is gone.
//!
//! The receiver is part of the [server](crate::server).

pub(crate) mod form;
mod send;

pub(crate) use send::send;
