//! A log entry as bytes: the form it has on disk and between nodes.
//!
//! ```text
//! frame := length u32 | version u8 = 1 | kind u8 | term u64 | leader u64 | index u64 | body | crc u32
//! ```
//! `length` counts what follows it, so frames can be put one behind the other. `crc` is the CRC-32C of everything
//! before it in the frame, the length included. All numbers are little-endian. The body of a blank entry is empty,
//! that of a normal entry is the batch as it is, that of a membership is postcard.

use adapter::Batch;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::{CommittedLeaderId, EntryPayload, Membership};

use crate::types::{Entry, LogId, NodeId, Peer};

const VERSION: u8 = 1;
const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

const LENGTH: usize = 4;
const HEADER: usize = 1 + 1 + 8 + 8 + 8;
const CRC: usize = 4;

/// Bytes that a frame has besides its body.
pub const OVERHEAD: usize = LENGTH + HEADER + CRC;

/// Why bytes are no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The frame is longer than the bytes at hand.
    #[error("the entry is cut short: {needed} bytes are needed and {have} are there")]
    Cut {
        /// Bytes that the frame needs.
        needed: usize,
        /// Bytes that are there.
        have: usize,
    },
    /// The frame is too short to be one.
    #[error("the entry's length is impossible: {0} bytes")]
    Length(usize),
    /// The bytes are not those that were written.
    #[error("the entry is damaged: its checksum does not match")]
    Checksum,
    /// Written by a program that is newer than this one.
    #[error("the entry has the unknown version {0}")]
    Version(u8),
    /// Written by a program that is newer than this one.
    #[error("the entry has the unknown kind {0}")]
    Kind(u8),
    /// The checksum is right and the body is not: the writer was wrong.
    #[error("the entry's body is malformed: {0}")]
    Body(String),
}

/// Appends the frame of `entry` to `out`.
///
/// The batch must be shorter than 4 GiB; the proposer's limits see to it. A longer one gets a length that no
/// decoder accepts.
pub fn encode_entry(entry: &Entry, out: &mut BytesMut) {
    match &entry.payload {
        EntryPayload::Blank => frame(entry.log_id, BLANK, &[], out),
        EntryPayload::Normal(batch) => frame(entry.log_id, NORMAL, batch.raw(), out),
        EntryPayload::Membership(membership) => {
            // Maps of integers and strings into memory: there is no error to have. Were there one, every decoder
            // would refuse the empty body.
            frame(entry.log_id, MEMBERSHIP, &postcard::to_stdvec(membership).unwrap_or_default(), out);
        }
    }
}

fn frame(log_id: LogId, kind: u8, body: &[u8], out: &mut BytesMut) {
    let start = out.len();
    out.reserve(OVERHEAD + body.len());
    out.put_u32_le(u32::try_from(HEADER + body.len() + CRC).unwrap_or(u32::MAX));
    out.put_u8(VERSION);
    out.put_u8(kind);
    out.put_u64_le(log_id.leader_id.term);
    out.put_u64_le(log_id.leader_id.node_id);
    out.put_u64_le(log_id.index);
    out.put_slice(body);
    let crc = crc32c::crc32c(&out[start..]);
    out.put_u32_le(crc);
}

/// Takes one frame off the front of `input`. A batch's body is a slice of the input's memory, not a copy. After an
/// error the input is as it was.
pub fn decode_entry(input: &mut Bytes) -> Result<Entry, CodecError> {
    let have = input.len();
    let length =
        input.as_ref().try_get_u32_le().map_err(|_| CodecError::Cut { needed: OVERHEAD, have })? as usize;
    if length < HEADER + CRC {
        return Err(CodecError::Length(length));
    }
    if have < LENGTH + length {
        return Err(CodecError::Cut { needed: LENGTH + length, have });
    }
    let entry = decode_frame(input.slice(..LENGTH + length))?;
    input.advance(LENGTH + length);
    Ok(entry)
}

