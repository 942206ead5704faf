//! All that a database holds, read with ordinary commands, for comparison.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::compare::canonical;
use super::resp::Frame;
use super::{Call, call};

/// What answers calls in RESP2.
pub type Ask<'a> = dyn FnMut(&Call) -> Frame + 'a;

/// The value of a key.
#[derive(Clone, PartialEq)]
pub struct Value {
    /// As TYPE answers.
    pub kind: String,
    /// As PTTL answers.
    pub pttl: i64,
    /// The string, the elements in order, or the members or fields with their scores or values in order of bytes.
    pub items: Vec<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pttl {}):", self.kind, self.pttl)?;
        let mut items = self.items.iter();
        items.try_for_each(|(item, value)| {
            write!(f, " \"{}\"=\"{}\"", item.escape_ascii(), value.escape_ascii())
        })
    }
}

/// The value of a key; none if it is missing.
pub fn value(ask: &mut Ask<'_>, key: &[u8]) -> Option<Value> {
    let Frame::Status(kind) = ask(&call(&[b"TYPE", key])) else { panic!("TYPE answers a status") };
    let read: &[&[u8]] = match kind.as_str() {
        "string" => &[b"GET", key],
        "list" => &[b"LRANGE", key, b"0", b"-1"],
        "set" => &[b"SMEMBERS", key],
        "hash" => &[b"HGETALL", key],
        "zset" => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        _ => return None,
    };
    let reply = ask(&call(read));
    let reply = if kind == "zset" { canonical(&reply) } else { reply };
    let bytes = |frame: &Frame| frame.bytes().unwrap_or_else(|| panic!("{frame:?} in {kind}")).to_vec();
    let flat: Vec<Vec<u8>> = match &reply {
        Frame::Bulk(string) => vec![string.clone()],
        list => list.items().into_iter().map(bytes).collect(),
    };
    let mut items: Vec<(Vec<u8>, Vec<u8>)> = if matches!(kind.as_str(), "hash" | "zset") {
        flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    } else {
        flat.into_iter().map(|item| (item, Vec::new())).collect()
    };
    if matches!(kind.as_str(), "set" | "hash") {
        items.sort();
    }
    let pttl = ask(&call(&[b"PTTL", key])).integer().expect("PTTL answers an integer");
    Some(Value { kind, pttl, items })
}

/// Every key with its value.
pub fn all(ask: &mut Ask<'_>) -> BTreeMap<Vec<u8>, Value> {
    let keys = ask(&call(&[b"KEYS", b"*"]));
    let keys: Vec<Vec<u8>> = keys.items().iter().filter_map(|key| key.bytes()).map(<[u8]>::to_vec).collect();
    keys.into_iter().filter_map(|key| value(ask, &key).map(|value| (key, value))).collect()
}

/// What differs, for people; empty if nothing does. Times to live may differ by two seconds.
pub fn differences(ours: &BTreeMap<Vec<u8>, Value>, theirs: &BTreeMap<Vec<u8>, Value>) -> String {
    let mut text = String::new();
    for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
        match (ours.get(key), theirs.get(key)) {
            (Some(ours), Some(theirs)) if same(ours, theirs) => {}
            (ours, theirs) => {
                let _ =
                    writeln!(text, "key '{}':\n  ours   {ours:?}\n  theirs {theirs:?}", key.escape_ascii());
            }
        }
    }
    text
}

fn same(ours: &Value, theirs: &Value) -> bool {
    let forever = |value: &Value| value.pttl < 0;
    ours.kind == theirs.kind
        && ours.items == theirs.items
        && forever(ours) == forever(theirs)
        && ours.pttl.abs_diff(theirs.pttl) <= 2000
}
