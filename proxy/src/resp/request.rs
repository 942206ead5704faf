//! The request parser: bytes that arrive in any pieces become commands.
//!
//! It never starts over on partial input, never reserves memory for what is only announced, and copies nothing:
//! one round's commands are ranges in one frozen part of the read buffer. Texts of errors are Redis's.

use bytes::{Bytes, BytesMut};

use crate::resp::inline;

/// The longest inline command, and the longest line that holds a length (Redis's `PROTO_INLINE_MAX_SIZE`).
const MAX_LINE: usize = 64 * 1024;
/// The most arguments of a command before AUTH.
const UNAUTHENTICATED_ARGS: usize = 10;
/// The longest argument before AUTH.
const UNAUTHENTICATED_BULK: usize = 16 * 1024;
/// Arguments at which a round ends, so that the ranges of one round stay small.
const ARGS_PER_ROUND: usize = 64 * 1024;
/// A buffer or a list longer than this is given back to the allocator after use.
const KEEP_BYTES: usize = 256 * 1024;
/// The space made for each read while nothing long is expected.
const READ_BYTES: usize = 16 * 1024;
/// The most space made for one read.
const READ_BYTES_MOST: usize = 256 * 1024;
/// A buffer with this much of one bulk string in it grows no further than the string is long.
const GROWN: usize = 1024 * 1024;

/// The input breaks the protocol. It is answered as `-ERR Protocol error: <text>` and the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum ProtocolError {
    #[error("too big inline request")]
    BigInline,
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    #[error("too big mbulk count string")]
    BigCountLine,
    #[error("invalid multibulk length")]
    BadCount,
    #[error("unauthenticated multibulk length")]
    UnauthenticatedCount,
    #[error("too big bulk count string")]
    BigBulkLine,
    #[error("expected '$', got '{0}'")]
    NoBulk(char),
    #[error("invalid bulk length")]
    BadBulk,
    #[error("unauthenticated bulk length")]
    UnauthenticatedBulk,
    /// Redis takes any two bytes there; a length that is off by a few would make data into commands.
    #[error("a bulk string is not followed by CRLF")]
    NoTerminator,
    #[error("request is larger than query_buffer_bytes")]
    BigRequest,
}

/// What a request may be at most.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// The longest argument, bytes.
    pub bulk_bytes: usize,
    /// The most arguments.
    pub args: usize,
    /// The longest request, bytes.
    pub request_bytes: usize,
    /// Whether the connection may send more than AUTH needs.
    pub authenticated: bool,
}

/// The commands of one round.
#[derive(Debug, Default)]
pub struct Requests {
    bytes: Bytes,
    args: Vec<(usize, usize)>,
    ends: Vec<usize>,
    /// The bytes of all arguments.
    arg_bytes: usize,
    /// The size of the buffer that `bytes` are in, if the parser has given it up.
    allocated: usize,
}

impl Requests {
    /// The number of commands.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all commands on the wire.
    pub fn wire_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of all arguments of all commands.
    pub fn arg_bytes(&self) -> usize {
        self.arg_bytes
    }

    /// The memory that they take beside the parser's.
    pub fn memory(&self) -> usize {
        self.allocated + lists(&self.args) + self.ends.capacity() * size_of::<usize>()
    }

    /// The arguments of a command, its name first; there is at least the name.
    pub fn args(&self, index: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        self.ranges(index).iter().map(|(start, end)| &self.bytes[*start..*end])
    }

    /// The arguments of a command as parts of the read buffer.
    pub fn shared_args(&self, index: usize) -> Vec<Bytes> {
        self.ranges(index).iter().map(|(start, end)| self.bytes.slice(*start..*end)).collect()
    }

    /// Forgets the commands and lets go of the buffer, so that it can be used again.
    pub fn clear(&mut self) {
        self.bytes = Bytes::new();
        self.args.clear();
        self.ends.clear();
        (self.arg_bytes, self.allocated) = (0, 0);
        if lists(&self.args) > KEEP_BYTES {
            self.args = Vec::new();
        }
    }

    fn ranges(&self, index: usize) -> &[(usize, usize)] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.args[start..self.ends[index]]
    }

    fn push(&mut self, start: usize, args: &[(usize, usize)], arg_bytes: usize) {
        self.args.extend(args.iter().map(|(from, to)| (start + from, start + to)));
        self.arg_bytes += arg_bytes;
        self.ends.push(self.args.len());
    }
}

