//! From what has changed to requests.
//!
//! Everything that is sent says what is to be, and not what has changed: sending it twice does no harm. Only the ends of
//! lists have no such form. Of a list, one wave cuts off or adds, never both; what it is going to do is written down
//! first ([`Intent`]), and the length that is found afterwards tells how much of it was done.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::at_hand::Need;
use super::command::{Filling, Request};
use crate::RESERVED;
use crate::command::number::format_f64;
use crate::embedded::behind::{Arrived, Cut, Entry, Intent, Placed, Stored, place_of_key};
use crate::embedded::encoding::{
    CHUNK, Family, Record, Stub, decode_score, place_key, split_member_key, split_place_key,
};
use crate::embedded::journal::{Changes, Parts, moved};
use crate::embedded::source::{Part, Place};
use crate::error::StorageError;
use crate::keyspace::Kind;

/// Strings longer than this stay in the index as well: for any part of a string, Kiwi reads all of it.
const LONG_STRING: u64 = 16 << 20;
/// Elements that are added to a list, and changed in it, in one wave.
const ELEMENTS: u64 = 2000;
/// Bytes of one key's content that is new to Kiwi in one wave.
const WHOLE_BYTES: usize = 1 << 20;
/// Bytes of a wave, and keys in it, about.
const WAVE_BYTES: usize = 8 << 20;
const WAVE_KEYS: usize = 50_000;
/// What stands on Kiwi for an infinite score, which it refuses.
const ALMOST_INFINITE: f64 = f64::MAX;

/// Lengths that decide which values stay in the index as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    /// Up to this length all do.
    pub(super) keep: usize,
    /// Above this length fields and elements do, since Kiwi cannot be asked for a part of them.
    pub(super) reply: usize,
}

/// A wave.
#[derive(Default)]
pub(super) struct Plan {
    /// Requests that follow each other; the lanes are independent.
    pub(super) lanes: Vec<Vec<Request>>,
    /// What is about to be done to lists.
    pub(super) intents: Vec<(Vec<u8>, Option<Placed>)>,
    /// What Kiwi has when all is done.
    pub(super) placed: Vec<(Vec<u8>, Option<Placed>)>,
    /// The values that Kiwi has then.
    pub(super) arrived: Vec<Arrived>,
    /// The same, for the cache.
    pub(super) values: Vec<(Need, Bytes)>,
    /// What is left for the next wave.
    pub(super) left: Changes,
    bytes: usize,
    keys: usize,
}

/// Makes a plan from a cut.
pub(super) struct Planner<'c, 's> {
    cut: &'c Cut<'s>,
    limits: Lengths,
    plan: Plan,
    sets: Filling,
    deletes: Filling,
}

impl<'c, 's> Planner<'c, 's> {
    pub(super) fn new(cut: &'c Cut<'s>, limits: Lengths) -> Self {
        Self {
            cut,
            limits,
            plan: Plan::default(),
            sets: Filling::new(&[b"MSET"]),
            deletes: Filling::new(&[b"DEL"]),
        }
    }

    /// Whether the wave is large enough.
    pub(super) fn is_full(&self) -> bool {
        self.plan.bytes >= WAVE_BYTES || self.plan.keys >= WAVE_KEYS
    }

    /// Leaves a change for the next wave.
    pub(super) fn leave(&mut self, key: &[u8], parts: Parts) {
        self.plan.left.keys.entry(key.to_vec()).or_default().extend(parts);
    }

    pub(super) fn finish(mut self) -> Plan {
        for request in self.sets.finish().into_iter().chain(self.deletes.finish()) {
            self.plan.lanes.push(vec![request]);
        }
        self.plan
    }

