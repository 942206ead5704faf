//! [`Keyspace`] over any source: a run's overlay or a reader's view.

use std::cell::RefCell;

use bytes::Bytes;

use super::encoding::{
    self, Family, Record, deadline_key, decode_score, member_key, member_start, meta_key, meta_start,
    place_key, score_key, score_order, split_deadline_key, split_member_key, split_meta_key, split_place_key,
    split_score_key, version_start,
};
use super::source::{Source, Span};
use crate::error::Outcome;
use crate::keyspace::{
    Direction, ElementVisitor, FieldVisitor, KeyVisitor, Keyspace, MemberVisitor, Meta, Point, ScoreStart,
    ScoreVisitor, Step,
};

/// The most expired keys that one command reports; who visits all keys of a large keyspace meets many.
const MOST_EXPIRED: usize = 1024;

/// A source, read as typed values under a clock.
pub(super) struct Typed<S> {
    pub(super) source: S,
    pub(super) now_ms: u64,
    /// Commands look at a key's record and then at its content: the last record is kept at hand.
    last: RefCell<Last>,
    expired: RefCell<Vec<Bytes>>,
}

/// The record of the key that was read last, with the value of a short string.
#[derive(Default)]
struct Last {
    known: bool,
    key: Vec<u8>,
    record: Option<Record>,
    value: Vec<u8>,
}

impl<S> Typed<S> {
    pub(super) fn over(source: S, now_ms: u64) -> Self {
        Self { source, now_ms, last: RefCell::default(), expired: RefCell::default() }
    }

    /// The keys that were met and hidden because their deadline has passed.
    pub(super) fn take_expired(&self) -> Vec<Bytes> {
        self.expired.take()
    }

    /// Must be called whenever a record is written.
    pub(super) fn forget_last(&mut self) {
        self.last.get_mut().known = false;
    }

    /// The record of a key if it is the one that was read last.
    pub(super) fn last_record(&self, key: &[u8]) -> Option<Option<Record>> {
        let last = self.last.borrow();
        (last.known && last.key == key).then_some(last.record)
    }

    fn note_expired(&self, key: &[u8]) {
        let mut expired = self.expired.borrow_mut();
        if expired.len() < MOST_EXPIRED && !expired.iter().any(|known| known == key) {
            expired.push(Bytes::copy_from_slice(key));
        }
    }
}

impl<S: Source> Typed<S> {
    /// The record of a key that is there and has not expired. It, and the value of a short string, stay at hand.
    pub(super) fn record(&self, key: &[u8]) -> Outcome<Option<Record>> {
        let Some(record) = self.remember(key)? else { return Ok(None) };
        if record.is_due(self.now_ms) {
            self.note_expired(key);
            return Ok(None);
        }
        self.source.met(&record)?;
        Ok(Some(record))
    }

    fn remember(&self, key: &[u8]) -> Outcome<Option<Record>> {
        let mut last = self.last.borrow_mut();
        let last = &mut *last;
        if last.known && last.key == key {
            return Ok(last.record);
        }
        last.known = false;
        last.value.clear();
        let value = &mut last.value;
        let decode = |bytes: &[u8]| {
            let (record, inline) = Record::decode(bytes)?;
            value.extend_from_slice(inline);
            Ok::<_, crate::Stop>(record)
        };
        last.record = self.source.get(Family::Meta, &meta_key(key), decode)?.transpose()?;
        last.key.clear();
        last.key.extend_from_slice(key);
        last.known = true;
        Ok(last.record)
    }

    /// The value of the short string whose record was read last.
    pub(super) fn inline_value(&self, key: &[u8]) -> Outcome<Vec<u8>> {
        self.remember(key)?;
        Ok(self.last.borrow().value.clone())
    }

    /// The record of a key whose content is stored under a version.
    fn content(&self, key: &[u8]) -> Outcome<Option<(Record, u64)>> {
        Ok(self.record(key)?.and_then(|record| record.version.map(|version| (record, version))))
    }

