//! [`Keyspace`] over any [`Reader`]: a run's overlay or a reader's view.

use std::cell::{Cell, RefCell};

use bytes::Bytes;

use crate::embedded::db::key_range::KeyRange;
use crate::embedded::db::schema::{
    self, Family, Record, deadline_key, decode_score, member_key, member_start, meta_key, meta_start,
    place_key, score_key, score_order, split_deadline_key, split_member_key, split_meta_key, split_place_key,
    split_score_key, version_start,
};
use crate::embedded::keyspace::reader::{Reader, Visitor};
use crate::embedded::offload::remote::{ContentId, Part, RemoteValues, ValueId};
use crate::embedded::offload::value_ref::{Value, ValuePointer};
use crate::error::{Outcome, Stop};
use crate::keyspace::{
    Direction, ElementVisitor, FieldVisitor, Flow, KeyVisitor, Keyspace, MemberVisitor, Meta, Point,
    ScoreStart, ScoreVisitor,
};

/// Expired keys that one command reports at most; a scan of a large keyspace meets many.
const MOST_EXPIRED: usize = 1024;

/// Stored bytes, read as typed values at a point in time.
pub(crate) struct TypedKeyspace<S> {
    pub(crate) source: S,
    pub(crate) now_ms: u64,
    /// Commands read a key's record and then its content, so the last record is cached.
    last: RefCell<LastRecord>,
    expired: RefCell<Vec<Bytes>>,
}

/// The record read last, with the value of a short string.
#[derive(Default)]
struct LastRecord {
    known: bool,
    key: Vec<u8>,
    record: Option<Record>,
    value: Vec<u8>,
    /// The pointer, if the value is remote.
    pointer: Option<ValuePointer>,
}

/// The value that follows a record.
pub(crate) enum RecordValue {
    /// A value.
    Inline(Vec<u8>),
    /// A pointer to a remote value.
    Remote(ValuePointer),
}

impl RecordValue {
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Inline(value) => Value::Inline(value),
            Self::Remote(pointer) => Value::Remote(*pointer),
        }
    }
}

impl<S> TypedKeyspace<S> {
    pub(crate) fn over(source: S, now_ms: u64) -> Self {
        Self { source, now_ms, last: RefCell::default(), expired: RefCell::default() }
    }

    /// Takes the keys that were skipped because they have expired.
    pub(crate) fn take_expired(&self) -> Vec<Bytes> {
        self.expired.take()
    }

    /// Must be called whenever a record is written.
    pub(crate) fn forget_last(&mut self) {
        self.last.get_mut().known = false;
    }

