//! What the string commands answer. The expectations are those of a Redis 7.0 server.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use crate::command;
use crate::keyspace::Keyspace;
use crate::memory::MemoryKeyspace;
use crate::reply::Reply;

const NOW: u64 = 1_700_000_000_000;

/// Runs a command whose arguments have no blanks, and shows the reply in a line.
fn run(keyspace: &mut MemoryKeyspace, line: &str) -> String {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    show(&command::write(keyspace, &args, 1).unwrap_or_else(Reply::from_stop))
}

fn show(reply: &Reply) -> String {
    match reply {
        Reply::Status(text) | Reply::Error(text) => text.to_string(),
        Reply::Integer(number) => number.to_string(),
        Reply::Bulk(bytes) if bytes.is_empty() => "\"\"".to_owned(),
        Reply::Bulk(bytes) => bytes.escape_ascii().to_string(),
        Reply::Null => "(nil)".to_owned(),
        Reply::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Reply::Map(pairs) => {
            let pairs: Vec<_> =
                pairs.iter().map(|(key, value)| format!("{}={}", show(key), show(value))).collect();
            format!("{{{}}}", pairs.join(" "))
        }
        other => format!("{other:?}"),
    }
}

/// Runs `command -> reply` lines in order on one keyspace.
fn script(lines: &str) {
    let mut keyspace = MemoryKeyspace::new(NOW);
    run(&mut keyspace, "SET string value");
    keyspace_with_list(&mut keyspace);
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" -> ").unwrap();
        assert_eq!(run(&mut keyspace, command), expected, "{command}");
    }
}

fn keyspace_with_list(keyspace: &mut MemoryKeyspace) {
    use crate::keyspace::{End, KeyspaceMut};
    keyspace.list_push(b"list", End::Head, b"a").unwrap();
}

#[test]
fn set_obeys_its_options() {
    script(
        "SET k v XX -> (nil)
        SET k v NX -> OK
        SET k w NX GET -> v
        GET k -> v
        SET k w XX GET -> v
        SET new w GET -> (nil)
        GET new -> w
        SET list v GET -> WRONGTYPE Operation against a key holding the wrong kind of value
        SET list v NX -> (nil)
        SET list v -> OK
        SET k v NX XX -> ERR syntax error
        SET k v EX -> ERR syntax error
        SET k v EX 1 PX 1 -> ERR syntax error
        SET k v KEEPTTL EX 1 -> ERR syntax error
        SET k v EX 1 KEEPTTL -> ERR syntax error
        SET k v PERSIST -> ERR syntax error
        SET k v EX abc -> ERR value is not an integer or out of range
        SET k v EX 0 -> ERR invalid expire time in 'set' command
        SET k v EX 9223372036854775 -> ERR invalid expire time in 'set' command
        SET k v PX 9223372036854775807 -> ERR invalid expire time in 'set' command
        SET k v PXAT 9223372036854775807 -> OK
        SET k v EXAT 1 -> OK
        GET k -> (nil)",
    );
}

#[test]
fn deadlines_are_those_that_were_given_and_kept_where_redis_keeps_them() {
    let mut keyspace = MemoryKeyspace::new(NOW);
    for (line, deadline) in [
        ("SET k 1 EX 10", Some(NOW + 10_000)),
        ("SET k 1 KEEPTTL", Some(NOW + 10_000)),
        ("INCR k", Some(NOW + 10_000)),
        ("INCRBYFLOAT k 1.5", Some(NOW + 10_000)),
        ("APPEND k x", Some(NOW + 10_000)),
        ("SETRANGE k 0 x", Some(NOW + 10_000)),
        ("GETEX k PXAT 1800000000000", Some(1_800_000_000_000)),
        ("GETEX k", Some(1_800_000_000_000)),
        ("GETEX k PERSIST", None),
        ("SETEX k 5 v", Some(NOW + 5000)),
        ("PSETEX k 5 v", Some(NOW + 5)),
        ("GETSET k v", None),
        ("SET k v EXAT 1800000000", Some(1_800_000_000_000)),
        ("MSET k v", None),
    ] {
        run(&mut keyspace, line);
        assert_eq!(keyspace.meta(b"k").unwrap().unwrap().deadline, deadline, "{line}");
    }
}

