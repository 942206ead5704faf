//! Requests that are too long, replies that are cut.

use std::io::{Read, Write};

use tests::differential::resp::Frame;
use tests::raw::encode;

use crate::{AT_ONCE, on_each, stand_in};

#[test]
fn a_large_reply_is_cut_and_its_connection_hangs() {
    let server = stand_in(&AT_ONCE);
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
fn replies_can_be_cut_as_over_a_link_that_is_not_loopback() {
    let server = stand_in(&[&AT_ONCE[..], &["--cut-replies-at", "78192"]].concat());
    let mut client = server.raw();
    for (key, size) in [("fine", 64 << 10), ("large", 96 << 10)] {
        client.call(&[b"SET", key.as_bytes(), &vec![b'x'; size]]);
    }
    assert!(matches!(client.call(&[b"GET", b"fine"]), Frame::Bulk(value) if value.len() == 64 << 10));
    client.send(&[b"GET", b"large"]);
    client.stream.read_exact(&mut vec![0; 78_192]).unwrap();
    assert!(client.hangs());
}

#[test]
fn a_request_is_too_long_by_its_arguments_times_its_bytes() {
    // A command, how many elements or pairs with keys of 7 bytes, the bytes of each value, and whether it is taken.
    let requests = [
        ("MSET", 5000, 100, true),
        ("MSET", 6000, 100, false),
        ("MSET", 10_000, 10, true),
        ("MSET", 10_000, 50, false),
        ("MSET", 15_000, 1, false),
        ("MSET", 1000, 2000, true),
        ("MSET", 1000, 4000, false),
        ("MSET", 500, 10_000, true),
        ("MSET", 500, 32_000, false),
        ("RPUSH", 30_000, 1, true),
        ("RPUSH", 40_000, 1, false),
        ("RPUSH", 2000, 1024, true),
        ("RPUSH", 3000, 1024, false),
    ];
    on_each(|server| {
        for (index, (name, count, size, taken)) in requests.into_iter().enumerate() {
            let (list, value) = (format!("list{index}"), vec![b'x'; size]);
            let keys: Vec<String> = (0..count).map(|key| format!("{key:07}")).collect();
            let mut args = vec![name.as_bytes()];
            if name == "MSET" {
                keys.iter().for_each(|key| args.extend([key.as_bytes(), &value]));
            } else {
                args.push(list.as_bytes());
                args.extend(std::iter::repeat_n(&value[..], count));
            }
            let mut client = server.raw();
            // It may be reset before all is sent.
            let sent = client.stream.write_all(&encode(&args));
            let answered = sent.and_then(|()| client.stream.read_exact(&mut [0; 1]));
            assert_eq!(answered.is_ok(), taken, "{name}, {count} times {size} bytes: {answered:?}");
        }
    });
}

#[test]
fn a_broken_request_closes_without_a_word() {
    on_each(|server| {
        for request in [&b"*x\r\n"[..], b"*2\r\n$3\r\nGET\r\n$x\r\n"] {
            let mut client = server.raw();
            client.stream.write_all(request).unwrap();
            assert_eq!(client.stream.read(&mut [0; 1]).unwrap(), 0);
        }
    });
}
