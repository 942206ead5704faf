//! How commands travel: the body of a log entry, encoded once where the command arrives and sliced, never
//! copied, everywhere else.
//!
//! ```text
//! batch   := version u8 = 1 | now_ms u64 | seed u64 | count u32 | command * count
//! command := argc u32 | (length u32 | bytes) * argc
//! ```
//! All numbers are little-endian. The log store and the network add their own checksums.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::StorageError;

const VERSION: u8 = 1;
/// Bytes of a batch before its first command.
pub const HEADER: usize = 1 + 8 + 8 + 4;

/// Commands of one submitter, encoded back to back, in the order in which they take effect.
#[derive(Clone, Debug, Default)]
pub struct CommandBuffer {
    bytes: BytesMut,
    count: u32,
}

impl CommandBuffer {
    /// Adds one command: its name and its arguments.
    pub fn push(&mut self, args: &[&[u8]]) {
        let size = 4 + args.iter().map(|arg| 4 + arg.len()).sum::<usize>();
        self.bytes.reserve(size);
        self.bytes.put_u32_le(args.len() as u32);
        for arg in args {
            self.bytes.put_u32_le(arg.len() as u32);
            self.bytes.put_slice(arg);
        }
        self.count += 1;
    }

    /// Adopts commands that a peer encoded, after checking their form.
    pub fn decode(bytes: &[u8], count: u32) -> Result<Self, StorageError> {
        let mut rest = bytes;
        let mut args = Vec::new();
        for _ in 0..count {
            read_command(&mut rest, &mut args)?;
        }
        if !rest.is_empty() {
            return Err(malformed("bytes after the last command"));
        }
        Ok(Self { bytes: BytesMut::from(bytes), count })
    }

    /// Adds all commands of `other` behind these.
    pub fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
    }

    /// The number of commands.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether there is no command.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The encoded commands.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One log entry's worth of commands, with the time and the chance that all replicas share.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Batch {
    raw: Bytes,
}

impl Batch {
    /// Joins commands into a batch. `now_ms` is Unix time in milliseconds; `seed` decides everything random.
    pub fn new<'a>(
        now_ms: u64,
        seed: u64,
        groups: impl IntoIterator<Item = &'a CommandBuffer> + Clone,
    ) -> Self {
        let size: usize = groups.clone().into_iter().map(|group| group.bytes.len()).sum();
        let count: u32 = groups.clone().into_iter().map(|group| group.count).sum();
        let mut raw = BytesMut::with_capacity(HEADER + size);
        raw.put_u8(VERSION);
        raw.put_u64_le(now_ms);
        raw.put_u64_le(seed);
        raw.put_u32_le(count);
        for group in groups {
            raw.put_slice(&group.bytes);
        }
        Self { raw: raw.freeze() }
    }

    /// Takes a batch from the log or the network. Only the header is checked here; [`Batch::commands`] checks
    /// the rest as it reads.
    pub fn decode(raw: Bytes) -> Result<Self, StorageError> {
        match raw.first() {
            Some(&VERSION) if raw.len() >= HEADER => Ok(Self { raw }),
            Some(&VERSION) => Err(malformed("shorter than its header")),
            Some(other) => Err(malformed(&format!("unknown version {other}"))),
            None => Err(malformed("empty")),
        }
    }

    /// The encoded form.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The leader's clock when the batch was made, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        (&self.raw[1..]).get_u64_le()
    }

    /// The seed of everything random in this batch.
    pub fn seed(&self) -> u64 {
        (&self.raw[9..]).get_u64_le()
    }

    /// The number of commands.
    pub fn count(&self) -> u32 {
        (&self.raw[17..]).get_u32_le()
    }

    /// Reads the commands in order.
    pub fn commands(&self) -> Commands<'_> {
        Commands { rest: &self.raw[HEADER..], left: self.count() }
    }
}

/// A reader of a batch's commands. Not an iterator, so that one `args` vector serves all of them.
pub struct Commands<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Commands<'a> {
    /// Puts the next command's name and arguments into `args`; false after the last one.
    pub fn next_into(&mut self, args: &mut Vec<&'a [u8]>) -> Result<bool, StorageError> {
        if self.left == 0 {
            return if self.rest.is_empty() {
                Ok(false)
            } else {
                Err(malformed("bytes after the last command"))
            };
        }
        self.left -= 1;
        read_command(&mut self.rest, args)?;
        Ok(true)
    }
}

fn read_command<'a>(rest: &mut &'a [u8], args: &mut Vec<&'a [u8]>) -> Result<(), StorageError> {
    args.clear();
    let argc = read_u32(rest)?;
    for _ in 0..argc {
        let length = read_u32(rest)? as usize;
        let (arg, tail) =
            rest.split_at_checked(length).ok_or_else(|| malformed("an argument is cut short"))?;
        args.push(arg);
        *rest = tail;
    }
    if args.is_empty() {
        return Err(malformed("a command without a name"));
    }
    Ok(())
}

fn read_u32(rest: &mut &[u8]) -> Result<u32, StorageError> {
    rest.try_get_u32_le().map_err(|_| malformed("a length is cut short"))
}

fn malformed(reason: &str) -> StorageError {
    StorageError::Malformed { what: "batch", reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut first = CommandBuffer::default();
        first.push(&[b"SET", b"k", b"\r\n\0\xff"]);
        first.push(&[b"PING"]);
        let mut second = CommandBuffer::default();
        second.push(&[b"GET", b""]);
        let batch = Batch::decode(Batch::new(7, 9, [&first, &second]).raw().clone()).unwrap();
        assert_eq!((batch.now_ms(), batch.seed(), batch.count()), (7, 9, 3));
        let (mut commands, mut args, mut seen) = (batch.commands(), Vec::new(), Vec::new());
        while commands.next_into(&mut args).unwrap() {
            seen.push(args.iter().map(|arg| arg.to_vec()).collect::<Vec<_>>());
        }
        assert_eq!(seen[0], [b"SET".to_vec(), b"k".to_vec(), b"\r\n\0\xff".to_vec()]);
        assert_eq!(seen[1], [b"PING".to_vec()]);
        assert_eq!(seen[2], [b"GET".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn a_batch_cut_anywhere_is_an_error_and_not_a_panic() {
        let mut group = CommandBuffer::default();
        group.push(&[b"SET", b"key", b"value"]);
        let whole = Batch::new(1, 2, [&group]).raw().clone();
        for length in 0..whole.len() {
            let Ok(batch) = Batch::decode(whole.slice(..length)) else { continue };
            assert!(batch.commands().next_into(&mut Vec::new()).is_err(), "cut at {length}");
        }
    }
}