/// The parser of one connection's input.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// What is not parsed, or belongs to a command that is not complete.
    buffer: BytesMut,
    /// How far the buffer is parsed.
    at: usize,
    /// How many bytes behind `at` are known not to end the line.
    scanned: usize,
    /// Arguments of the unfinished command that are still to come; 0 before its header.
    left: usize,
    /// The length of the argument that comes next, once it is announced.
    bulk: Option<usize>,
    /// The arguments of the unfinished command, relative to its start.
    args: Vec<(usize, usize)>,
    /// Their bytes.
    arg_bytes: usize,
    /// The size of the allocation that the buffer is a part of.
    allocated: usize,
}

/// The memory of a list of ranges.
fn lists(ranges: &Vec<(usize, usize)>) -> usize {
    ranges.capacity() * size_of::<(usize, usize)>()
}

/// What one step of the parser found.
enum Parsed {
    Command,
    Nothing,
    Partial,
}

impl RequestParser {
    /// The buffer to read into, with some room. The room follows what is announced in steps, so that an
    /// announcement alone reserves little.
    pub fn buffer(&mut self) -> &mut BytesMut {
        let length = self.buffer.len();
        let (bulk, wanted) = self.bulk.map_or((0, 0), |bulk| (bulk, self.at + bulk + 2));
        let missing = wanted.saturating_sub(length);
        let spare = self.buffer.capacity() - length;
        if length >= GROWN && missing > 0 && bulk >= wanted / 2 {
            // A bulk string that is most of the buffer: twice as large each time, but no larger than all of it.
            if spare < missing.min(READ_BYTES / 2) {
                self.grow((length * 2).min(wanted));
            }
        } else {
            let room = missing.clamp(READ_BYTES, READ_BYTES_MOST);
            if spare < room.min(READ_BYTES / 2) {
                self.buffer.reserve(room);
                self.allocated = self.buffer.capacity();
            }
        }
        &mut self.buffer
    }

    fn grow(&mut self, size: usize) {
        let mut grown = BytesMut::with_capacity(size);
        grown.extend_from_slice(&self.buffer);
        self.buffer = grown;
        self.allocated = self.buffer.capacity();
    }

    /// Bytes that have arrived and are not parsed yet.
    pub fn unparsed(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Room for more of them.
    pub fn free(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// The bytes of the arguments of the command that is not complete.
    pub fn arg_bytes(&self) -> usize {
        self.arg_bytes
    }

    /// The memory of the buffer and of the lists.
    pub fn memory(&self) -> usize {
        self.allocated.max(self.buffer.capacity()) + lists(&self.args)
    }

    /// Moves the complete commands at the front of the buffer, at most `most`, into `out`. On an error `out` holds
    /// the commands before it.
    pub fn parse(
        &mut self,
        limits: &RequestLimits,
        most: usize,
        out: &mut Requests,
    ) -> Result<(), ProtocolError> {
        out.clear();
        let mut start = 0;
        let mut result = Ok(());
        while out.len() < most && out.args.len() < ARGS_PER_ROUND {
            match self.step(start, limits) {
                Ok(Parsed::Command) => out.push(start, &self.args, self.arg_bytes),
                Ok(Parsed::Nothing) => {}
                Ok(Parsed::Partial) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            start = self.at;
            self.args.clear();
            self.arg_bytes = 0;
        }
        self.release(start, out);
        if result.is_ok() && self.buffer.len() > limits.request_bytes && out.is_empty() {
            return Err(ProtocolError::BigRequest);
        }
        result
    }

    /// Hands the parsed part of the buffer over, and keeps no large allocation for a small rest.
    fn release(&mut self, parsed: usize, out: &mut Requests) {
        if parsed == 0 {
            return;
        }
        out.bytes = self.buffer.split_to(parsed).freeze();
        self.at -= parsed;
        if parsed > KEEP_BYTES && self.buffer.len() < KEEP_BYTES {
            out.allocated = self.allocated.max(parsed);
            self.buffer = BytesMut::from(&self.buffer[..]);
            self.allocated = self.buffer.capacity();
        }
        if self.args.is_empty() && lists(&self.args) > KEEP_BYTES {
            self.args = Vec::new();
        }
    }

    /// Goes on with the command that begins at `start`.
    fn step(&mut self, start: usize, limits: &RequestLimits) -> Result<Parsed, ProtocolError> {
        if self.left == 0 {
            match self.buffer.get(start) {
                None => return Ok(Parsed::Partial),
                Some(b'*') => {
                    let Some(count) = self.count(limits)? else { return Ok(Parsed::Partial) };
                    if count == 0 {
                        return Ok(Parsed::Nothing);
                    }
                    self.left = count;
                }
                Some(_) => return self.inline(start),
            }
        }
        while self.left > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_length(limits)? {
                    Some(length) => *self.bulk.insert(length),
                    None => return Ok(Parsed::Partial),
                },
            };
            let end = self.at + length;
            match self.buffer.get(end..end + 2) {
                None => return Ok(Parsed::Partial),
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::NoTerminator),
            }
            self.args.push((self.at - start, end - start));
            self.arg_bytes += length;
            self.at = end + 2;
            self.bulk = None;
            self.left -= 1;
        }
        Ok(Parsed::Command)
    }

