//! What is there after a crash, an interrupted install, a second process, damage.

use std::io::{self, Read};
use std::path::Path;

use super::{copy_of, new_store, position, setup, wait};
use crate::adapter::{Adapter, Run, Snapshot};
use crate::batch::{Batch, CommandBuffer};
use crate::embedded::EmbeddedAdapter;
use crate::embedded::data_dir::DataDir;
use crate::embedded::db::schema::Family;
use crate::embedded::db::state::State;
use crate::embedded::db::store::{Log, Store};
use crate::embedded::error::OpenError;
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::keyspace::view::View;
use crate::keyspace::{End, Keyspace, KeyspaceMut};
use crate::memory::MemoryAdapter;
use crate::reply::Reply;
use crate::snapshot::{Digest, Origin, digest_keyspace};

fn digest(store: &Store) -> Digest {
    digest_keyspace(&View::fixed(store, 0)).unwrap()
}

/// Changes a bit of everything, as a run at an index.
fn change(store: &Store, index: u64) {
    let mut txn = Txn::begin(store, None);
    txn.advance(1000 + index);
    let n = index.to_be_bytes();
    txn.string_put(b"last", &n, Some(5000 + index)).unwrap();
    txn.string_put(&n, &[7; 3000], None).unwrap();
    txn.list_push(b"list", End::Tail, &n).unwrap();
    txn.zset_put(b"zset", &n, index as f64).unwrap();
    txn.hash_put(b"hash", &(index % 10).to_be_bytes(), &n).unwrap();
    if index.is_multiple_of(40) {
        txn.remove(b"zset").unwrap();
    }
    txn.commit(position(index)).unwrap();
}

#[test]
fn after_a_crash_the_data_is_exactly_that_of_the_position_it_says() {
    let (dir, store) = new_store();
    store.keep_files();
    let mut digests = vec![digest(&store)];
    for index in 1..=30 {
        change(&store, index);
        digests.push(digest(&store));
        if index == 20 {
            store.flush().unwrap();
        }
    }
    let copy = copy_of(dir.path());
    let after = Store::open(&copy.path().join("1"), &setup()).unwrap();
    assert_eq!(after.state().applied.position, position(20));
    assert_eq!(after.state().applied.now_ms, 1020);
    assert_eq!(digest(&after), digests[20]);
}

#[test]
fn flushes_that_rocksdb_makes_by_itself_keep_all_families_at_one_position() {
    let (dir, store) = new_store();
    store.keep_files();
    let mut met = Vec::new();
    for index in 1..=6000 {
        change(&store, index);
        if index % 1500 != 0 {
            continue;
        }
        let copy = copy_of(dir.path());
        let after = Store::open(&copy.path().join("1"), &setup()).unwrap();
        met.push(after.state().applied.position.index);
        let (again_dir, again) = new_store();
        (1..=after.state().applied.position.index).for_each(|index| change(&again, index));
        assert_eq!(digest(&after), digest(&again));
        assert_eq!(after.state(), State { applied: after.state().applied, ..again.state() });
        drop(again_dir);
    }
    assert!(met.iter().any(|index| *index > 0 && *index < 6000), "no flush happened by itself: {met:?}");
}

#[test]
fn with_its_own_log_nothing_that_was_applied_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut with_log = setup();
    with_log.log = Log::EveryRun;
    let store = Store::create(&dir.path().join("1"), &with_log).unwrap();
    store.keep_files();
    (1..=25).for_each(|index| change(&store, index));
    let copy = copy_of(dir.path());
    let after = Store::open(&copy.path().join("1"), &with_log).unwrap();
    assert_eq!(after.state(), store.state());
    assert_eq!(digest(&after), digest(&store));
}

fn open(dir: &Path) -> Result<EmbeddedAdapter, OpenError> {
    EmbeddedAdapter::open(dir, &setup().storage, false)
}

/// A snapshot stream of some content at position 30.
fn stream() -> (Vec<u8>, Digest) {
    let (_dir, store) = new_store();
    (1..=30).for_each(|index| change(&store, index));
    let digest = digest(&store);
    let taken = crate::embedded::snapshot::StoreSnapshot::new(store.into(), None).unwrap();
    let mut out = Vec::new();
    Box::new(taken).write(Origin::anywhere(), &mut out).unwrap();
    (out, digest)
}

