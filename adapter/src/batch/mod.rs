//! How commands travel: the body of a log entry, encoded once where the command arrives and sliced, never
//! copied, everywhere else.
//!
//! ```text
//! batch    := commands | piece | last | raise
//! commands := 1 u8 | now_ms u64 | seed u64 | count u32 | command * count
//! command  := argc u32 | (length u32 | bytes) * argc
//! piece    := 2 u8 | 0 u64 | upload u64 | 0 u32 | total u64 | offset u64 | bytes
//! last     := 3 u8 | now_ms u64 | seed u64 | count u32 | upload u64 | total u64
//! raise    := 4 u8 | 0 u64 | cluster version u64 | 0 u32
//! ```
//! Commands that are too large for one entry of the log travel in pieces of their bytes, one behind the other, so that
//! nothing else waits for all of them. They take effect where the `last` is, and not at all without it.
//!
//! All numbers are little-endian. The log store and the network add their own checksums.

mod assembly;

use bytes::{Buf, BufMut, Bytes, BytesMut};

pub use assembly::{Assembly, LongArgument};

use crate::error::StorageError;

const COMMANDS: u8 = 1;
const PIECE: u8 = 2;
const LAST: u8 = 3;
const RAISE: u8 = 4;
/// Bytes of a batch before its first command.
pub const HEADER: usize = 1 + 8 + 8 + 4;
/// Bytes of a piece before those that it carries.
const PIECE_HEADER: usize = HEADER + 8 + 8;
/// Bytes of what ends an upload.
const LAST_SIZE: usize = HEADER + 8 + 8;

/// Commands of one submitter, encoded back to back, in the order in which they take effect.
#[derive(Clone, Debug, Default)]
pub struct CommandBuffer {
    bytes: BytesMut,
    count: u32,
    args: u64,
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
        self.args += args.len() as u64;
    }

    /// Adopts commands that a peer encoded, after checking their form.
    pub fn decode(bytes: &[u8], count: u32) -> Result<Self, StorageError> {
        let mut rest = bytes;
        let (mut args, mut all_args) = (Vec::new(), 0);
        for _ in 0..count {
            read_command(&mut rest, &mut args)?;
            all_args += args.len() as u64;
        }
        if !rest.is_empty() {
            return Err(malformed("bytes after the last command"));
        }
        Ok(Self { bytes: BytesMut::from(bytes), count, args: all_args })
    }

    /// Adds all commands of `other` behind these.
    pub fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        self.count += other.count;
        self.args += other.args;
    }

    /// The number of commands.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The number of arguments of all commands, their names among them.
    pub fn args(&self) -> u64 {
        self.args
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
    /// The upload in which it came.
    #[serde(skip)]
    upload: Option<u64>,
    /// The revision that its commands give to what they change.
    #[serde(skip)]
    revision: u64,
}

impl Batch {
    fn of(raw: Bytes) -> Self {
        Self { raw, upload: None, revision: 0 }
    }

