//! Replies as bytes, in both protocols.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::IoSlice;

use adapter::Reply;
use bytes::Bytes;
use raft_proxy::resp::output::SLICES;
use raft_proxy::resp::reply::encode;
use raft_proxy::resp::{Output, Protocol};
use redis_protocol::resp2::decode::decode as decode2;
use redis_protocol::resp3::decode::complete::decode as decode3;

/// Takes everything out, `step` bytes at a time as a socket might.
fn drain(mut output: Output, step: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !output.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = output.slices(&mut slices);
        let next: Vec<u8> =
            slices[..count].iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
        output.advance(next.len());
        bytes.extend(next);
    }
    bytes
}

fn written(reply: &Reply, protocol: Protocol) -> String {
    let mut output = Output::default();
    encode(reply, protocol, &mut output);
    assert!(reply.size() + 8 >= output.len() || output.len() < 64, "{reply:?}");
    String::from_utf8(drain(output, 7)).unwrap()
}

#[test]
fn every_type_has_its_form_in_each_protocol() {
    let one = || Reply::Integer(1);
    let cases = [
        (Reply::OK, "+OK\r\n", "+OK\r\n"),
        (Reply::status("a\r\nb"), "+a  b\r\n", "+a  b\r\n"),
        (Reply::error("ERR a\nb"), "-ERR a b\r\n", "-ERR a b\r\n"),
        (Reply::Integer(-7), ":-7\r\n", ":-7\r\n"),
        (Reply::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
        (Reply::Double(3.0), "$1\r\n3\r\n", ",3\r\n"),
        (Reply::Double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n"),
        (Reply::Boolean(true), ":1\r\n", "#t\r\n"),
        (Reply::bulk(b"a\r\n"), "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"),
        (Reply::bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
        (Reply::Verbatim("hi".into()), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        (Reply::Null, "$-1\r\n", "_\r\n"),
        (Reply::NullArray, "*-1\r\n", "_\r\n"),
        (Reply::Array(vec![one(), Reply::Null]), "*2\r\n:1\r\n$-1\r\n", "*2\r\n:1\r\n_\r\n"),
        (Reply::Array(vec![]), "*0\r\n", "*0\r\n"),
        (Reply::Map(vec![(Reply::bulk(b"k"), one())]), "*2\r\n$1\r\nk\r\n:1\r\n", "%1\r\n$1\r\nk\r\n:1\r\n"),
        (
            Reply::Pairs(vec![(one(), Reply::Double(2.5))]),
            "*2\r\n:1\r\n$3\r\n2.5\r\n",
            "*1\r\n*2\r\n:1\r\n,2.5\r\n",
        ),
        (Reply::Set(vec![one()]), "*1\r\n:1\r\n", "~1\r\n:1\r\n"),
        (Reply::Push(vec![one()]), "*1\r\n:1\r\n", ">1\r\n:1\r\n"),
    ];
    for (reply, resp2, resp3) in cases {
        assert_eq!(written(&reply, Protocol::Resp2), resp2);
        assert_eq!(written(&reply, Protocol::Resp3), resp3);
    }
}

#[test]
fn large_strings_are_sent_from_where_they_lie_and_in_their_place() {
    let (large, small) = (Bytes::from(vec![b'L'; 100_000]), Reply::bulk(b"s"));
    let reply =
        Reply::Array(vec![small.clone(), Reply::Bulk(large.clone()), small, Reply::Bulk(large.clone())]);
    let mut output = Output::default();
    encode(&reply, Protocol::Resp2, &mut output);
    let mut slices = [IoSlice::new(&[]); SLICES];
    let count = output.slices(&mut slices);
    assert_eq!(slices[..count].iter().filter(|slice| slice.as_ptr() == large.as_ptr()).count(), 2);
    let bytes = drain(output, 4097);
    let (_, used) = decode2(&bytes).unwrap().unwrap();
    assert_eq!(used, bytes.len());
}

#[test]
fn a_long_list_is_whole_after_many_small_writes() {
    let reply = Reply::Map((0..20_000).map(|n| (Reply::Integer(n), Reply::bulk(b"value"))).collect());
    let mut output = Output::default();
    encode(&reply, Protocol::Resp3, &mut output);
    let bytes = drain(output, 10_007);
    let (_, used) = decode3(&bytes).unwrap().unwrap();
    assert_eq!(used, bytes.len());
    assert!(bytes.starts_with(b"%20000\r\n:0\r\n$5\r\nvalue\r\n:1\r\n"));
}