    /// Reads `*<count>`; 0 for no command.
    fn count(&mut self, limits: &RequestLimits) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.line_end(ProtocolError::BigCountLine, ProtocolError::BadCount)? else {
            return Ok(None);
        };
        let count = number(&self.buffer[self.at + 1..end]).ok_or(ProtocolError::BadCount)?;
        let count = usize::try_from(count.max(0)).map_err(|_| ProtocolError::BadCount)?;
        if count > limits.args {
            return Err(ProtocolError::BadCount);
        }
        if count > UNAUTHENTICATED_ARGS && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedCount);
        }
        self.at = end + 2;
        Ok(Some(count))
    }

    /// Reads `$<length>`.
    fn bulk_length(&mut self, limits: &RequestLimits) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self.line_end(ProtocolError::BigBulkLine, ProtocolError::BadBulk)? else {
            return Ok(None);
        };
        let kind = self.buffer[self.at];
        if kind != b'$' {
            // Line breaks would break the error's own line.
            let shown = if matches!(kind, b'\r' | b'\n') { ' ' } else { char::from(kind) };
            return Err(ProtocolError::NoBulk(shown));
        }
        let length = number(&self.buffer[self.at + 1..end]).ok_or(ProtocolError::BadBulk)?;
        let length = usize::try_from(length).map_err(|_| ProtocolError::BadBulk)?;
        if length > limits.bulk_bytes {
            return Err(ProtocolError::BadBulk);
        }
        if length > UNAUTHENTICATED_BULK && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        self.at = end + 2;
        Ok(Some(length))
    }

    /// Finds the CRLF of the line at `at`; none while it has not arrived.
    fn line_end(
        &mut self,
        too_long: ProtocolError,
        bad: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let rest = &self.buffer[self.at..];
        let Some(found) = memchr::memchr(b'\r', &rest[self.scanned..]) else {
            self.scanned = rest.len();
            return if rest.len() > MAX_LINE { Err(too_long) } else { Ok(None) };
        };
        let end = self.scanned + found;
        match rest.get(end + 1) {
            None => {
                self.scanned = end;
                Ok(None)
            }
            Some(b'\n') => {
                self.scanned = 0;
                Ok(Some(self.at + end))
            }
            Some(_) => Err(bad),
        }
    }

    /// Reads an inline command.
    fn inline(&mut self, start: usize) -> Result<Parsed, ProtocolError> {
        let rest = &mut self.buffer[start..];
        let Some(found) = memchr::memchr(b'\n', &rest[self.scanned..]) else {
            self.scanned = rest.len();
            return if rest.len() > MAX_LINE { Err(ProtocolError::BigInline) } else { Ok(Parsed::Partial) };
        };
        let end = self.scanned + found;
        if end > MAX_LINE {
            return Err(ProtocolError::BigInline);
        }
        self.scanned = 0;
        self.at = start + end + 1;
        inline::split(&mut rest[..end], 0, &mut self.args).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        self.arg_bytes = self.args.iter().map(|(from, to)| to - from).sum();
        Ok(if self.args.is_empty() { Parsed::Nothing } else { Parsed::Command })
    }
}

/// Reads a length as Redis does: strictly, no sign but `-`, no leading zero.
fn number(digits: &[u8]) -> Option<i64> {
    match digits {
        [first @ b'1'..=b'9', rest @ ..] if rest.len() < 9 => {
            rest.iter().try_fold(i64::from(first - b'0'), |value, digit| {
                digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
            })
        }
        _ => adapter::command::arg::parse_i64(digits),
    }
}
