//! Transcripts of a real Redis, run against the keyspace in memory.
//!
//! A line is `<command> => <reply>`, the reply as RESP3 writes it: `+OK`, `-ERR …`, `:1`, `,1.5`, `_`, `'bulk'`,
//! `*[…]` an array, `~[…]` a set. A pair of a reply that RESP2 flattens is an array here. The null array is `_`.

use super::MemoryKeyspace;
use crate::command;
use crate::reply::Reply;

/// Runs every line on one keyspace and compares the replies, all of them before it fails.
pub(crate) fn replay(transcript: &str) {
    let mut keyspace = MemoryKeyspace::new(1_000_000);
    let (mut lines, mut differences) = (0, String::new());
    for line in transcript.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let (call, expected) = line.split_once(" => ").unwrap();
        let reply = run(&mut keyspace, call);
        if reply != expected {
            differences += &format!("{call}\n  expected {expected}\n  answered {reply}\n");
        }
        lines += 1;
    }
    assert!(lines > 0 && differences.is_empty(), "\n{differences}");
}

/// Runs one command, its words split at blanks, `""` for an empty one.
pub(crate) fn run(keyspace: &mut MemoryKeyspace, call: &str) -> String {
    let words: Vec<&[u8]> =
        call.split(' ').map(|word| if word == "\"\"" { b"" } else { word.as_bytes() }).collect();
    shown(&command::write(keyspace, &words, 7).unwrap_or_else(Reply::from_stop))
}

fn shown(reply: &Reply) -> String {
    let list = |replies: &[Reply]| replies.iter().map(shown).collect::<Vec<_>>();
    match reply {
        Reply::Status(text) => format!("+{text}"),
        Reply::Error(text) => format!("-{text}"),
        Reply::Integer(number) => format!(":{number}"),
        Reply::Double(number) => format!(",{}", command::number::format_f64(*number)),
        Reply::Bulk(bytes) => format!("'{}'", String::from_utf8_lossy(bytes)),
        Reply::Null | Reply::NullArray => "_".to_owned(),
        Reply::Array(replies) => format!("*[{}]", list(replies).join(" ")),
        Reply::Pairs(pairs) => {
            let pairs: Vec<_> =
                pairs.iter().map(|(one, other)| format!("*[{} {}]", shown(one), shown(other))).collect();
            format!("*[{}]", pairs.join(" "))
        }
        Reply::Set(replies) => {
            let mut replies = list(replies);
            replies.sort();
            format!("~[{}]", replies.join(" "))
        }
        other => format!("{other:?}"),
    }
}
