//! The longest common subsequence of two strings.

use bytes::Bytes;

use crate::command::arg::{self, MAX_STRING, is};
use crate::command::{Call, text};
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, Kind, gather};
use crate::reply::Reply;

/// The options of LCS.
#[derive(Default)]
struct Options {
    len: bool,
    ranges: bool,
    with_match_len: bool,
    min_match_len: u64,
}

impl Options {
    fn parse(mut args: &[&[u8]]) -> Outcome<Self> {
        let mut options = Self::default();
        while let [option, rest @ ..] = args {
            args = rest;
            if is(option, "idx") {
                options.ranges = true;
            } else if is(option, "len") {
                options.len = true;
            } else if is(option, "withmatchlen") {
                options.with_match_len = true;
            } else if let ([least, rest @ ..], true) = (rest, is(option, "minmatchlen")) {
                options.min_match_len = arg::int(least)?.max(0).unsigned_abs();
                args = rest;
            } else {
                return Err(text::SYNTAX);
            }
        }
        if options.len && options.ranges {
            return Err(Stop::text("ERR If you want both the length and indexes, please just use IDX."));
        }
        Ok(options)
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min] [WITHMATCHLEN]`
pub(super) fn lcs(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let metas = gather([1, 2].map(|index| keyspace.meta(call.arg(index))))?;
    if metas.iter().flatten().any(|meta| meta.kind != Kind::String) {
        return Err(Stop::text("ERR The specified keys must contain string values"));
    }
    let options = Options::parse(call.from(3))?;
    let cells = metas.iter().map(|meta| meta.map_or(0, |meta| meta.len) + 1).product::<u64>();
    if cells > MAX_STRING / size_of::<u32>() as u64 {
        return Err(Stop::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let values = gather([1, 2].map(|index| keyspace.string(call.arg(index))))?;
    let [left, right]: [Bytes; 2] = [0, 1].map(|index| values[index].clone().unwrap_or_default());
    let table = Table::new(&left, &right);
    let len = Reply::Integer(i64::from(table.get(left.len(), right.len())));
    if options.len {
        return Ok(len);
    }
    let (common, matches) = table.trace(&left, &right);
    if !options.ranges {
        return Ok(Reply::Bulk(common.into()));
    }
    let matches = matches
        .into_iter()
        .filter(|found| found.len >= options.min_match_len)
        .map(|found| found.reply(options.with_match_len))
        .collect();
    Ok(Reply::Map(vec![(Reply::bulk(b"matches"), Reply::Array(matches)), (Reply::bulk(b"len"), len)]))
}

/// A common run of bytes.
struct Match {
    left: u64,
    right: u64,
    len: u64,
}

impl Match {
    fn reply(&self, with_len: bool) -> Reply {
        let range = |start| Reply::Array(vec![Reply::count(start), Reply::count(start + self.len - 1)]);
        let mut parts = vec![range(self.left), range(self.right)];
        if with_len {
            parts.push(Reply::count(self.len));
        }
        Reply::Array(parts)
    }
}

/// The length of the longest common subsequence of every pair of prefixes.
struct Table {
    cells: Vec<u32>,
    width: usize,
}

impl Table {
    fn new(left: &[u8], right: &[u8]) -> Self {
        let width = right.len() + 1;
        let mut cells = vec![0; (left.len() + 1) * width];
        for (i, a) in left.iter().enumerate() {
            let (above, row) = cells[i * width..].split_at_mut(width);
            for (j, b) in right.iter().enumerate() {
                row[j + 1] = if a == b { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
        Self { cells, width }
    }

    fn get(&self, left: usize, right: usize) -> u32 {
        self.cells[left * self.width + right]
    }

    /// Walks back from the ends, as Redis does, so that of several subsequences it is the same one: the
    /// subsequence, and its runs, the last first.
    fn trace(&self, left: &[u8], right: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut common, mut matches): (Vec<u8>, Vec<Match>) = (Vec::new(), Vec::new());
        let (mut i, mut j) = (left.len(), right.len());
        let mut in_run = false;
        while i > 0 && j > 0 {
            if left[i - 1] == right[j - 1] {
                (i, j) = (i - 1, j - 1);
                common.push(left[i]);
                let len = match matches.last() {
                    Some(run) if in_run => run.len + 1,
                    _ => 1,
                };
                if in_run {
                    matches.pop();
                }
                matches.push(Match { left: i as u64, right: j as u64, len });
                in_run = true;
            } else {
                if self.get(i - 1, j) > self.get(i, j - 1) {
                    i -= 1;
                } else {
                    j -= 1;
                }
                in_run = false;
            }
        }
        common.reverse();
        (common, matches)
    }
}