    /// Adds what a changed key needs, of which Kiwi has what is `placed`.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        placed: Option<Placed>,
        mut parts: Parts,
    ) -> Result<(), StorageError> {
        // What the index keeps for itself is all in the index.
        if key.starts_with(RESERVED) {
            return Ok(());
        }
        self.plan.keys += 1;
        let has_moved = parts.remove(&moved());
        match self.cut.entry(key)? {
            Entry::Missing => {
                self.deletes.push(&[key]);
                if placed.is_some() {
                    self.plan.placed.push((key.to_vec(), None));
                }
                Ok(())
            }
            Entry::Short(Stored::Away) => Ok(()),
            Entry::Short(Stored::Here(value)) => {
                self.add_short(key, value, placed.is_some());
                Ok(())
            }
            Entry::Content { kind, version, head, len } => {
                let same = placed.filter(|placed| placed.version == version && !has_moved);
                let content = Content { key, kind, version, head, len };
                match (kind, same) {
                    (Kind::List, placed) => self.add_list(&content, placed, parts),
                    (_, None) => self.add_whole(&content, None),
                    (_, Some(placed)) => self.add_parts(&content, &placed, parts),
                }
            }
        }
    }

    fn add_short(&mut self, key: &[u8], value: Vec<u8>, replaces: bool) {
        if replaces {
            // Kiwi's MSET is for strings.
            self.plan.lanes.push(vec![Request::new(&[b"DEL", key]), Request::new(&[b"SET", key, &value])]);
            self.plan.placed.push((key.to_vec(), None));
        } else {
            self.sets.push(&[key, &value]);
        }
        self.plan.bytes += key.len() + value.len();
        self.arrive(key, Part::String, Family::Meta, place_of_key(key), value);
    }

    /// A value is on Kiwi behind this wave.
    fn arrive(&mut self, key: &[u8], part: Part, family: Family, place: Vec<u8>, value: Vec<u8>) {
        if value.len() <= self.limits.keep {
            return;
        }
        let stub = Stub::of(&value);
        let key = Bytes::copy_from_slice(key);
        self.plan.arrived.push(Arrived { key: key.clone(), family, place, stub });
        self.plan.values.push(((Place { key, part }, stub), value.into()));
    }

    /// Content that Kiwi has nothing of yet, or only up to a place.
    fn add_whole(&mut self, content: &Content<'_>, upto: Option<&[u8]>) -> Result<(), StorageError> {
        let family = content.family();
        let mut lane = Lane::new(content);
        if upto.is_none() {
            lane.is_new = true;
            lane.requests.push(Request::new(&[b"DEL", content.key]));
        }
        // A string is written at once: Kiwi would write all of it anew for every part.
        let most = if content.kind == Kind::String { usize::MAX } else { WHOLE_BYTES };
        let mut last: Option<Vec<u8>> = None;
        let mut items = Vec::new();
        let mut bytes = 0;
        self.cut.scan(family, content.version, upto, &mut |place, stored| {
            if bytes >= most {
                return Ok(ControlFlow::Break(()));
            }
            bytes += place.len() + stored.len();
            items.push((place.to_vec(), stored.to_vec()));
            last = Some(place.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let complete = bytes < most;
        for (place, stored) in items {
            if !matches!(content.kind, Kind::Set | Kind::SortedSet)
                && Stored::decode(&stored)? == Stored::Away
            {
                return Err(StorageError::Corrupt(
                    "a value that Kiwi does not have is not here either".to_owned(),
                ));
            }
            self.put(&mut lane, place, Some(&stored))?;
        }
        self.plan.bytes += bytes;
        self.plan.lanes.push(lane.finish());
        let upto = if complete { None } else { last };
        if upto.is_some() {
            self.leave(content.key, Parts::new());
        }
        let placed =
            Placed { version: content.version, kind: content.kind, head: 0, len: 0, upto, intent: None };
        self.plan.placed.push((content.key.to_vec(), Some(placed)));
        Ok(())
    }

    /// Changed parts of content that Kiwi has.
    fn add_parts(
        &mut self,
        content: &Content<'_>,
        placed: &Placed,
        parts: Parts,
    ) -> Result<(), StorageError> {
        let family = content.family();
        let is_there = |place: &[u8]| placed.upto.as_ref().is_none_or(|upto| place <= upto.as_slice());
        let mut lane = Lane::new(content);
        for (changed, place) in parts {
            if changed == family && family.version_of(&place) == Some(content.version) && is_there(&place) {
                let stored = self.cut.stored(family, &place)?;
                self.plan.bytes += place.len() + stored.as_ref().map_or(0, Vec::len);
                self.put(&mut lane, place, stored.as_deref())?;
            }
        }
        let requests = lane.finish();
        if !requests.is_empty() {
            self.plan.lanes.push(requests);
        }
        match &placed.upto {
            Some(upto) => self.add_whole(content, Some(upto)),
            None => Ok(()),
        }
    }

    /// One part of content that is no list, as it is stored; none if it is gone.
    fn put(
        &mut self,
        lane: &mut Lane<'_>,
        place: Vec<u8>,
        stored: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        let content = lane.content;
        match content.kind {
            Kind::String => {
                let Some(Stored::Here(value)) = stored.map(Stored::decode).transpose()? else {
                    return Ok(());
                };
                let number = split_place_key(&place).map_err(storage)?;
                lane.write(number * CHUNK, &value);
                if content.len <= LONG_STRING {
                    let part = Part::Piece(content.version, number);
                    self.arrive(content.key, part, Family::Chunks, place, value);
                }
            }
            Kind::Hash => {
                let field = split_member_key(&place).map_err(storage)?.1.to_vec();
                match stored.map(Stored::decode).transpose()? {
                    None => lane.removes.push(&[&field]),
                    Some(Stored::Away) => {}
                    Some(Stored::Here(value)) => {
                        lane.puts.push(&[&field, &value]);
                        // Kiwi answers other values damaged.
                        if value.len() <= self.limits.reply && std::str::from_utf8(&value).is_ok() {
                            let part = Part::Field(content.version, field.into());
                            self.arrive(content.key, part, Family::Fields, place, value);
                        }
                    }
                }
            }
            Kind::Set => {
                let member = split_member_key(&place).map_err(storage)?.1;
                match stored {
                    None => lane.remove_one(member),
                    Some(_) => lane.put_one(&[member], member),
                }
            }
            Kind::SortedSet => {
                let member = split_member_key(&place).map_err(storage)?.1;
                match stored {
                    None => lane.remove_one(member),
                    Some(stored) => {
                        let score = decode_score(stored).map_err(storage)?;
                        let score = format_f64(score.clamp(-ALMOST_INFINITE, ALMOST_INFINITE));
                        lane.put_one(&[score.as_bytes(), member], member);
                    }
                }
            }
            Kind::List => {}
        }
        Ok(())
    }

    fn add_list(
        &mut self,
        content: &Content<'_>,
        placed: Option<Placed>,
        parts: Parts,
    ) -> Result<(), StorageError> {
        let (first, behind) = (content.head, content.head + content.len);
        let overlaps = |placed: &Placed| placed.head.max(first) < (placed.head + placed.len).min(behind);
        let Some(placed) = placed.filter(overlaps) else { return self.begin_list(content, parts) };
        let (there, there_behind) = (placed.head, placed.head + placed.len);
        let (low, high) = (there.max(first), there_behind.min(behind));
        let kept = Placed { head: low, len: high - low, intent: None, ..placed.clone() };
        if (low, high) != (there, there_behind) {
            let (start, end) = (low - there, high - there - 1);
            let intent = Intent::Trim(low - there, there_behind - high);
            self.plan.lanes.push(vec![trim(content.key, start, end)]);
            self.plan.intents.push((content.key.to_vec(), Some(Placed { intent: Some(intent), ..placed })));
            self.plan.placed.push((content.key.to_vec(), Some(kept)));
            self.leave(content.key, parts);
            return Ok(());
        }
        if (first, behind) != (there, there_behind) {
            return self.extend_list(content, &kept, parts);
        }
        self.set_elements(content, &kept, parts)
    }

    /// A list that Kiwi has nothing of.
    fn begin_list(&mut self, content: &Content<'_>, parts: Parts) -> Result<(), StorageError> {
        let mut pushes = Filling::new(&[b"RPUSH", content.key]);
        let end = content.head + content.len.min(ELEMENTS);
        let pushed = self.push_elements(content, content.head..end, &mut pushes)?;
        let mut lane = vec![Request::new(&[b"DEL", content.key])];
        lane.extend(pushes.finish());
        self.plan.lanes.push(lane);
        if pushed < content.len {
            self.leave(content.key, parts);
        }
        let placed = Placed {
            version: content.version,
            kind: Kind::List,
            head: content.head,
            len: pushed,
            upto: None,
            intent: None,
        };
        self.plan.placed.push((content.key.to_vec(), Some(placed)));
        Ok(())
    }

    /// Adds elements at the ends of a list.
    fn extend_list(
        &mut self,
        content: &Content<'_>,
        placed: &Placed,
        parts: Parts,
    ) -> Result<(), StorageError> {
        let (there, there_behind) = (placed.head, placed.head + placed.len);
        let (first, behind) = (content.head, content.head + content.len);
        let mut lane = Vec::new();
        // One request for each end, or the length that is found would not tell what was done.
        let mut heads = Filling::new(&[b"LPUSH", content.key]);
        let from = first.max(there.saturating_sub(ELEMENTS));
        let headed = self.push_elements(content, (from..there).rev(), &mut heads)?;
        lane.extend(heads.finish().into_iter().take(1));
        let mut tails = Filling::new(&[b"RPUSH", content.key]);
        let to = behind.min(there_behind + ELEMENTS);
        let tailed = self.push_elements(content, there_behind..to, &mut tails)?;
        lane.extend(tails.finish().into_iter().take(1));
        self.plan.lanes.push(lane);
        let intent = Some(Intent::Push(headed, tailed));
        self.plan.intents.push((content.key.to_vec(), Some(Placed { intent, ..placed.clone() })));
        let after = Placed { head: there - headed, len: placed.len + headed + tailed, ..placed.clone() };
        let is_done = after.head == first && after.len == content.len;
        self.plan.placed.push((content.key.to_vec(), Some(after)));
        if !is_done || !parts.is_empty() {
            self.leave(content.key, parts);
        }
        Ok(())
    }

    /// Adds elements to a request while there is room in it. Answers how many.
    fn push_elements(
        &mut self,
        content: &Content<'_>,
        places: impl Iterator<Item = u64>,
        pushes: &mut Filling,
    ) -> Result<u64, StorageError> {
        let mut pushed = 0;
        for number in places {
            let place = place_key(content.version, number).into_vec();
            let value = self.element(&place)?;
            if !pushes.fits(&[&value]) {
                break;
            }
            pushes.push(&[&value]);
            self.plan.bytes += value.len();
            self.arrive_element(content, number, place, value);
            pushed += 1;
        }
        Ok(pushed)
    }

    fn arrive_element(&mut self, content: &Content<'_>, number: u64, place: Vec<u8>, value: Vec<u8>) {
        if value.len() <= self.limits.reply {
            self.arrive(content.key, Part::Element(content.version, number), Family::Elements, place, value);
        }
    }

    fn element(&self, place: &[u8]) -> Result<Vec<u8>, StorageError> {
        let stored = self.cut.stored(Family::Elements, place)?;
        match stored.as_deref().map(Stored::decode).transpose()? {
            Some(Stored::Here(value)) => Ok(value),
            _ => {
                Err(StorageError::Corrupt("an element that Kiwi does not have is not here either".to_owned()))
            }
        }
    }

    /// Changed elements of a list that has its length.
    fn set_elements(
        &mut self,
        content: &Content<'_>,
        placed: &Placed,
        parts: Parts,
    ) -> Result<(), StorageError> {
        let mut left = Parts::new();
        let mut set = 0;
        for (family, place) in parts {
            let number = split_place_key(&place).map_err(storage)?;
            let inside = number >= content.head && number - content.head < content.len;
            if family != Family::Elements || family.version_of(&place) != Some(content.version) || !inside {
                continue;
            }
            if set >= ELEMENTS {
                left.insert((family, place));
                continue;
            }
            let stored = self.cut.stored(Family::Elements, &place)?;
            let Some(Stored::Here(value)) = stored.as_deref().map(Stored::decode).transpose()? else {
                continue;
            };
            let index = (number - placed.head).to_string();
            let request = Request::new(&[b"LSET", content.key, index.as_bytes(), &value]);
            self.plan.bytes += value.len();
            self.plan.lanes.push(vec![request]);
            self.arrive_element(content, number, place, value);
            set += 1;
        }
        if !left.is_empty() {
            self.leave(content.key, left);
        }
        Ok(())
    }
}

/// The content of a key.
struct Content<'a> {
    key: &'a [u8],
    kind: Kind,
    version: u64,
    head: u64,
    len: u64,
}

impl Content<'_> {
    /// The family that says all of it.
    fn family(&self) -> Family {
        Record::values(self.kind).unwrap_or(Family::Members)
    }
}

