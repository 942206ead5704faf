//! The state machine over a small adapter that keeps the batches it was given.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says enough by panicking")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use adapter::keyspace::Kind;
use adapter::snapshot::{ContentSink, Digest, Item, KeyHead, Origin, SnapshotReader, SnapshotWriter};
use adapter::{Applied, CommandBuffer, Health, Position, ReadOutcome, Reply, Run, Snapshot};
use async_trait::async_trait;
use bytes::Bytes;
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, Membership, RaftSnapshotBuilder};

use super::*;
use crate::log_store::{LogStore, Options};

type Content = (u64, Vec<u8>, Vec<Vec<u8>>);

/// Keeps every batch in memory.
#[derive(Default)]
struct Book {
    content: Mutex<Content>,
    runs: AtomicUsize,
    writers: AtomicUsize,
}

impl Book {
    fn position(&self) -> Position {
        let content = self.content.lock().unwrap();
        Position { index: content.0, mark: content.1.clone().into() }
    }

    fn batches(&self) -> Vec<Vec<u8>> {
        self.content.lock().unwrap().2.clone()
    }
}

/// What a book's snapshot holds.
fn content(stream: impl Read) -> Result<Content, adapter::StorageError> {
    let (mut reader, mut bytes) = (SnapshotReader::new(stream)?, Vec::new());
    loop {
        match reader.next_item()? {
            Item::Chunk(chunk) => bytes.extend_from_slice(chunk),
            Item::End(_) => return Ok(postcard::from_bytes(&bytes).unwrap()),
            _ => {}
        }
    }
}

struct Page(Applied, Content);

impl Snapshot for Page {
    fn applied(&self) -> &Applied {
        &self.0
    }

    fn write(
        self: Box<Self>,
        origin: Origin,
        out: &mut (dyn Write + Send),
    ) -> Result<Digest, adapter::StorageError> {
        // Somebody who wants to write meanwhile gets the time to.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let bytes = postcard::to_stdvec(&self.1).unwrap();
        let mut writer = SnapshotWriter::new(out, &origin.header(self.0))?;
        writer.begin_key(&KeyHead { kind: Kind::String, deadline: None, revision: 0 }, b"content")?;
        writer.string_chunk(&bytes)?;
        writer.end_key()?;
        writer.finish().map(|(_, digest)| digest)
    }
}

#[async_trait]
impl Adapter for Book {
    fn applied(&self) -> Applied {
        Applied { position: self.position(), now_ms: 0 }
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, adapter::StorageError> {
        assert_eq!(self.writers.fetch_add(1, Ordering::SeqCst), 0, "two writers");
        self.runs.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let replies = run.batches.iter().map(|batch| vec![Reply::Integer(batch.now_ms() as i64)]).collect();
        {
            let mut content = self.content.lock().unwrap();
            (content.0, content.1) = (run.position.index, run.position.mark.to_vec());
            content.2.extend(run.batches.iter().map(|batch| batch.raw().to_vec()));
        }
        self.writers.fetch_sub(1, Ordering::SeqCst);
        Ok(replies)
    }

    async fn read(&self, _: Vec<Bytes>, _: u64) -> ReadOutcome {
        ReadOutcome { reply: Reply::Null, expired: Vec::new() }
    }

    async fn read_together(&self, _: Vec<Vec<Bytes>>, _: u64) -> Vec<ReadOutcome> {
        Vec::new()
    }

    async fn due_keys(&self, _: u64, _: usize) -> Result<Vec<Bytes>, adapter::StorageError> {
        Ok(Vec::new())
    }

    async fn flush(&self) -> Result<Position, adapter::StorageError> {
        assert_eq!(self.writers.fetch_add(1, Ordering::SeqCst), 0, "two writers");
        tokio::task::yield_now().await;
        self.writers.fetch_sub(1, Ordering::SeqCst);
        Ok(self.position())
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, adapter::StorageError> {
        Ok(Box::new(Page(self.applied(), self.content.lock().unwrap().clone())))
    }

    async fn install(&self, stream: Box<dyn Read + Send>) -> Result<Applied, adapter::StorageError> {
        *self.content.lock().unwrap() = content(stream)?;
        Ok(self.applied())
    }

    async fn digest(&self) -> Result<(Position, Digest), adapter::StorageError> {
        Err(adapter::StorageError::Corrupt("a book has no digest".to_owned()))
    }

    fn health(&self) -> Health {
        Health { ok: true, detail: String::new(), bytes: 0 }
    }
}

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(3, 1), index)
}

