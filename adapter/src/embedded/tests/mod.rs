//! The embedded storage, tested through its primitives.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod durability;
mod large;
mod merge;
mod model;
mod removals;
mod staging;
mod throughput;
mod write_buffer;

use std::path::Path;

use conf::Storage;
use tempfile::TempDir;

use crate::embedded::db::store::{Log, Setup, Store};
use crate::position::Position;

const MIB: usize = 1024 * 1024;

/// Small buffers, no log.
fn setup() -> Setup {
    let storage = Storage { block_cache_bytes: 8 * MIB, write_buffer_bytes: 4 * MIB, ..Storage::default() };
    Setup { storage, log: Log::Off, dirty_log: false }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn new_store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("1"), &setup()).unwrap();
    (dir, store)
}

fn position(index: u64) -> Position {
    Position { index, mark: format!("mark {index}").into() }
}

/// What a crash at this moment would leave: the files, without what is in memory only. The list of files that are
/// in use is copied first: what it names is there already.
fn copy_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(dir, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| !entry.file_name().to_string_lossy().starts_with("MANIFEST"));
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            match std::fs::copy(entry.path(), target) {
                // Removed meanwhile, and so not in use: a copy that needs it cannot be opened.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => assert!(copied.is_ok(), "{copied:?}"),
            }
        }
    }
}
