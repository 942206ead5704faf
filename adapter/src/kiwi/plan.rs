//! From what has changed to requests.
//!
//! Everything that is sent says what is to be, and not what has changed: sending it twice does no harm. Only the ends of
//! lists have no such form; see [`lists`].

mod lane;
mod lists;

use std::ops::ControlFlow;

use bytes::Bytes;

use super::command::{Filling, Request};
use crate::RESERVED;
use crate::command::number::format_f64;
use crate::embedded::behind::{Arrived, Cut, Entry, Placed, Stored, place_of_key};
use crate::embedded::encoding::{
    CHUNK, Family, Record, Stub, decode_score, split_member_key, split_place_key,
};
use crate::embedded::journal::{Changes, Parts, STRETCH_NAMES, moved};
use crate::embedded::source::{Need, Part, Place};
use crate::error::StorageError;
use crate::keyspace::Kind;
use lane::Lane;
pub(super) use lists::resolve;

/// Strings longer than this stay in the index as well: for any part of a string, Kiwi reads all of it.
const LONG_STRING: u64 = 16 << 20;
/// Bytes of one key's content that is new to Kiwi in one wave.
const WHOLE_BYTES: usize = 4 << 20;
/// Bytes of a wave, about.
const WAVE_BYTES: usize = 8 << 20;
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
    names: usize,
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
        self.plan.bytes >= WAVE_BYTES || self.plan.names >= STRETCH_NAMES
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
        self.plan.names += 1;
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
        self.plan.lanes.extend(lane.finish());
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
        let mut left = Parts::new();
        for (changed, place) in parts {
            if self.is_full() {
                left.insert((changed, place));
            } else if changed == family
                && family.version_of(&place) == Some(content.version)
                && is_there(&place)
            {
                let stored = self.cut.stored(family, &place)?;
                self.plan.names += 1;
                self.plan.bytes += place.len() + stored.as_ref().map_or(0, Vec::len);
                self.put(&mut lane, place, stored.as_deref())?;
            }
        }
        self.plan.lanes.extend(lane.finish());
        if !left.is_empty() {
            self.leave(content.key, left);
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

fn storage(stop: crate::Stop) -> StorageError {
    crate::embedded::storage_error(stop)
}