fn write(index: u64, bytes: usize) -> Entry {
    let mut commands = CommandBuffer::default();
    commands.push(&[b"SET", b"key", &vec![b'x'; bytes]]);
    Entry { log_id: id(index), payload: EntryPayload::Normal(Batch::new(index, 0, [&commands])) }
}

fn blank(index: u64) -> Entry {
    Entry { log_id: id(index), payload: EntryPayload::Blank }
}

fn members(index: u64, ids: impl IntoIterator<Item = NodeId>) -> Entry {
    let membership = Membership::new(vec![ids.into_iter().collect::<BTreeSet<_>>()], ());
    Entry { log_id: id(index), payload: EntryPayload::Membership(membership) }
}

async fn open(book: &Arc<Book>, directory: &Path) -> KiwiStateMachine {
    KiwiStateMachine::open(book.clone(), directory, "ours", empty_log()).await.unwrap()
}

/// It is closed, and its directory gone, when its last reader is.
fn empty_log() -> LogReader {
    LogStore::open(tempfile::tempdir().unwrap().path(), options()).unwrap().reader()
}

fn options() -> Options {
    Options::new(0, &conf::Raft::default())
}

fn files(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory.join("snapshots")).unwrap();
    let mut names: Vec<_> = names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

struct Stores;

impl StoreBuilder<TypeConfig, LogStore, KiwiStateMachine, tempfile::TempDir> for Stores {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, KiwiStateMachine), StorageError> {
        let directory = tempfile::tempdir().unwrap();
        let log = LogStore::open(directory.path(), options()).unwrap();
        let state_machine = open(&Arc::default(), directory.path()).await;
        Ok((directory, log, state_machine))
    }
}

#[test]
fn openrafts_own_suite_passes_on_the_log_and_the_state_machine() {
    Suite::test_all(Stores).unwrap();
}

#[tokio::test]
async fn every_entry_has_exactly_one_list_of_replies_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    let replies =
        machine.apply([blank(1), write(2, 1), members(3, [1]), write(4, 1), blank(5)]).await.unwrap();
    let expected = [vec![], vec![Reply::Integer(2)], vec![], vec![Reply::Integer(4)], vec![]];
    assert_eq!(replies, expected.map(Replies));
    assert_eq!(book.runs.load(Ordering::SeqCst), 1, "one run");
    assert_eq!(machine.progress().borrow().applied, Some(id(5)));
}

#[tokio::test]
async fn a_long_apply_is_split_by_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    let replies = machine.apply((1..=10).map(|index| write(index, MAX_RUN_BYTES / 4))).await.unwrap();
    assert_eq!(replies.len(), 10);
    assert!((3..=5).contains(&book.runs.load(Ordering::SeqCst)));
    assert_eq!(machine.applied_state().await.unwrap().0, Some(id(10)));
}

#[tokio::test]
async fn the_position_and_the_membership_come_back_with_the_data() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    assert_eq!(machine.applied_state().await.unwrap(), (None, StoredMembership::default()));
    machine.apply([members(1, [1, 2]), write(2, 1)]).await.unwrap();
    drop(machine);
    let mut machine = open(&book, directory.path()).await;
    machine.apply([write(3, 1)]).await.unwrap();
    let (applied, membership) = machine.applied_state().await.unwrap();
    assert_eq!((applied, *membership.log_id()), (Some(id(3)), Some(id(1))));
    assert_eq!(membership.voter_ids().collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_written_while_entries_are_applied_and_found_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    machine.apply([members(1, [1]), write(2, 1)]).await.unwrap();
    let mut builder = machine.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await });
    for index in 3..200 {
        machine.apply([write(index, 1)]).await.unwrap();
    }
    let built = building.await.unwrap().unwrap();
    let taken_at = built.meta.last_log_id.unwrap().index;
    assert!((2..200).contains(&taken_at));
    assert_eq!(machine.progress().borrow().snapshot, built.meta.last_log_id);
    drop(machine);
    let mut machine = open(&book, directory.path()).await;
    let found = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(found.meta, built.meta);
    assert_eq!(machine.progress().borrow().snapshot, built.meta.last_log_id);
    let (index, _, batches) = content(std::fs::File::open(&found.snapshot.path).unwrap()).unwrap();
    assert_eq!((index, batches.len() as u64), (taken_at, taken_at - 1));
}