    /// Bytes `start..end`, inside its length, of a long string.
    fn read_chunks(&self, version: u64, start: u64, end: u64) -> Outcome<Vec<u8>> {
        let mut out = vec![0; end.saturating_sub(start) as usize];
        let (first, behind) = (start / encoding::CHUNK, end.div_ceil(encoding::CHUNK));
        let span = Span::new(place_key(version, first), place_key(version, behind));
        self.source.scan(Family::Chunks, &span, Direction::Forward, &mut |key, chunk| {
            let at = split_place_key(key)? * encoding::CHUNK;
            let (from, to) = (start.max(at), end.min(at + chunk.len() as u64));
            if from < to {
                let target = &mut out[(from - start) as usize..(to - start) as usize];
                target.copy_from_slice(&chunk[(from - at) as usize..(to - at) as usize]);
            }
            Ok(Step::Continue(()))
        })?;
        Ok(out)
    }
}

impl<S: Source> Keyspace for Typed<S> {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn meta(&self, key: &[u8]) -> Outcome<Option<Meta>> {
        Ok(self.record(key)?.map(|record| record.meta()))
    }

    fn key_count(&self) -> Outcome<u64> {
        Ok(self.source.state()?.keys)
    }

    fn deadline_count(&self) -> Outcome<u64> {
        Ok(self.source.state()?.deadlines)
    }

    fn visit_keys(&self, from: Point, visit: &mut KeyVisitor<'_>) -> Outcome<()> {
        let span = Span::from(meta_start(from));
        self.source.scan(Family::Meta, &span, Direction::Forward, &mut |place, bytes| {
            let (point, key) = split_meta_key(place)?;
            let (record, _) = Record::decode(bytes)?;
            if record.is_due(self.now_ms) {
                self.note_expired(key);
                return Ok(Step::Continue(()));
            }
            Ok(visit(point, key, &record.meta()))
        })
    }

    fn due_keys(&self, now_ms: u64, limit: usize) -> Outcome<Vec<Bytes>> {
        let mut keys = Vec::new();
        if limit == 0 {
            return Ok(keys);
        }
        let span = Span::new(deadline_key(0, b""), deadline_key(now_ms.saturating_add(1), b""));
        self.source.scan(Family::Deadlines, &span, Direction::Forward, &mut |place, _| {
            keys.push(Bytes::copy_from_slice(split_deadline_key(place)?));
            Ok(if keys.len() < limit { Step::Continue(()) } else { Step::Break(()) })
        })?;
        Ok(keys)
    }

    fn string(&self, key: &[u8]) -> Outcome<Option<Bytes>> {
        let Some(record) = self.record(key)? else { return Ok(None) };
        let value = match record.version {
            None => Bytes::copy_from_slice(&self.last.borrow().value),
            Some(version) => self.read_chunks(version, 0, record.len)?.into(),
        };
        Ok(Some(value))
    }

    fn string_range(&self, key: &[u8], start: u64, len: u64) -> Outcome<Bytes> {
        let Some(record) = self.record(key)? else { return Ok(Bytes::new()) };
        let end = start.saturating_add(len).min(record.len);
        if start >= end {
            return Ok(Bytes::new());
        }
        match record.version {
            None => Ok(Bytes::copy_from_slice(&self.last.borrow().value[start as usize..end as usize])),
            Some(version) => Ok(self.read_chunks(version, start, end)?.into()),
        }
    }

    fn hash_get(&self, key: &[u8], field: &[u8]) -> Outcome<Option<Bytes>> {
        let Some((_, version)) = self.content(key)? else { return Ok(None) };
        self.source.get(Family::Fields, &member_key(version, field), Bytes::copy_from_slice)
    }

    fn hash_visit(&self, key: &[u8], from: Point, visit: &mut FieldVisitor<'_>) -> Outcome<()> {
        let Some((_, version)) = self.content(key)? else { return Ok(()) };
        let span = Span::new(member_start(version, from), version_start(version + 1));
        self.source.scan(Family::Fields, &span, Direction::Forward, &mut |place, value| {
            let (point, field) = split_member_key(place)?;
            Ok(visit(point, field, value))
        })
    }

