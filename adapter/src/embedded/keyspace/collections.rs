//! Writing hashes, sets and sorted sets.

use crate::embedded::db::schema::{Family, Record, decode_score, member_key, score_key};
use crate::embedded::keyspace::reader::Reader;
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::offload::value_ref::{NO_VALUE, Value};
use crate::error::Outcome;
use crate::keyspace::Kind;

impl Txn<'_> {
    /// Puts a field of a hash or a member of a set. Returns whether it is new.
    pub(crate) fn put_member(
        &mut self,
        key: &[u8],
        kind: Kind,
        member: &[u8],
        value: &[u8],
    ) -> Outcome<bool> {
        let (old, record) = self.collection(key, kind)?;
        let Some(version) = record.version else { return Ok(false) };
        let (family, place) = (record.families()[0], member_key(version, member));
        let new = self.source.get(family, &place, |_| ())?.is_none();
        if new || kind == Kind::Hash {
            let stored = if kind == Kind::Hash { Value::Inline(value).encode() } else { Vec::new() };
            self.source.put(family, place, stored)?;
            let len = record.len + u64::from(new);
            self.save(key, old, Some(Record { len, ..record }), NO_VALUE)?;
        }
        Ok(new)
    }

    /// Removes a field of a hash or a member of a set. Returns whether it existed.
    pub(crate) fn remove_member(&mut self, key: &[u8], member: &[u8]) -> Outcome<bool> {
        let Some((record, version)) = self.existing(key)? else { return Ok(false) };
        let (family, place) = (record.families()[0], member_key(version, member));
        if self.source.get(family, &place, |_| ())?.is_none() {
            return Ok(false);
        }
        self.source.delete(family, place)?;
        self.save_or_drop(key, record, Record { len: record.len - 1, ..record })?;
        Ok(true)
    }

    /// Puts a member of a sorted set. Returns its previous score.
    pub(crate) fn put_score(&mut self, key: &[u8], member: &[u8], score: f64) -> Outcome<Option<f64>> {
        debug_assert!(!score.is_nan(), "a score must be a number");
        // Adding zero turns -0.0 into 0.0.
        let score = score + 0.0;
        let (old, record) = self.collection(key, Kind::SortedSet)?;
        let Some(version) = record.version else { return Ok(None) };
        let place = member_key(version, member);
        let before = self.source.get(Family::Members, &place, decode_score)?.transpose()?;
        if before == Some(score) {
            return Ok(before);
        }
        if let Some(before) = before {
            self.source.delete(Family::Scores, score_key(version, before, member))?;
        }
        self.source.put(Family::Members, place, score.to_be_bytes().to_vec())?;
        self.source.put(Family::Scores, score_key(version, score, member), Vec::new())?;
        let len = record.len + u64::from(before.is_none());
        self.save(key, old, Some(Record { len, ..record }), NO_VALUE)?;
        Ok(before)
    }

    /// Removes a member of a sorted set. Returns its score.
    pub(crate) fn remove_score(&mut self, key: &[u8], member: &[u8]) -> Outcome<Option<f64>> {
        let Some((record, version)) = self.existing(key)? else { return Ok(None) };
        let place = member_key(version, member);
        let Some(score) = self.source.get(Family::Members, &place, decode_score)?.transpose()? else {
            return Ok(None);
        };
        self.source.delete(Family::Members, place)?;
        self.source.delete(Family::Scores, score_key(version, score, member))?;
        self.save_or_drop(key, record, Record { len: record.len - 1, ..record })?;
        Ok(Some(score))
    }
}
