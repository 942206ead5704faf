//! Long strings, hashes, sets and sorted sets: all of the content, or only the dirty parts.

use std::ops::ControlFlow;

use super::pipeline::Pipeline;
use super::{Content, Planner, storage_error};
use crate::command::number::format_f64;
use crate::embedded::db::schema::{CHUNK, Family, decode_score, split_member_key, split_place_key};
use crate::embedded::offload::dirty_log::DirtyParts;
use crate::embedded::offload::placement::Placement;
use crate::embedded::offload::remote::Part;
use crate::embedded::offload::value_ref::StoredValue;
use crate::error::StorageError;
use crate::keyspace::Kind;
use crate::kiwi::client::Request;

/// Strings longer than this stay inline: Kiwi reads a whole string to answer any range of it.
const LONG_STRING: u64 = 16 << 20;
/// Bytes of one key's new content per batch.
const NEW_CONTENT_BYTES: usize = 4 << 20;
/// What infinite scores are clamped to: Kiwi refuses them.
const INFINITE_SCORE: f64 = f64::MAX;

impl Planner<'_, '_> {
    /// Content that Kiwi has nothing of yet, or only up to a place.
    pub(super) fn add_content(
        &mut self,
        content: &Content<'_>,
        upto: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        let family = content.family();
        let mut pipeline = Pipeline::new(content);
        if upto.is_none() {
            pipeline.is_new = true;
            pipeline.requests.push(Request::new(&[b"DEL", content.key]));
        }
        // A string is written in one go: Kiwi would rewrite all of it for every part.
        let max_bytes = if content.kind == Kind::String { usize::MAX } else { NEW_CONTENT_BYTES };
        let mut last: Option<Vec<u8>> = None;
        let mut items = Vec::new();
        let mut bytes = 0;
        self.batch.scan(family, content.version, upto, &mut |place, stored| {
            if bytes >= max_bytes {
                return Ok(ControlFlow::Break(()));
            }
            bytes += place.len() + stored.len();
            items.push((place.to_vec(), stored.to_vec()));
            last = Some(place.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let complete = bytes < max_bytes;
        for (place, stored) in items {
            if !matches!(content.kind, Kind::Set | Kind::SortedSet)
                && StoredValue::decode(&stored)? == StoredValue::Remote
            {
                return Err(StorageError::Corrupt(
                    "a value that Kiwi does not have is not here either".to_owned(),
                ));
            }
            self.put(&mut pipeline, place, Some(&stored))?;
        }
        self.plan.bytes += bytes;
        self.plan.pipelines.extend(pipeline.finish());
        let upto = if complete { None } else { last };
        if upto.is_some() {
            self.defer(content.key, DirtyParts::new());
        }
        let placement = Placement {
            version: content.version,
            kind: content.kind,
            head: 0,
            len: 0,
            upto,
            pending_op: None,
        };
        self.plan.placements.push((content.key.to_vec(), Some(placement)));
        Ok(())
    }

    /// Dirty parts of content that Kiwi has.
    pub(super) fn add_parts(
        &mut self,
        content: &Content<'_>,
        placement: &Placement,
        parts: DirtyParts,
    ) -> Result<(), StorageError> {
        let family = content.family();
        let is_there = |place: &[u8]| placement.upto.as_ref().is_none_or(|upto| place <= upto.as_slice());
        let mut pipeline = Pipeline::new(content);
        let mut remaining = DirtyParts::new();
        for (changed, place) in parts {
            if self.is_full() {
                remaining.insert((changed, place));
            } else if changed == family
                && family.version_of(&place) == Some(content.version)
                && is_there(&place)
            {
                let stored = self.batch.stored(family, &place)?;
                self.plan.names += 1;
                self.plan.bytes += place.len() + stored.as_ref().map_or(0, Vec::len);
                self.put(&mut pipeline, place, stored.as_deref())?;
            }
        }
        self.plan.pipelines.extend(pipeline.finish());
        if !remaining.is_empty() {
            self.defer(content.key, remaining);
        }
        match &placement.upto {
            Some(upto) => self.add_content(content, Some(upto)),
            None => Ok(()),
        }
    }

    /// One part of the content in its stored form; none if it was removed.
    fn put(
        &mut self,
        pipeline: &mut Pipeline<'_>,
        place: Vec<u8>,
        stored: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        let content = pipeline.content;
        match content.kind {
            Kind::String => {
                let Some(StoredValue::Inline(value)) = stored.map(StoredValue::decode).transpose()? else {
                    return Ok(());
                };
                let number = split_place_key(&place).map_err(storage_error)?;
                pipeline.write_piece(number * CHUNK, &value);
                if content.len <= LONG_STRING {
                    let part = Part::Piece(content.version, number);
                    self.mark_flushed(content.key, part, Family::Chunks, place, value);
                }
            }
            Kind::Hash => {
                let field = split_member_key(&place).map_err(storage_error)?.1.to_vec();
                match stored.map(StoredValue::decode).transpose()? {
                    None => pipeline.removes.push(&[&field]),
                    Some(StoredValue::Remote) => {}
                    Some(StoredValue::Inline(value)) => {
                        pipeline.puts.push(&[&field, &value]);
                        // Kiwi corrupts other values in its replies.
                        if value.len() <= self.inline.reply && std::str::from_utf8(&value).is_ok() {
                            let part = Part::Field(content.version, field.into());
                            self.mark_flushed(content.key, part, Family::Fields, place, value);
                        }
                    }
                }
            }
            Kind::Set => {
                let member = split_member_key(&place).map_err(storage_error)?.1;
                match stored {
                    None => pipeline.remove_one(member),
                    Some(_) => pipeline.put_one(&[member], member),
                }
            }
            Kind::SortedSet => {
                let member = split_member_key(&place).map_err(storage_error)?.1;
                match stored {
                    None => pipeline.remove_one(member),
                    Some(stored) => {
                        let score = decode_score(stored).map_err(storage_error)?;
                        let score = format_f64(score.clamp(-INFINITE_SCORE, INFINITE_SCORE));
                        pipeline.put_one(&[score.as_bytes(), member], member);
                    }
                }
            }
            Kind::List => {}
        }
        Ok(())
    }
}