#[test]
fn getex_looks_at_the_key_before_the_time() {
    script(
        "GETEX missing EX 0 -> (nil)
        GETEX missing FOO -> ERR syntax error
        GETEX list EX 0 -> WRONGTYPE Operation against a key holding the wrong kind of value
        GETEX string EX 0 -> ERR invalid expire time in 'getex' command
        GETEX string PERSIST EX 1 -> ERR syntax error
        GETEX string KEEPTTL -> ERR syntax error
        GETEX string EXAT 1 -> value
        GET string -> (nil)
        SETEX list 0 v -> ERR invalid expire time in 'setex' command
        PSETEX list 0 v -> ERR invalid expire time in 'psetex' command",
    );
}

#[test]
fn several_keys_are_set_together_or_not_at_all() {
    script(
        "MSET a 1 b 2 a 3 -> OK
        MGET a b missing list -> [3 2 (nil) (nil)]
        MSETNX c 1 b 2 -> 0
        GET c -> (nil)
        MSETNX c 1 d 2 -> 1
        MSET a -> ERR wrong number of arguments for 'mset' command
        MSET a 1 b -> ERR wrong number of arguments for 'mset' command
        MSETNX a 1 b -> ERR wrong number of arguments for 'msetnx' command
        GETDEL d -> 2
        GETDEL d -> (nil)
        SETNX list v -> 0",
    );
}

#[test]
fn parts_are_read_and_written_as_in_redis() {
    script(
        "GETRANGE string 1 -2 -> alu
        GETRANGE string 0 -100 -> v
        GETRANGE string -1 -3 -> \"\"
        GETRANGE missing 0 -1 -> \"\"
        SUBSTR string 3 100 -> ue
        GETRANGE list a 1 -> ERR value is not an integer or out of range
        SETRANGE missing 5 xy -> 7
        GET missing -> \\x00\\x00\\x00\\x00\\x00xy
        SETRANGE string -1 x -> ERR offset is out of range
        SETRANGE string 536870912 x -> ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE string 1 A -> 5
        APPEND string ++ -> 7
        APPEND other x -> 1
        STRLEN string -> 7
        STRLEN list -> WRONGTYPE Operation against a key holding the wrong kind of value
        GET string -> vAlue++",
    );
}

#[test]
fn counters_count_and_refuse_what_is_no_number() {
    script(
        "INCR n -> 1
        DECRBY n 3 -> -2
        INCRBY n 9223372036854775807 -> 9223372036854775805
        INCRBY n 3 -> ERR increment or decrement would overflow
        DECRBY n -9223372036854775808 -> ERR decrement would overflow
        INCR string -> ERR value is not an integer or out of range
        INCR list -> WRONGTYPE Operation against a key holding the wrong kind of value
        INCRBYFLOAT list abc -> WRONGTYPE Operation against a key holding the wrong kind of value
        INCRBYFLOAT string 1 -> ERR value is not a valid float
        INCRBYFLOAT f 0.1 -> 0.1
        INCRBYFLOAT f 0.2 -> 0.3
        INCRBYFLOAT f 5.0e3 -> 5000.29999999999999982
        INCRBYFLOAT f inf -> ERR increment would produce NaN or Infinity
        INCRBYFLOAT f abc -> ERR value is not a valid float
        GET f -> 5000.29999999999999982",
    );
}

#[test]
fn the_longest_common_subsequence_is_the_one_that_redis_finds() {
    script(
        "MSET a ohmytext b mynewtext -> OK
        LCS a b -> mytext
        LCS a b LEN -> 6
        LCS a b IDX -> {matches=[[[4 7] [5 8]] [[2 3] [0 1]]] len=6}
        LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN -> {matches=[[[4 7] [5 8] 4]] len=6}
        LCS missing b IDX -> {matches=[] len=0}
        LCS a b IDX LEN -> ERR If you want both the length and indexes, please just use IDX.
        LCS a list FOO -> ERR The specified keys must contain string values
        LCS a b FOO -> ERR syntax error",
    );
}