/// The requests that change one key.
struct Lane<'a> {
    content: &'a Content<'a>,
    requests: Vec<Request>,
    puts: Filling,
    removes: Filling,
    /// Kiwi has nothing of it.
    is_new: bool,
    /// Neighbouring pieces of a string: where they begin, and their bytes.
    run: Option<(u64, Vec<u8>)>,
}

impl<'a> Lane<'a> {
    fn new(content: &'a Content<'a>) -> Self {
        let (put, remove): (&[u8], &[u8]) = match content.kind {
            Kind::Hash => (b"HSET", b"HDEL"),
            Kind::Set => (b"SADD", b"SREM"),
            Kind::SortedSet => (b"ZADD", b"ZREM"),
            Kind::String | Kind::List => (b"", b""),
        };
        let (puts, removes) = (Filling::new(&[put, content.key]), Filling::new(&[remove, content.key]));
        Self { content, requests: Vec::new(), puts, removes, is_new: false, run: None }
    }

    /// Kiwi takes two members that are not UTF-8 for one if they come together.
    fn put_one(&mut self, args: &[&[u8]], member: &[u8]) {
        add_member(&mut self.puts, args, member);
    }

    fn remove_one(&mut self, member: &[u8]) {
        add_member(&mut self.removes, &[member], member);
    }

