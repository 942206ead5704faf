//! What becomes of bytes that are not UTF-8: each bad one is U+FFFD in some commands' replies.

use adapter::Reply;

/// The commands whose replies are texts to a Kiwi. HSTRLEN is one too: see [`bend`](crate::bend).
const COMMANDS: &[&str] =
    &["hget", "hmget", "hgetall", "hkeys", "hvals", "smembers", "srandmember", "spop", "zscan", "getset"];

/// Whether this command's replies are corrupted.
pub(crate) fn is_lossy(name: &[u8]) -> bool {
    COMMANDS.iter().any(|command| command.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether these bytes come through unharmed.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

/// The bytes as they come out.
pub(crate) fn as_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The reply as it comes out.
pub(crate) fn corrupt(reply: Reply) -> Reply {
    let list = |items: Vec<Reply>| items.into_iter().map(corrupt).collect();
    let pairs = |entries: Vec<(Reply, Reply)>| {
        entries.into_iter().map(|(key, value)| (corrupt(key), corrupt(value))).collect()
    };
    match reply {
        Reply::Bulk(bytes) if !is_text(&bytes) => Reply::Bulk(as_text(&bytes).into()),
        Reply::Array(items) => Reply::Array(list(items)),
        Reply::Set(items) => Reply::Set(list(items)),
        Reply::Map(entries) => Reply::Map(pairs(entries)),
        Reply::Pairs(entries) => Reply::Pairs(pairs(entries)),
        other => other,
    }
}
