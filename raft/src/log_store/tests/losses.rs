//! A log that is gone, was exchanged or cut is not taken for a new one, nor for one that was being written.

use super::*;

/// The same, with what says how far the log has been.
fn crash_with_extent(data_dir: &Path) -> tempfile::TempDir {
    let copy = crash(data_dir);
    std::fs::copy(extent::path(data_dir), extent::path(copy.path())).unwrap();
    copy
}

/// Opens the log that the identity names.
fn open_named(directory: &Path, data: DataId) -> Result<LogStore, OpenError> {
    LogStore::open(directory, Options { data: Some(data), ..options() })
}

fn cut_to_two_thirds(file: &Path) {
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(file.metadata().unwrap().len() * 2 / 3).unwrap();
}

#[tokio::test]
async fn a_log_whose_newest_file_was_cut_is_refused_and_not_taken_for_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    for index in 1..=30 {
        append(&mut log, 1, index..=index).await;
    }
    let crashed = crash_with_extent(directory.path());
    assert_eq!(indexes(&mut open_named(crashed.path(), log.data()).unwrap()).await.len(), 30);
    let crashed = crash_with_extent(directory.path());
    cut_to_two_thirds(&write_ahead_file(crashed.path()));
    let before = std::fs::read(extent::path(crashed.path())).unwrap();
    for _ in 0..2 {
        let error = open_named(crashed.path(), log.data()).err().unwrap();
        assert!(matches!(error, OpenError::Cut { .. }), "{error}");
        assert!(error.to_string().contains("and this node had index 30 and a vote of term 0"), "{error}");
    }
    assert_eq!(std::fs::read(extent::path(crashed.path())).unwrap(), before);
    // Who gives up what is lost may have the rest, and it is whole from then on.
    let accepting = Options { accepts_losses: true, data: Some(log.data()), ..options() };
    drop(LogStore::open(crashed.path(), accepting).unwrap());
    open_named(crashed.path(), log.data()).unwrap();
}

#[tokio::test]
async fn a_log_that_lost_its_vote_alone_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1, 1..=3).await;
    let older = crash(directory.path());
    log.save_vote(&Vote::new(7, 2)).await.unwrap();
    std::fs::copy(extent::path(directory.path()), extent::path(older.path())).unwrap();
    let error = open_named(older.path(), log.data()).err().unwrap();
    assert!(matches!(error, OpenError::Cut { .. }), "{error}");
}

#[tokio::test]
async fn a_log_that_is_gone_was_emptied_or_exchanged_is_refused_and_nothing_is_made_in_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1, 1..=3).await;
    let data = log.data();
    let gone = tempfile::tempdir().unwrap();
    std::fs::copy(extent::path(directory.path()), extent::path(gone.path())).unwrap();
    let path = gone.path().join("log");
    assert_eq!(open_named(gone.path(), data).err().unwrap(), OpenError::Lost { path: path.clone() });
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    assert_eq!(open_named(gone.path(), data).err().unwrap(), OpenError::Lost { path: path.clone() });
    // Somebody else's.
    let other = tempfile::tempdir().unwrap();
    drop(open(other.path()));
    std::fs::remove_dir(&path).unwrap();
    copy_log(other.path(), gone.path());
    let error = open_named(gone.path(), data).err().unwrap();
    assert!(matches!(error, OpenError::Foreign { expected, .. } if expected == data), "{error}");
    // Without what says how far it was.
    let crashed = crash(directory.path());
    let error = open_named(crashed.path(), data).err().unwrap();
    assert!(error.to_string().contains("log-extent is missing"), "{error}");
}

#[tokio::test]
async fn a_crash_around_a_truncation_or_a_purge_is_no_loss() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    append(&mut log, 1, 1..=20).await;
    log.truncate(id(1, 11)).await.unwrap();
    let crashed = crash_with_extent(directory.path());
    assert_eq!(open_named(crashed.path(), log.data()).unwrap().last_log_id(), Some(id(1, 10)));
    // Lowered, and the entries still there.
    let reach = log.shared.extent().reach();
    append(&mut log, 2, 11..=15).await;
    log.shared.extent().set(reach).unwrap();
    let crashed = crash_with_extent(directory.path());
    assert_eq!(open_named(crashed.path(), log.data()).unwrap().last_log_id(), Some(id(2, 15)));
    log.purge(id(3, 50)).await.unwrap();
    assert_eq!(log.shared.extent().reach().end, 51);
    let crashed = crash_with_extent(directory.path());
    assert_eq!(open_named(crashed.path(), log.data()).unwrap().last_log_id(), Some(id(3, 50)));
}

#[tokio::test]
async fn nothing_is_said_of_what_no_sync_has_covered() {
    let directory = tempfile::tempdir().unwrap();
    let os_cache = Options { durability: Durability::OsCache, ..options() };
    let mut log = LogStore::open(directory.path(), os_cache).unwrap();
    append(&mut log, 1, 1..=5).await;
    assert_eq!(log.shared.extent().reach().end, 0);
    log.save_vote(&Vote::new(3, 2)).await.unwrap();
    assert_eq!(log.shared.extent().reach().end, 6);
}

#[tokio::test]
async fn a_log_of_format_1_is_given_an_id_and_keeps_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = open(directory.path());
    log.save_vote(&Vote::new(3, 2)).await.unwrap();
    append(&mut log, 1, 1..=5).await;
    // As it was before there were ids.
    let mut batch = WriteBatch::default();
    log.shared.disk.put_meta(&mut batch, key::FORMAT, &1u32).unwrap();
    log.shared.disk.remove_meta(&mut batch, key::DATA).unwrap();
    log.shared.disk.write(batch, true).unwrap();
    drop(log);
    std::fs::remove_file(extent::path(directory.path())).unwrap();
    let log = open(directory.path());
    assert!(!log.is_new());
    let data = log.data();
    drop(log);
    let mut log = open_named(directory.path(), data).unwrap();
    assert_eq!(log.shared.disk.meta::<u32>(key::FORMAT).unwrap(), Some(2));
    assert_eq!((log.current_vote(), indexes(&mut log).await.len()), (Some(Vote::new(3, 2)), 5));
}
