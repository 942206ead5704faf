//! The RESP client of the benchmark: one task a connection, a whole pipeline sent and awaited at a time.

use std::io::{Read, Write};
use std::time::Instant;

use tests::raw::encode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{KEYS, Keys, Load, Operation, VALUE};

/// Keys that are written by one command at the beginning: a Kiwi takes longer for a command than for a hundred keys.
const PRELOAD: u64 = 500;

fn request(out: &mut Vec<u8>, operation: Operation, keys: &mut Keys) {
    match operation {
        Operation::Set => {
            let key = keys.next();
            write!(out, "*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n${VALUE}\r\n").unwrap();
            out.resize(out.len() + VALUE, b'x');
            out.extend_from_slice(b"\r\n");
        }
        Operation::Get => write!(out, "*2\r\n$3\r\nGET\r\n$16\r\nkey:{:012}\r\n", keys.next()).unwrap(),
        Operation::SetGet => {
            request(out, Operation::Set, keys);
            request(out, Operation::Get, keys);
        }
    }
}

/// Writes every key once.
pub(crate) fn preload(port: u16) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let value = [b'x'; VALUE];
    for first in (0..KEYS).step_by(PRELOAD as usize) {
        let keys: Vec<String> = (first..first + PRELOAD).map(|key| format!("key:{key:012}")).collect();
        let pairs = keys.iter().flat_map(|key| [key.as_bytes(), &value]);
        stream.write_all(&encode(&[&b"MSET"[..]].into_iter().chain(pairs).collect::<Vec<_>>())).unwrap();
        let mut answer = [0; b"+OK\r\n".len()];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"+OK"), "{}", String::from_utf8_lossy(&answer));
    }
}

/// Sends pipelines until `end`; the microseconds that each one took that began after `start`.
pub(crate) async fn client(port: u16, client: usize, load: Load, start: Instant, end: Instant) -> Vec<u32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut keys, mut out, mut times) = (Keys::new(client), Vec::new(), Vec::new());
    let mut input = vec![0; 64 * 1024];
    // Every reply to one operation is of one length: keys all exist, values are all of one size.
    let (set, get) = (b"+OK\r\n".len(), format!("${VALUE}\r\n").len() + VALUE + 2);
    let reply = match load.operation {
        Operation::Set => set,
        Operation::Get => get,
        Operation::SetGet => set + get,
    };
    loop {
        out.clear();
        for _ in 0..load.pipeline {
            request(&mut out, load.operation, &mut keys);
        }
        let sent = Instant::now();
        if sent >= end {
            return times;
        }
        stream.write_all(&out).await.unwrap();
        let mut left = reply * load.pipeline;
        while left > 0 {
            let n = stream.read(&mut input).await.unwrap();
            assert!(n > 0, "the server closed the connection");
            assert!(input[0] != b'-', "{}", String::from_utf8_lossy(&input[..n]));
            left = left.checked_sub(n).expect("a reply of another length");
        }
        if sent >= start {
            times.push(sent.elapsed().as_micros() as u32);
        }
    }
}