    /// Writes a piece of a string.
    fn write(&mut self, offset: u64, value: &[u8]) {
        match &mut self.run {
            Some((start, bytes)) if *start + bytes.len() as u64 == offset => bytes.extend_from_slice(value),
            // What is missing of a new string is zeros.
            Some((start, bytes)) if self.is_new => {
                bytes.resize((offset - *start) as usize, 0);
                bytes.extend_from_slice(value);
            }
            _ => {
                self.end_run();
                self.run = Some((offset, value.to_vec()));
            }
        }
    }

    fn end_run(&mut self) {
        if let Some((start, bytes)) = self.run.take() {
            if self.is_new && start == 0 {
                self.requests.push(Request::new(&[b"SET", self.content.key, &bytes]));
                return;
            }
            let start = start.to_string();
            self.requests.push(Request::new(&[b"SETRANGE", self.content.key, start.as_bytes(), &bytes]));
        }
    }

    fn finish(mut self) -> Vec<Request> {
        self.end_run();
        self.requests.extend(self.removes.finish());
        self.requests.extend(self.puts.finish());
        self.requests
    }
}

fn add_member(requests: &mut Filling, args: &[&[u8]], member: &[u8]) {
    if std::str::from_utf8(member).is_ok() {
        requests.push(args);
    } else {
        requests.close();
        requests.push(args);
        requests.close();
    }
}

