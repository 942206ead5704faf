//! The request parser, with redis-protocol's decoder as the oracle.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use raft_proxy::resp::{ProtocolError, RequestLimits, RequestParser, Requests};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

type Command = Vec<Vec<u8>>;

const LIMITS: RequestLimits =
    RequestLimits { bulk_bytes: 1 << 20, args: 1 << 16, request_bytes: 1 << 24, authenticated: true };

/// Feeds the pieces one after the other, as reads from a socket would bring them.
fn parse<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    most: usize,
) -> (Vec<Command>, Result<(), ProtocolError>) {
    let (mut parser, mut requests, mut commands) =
        (RequestParser::default(), Requests::default(), Vec::new());
    for piece in pieces {
        parser.buffer().extend_from_slice(piece);
        loop {
            let result = parser.parse(&LIMITS, most, &mut requests);
            for index in 0..requests.len() {
                let command: Command = requests.args(index).map(<[u8]>::to_vec).collect();
                let shared: Command = requests.shared_args(index).iter().map(|arg| arg.to_vec()).collect();
                assert_eq!(command, shared);
                commands.push(command);
            }
            let full = requests.len() == most;
            requests.clear();
            if result.is_err() {
                return (commands, result);
            }
            if !full {
                break;
            }
        }
    }
    (commands, Ok(()))
}

fn encode(commands: &[Command]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in commands {
        bytes.extend(format!("*{}\r\n", command.len()).into_bytes());
        for arg in command {
            bytes.extend(format!("${}\r\n", arg.len()).into_bytes());
            bytes.extend(arg);
            bytes.extend(b"\r\n");
        }
    }
    bytes
}

/// What redis-protocol makes of the same bytes.
fn oracle(mut bytes: &[u8]) -> Vec<Command> {
    let mut commands = Vec::new();
    while let Some((OwnedFrame::Array(items), used)) = decode(bytes).unwrap() {
        let arg = |frame| match frame {
            OwnedFrame::BulkString(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        commands.push(items.into_iter().map(arg).collect());
        bytes = &bytes[used..];
    }
    commands
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let arg = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..12),
        Just(b"\r\n$3\r\n*1\r\n".to_vec()),
        (0usize..40_000).prop_map(|length| vec![b'x'; length]),
    ];
    proptest::collection::vec(proptest::collection::vec(arg, 1..6), 0..12)
}

/// Cuts the bytes at the given places.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_commands_that_redis_protocol_finds(
        commands in commands(),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        most in 1usize..8,
    ) {
        let bytes = encode(&commands);
        let (found, result) = parse(cut(&bytes, &places), most);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(&found, &oracle(&bytes));
        prop_assert_eq!(found, commands);
    }

    #[test]
    fn any_split_of_garbage_gives_the_same_result_and_no_panic(
        bytes in proptest::collection::vec(
            prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                Just(b"\r\n".to_vec()), Just(b"*1\r\n".to_vec()), Just(b"*3\r\n".to_vec()),
                Just(b"$4\r\n".to_vec()), Just(b"PING".to_vec()), Just(b"\"".to_vec()), Just(b"\\x4".to_vec()),
                Just(b"$0\r\n\r\n".to_vec()), Just(b" ".to_vec()),
            ],
            0..40,
        ),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = bytes.concat();
        let whole = parse([&bytes[..]], 1024);
        prop_assert_eq!(parse(cut(&bytes, &places), 1024), whole.clone());
        prop_assert_eq!(parse(bytes.chunks(1), 1024), whole);
    }
}

#[test]
fn an_announcement_alone_reserves_little_memory() {
    let mut parser = RequestParser::default();
    let limits = RequestLimits { bulk_bytes: 512 << 20, args: 1 << 20, request_bytes: 1 << 30, ..LIMITS };
    parser.buffer().extend_from_slice(b"*1048576\r\n$536870912\r\n");
    parser.parse(&limits, 10, &mut Requests::default()).unwrap();
    assert!(parser.buffer().capacity() <= 512 * 1024, "{}", parser.buffer().capacity());
}

#[test]
fn a_large_request_leaves_no_large_buffer_behind() {
    let mut parser = RequestParser::default();
    let mut requests = Requests::default();
    parser.buffer().extend_from_slice(&encode(&[vec![vec![b'x'; 1 << 20]]]));
    parser.buffer().extend_from_slice(b"PI");
    parser.parse(&LIMITS, 10, &mut requests).unwrap();
    assert_eq!(requests.len(), 1);
    requests.clear();
    assert!(parser.buffer().capacity() <= 64 * 1024, "{}", parser.buffer().capacity());
    parser.buffer().extend_from_slice(b"NG\r\n");
    parser.parse(&LIMITS, 10, &mut requests).unwrap();
    assert_eq!(requests.args(0).next().unwrap(), b"PING");
}

#[test]
fn what_breaks_a_limit_is_an_error_before_it_is_kept() {
    let long = b"x".repeat(64 * 1024 + 1);
    let cases: [(&[u8], ProtocolError); 6] = [
        (b"*65537\r\n", ProtocolError::BadCount),
        (b"*1\r\n$1048577\r\n", ProtocolError::BadBulk),
        (b"*1\r\n$4\r\nPINGxx", ProtocolError::NoTerminator),
        (&long, ProtocolError::BigInline),
        (&[b"*", &long[..]].concat(), ProtocolError::BigCountLine),
        (&[b"*1\r\n$", &long[..]].concat(), ProtocolError::BigBulkLine),
    ];
    for (bytes, error) in cases {
        assert_eq!(parse([bytes], 10).1, Err(error));
    }
    let limits = RequestLimits { request_bytes: 100, ..LIMITS };
    let mut parser = RequestParser::default();
    parser.buffer().extend_from_slice(&[b"*2\r\n$4\r\nECHO\r\n$1000\r\n", &long[..101]].concat());
    assert_eq!(parser.parse(&limits, 10, &mut Requests::default()), Err(ProtocolError::BigRequest));
}
