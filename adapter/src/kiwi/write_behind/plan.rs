//! Turning a flush batch into requests.
//!
//! Requests state the result, not the change, so they are idempotent. Pushing to and trimming lists is the
//! exception; see [`lists`].

mod collections;
mod lists;
mod pipeline;

use bytes::Bytes;

use crate::RESERVED;
use crate::embedded::db::schema::{Family, Record};
use crate::embedded::offload::dirty_log::{DirtyParts, DirtySet, SEGMENT_NAMES, moved_marker};
use crate::embedded::offload::evict::FlushedValue;
use crate::embedded::offload::flush_batch::{FlushBatch, KeyState, place_of_key};
use crate::embedded::offload::placement::Placement;
use crate::embedded::offload::remote::{Part, RemoteValue, ValueId};
use crate::embedded::offload::value_ref::{StoredValue, ValuePointer};
use crate::error::StorageError;
use crate::keyspace::Kind;
use crate::kiwi::client::{Request, RequestPacker};
pub(super) use lists::resolve_pending_op;

/// Approximate size of a batch, bytes.
const BATCH_BYTES: usize = 8 << 20;

/// The value lengths that stay inline in the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InlineLimits {
    /// Values up to this length stay inline.
    pub(crate) keep: usize,
    /// Fields and elements above this length stay inline, since Kiwi cannot return a part of them.
    pub(crate) reply: usize,
}

/// What one flush does.
#[derive(Default)]
pub(crate) struct Plan {
    /// Requests to be sent in order, per pipeline; pipelines are independent of each other.
    pub(crate) pipelines: Vec<Vec<Request>>,
    /// Placements with the list operations about to be sent.
    pub(crate) pending_ops: Vec<(Vec<u8>, Option<Placement>)>,
    /// Placements after the flush.
    pub(crate) placements: Vec<(Vec<u8>, Option<Placement>)>,
    /// The values that are on Kiwi after the flush.
    pub(crate) flushed: Vec<FlushedValue>,
    /// The same values, for the cache.
    pub(crate) values: Vec<(RemoteValue, Bytes)>,
    /// Changes deferred to the next batch.
    pub(crate) remaining: DirtySet,
    bytes: usize,
    names: usize,
}

/// Builds the plan of a flush batch.
pub(crate) struct Planner<'c, 's> {
    batch: &'c FlushBatch<'s>,
    inline: InlineLimits,
    plan: Plan,
    sets: RequestPacker,
    deletes: RequestPacker,
}

impl<'c, 's> Planner<'c, 's> {
    pub(crate) fn new(batch: &'c FlushBatch<'s>, inline: InlineLimits) -> Self {
        Self {
            batch,
            inline,
            plan: Plan::default(),
            sets: RequestPacker::new(&[b"MSET"]),
            deletes: RequestPacker::new(&[b"DEL"]),
        }
    }

    /// Whether the batch is large enough.
    pub(crate) fn is_full(&self) -> bool {
        self.plan.bytes >= BATCH_BYTES || self.plan.names >= SEGMENT_NAMES
    }

    /// Defers a change to the next batch.
    pub(crate) fn defer(&mut self, key: &[u8], parts: DirtyParts) {
        self.plan.remaining.keys.entry(key.to_vec()).or_default().extend(parts);
    }

    pub(crate) fn finish(mut self) -> Plan {
        for request in self.sets.finish().into_iter().chain(self.deletes.finish()) {
            self.plan.pipelines.push(vec![request]);
        }
        self.plan
    }

    /// Adds what a changed key needs, given what Kiwi already has of it.
    pub(crate) fn add(
        &mut self,
        key: &[u8],
        placement: Option<Placement>,
        mut parts: DirtyParts,
    ) -> Result<(), StorageError> {
        // Reserved keys stay in the index.
        if key.starts_with(RESERVED) {
            return Ok(());
        }
        self.plan.names += 1;
        let has_moved = parts.remove(&moved_marker());
        match self.batch.key_state(key)? {
            KeyState::Missing => {
                self.deletes.push(&[key]);
                if placement.is_some() {
                    self.plan.placements.push((key.to_vec(), None));
                }
                Ok(())
            }
            KeyState::Short(StoredValue::Remote) => Ok(()),
            KeyState::Short(StoredValue::Inline(value)) => {
                self.add_short(key, value, placement.is_some());
                Ok(())
            }
            KeyState::Content { kind, version, head, len } => {
                let same = placement.filter(|placement| placement.version == version && !has_moved);
                let content = Content { key, kind, version, head, len };
                match (kind, same) {
                    (Kind::List, placement) => self.add_list(&content, placement, parts),
                    (_, None) => self.add_content(&content, None),
                    (_, Some(placement)) => self.add_parts(&content, &placement, parts),
                }
            }
        }
    }

    fn add_short(&mut self, key: &[u8], value: Vec<u8>, replaces: bool) {
        if replaces {
            // Kiwi's MSET does not replace other types.
            self.plan
                .pipelines
                .push(vec![Request::new(&[b"DEL", key]), Request::new(&[b"SET", key, &value])]);
            self.plan.placements.push((key.to_vec(), None));
        } else {
            self.sets.push(&[key, &value]);
        }
        self.plan.bytes += key.len() + value.len();
        self.mark_flushed(key, Part::String, Family::Meta, place_of_key(key), value);
    }

    /// Records a value that will be on Kiwi after this flush.
    fn mark_flushed(&mut self, key: &[u8], part: Part, family: Family, place: Vec<u8>, value: Vec<u8>) {
        if value.len() <= self.inline.keep {
            return;
        }
        let pointer = ValuePointer::of(&value);
        let key = Bytes::copy_from_slice(key);
        self.plan.flushed.push(FlushedValue { key: key.clone(), family, place, pointer });
        self.plan.values.push(((ValueId { key, part }, pointer), value.into()));
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
    /// The column family that describes all of it.
    fn family(&self) -> Family {
        Record::values(self.kind).unwrap_or(Family::Members)
    }
}

fn storage_error(stop: crate::Stop) -> StorageError {
    crate::embedded::storage_error(stop)
}
