//! Lists.
//!
//! Kiwi can only change a list at its ends, and such a request is not idempotent. So one flush either trims or
//! pushes, never both; the operation is recorded first ([`ListOp`]), and the list's length afterwards tells how
//! much of it was done.

use super::{Content, Planner, storage_error};
use crate::embedded::db::schema::{Family, place_key, split_place_key};
use crate::embedded::offload::dirty_log::DirtyParts;
use crate::embedded::offload::placement::{ListOp, Placement};
use crate::embedded::offload::remote::Part;
use crate::embedded::offload::value_ref::StoredValue;
use crate::error::StorageError;
use crate::keyspace::Kind;
use crate::kiwi::client::{Request, RequestPacker};

/// Elements pushed to a list, and elements replaced in it, per flush.
const MAX_ELEMENTS: u64 = 2000;

impl Planner<'_, '_> {
    pub(super) fn add_list(
        &mut self,
        content: &Content<'_>,
        placement: Option<Placement>,
        parts: DirtyParts,
    ) -> Result<(), StorageError> {
        let (first, past_end) = (content.head, content.head + content.len);
        let overlaps = |placement: &Placement| {
            placement.head.max(first) < (placement.head + placement.len).min(past_end)
        };
        let Some(placement) = placement.filter(overlaps) else { return self.begin_list(content, parts) };
        let (placed_first, placed_end) = (placement.head, placement.head + placement.len);
        let (low, high) = (placed_first.max(first), placed_end.min(past_end));
        let kept = Placement { head: low, len: high - low, pending_op: None, ..placement.clone() };
        if (low, high) != (placed_first, placed_end) {
            let (start, end) = (low - placed_first, high - placed_first - 1);
            let pending_op = ListOp::Trim(low - placed_first, placed_end - high);
            self.plan.pipelines.push(vec![trim(content.key, start, end)]);
            self.plan
                .pending_ops
                .push((content.key.to_vec(), Some(Placement { pending_op: Some(pending_op), ..placement })));
            self.plan.placements.push((content.key.to_vec(), Some(kept)));
            self.defer(content.key, parts);
            return Ok(());
        }
        if (first, past_end) != (placed_first, placed_end) {
            return self.extend_list(content, &kept, parts);
        }
        self.set_elements(content, &kept, parts)
    }

    /// A list that Kiwi has nothing of yet.
    fn begin_list(&mut self, content: &Content<'_>, parts: DirtyParts) -> Result<(), StorageError> {
        let mut pushes = RequestPacker::new(&[b"RPUSH", content.key]);
        let end = content.head + content.len.min(MAX_ELEMENTS);
        let pushed = self.push_elements(content, content.head..end, &mut pushes)?;
        let mut pipeline = vec![Request::new(&[b"DEL", content.key])];
        pipeline.extend(pushes.finish());
        self.plan.pipelines.push(pipeline);
        if pushed < content.len {
            self.defer(content.key, parts);
        }
        let placement = Placement {
            version: content.version,
            kind: Kind::List,
            head: content.head,
            len: pushed,
            upto: None,
            pending_op: None,
        };
        self.plan.placements.push((content.key.to_vec(), Some(placement)));
        Ok(())
    }

    /// Adds elements at the ends of a list.
    fn extend_list(
        &mut self,
        content: &Content<'_>,
        placement: &Placement,
        parts: DirtyParts,
    ) -> Result<(), StorageError> {
        let (placed_first, placed_end) = (placement.head, placement.head + placement.len);
        let (first, past_end) = (content.head, content.head + content.len);
        let mut pipeline = Vec::new();
        // One request per end; with more, the length could not tell what was done.
        let mut heads = RequestPacker::new(&[b"LPUSH", content.key]);
        let from = first.max(placed_first.saturating_sub(MAX_ELEMENTS));
        let headed = self.push_elements(content, (from..placed_first).rev(), &mut heads)?;
        pipeline.extend(heads.finish().into_iter().take(1));
        let mut tails = RequestPacker::new(&[b"RPUSH", content.key]);
        let to = past_end.min(placed_end + MAX_ELEMENTS);
        let tailed = self.push_elements(content, placed_end..to, &mut tails)?;
        pipeline.extend(tails.finish().into_iter().take(1));
        self.plan.pipelines.push(pipeline);
        let pending_op = Some(ListOp::Push(headed, tailed));
        self.plan
            .pending_ops
            .push((content.key.to_vec(), Some(Placement { pending_op, ..placement.clone() })));
        let after = Placement {
            head: placed_first - headed,
            len: placement.len + headed + tailed,
            ..placement.clone()
        };
        let is_done = after.head == first && after.len == content.len;
        self.plan.placements.push((content.key.to_vec(), Some(after)));
        if !is_done || !parts.is_empty() {
            self.defer(content.key, parts);
        }
        Ok(())
    }

