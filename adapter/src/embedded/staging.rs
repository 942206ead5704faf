//! Long arguments that are written before the commands they belong to are applied.
//!
//! A command that comes in pieces is applied when the last one is there. If its longest arguments were written to the
//! store only then, whoever writes beside it would wait for all of their bytes. So each piece is written when it comes,
//! in chunks, under a version that no record names yet, and the command that sets a string takes that version over.
//!
//! Staging changes nothing that a reader can find, and nothing depends on it: the command has all of its bytes, and
//! writes them itself where they are not staged whole. What nobody has taken over is removed behind the commit, and
//! after a crash by the next start, which finds the versions under a key of their own.

use rocksdb::WriteBatch;

use crate::batch::{Batch, LongArgument};
use crate::embedded::db::schema::{CHUNK, Family, place_key, take_u64, version_start};
use crate::embedded::db::state::{STAGED_KEY, State};
use crate::embedded::db::store::Store;
use crate::embedded::offload::value_ref::Value;
use crate::error::StorageError;

/// The long arguments of the upload that is arriving.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    upload: u64,
    arguments: Vec<Staged>,
}

/// One of them.
#[derive(Clone, Debug)]
struct Staged {
    /// Where it stands in its batch.
    place: usize,
    length: usize,
    version: u64,
    /// Bytes that are written, in whole chunks.
    written: usize,
    /// Bytes behind those, less than a chunk.
    rest: Vec<u8>,
}

/// The arguments of a batch that are staged whole, for its commands to take over.
#[derive(Debug, Default)]
pub(crate) struct Offered {
    /// The address and the length of each argument, and its version.
    arguments: Vec<(usize, usize, u64)>,
    /// All versions that are staged and not taken over.
    versions: Vec<u64>,
}

impl Staging {
    /// Writes what has come of a long argument.
    pub(crate) fn add(&mut self, store: &Store, arrived: &LongArgument<'_>) -> Result<(), StorageError> {
        if self.upload != arrived.upload {
            self.drop_all(store)?;
            self.upload = arrived.upload;
        }
        let found = self.arguments.iter().position(|staged| staged.place == arrived.place);
        let index = match found {
            Some(index) if self.arguments[index].end() == arrived.from => index,
            None if arrived.from == 0 => {
                self.begin(store, arrived)?;
                self.arguments.len() - 1
            }
            // Its beginning was staged in a store that is gone: the command will write it.
            _ => return Ok(()),
        };
        let staged = &mut self.arguments[index];
        let mut batch = WriteBatch::default();
        staged.write(store, &mut batch, arrived.bytes)?;
        if batch.is_empty() { Ok(()) } else { store.write(batch) }
    }

    /// Reserves a version, and notes it durably with the first bytes that are written under it.
    fn begin(&mut self, store: &Store, arrived: &LongArgument<'_>) -> Result<(), StorageError> {
        let state = store.state();
        let version = state.next_version;
        self.arguments.push(Staged {
            place: arrived.place,
            length: arrived.length,
            version,
            written: 0,
            rest: Vec::new(),
        });
        let mut batch = WriteBatch::default();
        store.put(&mut batch, Family::State, STAGED_KEY, &encode(&self.versions()))?;
        store.write(batch)?;
        store.set_state(State { next_version: version + 1, ..state });
        Ok(())
    }

    fn versions(&self) -> Vec<u64> {
        self.arguments.iter().map(|staged| staged.version).collect()
    }

    /// What the commands of the upload's batch may take over.
    pub(crate) fn offer(&self, batch: &Batch) -> Offered {
        let whole = self.arguments.iter().filter(|staged| staged.written == staged.length);
        let offered = whole.filter_map(|staged| {
            let argument = batch.raw().get(staged.place..)?.get(..staged.length)?;
            Some((argument.as_ptr().addr(), argument.len(), staged.version))
        });
        Offered { arguments: offered.collect(), versions: self.versions() }
    }

