//! What takes bytes from strangers, peers and disks, given any bytes.
//!
//! Each target takes whatever it is given and fails by panicking: where the code panics, and where what was accepted
//! does not come out again as it went in. `make fuzz` runs them under a fuzzer that follows the code's branches; the
//! test of this crate runs the seeds and many mutations of them.
//!
//! | target | reads what | who sends it |
//! |---|---|---|
//! | [`request`] | the requests of a connection, in any pieces | any client, before it has said who it is |
//! | [`batch`] | a batch of commands | the log; peers |
//! | [`append`] | an append request, with its entries | peers that have proved the secret |
//! | [`snapshot`](fn@snapshot) | a snapshot stream | a file of a backup; the leader |
//! | [`rdb`] | a value as `DUMP` writes it, with a checksum that fits | any client, by `RESTORE` |

use adapter::batch::{Batch, CommandBuffer};
use adapter::command;
use adapter::memory::MemoryKeyspace;
use adapter::snapshot::{self, Header, SnapshotReader, SnapshotWriter};
use adapter::{Reply, Stop};
use bytes::Bytes;
use raft_proxy::resp::{ProtocolError, RequestLimits, RequestParser, Requests};

/// What is given any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes some bytes.
    pub run: fn(&[u8]),
    /// What a fuzzer begins with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "request", run: request, seeds: request_seeds },
    Target { name: "batch", run: batch, seeds: batch_seeds },
    Target { name: "append", run: append, seeds: append_seeds },
    Target { name: "snapshot", run: snapshot, seeds: snapshot_seeds },
    Target { name: "rdb", run: rdb, seeds: rdb_seeds },
];

/// What a stranger may send before it is refused.
const STRANGER: RequestLimits =
    RequestLimits { bulk_bytes: 1 << 20, args: 1 << 16, request_bytes: 1 << 20, authenticated: false };

/// Requests mean the same whether they come at once or in two pieces; the first byte says where they are cut.
pub fn request(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    for limits in [STRANGER, RequestLimits { authenticated: true, ..STRANGER }] {
        let whole = parsed(&[bytes], &limits);
        let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
        assert_eq!(whole, parsed(&[first, second], &limits), "in two pieces");
    }
}

type Parsed = (Vec<Vec<Vec<u8>>>, Result<(), ProtocolError>);

fn parsed(pieces: &[&[u8]], limits: &RequestLimits) -> Parsed {
    let (mut parser, mut requests, mut commands) =
        (RequestParser::default(), Requests::default(), Vec::new());
    for piece in pieces {
        parser.buffer().extend_from_slice(piece);
        loop {
            let result = parser.parse(limits, 16, &mut requests);
            commands.extend(
                (0..requests.len()).map(|index| requests.args(index).map(<[u8]>::to_vec).collect::<Vec<_>>()),
            );
            // What is only announced takes no memory.
            assert!(parser.memory() + requests.memory() < 8 << 20, "{} bytes", parser.memory());
            match result {
                Err(error) => return (commands, Err(error)),
                Ok(()) if requests.is_empty() => break,
                Ok(()) => {}
            }
        }
    }
    (commands, Ok(()))
}

fn request_seeds() -> Vec<Vec<u8>> {
    let whole: [&[u8]; 8] = [
        b"\x09*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"\x04PING\r\nSET k \"a\\x41 b\" \r\nSET 'k' 'it\\'s'\n",
        b"\x03*0\r\n*-1\r\n\r\n*1\r\n$0\r\n\r\n",
        b"\x00*1048577\r\n",
        b"\x05*1\r\n$536870912\r\n",
        b"\x05*2\r\n$4\r\nAUTH\r\n$20000\r\n",
        b"\x07*1\r\n$4\r\nPINGxx",
        b"\x07*11\r\n$1\r\na\r\n",
    ];
    whole.iter().map(|bytes| bytes.to_vec()).collect()
}

/// A batch whose commands can be read is the same when it is made anew of them.
pub fn batch(bytes: &[u8]) {
    let Ok(batch) = Batch::decode(Bytes::copy_from_slice(bytes)) else { return };
    // Whatever it is, it can be looked at.
    assert!(!format!("{:?}", batch.form()).is_empty());
    if batch.form() != adapter::batch::Form::Commands {
        return;
    }
    let (mut commands, mut args, mut again) = (batch.commands(), Vec::new(), CommandBuffer::default());
    loop {
        match commands.next_into(&mut args) {
            Ok(true) => again.push(&args),
            Ok(false) => break,
            Err(_) => return,
        }
    }
    let again = Batch::new(batch.now_ms(), batch.seed(), [&again]);
    assert_eq!(again.raw(), batch.raw());
}

fn commands() -> CommandBuffer {
    let mut commands = CommandBuffer::default();
    commands.push(&[b"SET", b"key", b"value"]);
    commands.push(&[b"HSET", b"", b"field", b"\r\n\0\xff"]);
    commands
}

fn batch_seeds() -> Vec<Vec<u8>> {
    let batches = [
        Batch::new(7, 9, [&commands(), &commands()]),
        Batch::piece(3, 1000, 17, b"some bytes"),
        Batch::last(7, 9, 2, 3, 1000),
        Batch::raise(2),
    ];
    batches.iter().map(|batch| batch.raw().to_vec()).collect()
}

