//! Which replies are equal.
//!
//! Most must be the same frame. Where Redis promises less (the order of a set, the moment of an answer, chance), what
//! it does promise is compared. Where this project differs from Redis 7.0 on purpose, it is in the table of
//! `docs/compatibility.md` and, by name, here.

use super::Call;
use super::resp::Frame;

/// How replies of a call are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The same frame.
    Exact,
    /// The same items in any order.
    Unordered,
    /// The same pairs in any order.
    UnorderedPairs,
    /// The same cursor, and the same items behind it in any order.
    Scan,
    /// The same cursor, and the same pairs behind it in any order.
    ScanPairs,
    /// The same integer, give or take this much: it depends on the clock.
    About(i64),
    /// The same type of frame; the value is the engine's own affair.
    Shape,
    /// Values of one key's random members.
    Random,
    /// The same type of frame, or the same error.
    Type,
    /// What Redis 7.0 does not know and Redis 7.2 does.
    Newer,
    /// Serialized values, which each side must understand of the other.
    Payload,
}

/// The rule for a call.
pub fn rule(call: &Call) -> Rule {
    let text = |index: usize| call.get(index).map(|arg| arg.to_ascii_lowercase()).unwrap_or_default();
    match (&text(0)[..], &text(1)[..]) {
        (b"smembers" | b"hkeys" | b"hvals" | b"sinter" | b"sunion" | b"sdiff" | b"keys", _) => {
            Rule::Unordered
        }
        (b"hgetall", _) => Rule::UnorderedPairs,
        // Cursors that no server gave out mean nothing.
        (b"scan", cursor) if cursor != b"0" => Rule::Type,
        (b"sscan" | b"hscan" | b"zscan", _) if text(2) != b"0" => Rule::Type,
        (b"scan" | b"sscan", _) => Rule::Scan,
        (b"hscan" | b"zscan", _) => Rule::ScanPairs,
        (b"ttl" | b"expiretime", _) => Rule::About(2),
        (b"pttl" | b"pexpiretime", _) => Rule::About(2000),
        (b"object", b"encoding" | b"refcount" | b"idletime") | (b"randomkey", _) => Rule::Shape,
        (b"spop" | b"srandmember" | b"hrandfield" | b"zrandmember", _) => Rule::Random,
        (b"dump", _) => Rule::Payload,
        (b"zrank" | b"zrevrank", _) if call.len() > 3 => Rule::Newer,
        (b"lpos", _) if call.iter().any(|arg| arg == b"-9223372036854775808") => Rule::Newer,
        (b"sort" | b"sort_ro", _) => sort_rule(call),
        _ => Rule::Exact,
    }
}

/// The key of a sorted set of which a range of members is meant, as they are ordered among equal scores.
pub fn key_of_lexical_range(call: &Call) -> Option<&[u8]> {
    let name = call[0].to_ascii_lowercase();
    let is_lexical = name.ends_with(b"bylex")
        || name == b"zlexcount"
        || name.starts_with(b"zrange") && call.iter().any(|arg| arg.eq_ignore_ascii_case(b"bylex"));
    let place = if name == b"zrangestore" { 2 } else { 1 };
    call.get(place).filter(|_| is_lexical).map(|key| &key[..])
}

/// Members of a set that are not to be sorted come in the engine's own order, unless they are stored. A pattern
/// without a star says so as well as `nosort`.
fn sort_rule(call: &Call) -> Rule {
    let options = call.get(2..).unwrap_or_default();
    let find = |option: &str| options.iter().position(|arg| arg.eq_ignore_ascii_case(option.as_bytes()));
    let pattern = find("by").and_then(|by| options.get(by + 1));
    let sorted = pattern.is_none_or(|pattern| pattern.contains(&b'*'));
    match (sorted || find("store").is_some(), find("limit").is_some()) {
        (true, _) => Rule::Exact,
        (false, true) => Rule::Type,
        (false, false) => Rule::Unordered,
    }
}

/// Whether two replies to a call are equal. Of [`Rule::Random`] and [`Rule::Payload`], only the form is compared.
pub fn equal(call: &Call, ours: &Frame, theirs: &Frame) -> bool {
    let (rule, scores) = (rule(call), call[0].to_ascii_lowercase().starts_with(b"z"));
    let written = |frame: &Frame| if scores { canonical(frame) } else { frame.clone() };
    let (ours, theirs) = (written(ours), written(theirs));
    if ours == theirs || rule == Rule::Newer {
        return true;
    }
    match rule {
        Rule::Exact | Rule::Newer => false,
        Rule::Type => same_type(&ours, &theirs) && !matches!(ours, Frame::Error(_)),
        Rule::Unordered => same_items(&ours, &theirs, 1),
        Rule::UnorderedPairs => same_items(&ours, &theirs, 2),
        Rule::Scan => same_scan(&ours, &theirs, 1),
        Rule::ScanPairs => same_scan(&ours, &theirs, 2),
        Rule::About(most) => match (ours, theirs) {
            (Frame::Integer(ours), Frame::Integer(theirs)) => {
                ours > 0 && theirs > 0 && ours.abs_diff(theirs) <= most as u64
            }
            _ => false,
        },
        Rule::Shape | Rule::Random | Rule::Payload => shape(&ours) == shape(&theirs),
    }
}

