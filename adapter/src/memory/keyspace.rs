//! Reading from memory.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::content::{Content, Ranked, Slot, StoredValue, Value};
use crate::error::Outcome;
use crate::keyspace::{
    Direction, ElementVisitor, FieldVisitor, Flow, KeyVisitor, Keyspace, MemberVisitor, Meta, Point,
    ScoreStart, ScoreVisitor,
};

/// A keyspace in memory. A clone is cheap: it shares the content until one of the two changes it.
#[derive(Debug, Default)]
pub struct MemoryKeyspace {
    pub(super) now_ms: u64,
    /// What changes give their keys.
    pub(super) revision: u64,
    pub(super) content: Arc<Content>,
    /// Keys that reads have met and hidden.
    hidden: Mutex<BTreeSet<Bytes>>,
}

impl Clone for MemoryKeyspace {
    fn clone(&self) -> Self {
        self.at(self.now_ms)
    }
}

impl MemoryKeyspace {
    /// An empty keyspace whose clock stands at `now_ms`, Unix milliseconds.
    pub fn new(now_ms: u64) -> Self {
        Self { now_ms, ..Self::default() }
    }

    /// Moves the clock, to Unix milliseconds. Keys that become due are hidden at once and stay until reaped.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The same content under another clock.
    pub fn at(&self, now_ms: u64) -> Self {
        Self { now_ms, revision: self.revision, content: Arc::clone(&self.content), hidden: Mutex::default() }
    }

    /// The keys that reads have met since the last call and hidden because they were due.
    pub fn take_hidden(&self) -> Vec<Bytes> {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *hidden).into_iter().collect()
    }

    fn entry(&self, key: &[u8]) -> Option<&StoredValue> {
        let entry = self.content.get(key)?;
        if entry.is_due(self.now_ms) {
            self.hide(key);
            return None;
        }
        Some(entry)
    }

    fn value(&self, key: &[u8]) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    fn hide(&self, key: &[u8]) {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.insert(Bytes::copy_from_slice(key));
    }
}

impl Keyspace for MemoryKeyspace {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn meta(&self, key: &[u8]) -> Outcome<Option<Meta>> {
        Ok(self.entry(key).map(StoredValue::meta))
    }

    fn key_count(&self) -> Outcome<u64> {
        Ok(self.content.len() as u64)
    }

    fn deadline_count(&self) -> Outcome<u64> {
        Ok(self.content.deadline_count() as u64)
    }

