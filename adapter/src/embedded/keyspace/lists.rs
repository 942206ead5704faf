//! Writing lists: elements at consecutive places, so that both ends and every index are a single look-up.

use bytes::Bytes;

use crate::embedded::db::key_range::KeyRange;
use crate::embedded::db::schema::{Family, Record, place_key, split_place_key};
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::offload::remote::Part;
use crate::embedded::offload::value_ref::NO_VALUE;
use crate::error::Outcome;
use crate::keyspace::{Direction, End, Flow, Kind};

/// Elements held in memory while elements are shifted.
const WINDOW: u64 = 512;

impl Txn<'_> {
    /// Pushes an element.
    pub(crate) fn push(&mut self, key: &[u8], end: End, element: &[u8]) -> Outcome<()> {
        let (old, record) = self.collection(key, Kind::List)?;
        let Some(version) = record.version else { return Ok(()) };
        let mut new = Record { len: record.len + 1, ..record };
        let place = match end {
            End::Head => {
                new.head -= 1;
                new.head
            }
            End::Tail => record.head + record.len,
        };
        self.source.put_value(Family::Elements, place_key(version, place), element)?;
        self.save(key, old, Some(new), NO_VALUE)
    }

    /// Pops an element.
    pub(crate) fn pop(&mut self, key: &[u8], end: End) -> Outcome<Option<Bytes>> {
        let Some((record, version)) = self.existing(key)? else { return Ok(None) };
        let mut new = Record { len: record.len - 1, ..record };
        let place = match end {
            End::Head => {
                new.head += 1;
                record.head
            }
            End::Tail => record.head + new.len,
        };
        let part = || Part::Element(version, place);
        let element = self.value(key, Family::Elements, &place_key(version, place), part)?;
        self.source.delete(Family::Elements, place_key(version, place))?;
        self.save_or_drop(key, record, new)?;
        Ok(element)
    }

    /// Replaces an element.
    pub(crate) fn replace(&mut self, key: &[u8], index: u64, element: &[u8]) -> Outcome<()> {
        let Some((record, version)) = self.existing(key)? else { return Ok(()) };
        debug_assert!(index < record.len, "the index must exist");
        if index < record.len {
            self.source.put_value(Family::Elements, place_key(version, record.head + index), element)?;
            self.save(key, Some(record), Some(record), NO_VALUE)?;
        }
        Ok(())
    }

    /// Inserts an element before an index, shifting those towards the nearer end.
    pub(crate) fn insert(&mut self, key: &[u8], index: u64, element: &[u8]) -> Outcome<()> {
        let (old, record) = self.collection(key, Kind::List)?;
        let Some(version) = record.version else { return Ok(()) };
        debug_assert!(index <= record.len, "the index must be at most the length");
        let index = index.min(record.len);
        let mut new = Record { len: record.len + 1, ..record };
        let (first, past_end) = (record.head, record.head + record.len);
        if index < record.len / 2 {
            new.head -= 1;
            self.move_elements(key, version, first, first + index, Shift::Down(1))?;
        } else {
            self.move_elements(key, version, first + index, past_end, Shift::Up(1))?;
        }
        self.source.put_value(Family::Elements, place_key(version, new.head + index), element)?;
        self.save(key, old, Some(new), NO_VALUE)
    }

    /// Removes elements and closes the gaps, shifting those towards the nearer end.
    pub(crate) fn remove_elements(&mut self, key: &[u8], indices: &[u64]) -> Outcome<()> {
        debug_assert!(indices.is_sorted_by(|left, right| left < right), "the indices must ascend");
        let Some((record, version)) = self.existing(key)? else { return Ok(()) };
        let inside = indices.partition_point(|index| *index < record.len);
        let (Some(&lowest), Some(&highest)) = (indices[..inside].first(), indices[..inside].last()) else {
            return Ok(());
        };
        let removed: Vec<u64> = indices[..inside].iter().map(|index| record.head + index).collect();
        let (first, past_end, count) = (record.head, record.head + record.len, removed.len() as u64);
        let mut new = Record { len: record.len - count, ..record };
        if record.len - lowest <= highest + 1 {
            // Elements between the n-th removed one and the next shift down by n.
            for (n, place) in (1..).zip(&removed) {
                let end = removed.get(n as usize).copied().unwrap_or(past_end);
                self.move_elements(key, version, place + 1, end, Shift::Down(n))?;
            }
            self.source.drop_places(Family::Elements, version, past_end - count, past_end)?;
        } else {
            for (n, place) in (1..).zip(removed.iter().rev()) {
                let before = removed.len().checked_sub(n as usize + 1).map(|at| removed[at] + 1);
                self.move_elements(key, version, before.unwrap_or(first), *place, Shift::Up(n))?;
            }
            self.source.drop_places(Family::Elements, version, first, first + count)?;
            new.head += count;
        }
        self.save_or_drop(key, record, new)
    }

    /// Keeps the elements `start..end`.
    pub(crate) fn trim(&mut self, key: &[u8], start: u64, end: u64) -> Outcome<()> {
        let Some((record, version)) = self.existing(key)? else { return Ok(()) };
        let end = end.min(record.len);
        let start = start.min(end);
        let (first, past_end) = (record.head, record.head + record.len);
        self.source.drop_places(Family::Elements, version, first, first + start)?;
        self.source.drop_places(Family::Elements, version, first + end, past_end)?;
        let new = Record { head: first + start, len: end - start, ..record };
        self.save_or_drop(key, record, new)
    }

    /// Shifts the elements at the places `from..to`, a window at a time, starting on the side they shift to.
    fn move_elements(&mut self, key: &[u8], version: u64, from: u64, to: u64, shift: Shift) -> Outcome<()> {
        let (mut from, mut to) = (from, to);
        while from < to {
            let window = match shift {
                Shift::Down(_) => (from, to.min(from + WINDOW)),
                Shift::Up(_) => (from.max(to.saturating_sub(WINDOW)), to),
            };
            for (place, element) in self.elements(key, version, window)? {
                let place = match shift {
                    Shift::Down(by) => place - by,
                    Shift::Up(by) => place + by,
                };
                self.source.put_value(Family::Elements, place_key(version, place), &element)?;
            }
            match shift {
                Shift::Down(_) => from = window.1,
                Shift::Up(_) => to = window.0,
            }
        }
        Ok(())
    }

    fn elements(&self, key: &[u8], version: u64, (from, to): (u64, u64)) -> Outcome<Vec<(u64, Vec<u8>)>> {
        let mut found = Vec::new();
        let range = KeyRange::new(place_key(version, from), place_key(version, to));
        let part = |place: &[u8]| Ok(Part::Element(version, split_place_key(place)?));
        self.scan_values(key, Family::Elements, &range, Direction::Forward, part, &mut |place, element| {
            found.push((split_place_key(place)?, element.to_vec()));
            Ok(Flow::Continue(()))
        })?;
        Ok(found)
    }
}

/// How far elements move.
#[derive(Clone, Copy, Debug)]
enum Shift {
    /// Towards the head.
    Down(u64),
    /// Towards the tail.
    Up(u64),
}
