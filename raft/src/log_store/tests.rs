//! The log as it must survive crashes. A crash is a copy of the directory of an open log: what another process
//! would find if this one were killed now.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says enough by panicking")]

use std::path::{Path, PathBuf};

use adapter::CommandBuffer;
use bytes::BytesMut;
use conf::Durability;
use openraft::storage::RaftLogStorageExt;
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader};
use rocksdb::WriteBatch;

use super::*;
use crate::codec::encode_entry;

mod losses;

const OWN: NodeId = 1;

fn options() -> Options {
    let raft = conf::Raft { max_append_bytes: 1000, entry_cache_bytes: 1 << 20, ..conf::Raft::default() };
    Options { write_buffer_bytes: 1 << 20, ..Options::new(OWN, &raft) }
}

fn open(directory: &Path) -> LogStore {
    LogStore::open(directory, options()).unwrap()
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, 2), index)
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let mut commands = CommandBuffer::default();
    // Not compressible, and different in each entry.
    let value: Vec<u8> =
        (0..bytes as u64).map(|at| (at * 2_654_435_761 + index * 97).to_le_bytes()[2]).collect();
    commands.push(&[b"SET", b"key", &value]);
    Entry {
        log_id: id(term, index),
        payload: EntryPayload::Normal(adapter::Batch::new(index, 0, [&commands])),
    }
}

async fn append(log: &mut LogStore, term: u64, indexes: std::ops::RangeInclusive<u64>) {
    log.blocking_append(indexes.map(|index| entry(term, index, 100))).await.unwrap();
}

async fn indexes(log: &mut LogStore) -> Vec<u64> {
    log.try_get_log_entries(..).await.unwrap().iter().map(|entry| entry.log_id.index).collect()
}

/// What a crash now would leave: the directory that it is copied to.
fn crash(data_dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_log(data_dir, copy.path());
    copy
}

fn copy_log(from: &Path, to: &Path) {
    std::fs::create_dir(to.join("log")).unwrap();
    for file in std::fs::read_dir(from.join("log")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join("log").join(file.file_name())).unwrap();
    }
}

fn write_ahead_file(data_dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(data_dir.join("log")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap()
}

fn disk_usage(data_dir: &Path) -> u64 {
    std::fs::read_dir(data_dir.join("log")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn what_was_told_to_be_on_disk_is_there_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    let vote = Vote::new_committed(7, 2);
    log.save_vote(&vote).await.unwrap();
    append(&mut log, 1, 1..=20).await;
    log.truncate(id(1, 16)).await.unwrap();
    append(&mut log, 2, 16..=17).await;
    log.purge(id(1, 5)).await.unwrap();
    let crashed = crash(directory.path());
    let mut again = open(crashed.path());
    assert_eq!(again.read_vote().await.unwrap(), Some(vote));
    let state = again.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(1, 5)), Some(id(2, 17))));
    assert_eq!(indexes(&mut again).await, (6..=17).collect::<Vec<_>>());
    let entries = again.try_get_log_entries(15..=16).await.unwrap();
    assert_eq!(entries, [entry(1, 15, 100), entry(2, 16, 100)]);
}

#[tokio::test]
async fn the_committed_log_id_is_on_disk_soon_without_another_write() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1, 1..=3).await;
    let (_, syncs) = log.writes_and_syncs();
    log.save_committed(Some(id(1, 2))).await.unwrap();
    assert_eq!(log.read_committed().await.unwrap(), Some(id(1, 2)));
    while log.writes_and_syncs().1 == syncs {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let crashed = crash(directory.path());
    assert_eq!(open(crashed.path()).read_committed().await.unwrap(), Some(id(1, 2)));
}

#[tokio::test]
async fn a_record_that_was_being_written_is_given_up_and_all_before_it_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1, 1..=4).await;
    append(&mut log, 1, 5..=5).await;
    let crashed = crash(directory.path());
    let path = write_ahead_file(crashed.path());
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - 30).unwrap();
    let mut again = open(crashed.path());
    assert_eq!(indexes(&mut again).await, [1, 2, 3, 4]);
    append(&mut again, 2, 5..=6).await;
    assert_eq!(indexes(&mut again).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn damage_before_the_end_is_refused_and_not_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    for index in 1..=50 {
        append(&mut log, 1, index..=index).await;
    }
    let crashed = crash(directory.path());
    let path = write_ahead_file(crashed.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = LogStore::open(crashed.path(), options()).err().unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_entry_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1, 1..=9).await;
    let mut frame = BytesMut::new();
    encode_entry(&entry(1, 4, 100), &mut frame);
    frame[40] ^= 1;
    let mut batch = WriteBatch::default();
    log.shared.disk.put_entry(&mut batch, 4, &frame).unwrap();
    log.shared.disk.write(batch, true).unwrap();
    drop(log);
    let mut again = open(directory.path());
    assert_eq!(again.try_get_log_entries(1..4).await.unwrap().len(), 3);
    let error = again.try_get_log_entries(1..9).await.unwrap_err().to_string();
    assert!(error.contains("entry 4: the entry is damaged"), "{error}");
}