    fn visit_keys(&self, from: Point, visit: &mut KeyVisitor<'_>) -> Outcome<()> {
        for (slot, entry) in self.content.from(from) {
            if entry.is_due(self.now_ms) {
                self.hide(&slot.bytes);
            } else if visit(slot.point, &slot.bytes, &entry.meta()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn due_keys(&self, now_ms: u64, limit: usize) -> Outcome<Vec<Bytes>> {
        Ok(self.content.due(now_ms).take(limit).cloned().collect())
    }

    fn string(&self, key: &[u8]) -> Outcome<Option<Bytes>> {
        let Some(Value::String(bytes)) = self.value(key) else { return Ok(None) };
        Ok(Some(Bytes::copy_from_slice(bytes)))
    }

    fn string_range(&self, key: &[u8], start: u64, len: u64) -> Outcome<Bytes> {
        let Some(Value::String(bytes)) = self.value(key) else { return Ok(Bytes::new()) };
        let clip = |index: u64| usize::try_from(index).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Bytes::copy_from_slice(&bytes[clip(start)..clip(start.saturating_add(len))]))
    }

    fn hash_get(&self, key: &[u8], field: &[u8]) -> Outcome<Option<Bytes>> {
        let Some(Value::Hash(fields)) = self.value(key) else { return Ok(None) };
        Ok(fields.get(&Slot::of(field)).cloned())
    }

    fn hash_visit(&self, key: &[u8], from: Point, visit: &mut FieldVisitor<'_>) -> Outcome<()> {
        let Some(Value::Hash(fields)) = self.value(key) else { return Ok(()) };
        each(fields.range(Slot::first_at(from)..), |(slot, value)| visit(slot.point, &slot.bytes, value));
        Ok(())
    }

    fn set_has(&self, key: &[u8], member: &[u8]) -> Outcome<bool> {
        let Some(Value::Set(members)) = self.value(key) else { return Ok(false) };
        Ok(members.contains(&Slot::of(member)))
    }

    fn set_visit(&self, key: &[u8], from: Point, visit: &mut MemberVisitor<'_>) -> Outcome<()> {
        let Some(Value::Set(members)) = self.value(key) else { return Ok(()) };
        each(members.range(Slot::first_at(from)..), |slot| visit(slot.point, &slot.bytes));
        Ok(())
    }

    fn zset_score(&self, key: &[u8], member: &[u8]) -> Outcome<Option<f64>> {
        let Some(Value::SortedSet(set)) = self.value(key) else { return Ok(None) };
        Ok(set.scores.get(&Slot::of(member)).copied())
    }

    fn zset_visit(
        &self,
        key: &[u8],
        from: Point,
        visit: &mut dyn FnMut(Point, &[u8], f64) -> Flow,
    ) -> Outcome<()> {
        let Some(Value::SortedSet(set)) = self.value(key) else { return Ok(()) };
        each(set.scores.range(Slot::first_at(from)..), |(slot, score)| {
            visit(slot.point, &slot.bytes, *score)
        });
        Ok(())
    }

    fn zset_visit_by_score(
        &self,
        key: &[u8],
        start: ScoreStart<'_>,
        direction: Direction,
        visit: &mut ScoreVisitor<'_>,
    ) -> Outcome<()> {
        let Some(Value::SortedSet(set)) = self.value(key) else { return Ok(()) };
        let visit = |ranked: &Ranked| visit(&ranked.member, ranked.score);
        match direction {
            Direction::Forward => each(set.ranking.range((lower(start), Bound::Unbounded)), visit),
            Direction::Backward => each(set.ranking.range((Bound::Unbounded, upper(start))).rev(), visit),
        }
        Ok(())
    }

    fn list_get(&self, key: &[u8], index: u64) -> Outcome<Option<Bytes>> {
        let Some(Value::List(elements)) = self.value(key) else { return Ok(None) };
        Ok(usize::try_from(index).ok().and_then(|index| elements.get(index)).cloned())
    }

    fn list_visit(
        &self,
        key: &[u8],
        from: u64,
        direction: Direction,
        visit: &mut ElementVisitor<'_>,
    ) -> Outcome<()> {
        let Some(Value::List(elements)) = self.value(key) else { return Ok(()) };
        let Some(from) = usize::try_from(from).ok().filter(|from| *from < elements.len()) else {
            return Ok(());
        };
        let visit = |index: usize| visit(index as u64, &elements[index]);
        match direction {
            Direction::Forward => each(from..elements.len(), visit),
            Direction::Backward => each((0..=from).rev(), visit),
        }
        Ok(())
    }
}

/// Visits until told to stop.
fn each<T>(mut items: impl Iterator<Item = T>, visit: impl FnMut(T) -> Flow) {
    // Who breaks off has what he wanted: it is no result of its own.
    let _ = items.try_for_each(visit);
}

fn ranked(score: f64, member: &[u8]) -> Ranked {
    // Adding zero turns -0.0, which no set holds, into 0.0.
    Ranked { score: score + 0.0, member: Bytes::copy_from_slice(member) }
}

fn lower(start: ScoreStart<'_>) -> Bound<Ranked> {
    match start {
        ScoreStart::Edge => Bound::Unbounded,
        ScoreStart::Score(score) => Bound::Included(ranked(score, b"")),
        ScoreStart::Element(score, member) => Bound::Included(ranked(score, member)),
    }
}

fn upper(start: ScoreStart<'_>) -> Bound<Ranked> {
    match start {
        ScoreStart::Edge | ScoreStart::Score(f64::INFINITY) => Bound::Unbounded,
        ScoreStart::Score(score) => Bound::Excluded(ranked(score.next_up(), b"")),
        ScoreStart::Element(score, member) => Bound::Included(ranked(score, member)),
    }
}