    /// The record of a key if it is the one that was read last.
    pub(crate) fn last_record(&self, key: &[u8]) -> Option<Option<Record>> {
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

impl<S: Reader> TypedKeyspace<S> {
    /// The record of a key that exists and has not expired. It is cached, with the value of a short string.
    pub(crate) fn record(&self, key: &[u8]) -> Outcome<Option<Record>> {
        let Some(record) = self.remember(key)? else { return Ok(None) };
        if record.is_due(self.now_ms) {
            self.note_expired(key);
            return Ok(None);
        }
        self.source.check_record(&record)?;
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
        last.pointer = None;
        let (value, pointer) = (&mut last.value, &mut last.pointer);
        let decode = |bytes: &[u8]| {
            let (record, inline) = Record::decode(bytes)?;
            match inline {
                Value::Inline(inline) => value.extend_from_slice(inline),
                Value::Remote(found) => *pointer = Some(found),
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
    pub(crate) fn inline_value(&self, key: &[u8]) -> Outcome<Vec<u8>> {
        self.remember(key)?;
        let pointer = self.last.borrow().pointer;
        match pointer {
            None => Ok(self.last.borrow().value.clone()),
            Some(pointer) => self.remote_value(key, Part::String, pointer).map(Into::into),
        }
    }

    /// The value that follows the record of a key.
    pub(crate) fn value_of_record(&self, key: &[u8]) -> Outcome<RecordValue> {
        self.remember(key)?;
        let last = self.last.borrow();
        Ok(last.pointer.map_or_else(|| RecordValue::Inline(last.value.clone()), RecordValue::Remote))
    }

    fn remote_value(&self, key: &[u8], part: Part, pointer: ValuePointer) -> Outcome<Bytes> {
        self.source.remote_value(ValueId { key: Bytes::copy_from_slice(key), part }, pointer)
    }

    /// Looks up a value in a key's content.
    pub(crate) fn value(
        &self,
        key: &[u8],
        family: Family,
        place: &[u8],
        part: impl FnOnce() -> Part,
    ) -> Outcome<Option<Bytes>> {
        let decode = |bytes: &[u8]| {
            Ok::<_, Stop>(match Value::decode(bytes)? {
                Value::Inline(bytes) => (Bytes::copy_from_slice(bytes), None),
                Value::Remote(pointer) => (Bytes::new(), Some(pointer)),
            })
        };
        match self.source.get(family, place, decode)?.transpose()? {
            None => Ok(None),
            Some((value, None)) => Ok(Some(value)),
            Some((_, Some(pointer))) => self.remote_value(key, part(), pointer).map(Some),
        }
    }

    /// Visits the values of a range. Once one is missing, the scan only goes on to collect further missing values,
    /// and returns [`Stop::Pending`].
    pub(crate) fn scan_values(
        &self,
        key: &[u8],
        family: Family,
        range: &KeyRange,
        direction: Direction,
        part: impl Fn(&[u8]) -> Outcome<Part>,
        visit: &mut Visitor<'_>,
    ) -> Outcome<()> {
        let missing = Cell::new(false);
        self.source.scan(family, range, direction, &mut |place, bytes| {
            let fetched;
            let value = match Value::decode(bytes)? {
                Value::Inline(value) => value,
                Value::Remote(pointer) => match self.remote_value(key, part(place)?, pointer) {
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
            let keep_looking = self.source.remote().is_some_and(RemoteValues::keep_looking);
            Ok(if keep_looking { Flow::Continue(()) } else { Flow::Break(()) })
        })?;
        if missing.get() { Err(Stop::Pending) } else { Ok(()) }
    }

    /// Returns [`Stop::Pending`] unless all values of a key's content are inline. Required before content is moved
    /// or copied.
    pub(crate) fn require_all(&self, key: &[u8], record: &Record) -> Outcome<()> {
        let (Some(version), Some(remote)) = (record.version, self.source.remote()) else {
            return Ok(());
        };
        let Some(family) = Record::values(record.kind) else { return Ok(()) };
        let range = KeyRange::new(version_start(version), version_start(version + 1));
        let mut has_remote = false;
        self.source.scan(family, &range, Direction::Forward, &mut |_, bytes| {
            has_remote = matches!(Value::decode(bytes)?, Value::Remote(_));
            Ok(if has_remote { Flow::Break(()) } else { Flow::Continue(()) })
        })?;
        let content = || ContentId { key: Bytes::copy_from_slice(key), kind: record.kind, version };
        if has_remote { Err(remote.fetch_all(content())) } else { Ok(()) }
    }

    /// The record of a key whose content is stored under a version.
    fn content(&self, key: &[u8]) -> Outcome<Option<(Record, u64)>> {
        Ok(self.record(key)?.and_then(|record| record.version.map(|version| (record, version))))
    }

    /// Bytes `start..end` of a long string, within its length.
    fn read_chunks(&self, key: &[u8], version: u64, start: u64, end: u64) -> Outcome<Vec<u8>> {
        let mut out = vec![0; end.saturating_sub(start) as usize];
        let (first, past_end) = (start / schema::CHUNK, end.div_ceil(schema::CHUNK));
        let range = KeyRange::new(place_key(version, first), place_key(version, past_end));
        let part = |place: &[u8]| Ok(Part::Piece(version, split_place_key(place)?));
        self.scan_values(key, Family::Chunks, &range, Direction::Forward, part, &mut |place, chunk| {
            let at = split_place_key(place)? * schema::CHUNK;
            let (from, to) = (start.max(at), end.min(at + chunk.len() as u64));
            if from < to {
                let target = &mut out[(from - start) as usize..(to - start) as usize];
                target.copy_from_slice(&chunk[(from - at) as usize..(to - at) as usize]);
            }
            Ok(Flow::Continue(()))
        })?;
        Ok(out)
    }
}

impl<S: Reader> Keyspace for TypedKeyspace<S> {
    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn meta(&self, key: &[u8]) -> Outcome<Option<Meta>> {
        Ok(self.record(key)?.map(|record| record.meta()))
    }

    fn fetch_all(&self, key: &[u8]) -> Outcome<()> {
        self.record(key)?.map_or(Ok(()), |record| self.require_all(key, &record))
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
        let range = KeyRange::from(meta_start(from));
        self.source.scan(Family::Meta, &range, Direction::Forward, &mut |place, bytes| {
            let (point, key) = split_meta_key(place)?;
            let (record, _) = Record::decode(bytes)?;
            if record.is_due(self.now_ms) {
                self.note_expired(key);
                return Ok(Flow::Continue(()));
            }
            Ok(visit(point, key, &record.meta()))
        })
    }

    fn due_keys(&self, now_ms: u64, limit: usize) -> Outcome<Vec<Bytes>> {
        let mut keys = Vec::new();
        if limit == 0 {
            return Ok(keys);
        }
        let range = KeyRange::new(deadline_key(0, b""), deadline_key(now_ms.saturating_add(1), b""));
        self.source.scan(Family::Deadlines, &range, Direction::Forward, &mut |place, _| {
            keys.push(Bytes::copy_from_slice(split_deadline_key(place)?));
            Ok(if keys.len() < limit { Flow::Continue(()) } else { Flow::Break(()) })
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
        let range = KeyRange::new(member_start(version, from), version_start(version + 1));
        let part =
            |place: &[u8]| Ok(Part::Field(version, Bytes::copy_from_slice(split_member_key(place)?.1)));
        self.scan_values(key, Family::Fields, &range, Direction::Forward, part, &mut |place, value| {
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
        let range = KeyRange::new(member_start(version, from), version_start(version + 1));
        self.source.scan(Family::Members, &range, Direction::Forward, &mut |place, _| {
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
        visit: &mut dyn FnMut(Point, &[u8], f64) -> Flow,
    ) -> Outcome<()> {
        let Some((_, version)) = self.content(key)? else { return Ok(()) };
        let range = KeyRange::new(member_start(version, from), version_start(version + 1));
        self.source.scan(Family::Members, &range, Direction::Forward, &mut |place, score| {
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
        let range = score_range(version, start, direction);
        self.source.scan(Family::Scores, &range, direction, &mut |place, _| {
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
        let (first, past_end) = match direction {
            Direction::Forward => (from, record.len),
            Direction::Backward => (0, from + 1),
        };
        let range = KeyRange::new(
            place_key(version, record.head + first),
            place_key(version, record.head + past_end),
        );
        let part = |place: &[u8]| Ok(Part::Element(version, split_place_key(place)?));
        self.scan_values(key, Family::Elements, &range, direction, part, &mut |place, element| {
            Ok(visit(split_place_key(place)?.wrapping_sub(record.head), element))
        })
    }
}

/// The range of a sorted set that an iteration from `start` covers.
fn score_range(version: u64, start: ScoreStart<'_>, direction: Direction) -> KeyRange {
    let (first, past_end) = (version_start(version), version_start(version + 1));
    match (direction, start) {
        (_, ScoreStart::Edge) => KeyRange::new(first, past_end),
        (Direction::Forward, ScoreStart::Score(score)) => {
            KeyRange::new(score_key(version, score, b""), past_end)
        }
        (Direction::Forward, ScoreStart::Element(score, member)) => {
            KeyRange::new(score_key(version, score, member), past_end)
        }
        // The first key after all of this score is the smallest of the next one. Infinity has the largest order, so
        // adding 1 cannot overflow.
        (Direction::Backward, ScoreStart::Score(score)) => {
            KeyRange::new(first, place_key(version, score_order(score) + 1))
        }
        (Direction::Backward, ScoreStart::Element(score, member)) => {
            let mut end = score_key(version, score, member);
            end.push(0);
            KeyRange::new(first, end)
        }
    }
}
