//! The requests that change one key, but for lists.
//!
//! `HMSET` for fields: Kiwi writes all of one at once, those of `HSET` one by one, which takes twice the time.

use super::Content;
use crate::keyspace::Kind;
use crate::kiwi::command::{Filling, Request};

/// So many requests about one collection travel side by side. Kiwi has 1,000 fields in 18 ms from one lane, most of which
/// it waits, and in 6 ms from eight; more make no difference.
const SIDE_BY_SIDE: usize = 8;

/// The requests that change one key.
pub(super) struct Lane<'a> {
    pub(super) content: &'a Content<'a>,
    pub(super) requests: Vec<Request>,
    pub(super) puts: Filling,
    pub(super) removes: Filling,
    /// Kiwi has nothing of it.
    pub(super) is_new: bool,
    /// Neighbouring pieces of a string: where they begin, and their bytes.
    run: Option<(u64, Vec<u8>)>,
}

impl<'a> Lane<'a> {
    pub(super) fn new(content: &'a Content<'a>) -> Self {
        let (put, remove): (&[u8], &[u8]) = match content.kind {
            Kind::Hash => (b"HMSET", b"HDEL"),
            Kind::Set => (b"SADD", b"SREM"),
            Kind::SortedSet => (b"ZADD", b"ZREM"),
            Kind::String | Kind::List => (b"", b""),
        };
        let (puts, removes) = (Filling::new(&[put, content.key]), Filling::new(&[remove, content.key]));
        Self { content, requests: Vec::new(), puts, removes, is_new: false, run: None }
    }

    /// Kiwi takes two members that are not UTF-8 for one if they come together.
    pub(super) fn put_one(&mut self, args: &[&[u8]], member: &[u8]) {
        add_member(&mut self.puts, args, member);
    }

    pub(super) fn remove_one(&mut self, member: &[u8]) {
        add_member(&mut self.removes, &[member], member);
    }

    /// Writes a piece of a string.
    pub(super) fn write(&mut self, offset: u64, value: &[u8]) {
        match &mut self.run {
            Some((start, bytes)) if *start + bytes.len() as u64 == offset => bytes.extend_from_slice(value),
            // What is missing of a new string is zeros.
            Some((start, bytes)) if self.is_new => {
                bytes.resize((offset - *start) as usize, 0);
                bytes.extend_from_slice(value);
            }
            _ => {
                self.end_run();
                self.run = Some((offset, value.to_vec()));
            }
        }
    }

    fn end_run(&mut self) {
        if let Some((start, bytes)) = self.run.take() {
            if self.is_new && start == 0 {
                self.requests.push(Request::new(&[b"SET", self.content.key, &bytes]));
                return;
            }
            let start = start.to_string();
            self.requests.push(Request::new(&[b"SETRANGE", self.content.key, start.as_bytes(), &bytes]));
        }
    }

    /// The requests, in lanes. What is done to the members of a collection that Kiwi has needs no order: each is in one
    /// request.
    pub(super) fn finish(mut self) -> Vec<Vec<Request>> {
        self.end_run();
        let members = self.removes.finish().into_iter().chain(self.puts.finish());
        if !self.requests.is_empty() {
            self.requests.extend(members);
            return vec![self.requests];
        }
        let mut lanes = vec![Vec::new(); SIDE_BY_SIDE];
        members.enumerate().for_each(|(number, request)| lanes[number % SIDE_BY_SIDE].push(request));
        lanes.retain(|lane| !lane.is_empty());
        lanes
    }
}

fn add_member(requests: &mut Filling, args: &[&[u8]], member: &[u8]) {
    if std::str::from_utf8(member).is_ok() {
        requests.push(args);
    } else {
        requests.close();
        requests.push(args);
        requests.close();
    }
}