#[test]
fn a_snapshot_replaces_all_content_and_survives_a_crash_right_after() {
    let (stream, digest) = stream();
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path()).unwrap();
    change(&adapter.store_for_tests(), 7);
    let applied = wait(adapter.install(Box::new(io::Cursor::new(stream)))).unwrap();
    assert_eq!((applied.position.clone(), applied.now_ms), (position(30), 1030));
    assert_eq!(wait(adapter.digest()).unwrap(), (position(30), digest));
    assert_eq!(adapter.applied(), applied);
    adapter.store_for_tests().keep_files();
    let copy = copy_of(dir.path());
    let after = open(copy.path()).unwrap();
    assert_eq!(wait(after.digest()).unwrap(), (position(30), digest));
    // Writes go on behind it.
    wait(after.apply(Run { batches: Vec::new(), position: position(31) })).unwrap();
    assert_eq!(after.applied().position, position(31));
}

/// A stream that, in its middle, has a copy made of a directory.
struct CrashInTheMiddle<'a> {
    inner: io::Cursor<&'a [u8]>,
    dir: &'a Path,
    copy: &'a mut Option<tempfile::TempDir>,
}

impl Read for CrashInTheMiddle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.copy.is_none() && self.inner.position() > 200 {
            *self.copy = Some(copy_of(self.dir));
        }
        let most = buffer.len().min(64);
        self.inner.read(&mut buffer[..most])
    }
}

#[test]
fn a_crash_in_the_middle_of_an_install_leaves_the_old_content() {
    let (stream, _) = stream();
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path()).unwrap();
    change(&adapter.store_for_tests(), 7);
    let position_7 = wait(adapter.flush()).unwrap();
    let before = wait(adapter.digest()).unwrap();
    let mut copy = None;
    let inner = io::Cursor::new(&stream[..]);
    adapter.install_stream(CrashInTheMiddle { inner, dir: dir.path(), copy: &mut copy }).unwrap();
    let copy = copy.unwrap();
    assert!(copy.path().join("2").exists(), "the new generation was under way");
    let after = open(copy.path()).unwrap();
    assert_eq!(after.applied().position, position_7);
    assert_eq!(wait(after.digest()).unwrap(), before);
    assert!(!copy.path().join("2").exists(), "the unfinished generation is removed");
}

#[test]
fn a_damaged_or_cut_stream_is_refused_and_changes_nothing() {
    let (stream, _) = stream();
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path()).unwrap();
    change(&adapter.store_for_tests(), 7);
    let before = wait(adapter.digest()).unwrap();
    let mut flipped = stream.clone();
    flipped[stream.len() / 2] ^= 1;
    for bad in [stream[..stream.len() - 1].to_vec(), stream[..40].to_vec(), Vec::new(), flipped] {
        wait(adapter.install(Box::new(io::Cursor::new(bad)))).unwrap_err();
        assert_eq!(wait(adapter.digest()).unwrap(), before);
    }
    let generations = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(generations, 3, "LOCK, CURRENT and one generation");
    wait(adapter.install(Box::new(io::Cursor::new(stream)))).unwrap();
}

#[test]
fn a_snapshot_stays_as_it_is_while_writes_and_an_install_go_on() {
    let (other, _) = stream();
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path()).unwrap();
    (1..=10).for_each(|index| change(&adapter.store_for_tests(), index));
    let at_10 = wait(adapter.digest()).unwrap();
    let taken = adapter.snapshot().unwrap();
    let given_up = adapter.snapshot().unwrap();
    (11..=20).for_each(|index| change(&adapter.store_for_tests(), index));
    wait(adapter.install(Box::new(io::Cursor::new(other)))).unwrap();
    drop(given_up);
    assert_eq!(taken.applied().position, position(10));
    let mut out = Vec::new();
    taken.write(Origin::anywhere(), &mut out).unwrap();
    wait(adapter.install(Box::new(io::Cursor::new(out)))).unwrap();
    assert_eq!(wait(adapter.digest()).unwrap(), at_10);
}

