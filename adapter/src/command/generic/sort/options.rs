//! The arguments of SORT.

use super::pattern::Pattern;
use crate::command::arg::{self, is};
use crate::command::text;
use crate::error::Outcome;

/// How to sort and what to answer.
#[derive(Debug)]
pub(super) struct Options<'a> {
    /// What elements are compared by, if not by themselves.
    pub(super) by: Option<Pattern<'a>>,
    /// What is answered for each element, if not the element.
    pub(super) get: Vec<Pattern<'a>>,
    /// LIMIT: how many elements to skip; a negative number is 0.
    pub(super) offset: i64,
    /// LIMIT: how many to answer; a negative number is "all".
    pub(super) count: i64,
    /// DESC
    pub(super) descending: bool,
    /// ALPHA: as text, and not as numbers.
    pub(super) alpha: bool,
    /// STORE: where the result goes.
    pub(super) store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// Reads the words behind the key. The first word that does not fit decides the error.
    pub(super) fn parse(mut words: &[&'a [u8]], may_store: bool) -> Outcome<Self> {
        let mut options = Self {
            by: None,
            get: Vec::new(),
            offset: 0,
            count: -1,
            descending: false,
            alpha: false,
            store: None,
        };
        while let [word, rest @ ..] = words {
            let used = match rest {
                _ if is(word, "asc") => {
                    options.descending = false;
                    0
                }
                _ if is(word, "desc") => {
                    options.descending = true;
                    0
                }
                _ if is(word, "alpha") => {
                    options.alpha = true;
                    0
                }
                [offset, count, ..] if is(word, "limit") => {
                    options.offset = arg::int(offset)?;
                    options.count = arg::int(count)?;
                    2
                }
                [key, ..] if may_store && is(word, "store") => {
                    options.store = Some(key);
                    1
                }
                [pattern, ..] if is(word, "by") => {
                    options.by = Some(Pattern::parse(pattern));
                    1
                }
                [pattern, ..] if is(word, "get") => {
                    options.get.push(Pattern::parse(pattern));
                    1
                }
                _ => return Err(text::SYNTAX),
            };
            words = &rest[used..];
        }
        Ok(options)
    }

    /// Whether elements are not to be sorted: BY has a pattern without `*`.
    pub(super) fn keeps_order(&self) -> bool {
        self.by.as_ref().is_some_and(|by| !by.varies())
    }
}

/// The indices of the key that is sorted and of the destination, as `COMMAND GETKEYS` tells them: the last STORE
/// counts, and a word that belongs to another option is not one.
pub(in super::super) fn find_keys(args: &[&[u8]]) -> Vec<usize> {
    let mut keys = Vec::new();
    if args.len() > 1 {
        keys.push(1);
    }
    let mut store = None;
    let mut index = 2;
    while let Some(word) = args.get(index) {
        index += match word {
            word if is(word, "limit") => 2,
            word if is(word, "get") || is(word, "by") => 1,
            word if is(word, "store") && index + 1 < args.len() => {
                store = Some(index + 1);
                1
            }
            _ => 0,
        } + 1;
    }
    keys.extend(store);
    keys
}

#[cfg(test)]
mod tests {
    use super::find_keys;

    #[test]
    fn keys_are_found_as_redis_finds_them() {
        for (call, expected) in [
            ("sort a", &[1][..]),
            ("sort a by b get store store c store d get e", &[1, 9]),
            ("sort a store b limit 1 store", &[1, 3]),
            ("sort a limit store 1 store x", &[1, 6]),
            ("sort a store", &[1]),
            ("sort", &[]),
        ] {
            let args: Vec<_> = call.split(' ').map(str::as_bytes).collect();
            assert_eq!(find_keys(&args), expected, "{call}");
        }
    }
}