    /// Joins commands into a batch. `now_ms` is Unix time in milliseconds; `seed` decides everything random.
    pub fn new<'a>(
        now_ms: u64,
        seed: u64,
        groups: impl IntoIterator<Item = &'a CommandBuffer> + Clone,
    ) -> Self {
        let size: usize = groups.clone().into_iter().map(|group| group.bytes.len()).sum();
        let count: u32 = groups.clone().into_iter().map(|group| group.count).sum();
        let mut raw = BytesMut::with_capacity(HEADER + size);
        put_header(&mut raw, COMMANDS, now_ms, seed, count);
        for group in groups {
            raw.put_slice(&group.bytes);
        }
        Self::of(raw.freeze())
    }

    /// Some bytes of commands that come in pieces: `total` is how many there are, `upload` what the pieces are known
    /// by.
    pub fn piece(upload: u64, total: u64, offset: u64, bytes: &[u8]) -> Self {
        let mut raw = BytesMut::with_capacity(PIECE_HEADER + bytes.len());
        put_header(&mut raw, PIECE, 0, upload, 0);
        raw.put_u64_le(total);
        raw.put_u64_le(offset);
        raw.put_slice(bytes);
        Self::of(raw.freeze())
    }

    /// Has the commands take effect whose pieces are all there; there are `count` of them.
    pub fn last(now_ms: u64, seed: u64, count: u32, upload: u64, total: u64) -> Self {
        let mut raw = BytesMut::with_capacity(LAST_SIZE);
        put_header(&mut raw, LAST, now_ms, seed, count);
        raw.put_u64_le(upload);
        raw.put_u64_le(total);
        Self::of(raw.freeze())
    }

    /// Raises the version of the cluster's stored and sent forms. It is the log owner's: no storage is given it.
    pub fn raise(version: u16) -> Self {
        let mut raw = BytesMut::with_capacity(HEADER);
        put_header(&mut raw, RAISE, 0, version.into(), 0);
        Self::of(raw.freeze())
    }

    /// Takes a batch from the log or the network. Only the header is checked here; [`Batch::commands`] checks
    /// the rest as it reads.
    pub fn decode(raw: Bytes) -> Result<Self, StorageError> {
        match (raw.first(), raw.len()) {
            (Some(&COMMANDS), HEADER..) | (Some(&PIECE), PIECE_HEADER..) | (Some(&LAST), LAST_SIZE) => {
                Ok(Self::of(raw))
            }
            (Some(&RAISE), HEADER) => {
                let batch = Self::of(raw);
                let is_raise = batch.count() == 0 && u16::try_from(batch.seed()).is_ok();
                if is_raise { Ok(batch) } else { Err(malformed("not a cluster version")) }
            }
            (Some(&(COMMANDS | PIECE | LAST | RAISE)), _) => {
                Err(malformed("of another length than its header"))
            }
            (Some(other), _) => Err(malformed(&format!("unknown version {other}"))),
            (None, _) => Err(malformed("empty")),
        }
    }

    /// What it is.
    pub fn form(&self) -> Form<'_> {
        let number = |at: usize| (&self.raw[at..]).get_u64_le();
        match self.raw[0] {
            PIECE => Form::Piece {
                upload: self.seed(),
                total: number(HEADER),
                offset: number(HEADER + 8),
                bytes: &self.raw[PIECE_HEADER..],
            },
            // `decode` has checked that it fits.
            RAISE => Form::Raise { version: u16::try_from(self.seed()).unwrap_or(u16::MAX) },
            LAST => Form::Last { upload: number(HEADER), total: number(HEADER + 8) },
            _ => Form::Commands,
        }
    }

    /// The upload in which its commands came, if they came in pieces.
    pub fn upload(&self) -> Option<u64> {
        self.upload
    }

    /// The same, giving this revision to the keys that its commands change.
    pub fn at_revision(self, revision: u64) -> Self {
        Self { revision, ..self }
    }

    /// The revision that its commands give to what they change; 0 where none are kept.
    pub fn revision(&self) -> u64 {
        self.revision
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

/// What a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// Commands, to be run.
    Commands,
    /// Bytes of commands.
    Piece {
        /// What belongs together.
        upload: u64,
        /// Bytes of all pieces.
        total: u64,
        /// Where these belong.
        offset: u64,
        /// These.
        bytes: &'a [u8],
    },
    /// The cluster version rises.
    Raise {
        /// To what.
        version: u16,
    },
    /// The commands of an upload, to be run.
    Last {
        /// Which.
        upload: u64,
        /// Bytes of all pieces.
        total: u64,
    },
}

fn put_header(raw: &mut BytesMut, form: u8, now_ms: u64, seed: u64, count: u32) {
    raw.put_u8(form);
    raw.put_u64_le(now_ms);
    raw.put_u64_le(seed);
    raw.put_u32_le(count);
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
    fn commands_in_pieces_come_out_as_they_went_in() {
        let mut group = CommandBuffer::default();
        group.push(&[b"SET", b"k", &[7; 1000]]);
        group.push(&[b"GET", b"k"]);
        assert_eq!(group.args(), 5);
        let (total, mut assembly) = (group.bytes().len() as u64, None);
        let pieces: Vec<&[u8]> = group.bytes().chunks(300).collect();
        for (number, piece) in pieces.iter().enumerate() {
            let piece = Batch::piece(42, total, number as u64 * 300, piece);
            let decoded = Batch::decode(piece.raw().clone()).unwrap();
            let Form::Piece { upload, total, offset, bytes } = decoded.form() else { panic!("{decoded:?}") };
            assert!(decoded.commands().next_into(&mut Vec::new()).is_err(), "a piece is no commands");
            assert!(assembly.get_or_insert_with(|| Assembly::new(upload, total)).add(offset, bytes));
        }
        let last = Batch::decode(Batch::last(7, 9, 2, 42, total).raw().clone()).unwrap();
        assert_eq!(last.form(), Form::Last { upload: 42, total });
        let whole = assembly.unwrap().finish(&last).unwrap();
        assert_eq!(whole.raw(), Batch::new(7, 9, [&group]).raw());
        assert_eq!(whole.upload(), Some(42));
        assert_eq!(whole.form(), Form::Commands);
    }

    #[test]
    fn an_upload_with_a_hole_or_of_another_length_is_none() {
        let mut assembly = Assembly::new(1, 10);
        assert!(assembly.add(0, b"01234"));
        assert!(!assembly.add(6, b"6789"));
        assert!(!assembly.add(5, b"56789x"));
        assert!(Assembly::new(1, 10).finish(&Batch::last(0, 0, 0, 1, 10)).is_none());
        assert!(assembly.add(5, b"56789"));
        assert!(assembly.finish(&Batch::last(0, 0, 0, 1, 0)).is_none());
    }

    #[test]
    fn a_raise_of_the_version_comes_back_and_has_no_commands() {
        let raise = Batch::raise(7);
        let read = Batch::decode(raise.raw().clone()).unwrap();
        assert_eq!((read.form(), read.count()), (Form::Raise { version: 7 }, 0));
        assert!(!read.commands().next_into(&mut Vec::new()).unwrap());
        for length in 0..raise.raw().len() {
            assert!(Batch::decode(raise.raw().slice(..length)).is_err(), "cut at {length}");
        }
        let mut strange = raise.raw().to_vec();
        strange[12] = 1;
        assert!(Batch::decode(strange.into()).is_err());
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
