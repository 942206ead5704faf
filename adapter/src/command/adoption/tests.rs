use bytes::Bytes;

use super::*;
use crate::command::{read, write};
use crate::memory::MemoryKeyspace;

fn run(keyspace: &mut MemoryKeyspace, commands: &CommandBuffer) -> Result<Reply, String> {
    let batch = crate::Batch::new(0, 0, [commands]);
    let (mut reader, mut args) = (batch.commands(), Vec::new());
    assert!(reader.next_into(&mut args).unwrap());
    reply(write(keyspace, &args, 0))
}

fn client(keyspace: &mut MemoryKeyspace, words: &[&str]) -> Result<Reply, String> {
    let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    reply(write(keyspace, &args, 0))
}

fn reply(outcome: Outcome<Reply>) -> Result<Reply, String> {
    outcome.map_err(|stop| match stop {
        Stop::Error(text) => text.into_owned(),
        other => format!("{other:?}"),
    })
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn some_of_everything() -> Vec<Op> {
    vec![
        Op::New(bytes("string")),
        Op::Piece(bytes("string"), 0, bytes("abc")),
        Op::Piece(bytes("string"), 3, bytes("\r\n\0")),
        Op::New(bytes("hash")),
        Op::Fields(bytes("hash"), vec![bytes("f"), bytes("v"), bytes(""), bytes("")]),
        Op::Members(bytes("set"), vec![bytes("a"), bytes("b")]),
        Op::Scores(bytes("zset"), vec![(bytes("a"), -0.5), (bytes("b"), f64::MAX)]),
        Op::Elements(bytes("list"), vec![bytes("1"), bytes("2"), bytes("1")]),
        Op::Deadline(bytes("list"), 1_000_000),
        Op::Piece(bytes("gone"), 0, bytes("x")),
        Op::Deadline(bytes("gone"), 5),
    ]
}

#[test]
fn what_is_loaded_is_there_once_it_is_opened_and_not_before() {
    let mut keyspace = MemoryKeyspace::new(10);
    let loading = Err("LOADING Raft module is loading data".to_owned());
    run(&mut keyspace, &begin(7, 1)).unwrap();
    assert_eq!(client(&mut keyspace, &["SET", "k", "v"]), loading);
    run(&mut keyspace, &load(7, 0, &some_of_everything())).unwrap();
    assert_eq!(client(&mut keyspace, &["GET", "string"]), loading);
    assert_eq!(reply(read(&keyspace, &[b"DBSIZE"], 0)), loading);
    assert_eq!(client(&mut keyspace, &["FLUSHALL"]), loading);
    run(&mut keyspace, &end(7, 1)).unwrap();
    assert_eq!(client(&mut keyspace, &["GET", "string"]), loading);
    let state = State::from_reply(&read(&keyspace, &[b"raft.adoption"], 0).unwrap()).unwrap();
    assert_eq!(state, State { token: 7, node: 1, next: 1, complete: true });
    run(&mut keyspace, &open(7)).unwrap();
    assert_eq!(read(&keyspace, &[b"raft.adoption"], 0).unwrap(), Reply::Null);
    let mut ask = |words: &[&str]| client(&mut keyspace, words).unwrap();
    assert_eq!(ask(&["DBSIZE"]), Reply::Integer(5));
    assert_eq!(ask(&["GET", "string"]), Reply::bulk(b"abc\r\n\0"));
    assert_eq!(ask(&["HGET", "hash", ""]), Reply::bulk(b""));
    assert_eq!(ask(&["SMISMEMBER", "set", "a", "b", "c"]), client_integers(&[1, 1, 0]));
    assert_eq!(ask(&["ZRANK", "zset", "b"]), Reply::Integer(1));
    assert_eq!(ask(&["LLEN", "list"]), Reply::Integer(3));
    assert_eq!(ask(&["PEXPIRETIME", "list"]), Reply::Integer(1_000_000));
    assert_eq!(ask(&["EXISTS", "gone"]), Reply::Integer(0));
}

fn client_integers(values: &[i64]) -> Reply {
    Reply::Array(values.iter().map(|value| Reply::Integer(*value)).collect())
}

#[test]
fn a_command_that_comes_twice_or_late_does_nothing() {
    let mut keyspace = MemoryKeyspace::new(10);
    let element = [Op::Elements(bytes("l"), vec![bytes("x")])];
    run(&mut keyspace, &begin(7, 1)).unwrap();
    run(&mut keyspace, &load(7, 0, &element)).unwrap();
    run(&mut keyspace, &begin(7, 1)).unwrap();
    run(&mut keyspace, &load(7, 0, &element)).unwrap();
    assert!(run(&mut keyspace, &load(7, 2, &element)).is_err(), "one is missing");
    assert!(run(&mut keyspace, &end(7, 2)).is_err(), "one is missing");
    run(&mut keyspace, &load(7, 1, &element)).unwrap();
    run(&mut keyspace, &end(7, 2)).unwrap();
    run(&mut keyspace, &end(7, 2)).unwrap();
    assert!(run(&mut keyspace, &load(7, 2, &element)).is_err(), "it is complete");
    run(&mut keyspace, &open(7)).unwrap();
    run(&mut keyspace, &open(7)).unwrap();
    assert!(run(&mut keyspace, &load(7, 1, &element)).is_err());
    run(&mut keyspace, &abort(7)).unwrap();
    assert_eq!(client(&mut keyspace, &["LLEN", "l"]), Ok(Reply::Integer(2)));
}

#[test]
fn it_begins_only_where_there_is_nothing_and_again_only_for_the_same_node() {
    let mut keyspace = MemoryKeyspace::new(10);
    client(&mut keyspace, &["SET", "k", "v"]).unwrap();
    assert!(run(&mut keyspace, &begin(7, 1)).unwrap_err().contains("has data already"));
    client(&mut keyspace, &["DEL", "k"]).unwrap();
    run(&mut keyspace, &begin(7, 1)).unwrap();
    run(&mut keyspace, &load(7, 0, &some_of_everything())).unwrap();
    assert!(run(&mut keyspace, &begin(8, 2)).unwrap_err().contains("node 1"));
    run(&mut keyspace, &begin(9, 1)).unwrap();
    assert!(run(&mut keyspace, &load(7, 1, &[])).unwrap_err().contains("another attempt"));
    run(&mut keyspace, &end(9, 0)).unwrap();
    assert!(run(&mut keyspace, &begin(10, 1)).is_err(), "it is complete");
    run(&mut keyspace, &open(9)).unwrap();
    assert_eq!(client(&mut keyspace, &["DBSIZE"]), Ok(Reply::Integer(0)));
}

#[test]
fn what_is_given_up_leaves_nothing_but_what_is_complete_stays() {
    let mut keyspace = MemoryKeyspace::new(10);
    run(&mut keyspace, &begin(7, 1)).unwrap();
    run(&mut keyspace, &load(7, 0, &some_of_everything())).unwrap();
    run(&mut keyspace, &abort(7)).unwrap();
    assert_eq!(client(&mut keyspace, &["DBSIZE"]), Ok(Reply::Integer(0)));
    run(&mut keyspace, &begin(8, 1)).unwrap();
    run(&mut keyspace, &load(8, 0, &some_of_everything())).unwrap();
    run(&mut keyspace, &end(8, 1)).unwrap();
    run(&mut keyspace, &abort(8)).unwrap();
    assert_eq!(client(&mut keyspace, &["DBSIZE"]), Ok(Reply::Integer(5)));
}

#[test]
fn malformed_pieces_change_nothing() {
    let mut keyspace = MemoryKeyspace::new(10);
    run(&mut keyspace, &begin(7, 1)).unwrap();
    for pieces in [
        &["new", "k"][..],
        &["new", "k", "\0\0\0\0\0\0\0\u{1}"],
        &["what", "k", "\0\0\0\0\0\0\0\0"],
        &["new", "k", "\0\0\0\0\0\0\0\0", "zset", "k", "\0\0\0\0\0\0\0\u{2}", "m", "1.5"],
    ] {
        let words = [&["raft.adopt", "load", "7", "0"], pieces].concat();
        assert!(client(&mut keyspace, &words).unwrap_err().contains("malformed"), "{pieces:?}");
    }
    run(&mut keyspace, &end(7, 0)).unwrap();
}
