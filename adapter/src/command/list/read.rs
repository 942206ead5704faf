//! LLEN, LINDEX, LRANGE, LPOS.

use crate::command::arg::{self, index_range, is, meta_of};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Direction, Flow, Keyspace, Kind};
use crate::reply::Reply;

use super::{collect, element_index};

/// `LLEN key`
pub(super) fn llen(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::count(meta_of(keyspace, call.key(), Kind::List)?.map_or(0, |meta| meta.len)))
}

/// `LINDEX key index`
pub(super) fn lindex(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let Some(meta) = meta_of(keyspace, call.key(), Kind::List)? else {
        return Ok(Reply::Null);
    };
    match element_index(call.int(2)?, meta.len) {
        Some(index) => Ok(Reply::bulk_or_null(keyspace.list_get(call.key(), index)?)),
        None => Ok(Reply::Null),
    }
}

/// `LRANGE key start stop`
pub(super) fn lrange(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let (start, stop) = (call.int(2)?, call.int(3)?);
    let len = meta_of(keyspace, call.key(), Kind::List)?.map_or(0, |meta| meta.len);
    let Some((start, end)) = index_range(start, stop, len) else {
        return Ok(Reply::Array(Vec::new()));
    };
    Ok(Reply::bulks(collect(keyspace, call.key(), start, Direction::Forward, end - start)?))
}

/// `LPOS key element [RANK rank] [COUNT count] [MAXLEN length]`
pub(super) fn lpos(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let search = Search::parse(call.from(3))?;
    let found = match meta_of(keyspace, call.key(), Kind::List)? {
        Some(meta) => search.run(keyspace, call.key(), meta.len, call.arg(2))?,
        None => Vec::new(),
    };
    Ok(match search.count {
        Some(_) => Reply::Array(found.into_iter().map(Reply::count).collect()),
        None => found.first().map_or(Reply::Null, |index| Reply::count(*index)),
    })
}

/// The options of LPOS.
struct Search {
    /// Where to search from.
    direction: Direction,
    /// Matches to pass over.
    skip: u64,
    /// Matches to answer, 0 for all; none if the call wants a single index and not a list.
    count: Option<u64>,
    /// Elements to look at, 0 for all.
    max_len: u64,
}

impl Search {
    fn parse(mut options: &[&[u8]]) -> Outcome<Self> {
        let mut search = Self { direction: Direction::Forward, skip: 0, count: None, max_len: 0 };
        while let [option, value, rest @ ..] = options {
            if is(option, "rank") {
                let rank = arg::int(value)?;
                if rank == i64::MIN {
                    return Err(Stop::text(
                        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                    ));
                }
                if rank == 0 {
                    return Err(Stop::text(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                         or use negative to start from the end of the list",
                    ));
                }
                search.direction = if rank > 0 { Direction::Forward } else { Direction::Backward };
                search.skip = rank.unsigned_abs() - 1;
            } else if is(option, "count") {
                search.count = Some(arg::int_at_least(value, 0, "ERR COUNT can't be negative")? as u64);
            } else if is(option, "maxlen") {
                search.max_len = arg::int_at_least(value, 0, "ERR MAXLEN can't be negative")? as u64;
            } else {
                return Err(text::SYNTAX);
            }
            options = rest;
        }
        if options.is_empty() { Ok(search) } else { Err(text::SYNTAX) }
    }

    /// The indices of the matches, in the order in which they are met.
    fn run(&self, keyspace: &dyn Keyspace, key: &[u8], len: u64, wanted: &[u8]) -> Outcome<Vec<u64>> {
        let from = match self.direction {
            Direction::Forward => 0,
            Direction::Backward => len - 1,
        };
        let most = match self.count.unwrap_or(1) {
            0 => u64::MAX,
            count => count,
        };
        let mut left = if self.max_len == 0 { len } else { self.max_len };
        let (mut skip, mut found) = (self.skip, Vec::new());
        keyspace.list_visit(key, from, self.direction, &mut |index, element| {
            left -= 1;
            if element == wanted {
                match skip.checked_sub(1) {
                    Some(fewer) => skip = fewer,
                    None => found.push(index),
                }
            }
            if left == 0 || found.len() as u64 == most { Flow::Break(()) } else { Flow::Continue(()) }
        })?;
        Ok(found)
    }
}
