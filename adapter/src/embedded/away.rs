//! Finding values that are away, and putting them back.

use bytes::Bytes;
use rocksdb::{Snapshot, WriteBatch};

use super::behind::{STUBS_AT_ONCE, lower};
use super::encoding::{Family, Record, Stub, Value, meta_key, split_meta_key, version_start};
use super::frozen::storage_error;
use super::source::{Need, Part, Place, Span, Whole};
use super::store::Store;
use crate::error::StorageError;
use crate::keyspace::Direction;

/// A value that is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Away {
    /// Where in its family the stub is.
    pub(crate) at: Vec<u8>,
    pub(crate) need: Need,
}

/// A search for values that are away, and what it may still find.
struct Search {
    away: Vec<Away>,
    values: usize,
    bytes: u64,
    places: usize,
}

impl Search {
    fn new(values: usize, bytes: u64, places: usize) -> Self {
        Self { away: Vec::new(), values, bytes, places }
    }

    fn add(&mut self, away: Away) {
        self.bytes = self.bytes.saturating_sub(away.need.1.len);
        self.away.push(away);
    }

    /// Whether it may look at one place more.
    fn goes_on(&mut self) -> bool {
        self.places = self.places.saturating_sub(1);
        self.places > 0 && self.bytes > 0 && self.away.len() < self.values
    }
}

impl Store {
    /// Values of a key's content that are away, behind a place of it, a few hundred at most.
    pub(crate) fn away(&self, whole: &Whole, behind: Option<&[u8]>) -> Result<Vec<Away>, StorageError> {
        let mut found = Search::new(STUBS_AT_ONCE, u64::MAX, usize::MAX);
        self.search(None, whole, behind, &mut found)?;
        Ok(found.away)
    }

    /// What a walk over all content comes to behind a place that is away too: some thousands at most, of some MiB, and
    /// of the next few ten thousand places.
    pub(super) fn away_behind(
        &self,
        snapshot: Option<&Snapshot<'_>>,
        place: &Place,
    ) -> Result<Vec<Need>, StorageError> {
        let mut found = Search::new(4096, 4 << 20, 32 * 1024);
        if let Some((whole, at)) = place.in_content() {
            self.search(snapshot, &whole, Some(&at), &mut found)?;
        }
        let mut behind = meta_key(&place.key);
        behind.push(0);
        let mut cursor = self.cursor(snapshot, Family::Meta, &Span::from(behind), Direction::Forward)?;
        while let Some((at, record)) = cursor.item()
            && found.goes_on()
        {
            let (_, key) = split_meta_key(at).map_err(storage_error)?;
            let (record, value) = Record::decode(record).map_err(storage_error)?;
            match (value, record.version) {
                (Value::Away(stub), _) => {
                    let place = Place { key: Bytes::copy_from_slice(key), part: Part::String };
                    found.add(Away { at: at.to_vec(), need: (place, stub) });
                }
                (Value::Here(_), Some(version)) if Record::values(record.kind).is_some() => {
                    let whole = Whole { key: Bytes::copy_from_slice(key), kind: record.kind, version };
                    self.search(snapshot, &whole, None, &mut found)?;
                }
                (Value::Here(_), _) => {}
            }
            cursor.advance()?;
        }
        Ok(found.away.into_iter().map(|away| away.need).collect())
    }

    fn search(
        &self,
        snapshot: Option<&Snapshot<'_>>,
        whole: &Whole,
        behind: Option<&[u8]>,
        found: &mut Search,
    ) -> Result<(), StorageError> {
        let Some(family) = whole.family() else { return Ok(()) };
        let span = Span::new(lower(whole.version, behind), version_start(whole.version + 1));
        let mut cursor = self.cursor(snapshot, family, &span, Direction::Forward)?;
        while let Some((at, stored)) = cursor.item()
            && found.goes_on()
        {
            if let Value::Away(stub) = Value::decode(stored).map_err(storage_error)? {
                let place = whole.at(at).map_err(storage_error)?;
                found.add(Away { at: at.to_vec(), need: (place, stub) });
            }
            cursor.advance()?;
        }
        Ok(())
    }

    /// Puts values back whose stubs are still there.
    pub(crate) fn restore(
        &self,
        family: Family,
        values: &[(Vec<u8>, Stub, bytes::Bytes)],
    ) -> Result<(), StorageError> {
        let _commit = self.lock_commits();
        let mut batch = WriteBatch::default();
        for (place, stub, value) in values {
            let is_it =
                |bytes: &[u8]| matches!(Value::decode(bytes), Ok(Value::Away(found)) if found == *stub);
            if self.get(None, family, place, is_it).map_err(storage_error)?.unwrap_or(false) {
                self.put(&mut batch, family, place, &Value::Here(value).encode())?;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.write(batch) }
    }
}