#[tokio::test]
async fn only_the_newest_snapshot_is_kept_and_leftovers_of_crashes_go() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    for index in 1..=2 {
        machine.apply([write(index, 1)]).await.unwrap();
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    }
    assert_eq!(files(directory.path()), ["2-3.meta", "2-3.snap"]);
    drop(machine);
    for leftover in ["9-3-0.tmp", "incoming-0", "9-3.meta", "8-3.snap", "9-3.meta.tmp"] {
        std::fs::write(directory.path().join("snapshots").join(leftover), "x").unwrap();
    }
    let mut machine = open(&book, directory.path()).await;
    assert_eq!(files(directory.path()), ["2-3.meta", "2-3.snap"]);
    assert_eq!(machine.get_current_snapshot().await.unwrap().unwrap().meta.last_log_id, Some(id(2)));
}

#[tokio::test]
async fn a_received_snapshot_replaces_everything_and_becomes_the_current_one() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (book, other) = (Arc::default(), Arc::default());
    let mut leader = open(&book, here.path()).await;
    leader.apply([members(1, [1, 2]), write(2, 10)]).await.unwrap();
    let sent = leader.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let mut follower = open(&other, there.path()).await;
    let incoming = follower.begin_receiving_snapshot().await.unwrap();
    std::fs::copy(&sent.snapshot.path, &incoming.path).unwrap();
    follower.install_snapshot(&sent.meta, incoming).await.unwrap();
    assert_eq!(files(there.path()), ["2-3.meta", "2-3.snap"]);
    assert_eq!(other.batches(), book.batches());
    assert_eq!(follower.applied_state().await.unwrap(), leader.applied_state().await.unwrap());
    assert_eq!(*follower.progress().borrow(), Progress { applied: Some(id(2)), snapshot: Some(id(2)) });
    follower.apply([write(3, 1)]).await.unwrap();
    let (_, membership) = follower.applied_state().await.unwrap();
    assert_eq!(*membership.log_id(), Some(id(1)), "the membership stays across later entries");
}

#[tokio::test]
async fn a_damaged_snapshot_changes_nothing_and_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    machine.apply([write(1, 1)]).await.unwrap();
    let incoming = machine.begin_receiving_snapshot().await.unwrap();
    std::fs::write(&incoming.path, [0xff; 20]).unwrap();
    let meta = files::meta(&Mark { applied: Some(id(9)), ..Mark::default() });
    machine.install_snapshot(&meta, incoming).await.unwrap_err();
    assert_eq!(machine.applied_state().await.unwrap().0, Some(id(1)));
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    assert!(files(directory.path()).is_empty());
}

#[tokio::test]
async fn a_storage_that_lost_everything_is_restored_from_the_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    machine.apply([members(1, [1]), write(2, 1)]).await.unwrap();
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    drop(machine);
    let empty = Arc::default();
    let mut machine = open(&empty, directory.path()).await;
    assert_eq!(empty.batches(), book.batches());
    assert_eq!(machine.applied_state().await.unwrap().0, Some(id(2)));
}

#[tokio::test]
async fn a_snapshot_of_another_cluster_is_refused_and_one_of_none_is_taken() {
    let sentence = "it is of the cluster theirs, and this node belongs to ours";
    for (from, taken) in [("theirs", false), ("", true)] {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut source =
            KiwiStateMachine::open(Arc::<Book>::default(), there.path(), from, empty_log()).await.unwrap();
        source.apply([write(1, 1)]).await.unwrap();
        let sent = source.get_snapshot_builder().await.build_snapshot().await.unwrap();
        let mut machine = open(&Arc::default(), here.path()).await;
        let incoming = machine.begin_receiving_snapshot().await.unwrap();
        std::fs::copy(&sent.snapshot.path, &incoming.path).unwrap();
        let installed = machine.install_snapshot(&sent.meta, incoming).await;
        // The same for one that lies in the node's own directory.
        drop(source);
        let opened =
            KiwiStateMachine::open(Arc::<Book>::default(), there.path(), "ours", empty_log()).await.map(drop);
        if taken {
            installed.unwrap();
            opened.unwrap();
        } else {
            assert!(installed.unwrap_err().to_string().contains(sentence));
            assert!(opened.unwrap_err().to_string().contains(sentence));
        }
    }
}

