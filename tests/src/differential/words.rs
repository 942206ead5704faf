//! The words that calls are made of.
//!
//! There are few of each, so that calls meet: the same keys, the same members, equal scores. Beside the valid ones
//! stand those that are empty, binary, at a limit, or plainly wrong. Nothing here makes a server allocate much.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

const FIELDS: &[&str] = &["a", "b", "c", "d", "", "1", "2", "10", "-5", "3.25", "\u{e9}\r\n\0", LONG];
const VALUES: &[&str] = &[
    "a",
    "b",
    "",
    "0",
    "1",
    "-1",
    "10",
    "12345",
    "9223372036854775807",
    "-9223372036854775808",
    "3.5",
    "1e3",
    "-0",
    "01",
    " 1",
    "+1",
    "0x10",
    "inf",
    "nan",
    "hello world",
    "ohmytext",
    "mynewtext",
    "\u{e9}\r\n\0",
    LONG,
];
/// Longer than what Redis keeps in its compact encodings.
const LONG: &str =
    "a text that is longer than sixty-four bytes, so that Redis leaves its compact encodings for it";
const INDICES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "5",
    "-1",
    "-2",
    "-3",
    "-100",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "abc",
    "1.5",
    "",
];
const INTEGERS: &[&str] = &[
    "1",
    "2",
    "5",
    "-1",
    "0",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "abc",
    "1.5",
    "",
    " 1",
];
const COUNTS: &[&str] = &["0", "1", "1", "2", "2", "3", "5", "100", "-1", "-3", "abc", "", "1.5"];
/// No number out of range: Redis 7.0 would find it again in a later SORT (it looks at an old `errno`).
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "1",
    "2",
    "2",
    "3",
    "-1",
    "0.1",
    "1.5",
    "-2.75",
    "3.0e3",
    "1e20",
    "1e-7",
    "inf",
    "-inf",
    "+inf",
    "nan",
    "abc",
    "",
    "-0",
    "0.3333333333333333",
    "123456789012345678",
    "5.",
    ".5",
    " 1",
    "1 ",
];
const BOUNDS: &[&str] =
    &["-inf", "+inf", "-inf", "+inf", "0", "1", "(1", "2", "(2", "(inf", "0.1", "(abc", "abc", "nan", "("];
const LEXES: &[&str] = &["-", "+", "-", "+", "[a", "(a", "[b", "(c", "[d", "[", "(", "a", ""];
const PATTERNS: &[&str] =
    &["*", "*", "s?", "[hl]*", "[^a]", "?", "a", "\\*", "h*1", "*[0-9]*", "", "[", "nothing"];
const BITS: &[&str] = &["0", "1", "7", "8", "9", "100", "1000", "-1", "abc", "4294967296", "", "1.5"];
const OFFSETS: &[&str] = &["0", "1", "5", "20", "300", "-1", "abc", "536870912", ""];
const FIELD_TYPES: &[&str] =
    &["u1", "u8", "i8", "i5", "u4", "i16", "u63", "i64", "u64", "i65", "u0", "x8", "8"];
const FIELD_OFFSETS: &[&str] = &["0", "1", "5", "#0", "#1", "#2", "100", "-1", "#-1", "abc", "#"];
const SECONDS: &[&str] =
    &["0", "-1", "abc", "", "9223372036854775807", "-9223372036854775808", "9223372036854775"];
const LENGTHS: &[&str] = &["0", "2", "3", "-1", "abc"];
const CURSORS: &[&str] = &["0", "0", "0", "0", "0", "abc", "-1", ""];
/// What takes the place of an argument to make a call wrong. No time to live that a test lives to see.
const JUNK: &[&str] =
    &["", "0", "20000000", "-1", "abc", "3.5", "nx", "xx", "get", "limit", "withscores", "count", "(1"];

/// Whether `name` names a kind of word.
pub fn is_word(name: &str) -> bool {
    name == "payload"
        || name == "junk"
        || keys(name).is_some()
        || list(name).is_some()
        || time(name).is_some()
}

/// A word of a kind. Panics if there is no such kind: the grammar is then wrong.
pub fn word(name: &str, rng: &mut SmallRng, payloads: &[Vec<u8>]) -> Vec<u8> {
    if name == "payload" {
        return payloads.choose(rng).cloned().unwrap_or_default();
    }
    if let Some(keys) = keys(name) {
        let all = keys_of_all_kinds();
        let pick = if name != "y" && rng.random_ratio(1, 8) { all.choose(rng) } else { keys.choose(rng) };
        return pick.copied().unwrap_or_default().as_bytes().to_vec();
    }
    if let Some(now) = time(name) {
        return if rng.random_ratio(1, 8) {
            SECONDS.choose(rng).copied().unwrap_or_default().as_bytes().to_vec()
        } else {
            now(rng).to_string().into_bytes()
        };
    }
    let words = if name == "junk" { Some(JUNK) } else { list(name) };
    let words = words.unwrap_or_else(|| panic!("the grammar names ${name}, which is no word"));
    words.choose(rng).copied().unwrap_or_default().as_bytes().to_vec()
}

/// The keys that mostly hold one type. `y` are sorted sets whose scores are all equal: for others the lexicographic
/// commands answer what is not specified.
fn keys(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "s" => &["s1", "s2", "s3"],
        "h" => &["h1", "h2"],
        "l" => &["l1", "l2"],
        "t" => &["t1", "t2", "t3"],
        "z" => &["z1", "z2", "z3"],
        "y" => &["y1", "y2"],
        "k" => keys_of_all_kinds(),
        _ => return None,
    })
}

fn keys_of_all_kinds() -> &'static [&'static str] {
    &["s1", "s2", "s3", "h1", "h2", "l1", "l2", "t1", "t2", "t3", "z1", "z2", "z3", "none"]
}

fn list(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "f" => FIELDS,
        "v" => VALUES,
        "i" => INDICES,
        "n" => INTEGERS,
        "c" => COUNTS,
        "d" => NUMBERS,
        "b" => BOUNDS,
        "x" => LEXES,
        "p" => PATTERNS,
        "bit" => BITS,
        "off" => OFFSETS,
        "type" => FIELD_TYPES,
        "at" => FIELD_OFFSETS,
        "len" => LENGTHS,
        "cursor" => CURSORS,
        _ => return None,
    })
}

/// Times are hours away and seldom equal, so that it doesn't matter that two servers are not asked at once.
fn time(name: &str) -> Option<fn(&mut SmallRng) -> u64> {
    Some(match name {
        "sec" => |rng| rng.random_range(10_000..10_000_000),
        "ms" => |rng| rng.random_range(10_000_000..10_000_000_000),
        "unix" => {
            |rng| if rng.random_ratio(1, 6) { 1 } else { rng.random_range(4_000_000_000..4_100_000_000) }
        }
        "unixms" => |rng| {
            if rng.random_ratio(1, 6) { 1000 } else { rng.random_range(4_000_000_000_000..4_100_000_000_000) }
        },
        _ => return None,
    })
}