/// An append request that is taken is the same when it is encoded anew. The first byte is the version of the protocol.
pub fn append(bytes: &[u8]) {
    let Some((version, body)) = bytes.split_first() else { return };
    let version = u16::from(*version) % 2 + 1;
    let body = Bytes::copy_from_slice(body);
    if let Some(again) = raft::network::fuzz::append_again(version, body.clone()) {
        // Some bytes say the same as others: whether a log id is there is any number but 0.
        assert_eq!(raft::network::fuzz::append_again(version, again.clone()), Some(again));
    }
}

fn append_seeds() -> Vec<Vec<u8>> {
    (1..=2_u8)
        .map(|version| {
            let body =
                raft::network::fuzz::append_sample(u16::from(version), Batch::new(7, 9, [&commands()]));
            [&[version - 1], &body[..]].concat()
        })
        .collect()
}

/// A snapshot that is taken for whole is written again to one with the same digest.
pub fn snapshot(bytes: &[u8]) {
    let Ok(survey) = snapshot::survey(bytes) else { return };
    let mut keyspace = MemoryKeyspace::new(0);
    let Ok(mut reader) = SnapshotReader::new(bytes) else {
        panic!("a snapshot with a trailer and no header")
    };
    match snapshot::load_into(&mut keyspace, &mut reader) {
        Ok(trailer) => assert_eq!(trailer.digest, survey.trailer.digest),
        Err(error) => panic!("a snapshot that is whole cannot be loaded: {error}"),
    }
}

fn snapshot_seeds() -> Vec<Vec<u8>> {
    let mut keyspace = MemoryKeyspace::new(0);
    let mut calls: Vec<Vec<&[u8]>> = values();
    calls.push(vec![b"PEXPIREAT", b"list", b"5000000000000"]);
    for call in &calls {
        command::write(&mut keyspace, call, 1).map_or_else(|stop| panic!("{stop:?}"), drop);
    }
    let written = SnapshotWriter::new(Vec::new(), &Header::default()).and_then(|mut writer| {
        snapshot::walk(&keyspace, &mut writer)?;
        writer.finish()
    });
    match written {
        Ok((bytes, _)) => vec![bytes],
        Err(error) => panic!("{error}"),
    }
}

fn values() -> Vec<Vec<&'static [u8]>> {
    vec![
        vec![b"SET", b"string", b"value"],
        vec![b"SET", b"number", b"12345"],
        vec![b"RPUSH", b"list", b"a", b"-7", b"", b"70000"],
        vec![b"SADD", b"set", b"member", b"1", b"-200000"],
        vec![b"ZADD", b"zset", b"1.5", b"one", b"-inf", b"two"],
        vec![b"HSET", b"hash", b"field", b"value", b"other", b"5"],
    ]
}

/// A value that `RESTORE` takes is dumped, restored and dumped to the same bytes. What is given are the bytes before
/// the version and the checksum, which are put behind it.
pub fn rdb(bytes: &[u8]) {
    let mut keyspace = MemoryKeyspace::new(0);
    let Some(dumped) = restored_and_dumped(&mut keyspace, b"first", &sealed(bytes)) else { return };
    let again = restored_and_dumped(&mut keyspace, b"second", &dumped);
    assert_eq!(again.as_ref(), Some(&dumped), "what was dumped");
}

fn restored_and_dumped(keyspace: &mut MemoryKeyspace, key: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let restored: Result<Reply, Stop> = command::write(keyspace, &[b"RESTORE", key, b"0", payload], 1);
    if restored.ok()? != Reply::Status("OK".into()) {
        return None;
    }
    match command::read(keyspace, &[b"DUMP", key], 1) {
        Ok(Reply::Bulk(bytes)) => Some(bytes.to_vec()),
        other => panic!("a restored key is not dumped: {other:?}"),
    }
}

/// The version of the payload that is written here, and the checksum, behind a value.
fn sealed(value: &[u8]) -> Vec<u8> {
    let mut payload = [value, &10_u16.to_le_bytes()].concat();
    payload.extend_from_slice(&crc64(&payload).to_le_bytes());
    payload
}

/// CRC-64 as Redis computes it, bit by bit.
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x95ac_9329_ac4b_c9b5 } else { 0 }
        })
    })
}

/// Bytes behind a dumped value: the version and the checksum.
const SEAL: usize = 2 + 8;

fn rdb_seeds() -> Vec<Vec<u8>> {
    let mut keyspace = MemoryKeyspace::new(0);
    let mut seeds = Vec::new();
    for call in values() {
        command::write(&mut keyspace, &call, 1).map_or_else(|stop| panic!("{stop:?}"), drop);
        let Ok(Reply::Bulk(dump)) = command::read(&keyspace, &[b"DUMP", call[1]], 1) else {
            panic!("{:?} is not dumped", call[1])
        };
        seeds.push(dump[..dump.len() - SEAL].to_vec());
    }
    // What Redis writes of small values: an integer, a compressed string, an intset, listpacks, a ziplist.
    let encoded: [&[u8]; 6] = [
        b"\x00\xc0\x07",
        b"\x00\xc3\x09\x40\x64\x00a\xe0\x59\x00\x01aa",
        b"\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x02\x00",
        b"\x10\x0f\x0f\x00\x00\x00\x02\x00\x81a\x02\x81b\x02\xff",
        b"\x11\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x01\x01\xff",
        b"\x0a\x0d\x0d\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\xf2\xff",
    ];
    seeds.extend(encoded.iter().map(|bytes| bytes.to_vec()));
    seeds
}