/// Two hundred bytes of commands, in pieces of a hundred that are entries of their own from `index` on; the last entry
/// comes behind them.
fn upload(index: u64) -> (Vec<Entry>, CommandBuffer) {
    let mut commands = CommandBuffer::default();
    commands.push(&[b"SET", b"key", &[b'x'; 200]]);
    let total = commands.bytes().len() as u64;
    let pieces = commands.bytes().chunks(100).enumerate();
    let mut batches: Vec<Batch> =
        pieces.map(|(number, piece)| Batch::piece(7, total, number as u64 * 100, piece)).collect();
    batches.push(Batch::last(index + 1000, 9, 1, 7, total));
    let entries = (index..).zip(batches);
    let entries =
        entries.map(|(index, batch)| Entry { log_id: id(index), payload: EntryPayload::Normal(batch) });
    (entries.collect(), commands)
}

#[tokio::test]
async fn commands_in_pieces_take_effect_where_the_last_is_and_others_come_between_them() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    let (entries, commands) = upload(1);
    let mut all: Vec<Entry> = Vec::new();
    for entry in entries {
        all.push(Entry { log_id: id(all.len() as u64 + 1), ..entry });
        all.push(write(all.len() as u64 + 1, 1));
    }
    let replies = machine.apply(all).await.unwrap();
    let number = |number| vec![Reply::Integer(number)];
    let pieces = commands.bytes().chunks(100).len() as i64;
    let expected = (1..=pieces).flat_map(|n| [vec![], number(2 * n)]);
    let expected: Vec<Replies> =
        expected.chain([number(1001), number(2 * pieces + 2)]).map(Replies).collect();
    assert_eq!(replies, expected);
    assert_eq!(book.batches()[pieces as usize], Batch::new(1001, 9, [&commands]).raw().to_vec());
}

#[tokio::test]
async fn an_upload_whose_leader_was_replaced_takes_no_effect() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    let (mut entries, _) = upload(1);
    let later = |index| LogId::new(CommittedLeaderId::new(4, 2), index);
    let mut last = entries.pop().unwrap();
    machine.apply(entries).await.unwrap();
    let index = machine.applied_state().await.unwrap().0.unwrap().index;
    last.log_id = later(index + 2);
    let blank = Entry { log_id: later(index + 1), payload: EntryPayload::Blank };
    assert_eq!(machine.apply([blank, last]).await.unwrap(), [Replies::default(), Replies::default()]);
    assert!(book.batches().is_empty());
}

#[tokio::test]
async fn a_node_that_is_started_again_during_an_upload_reads_its_pieces_back_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let (mut entries, commands) = upload(1);
    let last = entries.pop().unwrap();
    let log = LogStore::open(directory.path(), options()).unwrap();
    for entry in &entries {
        log.append_offline(entry, &crate::types::Vote::default()).unwrap();
    }
    drop(log);
    let book = Arc::default();
    open(&book, directory.path()).await.apply(entries).await.unwrap();
    let log = LogStore::open(directory.path(), options()).unwrap();
    let machine = KiwiStateMachine::open(book.clone(), directory.path(), "ours", log.reader()).await;
    let replies = machine.unwrap().apply([last.clone()]).await.unwrap();
    assert_eq!(replies, [Replies(vec![Reply::Integer(1001)])]);
    assert_eq!(book.batches(), [Batch::new(1001, 9, [&commands]).raw().to_vec()]);
}

#[tokio::test]
async fn a_node_whose_log_has_lost_pieces_stops_and_does_not_differ_from_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let (mut entries, _) = upload(1);
    let last = entries.pop().unwrap();
    let book = Arc::default();
    open(&book, directory.path()).await.apply(entries).await.unwrap();
    let error = open(&book, directory.path()).await.apply([last]).await.unwrap_err();
    assert!(error.to_string().contains("has lost the first pieces of a large write"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_snapshot_is_made_between_the_pieces_of_an_upload() {
    let directory = tempfile::tempdir().unwrap();
    let book = Arc::default();
    let mut machine = open(&book, directory.path()).await;
    let (mut entries, _) = upload(2);
    let last = entries.pop().unwrap();
    machine.apply([members(1, [1])]).await.unwrap();
    machine.apply(entries).await.unwrap();
    let mut builder = machine.get_snapshot_builder().await;
    let building = tokio::spawn(async move { builder.build_snapshot().await });
    let next = machine.applied_state().await.unwrap().0.unwrap().index + 1;
    for index in next..50 {
        machine.apply([write(index, 1)]).await.unwrap();
    }
    assert!(!building.is_finished());
    machine.apply([Entry { log_id: id(50), ..last }]).await.unwrap();
    let built = building.await.unwrap().unwrap();
    assert_eq!(built.meta.last_log_id, Some(id(50)));
}
