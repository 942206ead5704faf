//! [`Keyspace`] over any source: a run's overlay or a reader's view.

use std::cell::{Cell, RefCell};

use bytes::Bytes;

use super::encoding::{
    self, Family, Record, Stub, Value, deadline_key, decode_score, member_key, member_start, meta_key,
    meta_start, place_key, score_key, score_order, split_deadline_key, split_member_key, split_meta_key,
    split_place_key, split_score_key, version_start,
};
use super::source::{Elsewhere, Part, Place, Source, Span, Visitor, Whole};
use crate::error::{Outcome, Stop};
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
    /// What the value is known by, if it is elsewhere.
    away: Option<Stub>,
}

/// What stands behind a record, to be written behind another.
pub(super) enum Behind {
    /// A value.
    Here(Vec<u8>),
    /// What is elsewhere.
    Away(Stub),
}

impl Behind {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Here(value) => Value::Here(value),
            Self::Away(stub) => Value::Away(*stub),
        }
    }
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
        last.away = None;
        let (value, away) = (&mut last.value, &mut last.away);
        let decode = |bytes: &[u8]| {
            let (record, inline) = Record::decode(bytes)?;
            match inline {
                Value::Here(inline) => value.extend_from_slice(inline),
                Value::Away(stub) => *away = Some(stub),
            }
            Ok::<_, Stop>(record)
        };
        last.record = self.source.get(Family::Meta, &meta_key(key), decode)?.transpose()?;
        last.key.clear();
        last.key.extend_from_slice(key);
        last.known = true;
        Ok(last.record)
    }

    /// The value of a short string.
    pub(super) fn inline_value(&self, key: &[u8]) -> Outcome<Vec<u8>> {
        self.remember(key)?;
        let away = self.last.borrow().away;
        match away {
            None => Ok(self.last.borrow().value.clone()),
            Some(stub) => self.value_elsewhere(key, Part::String, stub).map(Into::into),
        }
    }

    /// What stands behind the record of a key.
    pub(super) fn behind_record(&self, key: &[u8]) -> Outcome<Behind> {
        self.remember(key)?;
        let last = self.last.borrow();
        Ok(last.away.map_or_else(|| Behind::Here(last.value.clone()), Behind::Away))
    }

    fn value_elsewhere(&self, key: &[u8], part: Part, stub: Stub) -> Outcome<Bytes> {
        self.source.value_elsewhere(Place { key: Bytes::copy_from_slice(key), part }, stub)
    }

    /// Looks a value of a key up.
    pub(super) fn value(
        &self,
        key: &[u8],
        family: Family,
        place: &[u8],
        part: impl FnOnce() -> Part,
    ) -> Outcome<Option<Bytes>> {
        let decode = |bytes: &[u8]| {
            Ok::<_, Stop>(match Value::decode(bytes)? {
                Value::Here(bytes) => (Bytes::copy_from_slice(bytes), None),
                Value::Away(stub) => (Bytes::new(), Some(stub)),
            })
        };
        match self.source.get(family, place, decode)?.transpose()? {
            None => Ok(None),
            Some((value, None)) => Ok(Some(value)),
            Some((_, Some(stub))) => self.value_elsewhere(key, part(), stub).map(Some),
        }
    }

    /// Visits the values of a span. If one of them is not at hand, those behind it are only looked at for what else
    /// is not, and the answer is [`Stop::Pending`].
    pub(super) fn scan_values(
        &self,
        key: &[u8],
        family: Family,
        span: &Span,
        direction: Direction,
        part: impl Fn(&[u8]) -> Outcome<Part>,
        visit: &mut Visitor<'_>,
    ) -> Outcome<()> {
        let missing = Cell::new(false);
        self.source.scan(family, span, direction, &mut |place, bytes| {
            let fetched;
            let value = match Value::decode(bytes)? {
                Value::Here(value) => value,
                Value::Away(stub) => match self.value_elsewhere(key, part(place)?, stub) {
                    Ok(value) => {
                        fetched = value;
                        &fetched[..]
                    }
                    Err(Stop::Pending) => {
                        missing.set(true);
                        &[]
                    }
                    Err(stop) => return Err(stop),
                },
            };
            if !missing.get() {
                return visit(place, value);
            }
            let look_on = self.source.elsewhere().is_some_and(Elsewhere::look_on);
            Ok(if look_on { Step::Continue(()) } else { Step::Break(()) })
        })?;
        if missing.get() { Err(Stop::Pending) } else { Ok(()) }
    }

    /// Answers [`Stop::Pending`] unless all values of a key's content are here: to be asked before the content is moved
    /// or copied.
    pub(super) fn need_whole(&self, key: &[u8], record: &Record) -> Outcome<()> {
        let (Some(version), Some(elsewhere)) = (record.version, self.source.elsewhere()) else {
            return Ok(());
        };
        let Some(family) = Record::values(record.kind) else { return Ok(()) };
        let span = Span::new(version_start(version), version_start(version + 1));
        let mut away = false;
        self.source.scan(family, &span, Direction::Forward, &mut |_, bytes| {
            away = matches!(Value::decode(bytes)?, Value::Away(_));
            Ok(if away { Step::Break(()) } else { Step::Continue(()) })
        })?;
        let whole = || Whole { key: Bytes::copy_from_slice(key), kind: record.kind, version };
        if away { Err(elsewhere.whole(whole())) } else { Ok(()) }
    }

    /// The record of a key whose content is stored under a version.
    fn content(&self, key: &[u8]) -> Outcome<Option<(Record, u64)>> {
        Ok(self.record(key)?.and_then(|record| record.version.map(|version| (record, version))))
    }

    /// Bytes `start..end`, inside its length, of a long string.
    fn read_chunks(&self, key: &[u8], version: u64, start: u64, end: u64) -> Outcome<Vec<u8>> {
        let mut out = vec![0; end.saturating_sub(start) as usize];
        let (first, behind) = (start / encoding::CHUNK, end.div_ceil(encoding::CHUNK));
        let span = Span::new(place_key(version, first), place_key(version, behind));
        let part = |place: &[u8]| Ok(Part::Piece(version, split_place_key(place)?));
        self.scan_values(key, Family::Chunks, &span, Direction::Forward, part, &mut |place, chunk| {
            let at = split_place_key(place)? * encoding::CHUNK;
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

    fn whole(&self, key: &[u8]) -> Outcome<()> {
        self.record(key)?.map_or(Ok(()), |record| self.need_whole(key, &record))
    }

    fn is_loading(&self) -> Outcome<bool> {
        Ok(self.source.is_loading())
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
            None => self.inline_value(key)?.into(),
            Some(version) => self.read_chunks(key, version, 0, record.len)?.into(),
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
            None => {
                let mut value = self.inline_value(key)?;
                value.truncate(end as usize);
                Ok(Bytes::from(value).slice(start as usize..))
            }
            Some(version) => Ok(self.read_chunks(key, version, start, end)?.into()),
        }
    }

    fn hash_get(&self, key: &[u8], field: &[u8]) -> Outcome<Option<Bytes>> {
        let Some((_, version)) = self.content(key)? else { return Ok(None) };
        let part = || Part::Field(version, Bytes::copy_from_slice(field));
        self.value(key, Family::Fields, &member_key(version, field), part)
    }

    fn hash_visit(&self, key: &[u8], from: Point, visit: &mut FieldVisitor<'_>) -> Outcome<()> {
        let Some((_, version)) = self.content(key)? else { return Ok(()) };
        let span = Span::new(member_start(version, from), version_start(version + 1));
        let part =
            |place: &[u8]| Ok(Part::Field(version, Bytes::copy_from_slice(split_member_key(place)?.1)));
        self.scan_values(key, Family::Fields, &span, Direction::Forward, part, &mut |place, value| {
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
        let place = record.head + index;
        self.value(key, Family::Elements, &place_key(version, place), || Part::Element(version, place))
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
        let part = |place: &[u8]| Ok(Part::Element(version, split_place_key(place)?));
        self.scan_values(key, Family::Elements, &span, direction, part, &mut |place, element| {
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
