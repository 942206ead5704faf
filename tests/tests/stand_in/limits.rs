//! Requests that are too long, replies that are cut.

use std::io::{ErrorKind, Read, Write};

use tests::differential::resp::Frame;

use crate::stand_in;

#[test]
fn a_large_reply_is_cut_and_its_connection_hangs() {
    let server = stand_in(&["--without", "batcher"]);
    let mut client = server.raw();
    for (key, size) in [("fine", 2 << 20), ("large", 4 << 20)] {
        assert_eq!(client.call(&[b"SET", key.as_bytes(), &vec![b'x'; size]]), Frame::Status("OK".into()));
    }
    assert!(matches!(client.call(&[b"GET", b"fine"]), Frame::Bulk(value) if value.len() == 2 << 20));
    client.send(&[b"GET", b"large"]);
    let mut part = vec![0; 3_866_614];
    client.stream.read_exact(&mut part).unwrap();
    client.send(&[b"PING"]);
    assert!(client.hangs());
    assert_eq!(server.raw().ask("GETRANGE large 0 2"), "\"xxx\"");
}

#[test]
fn a_long_request_resets_and_a_broken_one_closes_without_a_word() {
    let server = stand_in(&["--without", "batcher"]);
    let mut client = server.raw();
    let pairs = |count: usize| [&b"MSET"[..]].into_iter().chain(std::iter::repeat_n(&b"x"[..], 2 * count));
    assert_eq!(client.call(&pairs(10_000).collect::<Vec<_>>()), Frame::Status("OK".into()));
    client.send(&pairs(30_000).collect::<Vec<_>>());
    let error = client.stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let mut client = server.raw();
    client.stream.write_all(b"*1\r\nPING\r\n").unwrap();
    assert_eq!(client.stream.read(&mut [0; 1]).unwrap(), 0);
}