fn trim(key: &[u8], start: u64, end: u64) -> Request {
    Request::new(&[b"LTRIM", key, start.to_string().as_bytes(), end.to_string().as_bytes()])
}

fn storage(stop: crate::Stop) -> StorageError {
    crate::embedded::storage_error(stop)
}

/// What a list is like on Kiwi, by its length there, when an intent may have been carried out or not. None if that
/// cannot be.
pub(super) fn resolve(placed: Placed, found: u64) -> Option<Placed> {
    let settled = Placed { intent: None, ..placed };
    let (head, len) = (settled.head, settled.len);
    let at = |head, len| Some(Placed { head, len, ..settled.clone() });
    match placed.intent {
        _ if found == len => Some(settled),
        Some(Intent::Trim(heads, tails)) if found == len - heads - tails => at(head + heads, found),
        Some(Intent::Push(heads, _)) if found == len + heads => at(head - heads, found),
        Some(Intent::Push(heads, tails)) if found == len + heads + tails => at(head - heads, found),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_tells_what_was_done_to_a_list() {
        let placed =
            |head, len, intent| Placed { version: 1, kind: Kind::List, head, len, upto: None, intent };
        let settled = |head, len| Some(placed(head, len, None));
        let trim = placed(100, 10, Some(Intent::Trim(2, 3)));
        assert_eq!(resolve(trim.clone(), 10), settled(100, 10));
        assert_eq!(resolve(trim.clone(), 5), settled(102, 5));
        assert_eq!(resolve(trim, 7), None);
        let push = placed(100, 10, Some(Intent::Push(2, 3)));
        assert_eq!(resolve(push.clone(), 10), settled(100, 10));
        assert_eq!(resolve(push.clone(), 12), settled(98, 12));
        assert_eq!(resolve(push.clone(), 15), settled(98, 15));
        assert_eq!(resolve(push, 11), None);
    }
}