/// A frame with every score written in one way. Redis 7.0 writes 17 digits, Redis 7.2 and this project the fewest
/// that read back; and Redis keeps the sign of a zero.
pub fn canonical(frame: &Frame) -> Frame {
    let list = |items: &[Frame]| items.iter().map(canonical).collect::<Vec<_>>();
    match frame {
        Frame::Double(text) => Frame::Double(format!("{:?}", text.parse::<f64>().unwrap_or(f64::NAN) + 0.0)),
        Frame::Bulk(bytes) => Frame::Bulk(shortest(bytes).map_or_else(|| bytes.clone(), String::into_bytes)),
        Frame::Array(items) => Frame::Array(list(items)),
        Frame::Set(items) => Frame::Set(list(items)),
        Frame::Push(items) => Frame::Push(list(items)),
        Frame::Map(entries) => {
            Frame::Map(entries.iter().map(|(key, value)| (canonical(key), canonical(value))).collect())
        }
        _ => frame.clone(),
    }
}

/// The number in one writing, if the text is one with a fraction or an exponent, one that is longer than what a
/// double holds, or the negative zero.
fn shortest(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number = text.parse::<f64>().ok()? + 0.0;
    let decimal = text == "-0" || text.len() > 15 || bytes.iter().any(|byte| matches!(byte, b'.' | b'e'));
    decimal.then(|| number.to_string())
}

fn same_type(ours: &Frame, theirs: &Frame) -> bool {
    std::mem::discriminant(ours) == std::mem::discriminant(theirs)
}

fn same_items(ours: &Frame, theirs: &Frame, group: usize) -> bool {
    let sorted = |frame: &Frame| {
        let items: Vec<Frame> = frame.items().into_iter().cloned().collect();
        let mut groups: Vec<Vec<Frame>> = items.chunks(group).map(<[Frame]>::to_vec).collect();
        groups.sort();
        groups
    };
    same_type(ours, theirs)
        && !matches!(ours, Frame::Error(_))
        && sorted(ours) == sorted(theirs)
        && !ours.items().is_empty()
}

fn same_scan(ours: &Frame, theirs: &Frame, group: usize) -> bool {
    match (&ours.items()[..], &theirs.items()[..]) {
        ([our_cursor, ours], [their_cursor, theirs]) => {
            our_cursor == their_cursor && (ours == theirs || same_items(ours, theirs, group))
        }
        _ => false,
    }
}

/// The types of a frame and of all inside of it.
fn shape(frame: &Frame) -> String {
    let inside = || frame.items().into_iter().map(shape).collect::<Vec<_>>().join(" ");
    match frame {
        Frame::Status(_) => "status".to_owned(),
        // Errors are not the engine's own affair.
        Frame::Error(text) => text.clone(),
        Frame::Integer(_) => "integer".to_owned(),
        Frame::Double(_) => "double".to_owned(),
        Frame::Boolean(_) => "boolean".to_owned(),
        Frame::Bulk(_) => "bulk".to_owned(),
        Frame::Verbatim(_) => "verbatim".to_owned(),
        Frame::Null => "null".to_owned(),
        Frame::NullArray => "null array".to_owned(),
        Frame::Array(_) => format!("array({})", inside()),
        Frame::Map(_) => format!("map({})", inside()),
        Frame::Set(_) => format!("set({})", inside()),
        Frame::Push(_) => format!("push({})", inside()),
    }
}

/// Checks random members of a key against what the key held: each is one of them, with its own value if values were
/// asked for, and none comes twice unless the count is negative.
pub fn check_random(call: &Call, reply: &Frame, held: &[(Vec<u8>, Vec<u8>)]) -> Result<(), String> {
    let picks: Vec<Vec<u8>> = match reply {
        Frame::Bulk(bytes) => vec![bytes.clone()],
        other => other.items().into_iter().flat_map(leaves).collect(),
    };
    let with_values = call.len() == 4;
    let picks: Vec<(Vec<u8>, Option<Vec<u8>>)> = if with_values {
        picks.chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned())).collect()
    } else {
        picks.into_iter().map(|pick| (pick, None)).collect()
    };
    let may_repeat = call.get(2).is_some_and(|count| count.starts_with(b"-"));
    for (index, (member, value)) in picks.iter().enumerate() {
        let Some((_, own)) = held.iter().find(|(held, _)| held == member) else {
            return Err(format!("'{}' was not in the key", member.escape_ascii()));
        };
        if value.as_ref().is_some_and(|value| !same_value(value, own)) {
            return Err(format!("'{}' came with another's value", member.escape_ascii()));
        }
        if !may_repeat && picks[..index].iter().any(|(earlier, _)| earlier == member) {
            return Err(format!("'{}' came twice", member.escape_ascii()));
        }
    }
    Ok(())
}

fn same_value(left: &[u8], right: &[u8]) -> bool {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<f64>().ok());
    left == right || matches!((number(left), number(right)), (Some(left), Some(right)) if left == right)
}

fn leaves(frame: &Frame) -> Vec<Vec<u8>> {
    match frame.bytes() {
        Some(bytes) => vec![bytes.to_vec()],
        None => frame.items().into_iter().flat_map(leaves).collect(),
    }
}
