//! Writing to memory.

use std::sync::Arc;

use bytes::Bytes;

use super::content::{Content, Ranked, Slot, StoredValue, Value};
use super::keyspace::MemoryKeyspace;
use crate::error::Outcome;
use crate::keyspace::{End, KeyspaceMut, Kind};

impl MemoryKeyspace {
    fn content_mut(&mut self) -> &mut Content {
        Arc::make_mut(&mut self.content)
    }

    /// The value of a key that exists.
    fn existing(&mut self, key: &[u8]) -> Option<&mut Value> {
        let now_ms = self.now_ms;
        if self.content.get(key)?.is_due(now_ms) {
            return None;
        }
        self.content_mut().value_mut(key)
    }

    /// The value of a key, made empty if it is missing or due.
    fn created(&mut self, key: &[u8], kind: Kind) -> Option<&mut Value> {
        if self.existing(key).is_none() {
            let revision = self.revision;
            self.content_mut().put(key, StoredValue { value: Value::empty(kind), deadline: None, revision });
        }
        self.existing(key)
    }

    /// The key has changed.
    fn touch(&mut self, key: &[u8]) {
        let revision = self.revision;
        self.content_mut().set_revision(key, revision);
    }

    /// The collection has changed, or lost its last element.
    fn touch_or_drop(&mut self, key: &[u8]) {
        if self.content.get(key).is_some_and(|entry| entry.value.len() == 0) {
            self.content_mut().take(key);
        } else {
            self.touch(key);
        }
    }
}

impl KeyspaceMut for MemoryKeyspace {
    fn set_revision(&mut self, revision: u64) {
        self.revision = revision;
    }

    fn keeps_revisions(&self) -> bool {
        self.revision > 0
    }

    fn remove(&mut self, key: &[u8]) -> Outcome<bool> {
        let there = self.existing(key).is_some();
        self.content_mut().take(key);
        Ok(there)
    }

    fn reap(&mut self, key: &[u8]) -> Outcome<bool> {
        let due = self.content.get(key).is_some_and(|entry| entry.is_due(self.now_ms));
        if due {
            self.content_mut().take(key);
        }
        Ok(due)
    }

    fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>) -> Outcome<()> {
        if self.existing(key).is_some() {
            self.content_mut().set_deadline(key, deadline);
            self.touch(key);
        }
        Ok(())
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> Outcome<()> {
        if self.existing(from).is_some() {
            let content = self.content_mut();
            if let Some(entry) = content.take(from) {
                content.put(to, entry);
                self.touch(to);
            }
        }
        Ok(())
    }

    fn clear(&mut self) -> Outcome<()> {
        self.content = Arc::default();
        Ok(())
    }

    fn string_put(&mut self, key: &[u8], value: &[u8], deadline: Option<u64>) -> Outcome<()> {
        let revision = self.revision;
        let value = Value::String(value.to_vec());
        self.content_mut().put(key, StoredValue { value, deadline, revision });
        Ok(())
    }

    fn string_write(&mut self, key: &[u8], offset: u64, bytes: &[u8]) -> Outcome<()> {
        let Some(Value::String(value)) = self.created(key, Kind::String) else { return Ok(()) };
        let offset = offset as usize;
        let end = offset + bytes.len();
        if value.len() < end {
            value.resize(end, 0);
        }
        value[offset..end].copy_from_slice(bytes);
        self.touch(key);
        Ok(())
    }

    fn hash_put(&mut self, key: &[u8], field: &[u8], value: &[u8]) -> Outcome<bool> {
        let Some(Value::Hash(fields)) = self.created(key, Kind::Hash) else { return Ok(false) };
        let is_new = fields.insert(Slot::of(field), Bytes::copy_from_slice(value)).is_none();
        self.touch(key);
        Ok(is_new)
    }

    fn hash_remove(&mut self, key: &[u8], field: &[u8]) -> Outcome<bool> {
        let Some(Value::Hash(fields)) = self.existing(key) else { return Ok(false) };
        let removed = fields.remove(&Slot::of(field)).is_some();
        if removed {
            self.touch_or_drop(key);
        }
        Ok(removed)
    }

    fn set_put(&mut self, key: &[u8], member: &[u8]) -> Outcome<bool> {
        let Some(Value::Set(members)) = self.created(key, Kind::Set) else { return Ok(false) };
        let is_new = members.insert(Slot::of(member));
        if is_new {
            self.touch(key);
        }
        Ok(is_new)
    }

    fn set_remove(&mut self, key: &[u8], member: &[u8]) -> Outcome<bool> {
        let Some(Value::Set(members)) = self.existing(key) else { return Ok(false) };
        let removed = members.remove(&Slot::of(member));
        if removed {
            self.touch_or_drop(key);
        }
        Ok(removed)
    }

    fn zset_put(&mut self, key: &[u8], member: &[u8], score: f64) -> Outcome<Option<f64>> {
        debug_assert!(!score.is_nan(), "a score must be a number");
        let Some(Value::SortedSet(set)) = self.created(key, Kind::SortedSet) else { return Ok(None) };
        // Adding zero turns -0.0 into 0.0.
        let (slot, score) = (Slot::of(member), score + 0.0);
        let member = slot.bytes.clone();
        let old = set.scores.insert(slot, score);
        if let Some(old) = old {
            set.ranking.remove(&Ranked { score: old, member: member.clone() });
        }
        set.ranking.insert(Ranked { score, member });
        if old != Some(score) {
            self.touch(key);
        }
        Ok(old)
    }

    fn zset_remove(&mut self, key: &[u8], member: &[u8]) -> Outcome<Option<f64>> {
        let Some(Value::SortedSet(set)) = self.existing(key) else { return Ok(None) };
        let slot = Slot::of(member);
        let old = set.scores.remove(&slot);
        if let Some(score) = old {
            set.ranking.remove(&Ranked { score, member: slot.bytes });
            self.touch_or_drop(key);
        }
        Ok(old)
    }

    fn list_push(&mut self, key: &[u8], end: End, element: &[u8]) -> Outcome<()> {
        let Some(Value::List(elements)) = self.created(key, Kind::List) else { return Ok(()) };
        match end {
            End::Head => elements.push_front(Bytes::copy_from_slice(element)),
            End::Tail => elements.push_back(Bytes::copy_from_slice(element)),
        }
        self.touch(key);
        Ok(())
    }

    fn list_pop(&mut self, key: &[u8], end: End) -> Outcome<Option<Bytes>> {
        let Some(Value::List(elements)) = self.existing(key) else { return Ok(None) };
        let element = match end {
            End::Head => elements.pop_front(),
            End::Tail => elements.pop_back(),
        };
        self.touch_or_drop(key);
        Ok(element)
    }

    fn list_set(&mut self, key: &[u8], index: u64, element: &[u8]) -> Outcome<()> {
        let Some(Value::List(elements)) = self.existing(key) else { return Ok(()) };
        debug_assert!(index < elements.len() as u64, "the index must exist");
        if let Some(place) = elements.get_mut(index as usize) {
            *place = Bytes::copy_from_slice(element);
            self.touch(key);
        }
        Ok(())
    }

    fn list_insert(&mut self, key: &[u8], index: u64, element: &[u8]) -> Outcome<()> {
        let Some(Value::List(elements)) = self.created(key, Kind::List) else { return Ok(()) };
        debug_assert!(index <= elements.len() as u64, "the index must be at most the length");
        let index = (index as usize).min(elements.len());
        elements.insert(index, Bytes::copy_from_slice(element));
        self.touch(key);
        Ok(())
    }

    fn list_remove(&mut self, key: &[u8], indices: &[u64]) -> Outcome<()> {
        debug_assert!(indices.is_sorted_by(|left, right| left < right), "the indices must ascend");
        let Some(Value::List(elements)) = self.existing(key) else { return Ok(()) };
        let before = elements.len();
        let (mut index, mut removed) = (0, indices.iter().peekable());
        elements.retain(|_| {
            let goes = removed.next_if_eq(&&index).is_some();
            index += 1;
            !goes
        });
        if elements.len() < before {
            self.touch_or_drop(key);
        }
        Ok(())
    }

    fn list_trim(&mut self, key: &[u8], start: u64, end: u64) -> Outcome<()> {
        let Some(Value::List(elements)) = self.existing(key) else { return Ok(()) };
        let end = end.min(elements.len() as u64) as usize;
        elements.truncate(end);
        elements.drain(..(start as usize).min(end));
        self.touch_or_drop(key);
        Ok(())
    }
}