    fn set_has(&self, key: &[u8], member: &[u8]) -> Outcome<bool> {
        let Some((_, version)) = self.content(key)? else { return Ok(false) };
        Ok(self.source.get(Family::Members, &member_key(version, member), |_| ())?.is_some())
    }

    fn set_visit(&self, key: &[u8], from: Point, visit: &mut MemberVisitor<'_>) -> Outcome<()> {
        let Some((_, version)) = self.content(key)? else { return Ok(()) };
        let span = Span::new(member_start(version, from), version_start(version + 1));
        self.source.scan(Family::Members, &span, Direction::Forward, &mut |place, _| {
            let (point, member) = split_member_key(place)?;
            Ok(visit(point, member))
        })
    }

    fn zset_score(&self, key: &[u8], member: &[u8]) -> Outcome<Option<f64>> {
        let Some((_, version)) = self.content(key)? else { return Ok(None) };
        self.source.get(Family::Members, &member_key(version, member), decode_score)?.transpose()
    }

    fn zset_visit(
        &self,
        key: &[u8],
        from: Point,
        visit: &mut dyn FnMut(Point, &[u8], f64) -> Step,
    ) -> Outcome<()> {
        let Some((_, version)) = self.content(key)? else { return Ok(()) };
        let span = Span::new(member_start(version, from), version_start(version + 1));
        self.source.scan(Family::Members, &span, Direction::Forward, &mut |place, score| {
            let (point, member) = split_member_key(place)?;
            Ok(visit(point, member, decode_score(score)?))
        })
    }

    fn zset_visit_by_score(
        &self,
        key: &[u8],
        start: ScoreStart<'_>,
        direction: Direction,
        visit: &mut ScoreVisitor<'_>,
    ) -> Outcome<()> {
        let Some((_, version)) = self.content(key)? else { return Ok(()) };
        let span = score_span(version, start, direction);
        self.source.scan(Family::Scores, &span, direction, &mut |place, _| {
            let (score, member) = split_score_key(place)?;
            Ok(visit(member, score))
        })
    }

    fn list_get(&self, key: &[u8], index: u64) -> Outcome<Option<Bytes>> {
        let Some((record, version)) = self.content(key)? else { return Ok(None) };
        if index >= record.len {
            return Ok(None);
        }
        self.source.get(Family::Elements, &place_key(version, record.head + index), Bytes::copy_from_slice)
    }

    fn list_visit(
        &self,
        key: &[u8],
        from: u64,
        direction: Direction,
        visit: &mut ElementVisitor<'_>,
    ) -> Outcome<()> {
        let Some((record, version)) = self.content(key)? else { return Ok(()) };
        if from >= record.len {
            return Ok(());
        }
        let (first, behind) = match direction {
            Direction::Forward => (from, record.len),
            Direction::Backward => (0, from + 1),
        };
        let span =
            Span::new(place_key(version, record.head + first), place_key(version, record.head + behind));
        self.source.scan(Family::Elements, &span, direction, &mut |place, element| {
            Ok(visit(split_place_key(place)?.wrapping_sub(record.head), element))
        })
    }
}

/// The part of a sorted set that a walk from a start covers.
fn score_span(version: u64, start: ScoreStart<'_>, direction: Direction) -> Span {
    let (first, behind) = (version_start(version), version_start(version + 1));
    match (direction, start) {
        (_, ScoreStart::Edge) => Span::new(first, behind),
        (Direction::Forward, ScoreStart::Score(score)) => Span::new(score_key(version, score, b""), behind),
        (Direction::Forward, ScoreStart::Element(score, member)) => {
            Span::new(score_key(version, score, member), behind)
        }
        // The keys of the next greater score are the first behind all with this one; the greatest order that a
        // score has is infinity's, so there is a next.
        (Direction::Backward, ScoreStart::Score(score)) => {
            Span::new(first, place_key(version, score_order(score) + 1))
        }
        (Direction::Backward, ScoreStart::Element(score, member)) => {
            let mut end = score_key(version, score, member);
            end.push(0);
            Span::new(first, end)
        }
    }
}
