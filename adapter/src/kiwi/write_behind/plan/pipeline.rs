//! The requests for one key other than a list.
//!
//! Fields are set by `HMSET`, which Kiwi writes in one go; `HSET` writes field by field and takes twice as long.

use super::Content;
use crate::keyspace::Kind;
use crate::kiwi::client::{Request, RequestPacker};

/// Pipelines for one collection. Kiwi takes 1,000 fields in 18 ms from one pipeline, most of it waiting, and in 6
/// ms from eight; more make no difference.
const PARALLEL_PIPELINES: usize = 8;

/// The requests for one key.
pub(super) struct Pipeline<'a> {
    pub(super) content: &'a Content<'a>,
    pub(super) requests: Vec<Request>,
    pub(super) puts: RequestPacker,
    pub(super) removes: RequestPacker,
    /// Kiwi has nothing of it yet.
    pub(super) is_new: bool,
    /// Adjacent pieces of a string, joined: their offset and their bytes.
    pending_write: Option<(u64, Vec<u8>)>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(content: &'a Content<'a>) -> Self {
        let (put, remove): (&[u8], &[u8]) = match content.kind {
            Kind::Hash => (b"HMSET", b"HDEL"),
            Kind::Set => (b"SADD", b"SREM"),
            Kind::SortedSet => (b"ZADD", b"ZREM"),
            Kind::String | Kind::List => (b"", b""),
        };
        let (puts, removes) =
            (RequestPacker::new(&[put, content.key]), RequestPacker::new(&[remove, content.key]));
        Self { content, requests: Vec::new(), puts, removes, is_new: false, pending_write: None }
    }

    /// Kiwi confuses members that are not UTF-8 when they come in one request.
    pub(super) fn put_one(&mut self, args: &[&[u8]], member: &[u8]) {
        add_member(&mut self.puts, args, member);
    }

    pub(super) fn remove_one(&mut self, member: &[u8]) {
        add_member(&mut self.removes, &[member], member);
    }

    /// Writes a piece of a string.
    pub(super) fn write_piece(&mut self, offset: u64, value: &[u8]) {
        match &mut self.pending_write {
            Some((start, bytes)) if *start + bytes.len() as u64 == offset => bytes.extend_from_slice(value),
            // Gaps in a new string are zeros.
            Some((start, bytes)) if self.is_new => {
                bytes.resize((offset - *start) as usize, 0);
                bytes.extend_from_slice(value);
            }
            _ => {
                self.end_pending_write();
                self.pending_write = Some((offset, value.to_vec()));
            }
        }
    }

    fn end_pending_write(&mut self) {
        if let Some((start, bytes)) = self.pending_write.take() {
            if self.is_new && start == 0 {
                self.requests.push(Request::new(&[b"SET", self.content.key, &bytes]));
                return;
            }
            let start = start.to_string();
            self.requests.push(Request::new(&[b"SETRANGE", self.content.key, start.as_bytes(), &bytes]));
        }
    }

    /// The requests, in pipelines. Changes of members of a collection that Kiwi already has need no order: each
    /// member is in one request only.
    pub(super) fn finish(mut self) -> Vec<Vec<Request>> {
        self.end_pending_write();
        let members = self.removes.finish().into_iter().chain(self.puts.finish());
        if !self.requests.is_empty() {
            self.requests.extend(members);
            return vec![self.requests];
        }
        let mut pipelines = vec![Vec::new(); PARALLEL_PIPELINES];
        members
            .enumerate()
            .for_each(|(number, request)| pipelines[number % PARALLEL_PIPELINES].push(request));
        pipelines.retain(|pipeline| !pipeline.is_empty());
        pipelines
    }
}

fn add_member(requests: &mut RequestPacker, args: &[&[u8]], member: &[u8]) {
    if std::str::from_utf8(member).is_ok() {
        requests.push(args);
    } else {
        requests.close();
        requests.push(args);
        requests.close();
    }
}