/// Decodes a frame that has at least [`OVERHEAD`] bytes.
fn decode_frame(mut frame: Bytes) -> Result<Entry, CodecError> {
    let mut crc = frame.split_off(frame.len() - CRC);
    if crc32c::crc32c(&frame) != crc.get_u32_le() {
        return Err(CodecError::Checksum);
    }
    frame.advance(LENGTH);
    match frame.get_u8() {
        VERSION => {}
        other => return Err(CodecError::Version(other)),
    }
    let kind = frame.get_u8();
    let leader_id = CommittedLeaderId::<NodeId>::new(frame.get_u64_le(), frame.get_u64_le());
    let log_id = LogId::new(leader_id, frame.get_u64_le());
    Ok(Entry { log_id, payload: decode_body(kind, frame)? })
}

fn decode_body(kind: u8, body: Bytes) -> Result<EntryPayload<crate::TypeConfig>, CodecError> {
    match kind {
        BLANK if body.is_empty() => Ok(EntryPayload::Blank),
        BLANK => Err(CodecError::Body("a blank entry has a body".to_owned())),
        NORMAL => {
            Batch::decode(body).map(EntryPayload::Normal).map_err(|error| CodecError::Body(error.to_string()))
        }
        MEMBERSHIP => postcard::from_bytes::<Membership<NodeId, Peer>>(&body)
            .map(EntryPayload::Membership)
            .map_err(|error| CodecError::Body(error.to_string())),
        other => Err(CodecError::Kind(other)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says enough by panicking")]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use adapter::CommandBuffer;

    use crate::types::TargetRole;

    use super::*;

    fn entries() -> Vec<Entry> {
        let log_id = |index| LogId::new(CommittedLeaderId::new(7, 2), index);
        let mut commands = CommandBuffer::default();
        commands.push(&[b"SET", b"key", b"\r\n\0\xff"]);
        let peer = Peer {
            raft: "10.0.0.1:16400".to_owned(),
            resp: "10.0.0.1:6400".to_owned(),
            target: TargetRole::Learner,
            data: None,
        };
        let joint = vec![BTreeSet::from([1]), BTreeSet::from([1, 2])];
        let nodes = BTreeMap::from([(1, peer.clone()), (2, peer.clone()), (3, peer)]);
        vec![
            Entry { log_id: log_id(1), payload: EntryPayload::Blank },
            Entry { log_id: log_id(2), payload: EntryPayload::Normal(Batch::new(5, 6, [&commands])) },
            Entry { log_id: log_id(3), payload: EntryPayload::Membership(Membership::new(joint, nodes)) },
        ]
    }

    fn encoded() -> Bytes {
        let mut out = BytesMut::new();
        entries().iter().for_each(|entry| encode_entry(entry, &mut out));
        out.freeze()
    }

    #[test]
    fn entries_back_to_back_come_out_as_they_went_in() {
        let mut input = encoded();
        for expected in entries() {
            assert_eq!(decode_entry(&mut input).unwrap(), expected);
        }
        assert!(input.is_empty());
    }

    #[test]
    fn a_batch_is_a_slice_of_the_input_and_not_a_copy() {
        let mut input = encoded();
        let memory = input.as_ptr_range();
        decode_entry(&mut input).unwrap();
        let EntryPayload::Normal(batch) = decode_entry(&mut input).unwrap().payload else {
            panic!("not a batch")
        };
        assert!(memory.contains(&batch.raw().as_ptr()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for entry in entries() {
            let mut out = BytesMut::new();
            encode_entry(&entry, &mut out);
            for bit in 0..out.len() * 8 {
                let mut damaged = out.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(decode_entry(&mut damaged.freeze()).is_err(), "bit {bit} of {entry:?}");
            }
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_an_error_and_leaves_the_input() {
        for entry in entries() {
            let mut out = BytesMut::new();
            encode_entry(&entry, &mut out);
            let whole = out.freeze();
            for length in 0..whole.len() {
                let mut cut = whole.slice(..length);
                assert!(matches!(decode_entry(&mut cut), Err(CodecError::Cut { .. })), "cut at {length}");
                assert_eq!(cut.len(), length);
            }
        }
    }
}
