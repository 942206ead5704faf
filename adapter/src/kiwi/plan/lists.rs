//! Lists.
//!
//! Kiwi can only be told to change the ends of a list, which must not be done twice. So one wave cuts off or adds, never
//! both; what it is going to do is written down first ([`Intent`]), and the length that is found afterwards tells how
//! much of it was done.

use super::{Content, Planner, storage};
use crate::embedded::behind::{Intent, Placed, Stored};
use crate::embedded::encoding::{Family, place_key, split_place_key};
use crate::embedded::journal::Parts;
use crate::embedded::source::Part;
use crate::error::StorageError;
use crate::keyspace::Kind;
use crate::kiwi::command::{Filling, Request};

/// Elements that are added to a list, and changed in it, in one wave.
const ELEMENTS: u64 = 2000;

impl Planner<'_, '_> {
    pub(super) fn add_list(
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

fn trim(key: &[u8], start: u64, end: u64) -> Request {
    Request::new(&[b"LTRIM", key, start.to_string().as_bytes(), end.to_string().as_bytes()])
}

/// What a list is like on Kiwi, by its length there, when an intent may have been carried out or not. None if that
/// cannot be.
pub(in crate::kiwi) fn resolve(placed: Placed, found: u64) -> Option<Placed> {
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
