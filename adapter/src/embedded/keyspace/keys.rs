//! [`KeyspaceMut`] for a run: whole keys here, contents in [`super::strings`], [`super::collections`] and
//! [`super::lists`].

use bytes::Bytes;

use crate::embedded::db::schema::{Family, Record, deadline_key, meta_key};
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::offload::value_ref::{NO_VALUE, Value};
use crate::error::Outcome;
use crate::keyspace::{End, KeyspaceMut, Kind};

impl Txn<'_> {
    /// The record of a key, even if expired.
    pub(crate) fn stored_record(&self, key: &[u8]) -> Outcome<Option<Record>> {
        match self.last_record(key) {
            Some(record) => Ok(record),
            None => self.source.record(&meta_key(key)),
        }
    }

    /// Writes or removes the record of a key, keeping the counts and the deadline index exact, and gives it the
    /// present revision. `old` is the stored record, even if expired; `value` is that of a short string.
    pub(crate) fn save(
        &mut self,
        key: &[u8],
        old: Option<Record>,
        new: Option<Record>,
        value: Value<'_>,
    ) -> Outcome<()> {
        self.forget_last();
        let (before, after) = (old.and_then(|old| old.deadline), new.and_then(|new| new.deadline));
        let state = &mut self.source.state;
        state.keys = (state.keys + u64::from(new.is_some())).saturating_sub(u64::from(old.is_some()));
        state.deadlines =
            (state.deadlines + u64::from(after.is_some())).saturating_sub(u64::from(before.is_some()));
        if before != after {
            if let Some(before) = before {
                self.source.delete(Family::Deadlines, deadline_key(before, key))?;
            }
            if let Some(after) = after {
                self.source.put(Family::Deadlines, deadline_key(after, key), Vec::new())?;
            }
        }
        match new {
            Some(new) => {
                let new = Record { revision: self.source.revision, ..new };
                self.source.put(Family::Meta, meta_key(key), new.encode(value))
            }
            None => self.source.delete(Family::Meta, meta_key(key)),
        }
    }

    /// Removes a stored key with its content.
    fn take(&mut self, key: &[u8], record: Record) -> Outcome<()> {
        self.source.drop_content(&record)?;
        self.save(key, Some(record), None, NO_VALUE)
    }

    /// The stored record of a collection, if any, and the record to update: a new one if the key is missing or
    /// expired.
    pub(crate) fn collection(&mut self, key: &[u8], kind: Kind) -> Outcome<(Option<Record>, Record)> {
        let old = self.stored_record(key)?;
        match old {
            Some(record) if !record.is_due(self.now_ms) => {
                self.note_owner(key, &record);
                return Ok((old, record));
            }
            Some(expired) => self.source.drop_content(&expired)?,
            None => {}
        }
        Ok((old, Record::stored(kind, self.source.new_version())))
    }

    /// The record of an existing collection.
    pub(crate) fn existing(&mut self, key: &[u8]) -> Outcome<Option<(Record, u64)>> {
        let record = self.stored_record(key)?.filter(|record| !record.is_due(self.now_ms));
        if let Some(record) = &record {
            self.note_owner(key, record);
        }
        Ok(record.and_then(|record| record.version.map(|version| (record, version))))
    }

    pub(crate) fn note_owner(&mut self, key: &[u8], record: &Record) {
        if let Some(version) = record.version {
            self.source.note_owner(version, key);
        }
    }

    /// Writes a collection's record, or removes the key if nothing is left in it.
    pub(crate) fn save_or_drop(&mut self, key: &[u8], old: Record, new: Record) -> Outcome<()> {
        self.save(key, Some(old), (new.len > 0).then_some(new), NO_VALUE)
    }
}

impl KeyspaceMut for Txn<'_> {
    fn set_revision(&mut self, revision: u64) {
        self.source.revision = revision;
    }

    fn keeps_revisions(&self) -> bool {
        self.source.revision > 0
    }

    fn remove(&mut self, key: &[u8]) -> Outcome<bool> {
        let Some(record) = self.stored_record(key)? else { return Ok(false) };
        self.take(key, record)?;
        Ok(!record.is_due(self.now_ms))
    }

    fn reap(&mut self, key: &[u8]) -> Outcome<bool> {
        let record = self.stored_record(key)?.filter(|record| record.is_due(self.now_ms));
        let Some(record) = record else { return Ok(false) };
        self.take(key, record)?;
        Ok(true)
    }

    fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>) -> Outcome<()> {
        let Some(record) = self.record(key)? else { return Ok(()) };
        let value = self.value_of_record(key)?;
        self.save(key, Some(record), Some(Record { deadline, ..record }), value.as_value())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Outcome<()> {
        let Some(record) = self.record(from)? else { return Ok(()) };
        if from == to {
            return Ok(());
        }
        self.require_all(from, &record)?;
        let value = self.inline_value(from)?;
        let replaced = self.stored_record(to)?;
        if let Some(replaced) = replaced {
            self.source.drop_content(&replaced)?;
        }
        self.save(from, Some(record), None, NO_VALUE)?;
        if record.version.is_some() {
            self.source.note_moved(to);
        }
        self.save(to, replaced, Some(record), Value::Inline(&value))
    }

    fn clear(&mut self) -> Outcome<()> {
        self.forget_last();
        self.source.clear();
        Ok(())
    }

    fn string_put(&mut self, key: &[u8], value: &[u8], deadline: Option<u64>) -> Outcome<()> {
        self.put_string(key, value, deadline)
    }

    fn string_write(&mut self, key: &[u8], offset: u64, bytes: &[u8]) -> Outcome<()> {
        self.write_string(key, offset, bytes)
    }

    fn hash_put(&mut self, key: &[u8], field: &[u8], value: &[u8]) -> Outcome<bool> {
        self.put_member(key, Kind::Hash, field, value)
    }

    fn hash_remove(&mut self, key: &[u8], field: &[u8]) -> Outcome<bool> {
        self.remove_member(key, field)
    }

    fn set_put(&mut self, key: &[u8], member: &[u8]) -> Outcome<bool> {
        self.put_member(key, Kind::Set, member, b"")
    }

    fn set_remove(&mut self, key: &[u8], member: &[u8]) -> Outcome<bool> {
        self.remove_member(key, member)
    }

    fn zset_put(&mut self, key: &[u8], member: &[u8], score: f64) -> Outcome<Option<f64>> {
        self.put_score(key, member, score)
    }

    fn zset_remove(&mut self, key: &[u8], member: &[u8]) -> Outcome<Option<f64>> {
        self.remove_score(key, member)
    }

    fn list_push(&mut self, key: &[u8], end: End, element: &[u8]) -> Outcome<()> {
        self.push(key, end, element)
    }

    fn list_pop(&mut self, key: &[u8], end: End) -> Outcome<Option<Bytes>> {
        self.pop(key, end)
    }

    fn list_set(&mut self, key: &[u8], index: u64, element: &[u8]) -> Outcome<()> {
        self.replace(key, index, element)
    }

    fn list_insert(&mut self, key: &[u8], index: u64, element: &[u8]) -> Outcome<()> {
        self.insert(key, index, element)
    }

    fn list_remove(&mut self, key: &[u8], indices: &[u64]) -> Outcome<()> {
        self.remove_elements(key, indices)
    }

    fn list_trim(&mut self, key: &[u8], start: u64, end: u64) -> Outcome<()> {
        self.trim(key, start, end)
    }
}