#[tokio::test]
async fn appends_that_wait_share_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    let (_, before) = log.writes_and_syncs();
    // While the first one is being written, the others arrive.
    let large = entry(1, 1, 4 << 20);
    let mut waiting = vec![tokio::spawn({
        let mut log = log.clone();
        async move { log.blocking_append([large]).await }
    })];
    for index in 2..=100 {
        let mut log = log.clone();
        waiting.push(tokio::spawn(async move { log.blocking_append([entry(1, index, 10)]).await }));
    }
    for append in waiting {
        append.await.unwrap().unwrap();
    }
    let syncs = log.writes_and_syncs().1 - before;
    assert!((1..50).contains(&syncs), "{syncs} syncs for 100 appends");
    let crashed = crash(directory.path());
    assert_eq!(indexes(&mut open(crashed.path())).await, (1..=100).collect::<Vec<_>>());
    assert_eq!(log.try_get_log_entries(1..=1).await.unwrap(), [entry(1, 1, 4 << 20)]);
}

#[tokio::test]
async fn without_fsync_entries_are_not_synced_and_votes_are() {
    let directory = tempfile::tempdir().unwrap();
    let os_cache = Options { durability: Durability::OsCache, ..options() };
    let mut log = LogStore::open(directory.path(), os_cache).unwrap();
    append(&mut log, 1, 1..=5).await;
    assert_eq!(log.writes_and_syncs().1, 0);
    log.save_vote(&Vote::new(3, 2)).await.unwrap();
    assert_eq!(log.writes_and_syncs().1, 1);
}

#[tokio::test]
async fn a_leader_that_restarts_has_to_be_elected_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    log.save_vote(&Vote::new_committed(7, OWN)).await.unwrap();
    assert_eq!(log.current_vote(), Some(Vote::new_committed(7, OWN)));
    drop(log);
    let mut log = open(directory.path());
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(7, OWN)));
    assert_eq!(log.current_vote(), Some(Vote::new(7, OWN)));
    log.save_vote(&Vote::new_committed(8, 2)).await.unwrap();
    drop(log);
    assert_eq!(open(directory.path()).read_vote().await.unwrap(), Some(Vote::new_committed(8, 2)));
}

#[tokio::test]
async fn an_entry_can_be_read_before_it_is_on_disk_and_is_not_copied() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    let appended = entry(1, 1, 1000);
    log.blocking_append([appended.clone()]).await.unwrap();
    let read = log.try_get_log_entries(..).await.unwrap();
    let (EntryPayload::Normal(there), EntryPayload::Normal(here)) = (&read[0].payload, &appended.payload)
    else {
        panic!("not batches")
    };
    assert_eq!(there.raw().as_ptr(), here.raw().as_ptr());
}

#[test]
fn the_window_forgets_what_is_on_disk_and_keeps_what_is_not() {
    let mut window = Window::new(1000, &super::disk::Recovered::default());
    let (first, _) = window.append(&[entry(1, 1, 600), entry(1, 2, 600)]).unwrap();
    let (second, _) = window.append(&[entry(1, 3, 600)]).unwrap();
    assert_eq!(window.usage().0, 3, "nothing is on disk");
    window.set_durable(first);
    assert_eq!(window.usage().0, 1);
    assert_eq!(window.read(1..4, |_| true).0, 3, "entries before 3 are on disk");
    assert_eq!(window.read(3..4, |_| true), (3, vec![entry(1, 3, 600)]));
    // A flush of what was truncated since says nothing of what came after it.
    window.truncate(3, Some(id(1, 2)));
    window.append(&[entry(2, 3, 600), entry(2, 4, 600)]).unwrap();
    window.set_durable(second);
    assert_eq!(window.usage().0, 2);
    assert!(window.append(&[entry(2, 6, 1)]).is_err(), "a hole");
}