    /// Adds elements to a request while it has room. Returns how many were added.
    fn push_elements(
        &mut self,
        content: &Content<'_>,
        places: impl Iterator<Item = u64>,
        pushes: &mut RequestPacker,
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
            self.mark_element_flushed(content, number, place, value);
            pushed += 1;
        }
        Ok(pushed)
    }

    fn mark_element_flushed(&mut self, content: &Content<'_>, number: u64, place: Vec<u8>, value: Vec<u8>) {
        if value.len() <= self.inline.reply {
            self.mark_flushed(
                content.key,
                Part::Element(content.version, number),
                Family::Elements,
                place,
                value,
            );
        }
    }

    fn element(&self, place: &[u8]) -> Result<Vec<u8>, StorageError> {
        let stored = self.batch.stored(Family::Elements, place)?;
        match stored.as_deref().map(StoredValue::decode).transpose()? {
            Some(StoredValue::Inline(value)) => Ok(value),
            _ => {
                Err(StorageError::Corrupt("an element that Kiwi does not have is not here either".to_owned()))
            }
        }
    }

    /// Dirty elements of a list whose ends are up to date.
    fn set_elements(
        &mut self,
        content: &Content<'_>,
        placement: &Placement,
        parts: DirtyParts,
    ) -> Result<(), StorageError> {
        let mut remaining = DirtyParts::new();
        let mut set = 0;
        for (family, place) in parts {
            let number = split_place_key(&place).map_err(storage_error)?;
            let inside = number >= content.head && number - content.head < content.len;
            if family != Family::Elements || family.version_of(&place) != Some(content.version) || !inside {
                continue;
            }
            if set >= MAX_ELEMENTS {
                remaining.insert((family, place));
                continue;
            }
            let stored = self.batch.stored(Family::Elements, &place)?;
            let Some(StoredValue::Inline(value)) = stored.as_deref().map(StoredValue::decode).transpose()?
            else {
                continue;
            };
            let index = (number - placement.head).to_string();
            let request = Request::new(&[b"LSET", content.key, index.as_bytes(), &value]);
            self.plan.bytes += value.len();
            self.plan.pipelines.push(vec![request]);
            self.mark_element_flushed(content, number, place, value);
            set += 1;
        }
        if !remaining.is_empty() {
            self.defer(content.key, remaining);
        }
        Ok(())
    }
}

fn trim(key: &[u8], start: u64, end: u64) -> Request {
    Request::new(&[b"LTRIM", key, start.to_string().as_bytes(), end.to_string().as_bytes()])
}

/// What Kiwi has of a list, by its length there, when a pending operation may or may not have been done. None if
/// the length fits no outcome.
pub(crate) fn resolve_pending_op(placement: Placement, found: u64) -> Option<Placement> {
    let settled = Placement { pending_op: None, ..placement };
    let (head, len) = (settled.head, settled.len);
    let at = |head, len| Some(Placement { head, len, ..settled.clone() });
    match placement.pending_op {
        _ if found == len => Some(settled),
        Some(ListOp::Trim(heads, tails)) if found == len - heads - tails => at(head + heads, found),
        Some(ListOp::Push(heads, _)) if found == len + heads => at(head - heads, found),
        Some(ListOp::Push(heads, tails)) if found == len + heads + tails => at(head - heads, found),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_tells_what_was_done_to_a_list() {
        let placement = |head, len, pending_op| Placement {
            version: 1,
            kind: Kind::List,
            head,
            len,
            upto: None,
            pending_op,
        };
        let settled = |head, len| Some(placement(head, len, None));
        let trim = placement(100, 10, Some(ListOp::Trim(2, 3)));
        assert_eq!(resolve_pending_op(trim.clone(), 10), settled(100, 10));
        assert_eq!(resolve_pending_op(trim.clone(), 5), settled(102, 5));
        assert_eq!(resolve_pending_op(trim, 7), None);
        let push = placement(100, 10, Some(ListOp::Push(2, 3)));
        assert_eq!(resolve_pending_op(push.clone(), 10), settled(100, 10));
        assert_eq!(resolve_pending_op(push.clone(), 12), settled(98, 12));
        assert_eq!(resolve_pending_op(push.clone(), 15), settled(98, 15));
        assert_eq!(resolve_pending_op(push, 11), None);
    }
}