#[test]
fn a_directory_is_used_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Locked { .. })));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn what_cannot_be_used_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let data = dir.path();

    let current = std::fs::read(data.join("CURRENT")).unwrap();
    for (bad, file) in [(&b"x\n"[..], "CURRENT"), (b"9\n", "CURRENT")] {
        let copy = copy_of(dir.path());
        std::fs::write(copy.path().join(file), bad).unwrap();
        let error = open(copy.path()).err().unwrap();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
        assert!(copy.path().join("1").exists() || bad == b"9\n");
    }
    assert_eq!(current, b"1\n");

    let copy = copy_of(dir.path());
    std::fs::remove_file(copy.path().join("CURRENT")).unwrap();
    let error = open(copy.path()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(copy.path().join("1/CURRENT").exists());
}

#[test]
fn a_later_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data_dir, generation) = DataDir::open(dir.path(), setup()).unwrap();
    let mut state = generation.store.state().encode();
    state[3] = 9;
    let mut batch = rocksdb::WriteBatch::default();
    generation.store.put(&mut batch, Family::State, b"state", &state).unwrap();
    generation.store.write(batch).unwrap();
    generation.store.flush().unwrap();
    drop((data_dir, generation));
    let error = open(dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Format { found: 9, known: 2, .. }), "{error}");
}

#[test]
fn expired_keys_are_hidden_reported_and_due() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = open(dir.path()).unwrap();
    let store = adapter.store_for_tests();
    let mut txn = Txn::begin(&store, None);
    txn.advance(100);
    txn.string_put(b"k", b"v", Some(200)).unwrap();
    txn.commit(position(1)).unwrap();
    let view = View::fixed(&store, 199);
    assert!(view.meta(b"k").unwrap().is_some());
    let view = View::fixed(&store, 200);
    assert_eq!(view.string(b"k").unwrap(), None);
    assert_eq!(view.take_expired(), ["k"]);
    assert_eq!(view.key_count().unwrap(), 1);
    assert_eq!(wait(adapter.due_keys(199, 10)).unwrap().len(), 0);
    assert_eq!(wait(adapter.due_keys(200, 10)).unwrap(), ["k"]);
    assert!(adapter.health().ok);
}

fn run(index: u64, commands: &[&[&str]]) -> Run {
    let mut buffer = CommandBuffer::default();
    for command in commands {
        buffer.push(&command.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>());
    }
    Run { batches: vec![Batch::new(1000 * index, index, [&buffer])], position: position(index) }
}

#[test]
fn runs_of_commands_answer_and_leave_what_they_do_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (adapter, memory) = (open(dir.path()).unwrap(), MemoryAdapter::new());
    let long = "x".repeat(20_000);
    let runs = [
        run(
            1,
            &[&["SET", "k", "1"], &["INCR", "k"], &["RPUSH", "k", "wrong"], &["RPUSH", "l", "a", "b", "c"]],
        ),
        run(
            2,
            &[&["SET", "long", &long], &["APPEND", "long", "y"], &["LPOP", "l"], &["PEXPIREAT", "k", "2500"]],
        ),
        run(
            3,
            &[
                &["INCR", "k"],
                &["ZADD", "z", "1", "a", "2", "b"],
                &["ZPOPMIN", "z"],
                &["GETRANGE", "long", "-2", "-1"],
            ],
        ),
        run(4, &[&["FLUSHALL"], &["SADD", "s", "a", "b"], &["SPOP", "s"], &["HSET", "h", "f", "v"]]),
    ];
    for run in runs {
        assert_eq!(wait(adapter.apply(run.clone())).unwrap(), wait(memory.apply(run)).unwrap());
        assert_eq!(wait(adapter.digest()).unwrap(), wait(memory.digest()).unwrap());
        assert_eq!(adapter.applied(), memory.applied());
    }
    let read =
        |args: &[&'static str]| wait(adapter.read(args.iter().map(|arg| (*arg).into()).collect(), 0)).reply;
    assert_eq!(read(&["HGET", "h", "f"]), Reply::bulk(b"v"));
    assert_eq!(read(&["EXISTS", "h", "s", "k"]), Reply::Integer(2));
    assert!(read(&["GET", "h"]).is_error());
}
