//! The state record, written with every commit: position, clock, and counts.

use bytes::Bytes;

use crate::embedded::db::schema::take_u64;
use crate::position::{Applied, Position};

/// The format version of everything stored. Unknown versions are refused.
pub(crate) const FORMAT: u32 = 2;
pub(crate) const STATE_KEY: &[u8] = b"state";
/// The versions of content that is written ahead of its command ([`staging`](crate::embedded::staging)).
pub(crate) const STAGED_KEY: &[u8] = b"staged";

/// The state record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The position and the clock of the data.
    pub(crate) applied: Applied,
    /// The next content version; none at or above it is in use.
    pub(crate) next_version: u64,
    /// The number of keys, expired ones included.
    pub(crate) keys: u64,
    /// The number of keys with a deadline.
    pub(crate) deadlines: u64,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = FORMAT.to_be_bytes().to_vec();
        let Applied { position, now_ms } = &self.applied;
        for number in [position.index, *now_ms, self.next_version, self.keys, self.deadlines] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&position.mark);
        out
    }

    /// Decodes the record; none if it is truncated. Check [`State::format`] first.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(4..)?;
        let index = take_u64(&mut rest)?;
        let now_ms = take_u64(&mut rest)?;
        let (next_version, keys, deadlines) =
            (take_u64(&mut rest)?, take_u64(&mut rest)?, take_u64(&mut rest)?);
        let position = Position { index, mark: Bytes::copy_from_slice(rest) };
        Some(Self { applied: Applied { position, now_ms }, next_version, keys, deadlines })
    }

    pub(crate) fn format(bytes: &[u8]) -> Option<u32> {
        bytes.first_chunk().map(|format| u32::from_be_bytes(*format))
    }
}
