//! The generic commands beside a real `redis-server`, which must be installed: the same calls, the same answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its failure")]

mod calls;
mod large;
mod payloads;
mod server;
mod sorting;
mod table;

use std::time::{SystemTime, UNIX_EPOCH};

use server::Server;

use crate::command::{self, arg};
use crate::keyspace::{Direction, End, Flow, Keyspace, KeyspaceMut};
use crate::memory::MemoryKeyspace;
use crate::reply::Reply;

/// A real server and a keyspace that are given the same calls.
struct Pair {
    server: Server,
    ours: MemoryKeyspace,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Runs a call on our side; the reply as RESP2.
fn run(ours: &mut MemoryKeyspace, args: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let reply = match fixture(ours, args) {
        Some(reply) => reply,
        None => command::write(ours, args, 7).unwrap_or_else(Reply::from_stop),
    };
    encode(&reply, &mut out);
    out
}

/// The few calls of other groups that make keys and show them, straight on the primitives: these tests are about
/// this group alone.
fn fixture(ours: &mut MemoryKeyspace, args: &[&[u8]]) -> Option<Reply> {
    let (name, rest) = args.split_first()?;
    let (key, values) = rest.split_first()?;
    let pairs = values.chunks_exact(2);
    let count = match *name {
        b"set" => {
            ours.string_put(key, values[0], None).unwrap();
            return Some(Reply::OK);
        }
        b"rpush" => {
            values.iter().for_each(|element| ours.list_push(key, End::Tail, element).unwrap());
            ours.meta(key).unwrap().map_or(0, |meta| meta.len as usize)
        }
        b"lrange" => {
            let mut found = Vec::new();
            let each = &mut |_, element: &[u8]| {
                found.push(Reply::bulk(element));
                Flow::Continue(())
            };
            ours.list_visit(key, 0, Direction::Forward, each).unwrap();
            return Some(Reply::Array(found));
        }
        b"sadd" => values.iter().filter(|member| ours.set_put(key, member).unwrap()).count(),
        b"hset" => pairs.filter(|pair| ours.hash_put(key, pair[0], pair[1]).unwrap()).count(),
        b"zadd" => {
            let score = |text: &[u8]| arg::parse_f64(text).unwrap();
            pairs.filter(|pair| ours.zset_put(key, pair[1], score(pair[0])).unwrap().is_none()).count()
        }
        _ => return None,
    };
    Some(Reply::count(count as u64))
}

impl Pair {
    fn start() -> Self {
        Self { server: Server::start(), ours: MemoryKeyspace::new(now_ms()) }
    }

    /// Makes both sides run the same call and checks that they answer the same.
    fn same(&mut self, args: &[&[u8]]) {
        self.ours.set_now(now_ms());
        let theirs = self.server.call(args);
        let ours = run(&mut self.ours, args);
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let call: Vec<_> = args.iter().map(|arg| text(arg)).collect();
        assert_eq!(text(&ours), text(&theirs), "left is ours: {}", call.join(" "));
    }

    /// The same for each line. Words are parted by one blank; `""` is nothing, `~` is a blank.
    fn same_lines(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<_> = line
                .split(' ')
                .map(|word| if word == "\"\"" { String::new() } else { word.replace('~', " ") })
                .collect();
            let args: Vec<_> = words.iter().map(String::as_bytes).collect();
            self.same(&args);
        }
    }

    /// Gives a key of the server to ours by DUMP and RESTORE, and checks that it comes back unchanged.
    fn travels(&mut self, key: &[u8]) {
        self.ours.set_now(now_ms());
        let payload = server::bulk(&self.server.call(&[b"DUMP", key])).expect("the key is there");
        assert_eq!(run(&mut self.ours, &[b"RESTORE", key, b"0", &payload, b"REPLACE"]), b"+OK\r\n");
        self.returns(key, key);
    }

    /// Checks that a key of ours, given to the server, equals the server's `original`.
    fn returns(&mut self, key: &[u8], original: &[u8]) {
        let payload = server::bulk(&run(&mut self.ours, &[b"DUMP", key])).expect("the key is there");
        let restored = self.server.call(&[b"RESTORE", b"returned", b"0", &payload, b"REPLACE"]);
        assert_eq!(restored.escape_ascii().to_string(), r"+OK\r\n");
        let digests = self.server.call(&[b"DEBUG", b"DIGEST-VALUE", b"returned", original]);
        let digests: Vec<_> = digests.split(|byte| *byte == b'\n').filter(|line| line.len() > 30).collect();
        assert_eq!(digests.len(), 2);
        assert_eq!(digests[0], digests[1], "{} came back changed", original.escape_ascii());
    }
}

/// The reply as RESP2 has it. Doubles are not needed here.
fn encode(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Status(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
        Reply::Error(text) => out.extend_from_slice(format!("-{text}\r\n").as_bytes()),
        Reply::Integer(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
        Reply::Null => out.extend_from_slice(b"$-1\r\n"),
        Reply::Bulk(bytes) => {
            out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Array(items) => {
            out.extend_from_slice(format!("*{}\r\n", items.len()).as_bytes());
            items.iter().for_each(|item| encode(item, out));
        }
        other => panic!("no generic command answers {other:?}"),
    }
}