    /// Forgets what was taken over in a commit, and removes the rest.
    pub(crate) fn keep(&mut self, store: &Store, left: &[u64]) -> Result<(), StorageError> {
        self.arguments.retain(|staged| left.contains(&staged.version));
        self.drop_all(store)
    }

    /// Removes everything.
    pub(crate) fn drop_all(&mut self, store: &Store) -> Result<(), StorageError> {
        let versions = std::mem::take(self).versions();
        if versions.is_empty() { Ok(()) } else { store.drop_staged(&versions) }
    }

    /// Whether this upload is staged, or a part of it.
    pub(crate) fn is_of(&self, upload: Option<u64>) -> bool {
        !self.arguments.is_empty() && upload == Some(self.upload)
    }
}

impl Staged {
    fn end(&self) -> usize {
        self.written + self.rest.len()
    }

    /// Puts all whole chunks into a batch, and the last one when it is there.
    fn write(&mut self, store: &Store, batch: &mut WriteBatch, bytes: &[u8]) -> Result<(), StorageError> {
        let chunk = CHUNK as usize;
        let (mut joined, mut bytes) = (std::mem::take(&mut self.rest), bytes);
        if !joined.is_empty() {
            let (more, others) = bytes.split_at(bytes.len().min(chunk - joined.len()));
            joined.extend_from_slice(more);
            bytes = others;
            self.put(store, batch, &joined)?;
        }
        bytes.chunks(chunk).try_for_each(|bytes| self.put(store, batch, bytes))
    }

    fn put(&mut self, store: &Store, batch: &mut WriteBatch, bytes: &[u8]) -> Result<(), StorageError> {
        if bytes.len() < CHUNK as usize && self.written + bytes.len() < self.length {
            self.rest = bytes.to_vec();
            return Ok(());
        }
        let place = place_key(self.version, (self.written as u64) / CHUNK);
        store.put(batch, Family::Chunks, &place, &Value::Inline(bytes).encode())?;
        self.written += bytes.len();
        Ok(())
    }
}

impl Offered {
    /// The version under which exactly this argument is staged. It is given once.
    pub(crate) fn take(&mut self, argument: &[u8]) -> Option<u64> {
        let (address, length) = (argument.as_ptr().addr(), argument.len());
        let index = self.arguments.iter().position(|offered| (offered.0, offered.1) == (address, length))?;
        let (_, _, version) = self.arguments.swap_remove(index);
        self.versions.retain(|left| *left != version);
        Some(version)
    }

    /// Takes the offer back: what is staged is about to be removed.
    pub(crate) fn withdraw(&mut self) {
        self.arguments.clear();
    }

    /// The versions that are still staged.
    pub(crate) fn left(&self) -> &[u64] {
        &self.versions
    }

    /// The same, as the store keeps them.
    pub(crate) fn encode_left(&self) -> Vec<u8> {
        encode(&self.versions)
    }
}

fn encode(versions: &[u64]) -> Vec<u8> {
    versions.iter().flat_map(|version| version.to_be_bytes()).collect()
}

impl Store {
    /// Removes content that was staged and that nobody has taken over.
    pub(crate) fn drop_staged(&self, versions: &[u64]) -> Result<(), StorageError> {
        let mut batch = WriteBatch::default();
        for version in versions {
            self.delete_range(
                &mut batch,
                Family::Chunks,
                &version_start(*version),
                &version_start(version + 1),
            )?;
        }
        self.put_all(&mut batch, Family::State, [(STAGED_KEY, None)].into_iter())?;
        self.write(batch)
    }

    /// The versions that an earlier process has staged.
    pub(crate) fn find_staged(&self) -> Result<Vec<u64>, StorageError> {
        let decode = |mut bytes: &[u8]| std::iter::from_fn(|| take_u64(&mut bytes)).collect();
        let found = self.get(None, Family::State, STAGED_KEY, decode);
        Ok(found.map_err(crate::embedded::error::storage_error)?.unwrap_or_default())
    }
}
