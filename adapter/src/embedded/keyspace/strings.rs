//! Writing strings: short ones in their record, long ones in chunks, so that a change touches only the chunks it
//! covers. Missing chunks, and missing bytes of a chunk, are zeros.

use crate::embedded::db::schema::{CHUNK, Family, INLINE, Record, place_key};
use crate::embedded::keyspace::txn::Txn;
use crate::embedded::offload::remote::Part;
use crate::embedded::offload::value_ref::{NO_VALUE, Value};
use crate::error::Outcome;
use crate::keyspace::Kind;

impl Txn<'_> {
    /// Sets a string, replacing whatever the key holds.
    pub(crate) fn put_string(&mut self, key: &[u8], value: &[u8], deadline: Option<u64>) -> Outcome<()> {
        let old = self.stored_record(key)?;
        if let Some(old) = old {
            self.source.drop_content(&old)?;
        }
        let len = value.len() as u64;
        if len <= INLINE {
            return self.save(
                key,
                old,
                Some(Record { deadline, ..Record::inline(len) }),
                Value::Inline(value),
            );
        }
        let version = match self.source.take_offered(value) {
            Some(staged) => staged,
            None => self.put_chunks(value)?,
        };
        let new = Record { deadline, len, ..Record::stored(Kind::String, version) };
        self.save(key, old, Some(new), NO_VALUE)
    }

    /// Writes the content of a long string under a new version.
    fn put_chunks(&mut self, value: &[u8]) -> Outcome<u64> {
        let version = self.source.new_version();
        for (number, chunk) in (0..).zip(value.chunks(CHUNK as usize)) {
            self.source.put_value(Family::Chunks, place_key(version, number), chunk)?;
        }
        Ok(version)
    }

    /// Overwrites a part of a string.
    pub(crate) fn write_string(&mut self, key: &[u8], offset: u64, bytes: &[u8]) -> Outcome<()> {
        let Some(record) = self.record(key)? else {
            // An expired key may still be stored: drop its content.
            self.put_string(key, b"", None)?;
            return self.patch_string(key, Record::inline(0), offset, bytes);
        };
        self.patch_string(key, record, offset, bytes)
    }

    fn patch_string(&mut self, key: &[u8], record: Record, offset: u64, bytes: &[u8]) -> Outcome<()> {
        let end = offset + bytes.len() as u64;
        let len = record.len.max(end);
        if let Some(version) = record.version {
            self.note_owner(key, &record);
            self.patch_chunks(key, version, offset, bytes)?;
            return self.save(key, Some(record), Some(Record { len, ..record }), NO_VALUE);
        }
        let mut value = self.inline_value(key)?;
        if len <= INLINE {
            value.resize(len as usize, 0);
            value[offset as usize..end as usize].copy_from_slice(bytes);
            return self.save(key, Some(record), Some(Record { len, ..record }), Value::Inline(&value));
        }
        let version = self.source.new_version();
        self.patch_chunks(key, version, 0, &value)?;
        self.patch_chunks(key, version, offset, bytes)?;
        let new = Record { deadline: record.deadline, len, ..Record::stored(Kind::String, version) };
        self.save(key, Some(record), Some(new), NO_VALUE)
    }

    /// Overwrites bytes of a long string, chunk by chunk.
    fn patch_chunks(&mut self, key: &[u8], version: u64, offset: u64, bytes: &[u8]) -> Outcome<()> {
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (number, inside) = (at / CHUNK, (at % CHUNK) as usize);
            let (piece, tail) = rest.split_at(rest.len().min(CHUNK as usize - inside));
            let place = place_key(version, number);
            let chunk = if piece.len() == CHUNK as usize {
                piece.to_vec()
            } else {
                let part = || Part::Piece(version, number);
                let stored = self.value(key, Family::Chunks, &place, part)?;
                let mut chunk: Vec<u8> = stored.unwrap_or_default().into();
                chunk.resize(chunk.len().max(inside + piece.len()), 0);
                chunk[inside..inside + piece.len()].copy_from_slice(piece);
                chunk
            };
            self.source.put_value(Family::Chunks, place, &chunk)?;
            (at, rest) = (at + piece.len() as u64, tail);
        }
        Ok(())
    }
}