#[tokio::test]
async fn entries_that_left_the_window_are_read_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let small = Options { cache_bytes: 2000, ..options() };
    let mut log = LogStore::open(directory.path(), small).unwrap();
    for index in 1..=100 {
        append(&mut log, 1, index..=index).await;
    }
    let (count, bytes) = log.cached();
    assert!(count < 20 && bytes <= 2000, "{count} entries, {bytes} bytes");
    let entries = log.try_get_log_entries(1..=100).await.unwrap();
    assert_eq!(entries, (1..=100).map(|index| entry(1, index, 100)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_limited_read_is_bounded_by_bytes_and_never_empty() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    log.blocking_append((1..=40).map(|index| entry(1, index, if index == 20 { 5000 } else { 300 })))
        .await
        .unwrap();
    for restarted in [false, true] {
        if restarted {
            drop(log);
            log = open(directory.path());
        }
        let (mut next, mut rounds) = (1, 0);
        while next <= 40 {
            let entries = log.limited_get_log_entries(next, 41).await.unwrap();
            let bytes: usize = entries.iter().map(window::size).sum();
            assert_eq!(entries[0].log_id.index, next);
            assert!(bytes <= 1000 || entries.len() == 1, "{bytes} bytes in {} entries", entries.len());
            next += entries.len() as u64;
            rounds += 1;
        }
        assert!((14..=25).contains(&rounds), "{rounds} rounds");
    }
}

#[tokio::test]
async fn a_purge_gives_the_disk_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    for index in 1..=300 {
        log.blocking_append([entry(1, index, 100_000)]).await.unwrap();
    }
    let before = disk_usage(directory.path());
    assert!(before > 29_000_000 && log.log_bytes() > 29_000_000, "{before} and {}", log.log_bytes());
    log.purge(id(1, 299)).await.unwrap();
    assert_eq!(log.log_bytes(), 0);
    // RocksDB removes files behind the call.
    for _ in 0..100 {
        if disk_usage(directory.path()) < 8_000_000 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let after = disk_usage(directory.path());
    assert!(after < 8_000_000, "{after} of {before} bytes are left");
    assert_eq!(indexes(&mut log).await, [300]);
    drop(log);
    assert_eq!(indexes(&mut open(directory.path())).await, [300]);
}

#[tokio::test]
async fn a_purge_beyond_the_end_moves_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1, 1..=3).await;
    log.purge(id(2, 50)).await.unwrap();
    append(&mut log, 2, 51..=52).await;
    drop(log);
    let mut log = open(directory.path());
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(2, 50)), Some(id(2, 52))));
    assert_eq!(indexes(&mut log).await, [51, 52]);
}

#[tokio::test]
async fn a_log_that_is_open_cannot_be_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let _log = open(directory.path());
    let error = LogStore::open(directory.path(), options()).err().unwrap();
    let path = directory.path().join("log");
    assert_eq!(error, OpenError::Locked { path });
}

#[test]
fn a_log_of_a_newer_program_is_named_and_not_called_damage() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path());
    let mut batch = WriteBatch::default();
    log.shared.disk.put_meta(&mut batch, key::FORMAT, &9u32).unwrap();
    log.shared.disk.write(batch, true).unwrap();
    drop(log);
    let error = LogStore::open(directory.path(), options()).err().unwrap();
    assert_eq!(error, OpenError::Format { path: directory.path().join("log"), found: 9, known: 2 });
}

#[test]
fn a_directory_that_is_a_file_is_a_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("log"), "x").unwrap();
    let error = LogStore::open(directory.path(), options()).err().unwrap();
    assert!(matches!(error, OpenError::Other { .. }), "{error}");
}

#[test]
fn a_purge_behind_the_end_moves_the_end_also_where_the_last_entry_is_of_a_later_term() {
    // This node led in term 5 for a moment, and nobody has what it appended. What was committed meanwhile is of term 3.
    let recovered = super::disk::Recovered { last: Some(id(5, 50)), ..Default::default() };
    let mut window = Window::new(1000, &recovered);
    window.purge(id(3, 100));
    assert_eq!((window.last, window.purged), (Some(id(3, 100)), Some(id(3, 100))));
    window.append(&[entry(6, 101, 10)]).unwrap();
    window.purge(id(6, 60));
    assert_eq!((window.last, window.purged), (Some(id(6, 101)), Some(id(3, 100))));
}
