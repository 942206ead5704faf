//! The list commands.
//!
//! | module | commands |
//! |---|---|
//! | [`push`] | LPUSH, RPUSH, LPUSHX, RPUSHX |
//! | [`pop`] | LPOP, RPOP, LMPOP |
//! | [`read`] | LLEN, LINDEX, LRANGE, LPOS |
//! | [`edit`] | LSET, LTRIM, LREM, LINSERT |
//! | [`moving`] | LMOVE, RPOPLPUSH |

mod edit;
mod moving;
mod pop;
mod push;
mod read;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test's panic is its failure")]
mod tests;

use bytes::Bytes;

use crate::command::arg::is;
use crate::command::{Flags, Group, Keys, Spec};
use crate::error::Outcome;
use crate::keyspace::{Direction, End, Flow, Keyspace};

/// The end that `LEFT` or `RIGHT` means.
fn parse_end(word: &[u8]) -> Option<End> {
    match word {
        word if is(word, "left") => Some(End::Head),
        word if is(word, "right") => Some(End::Tail),
        _ => None,
    }
}

/// The place of an index in a list of `len` elements, negative ones counted from the end.
fn element_index(index: i64, len: u64) -> Option<u64> {
    let place = match u64::try_from(index) {
        Ok(index) => index,
        Err(_) => len.checked_sub(index.unsigned_abs())?,
    };
    (place < len).then_some(place)
}

/// Copies up to `count` elements from an index on.
fn collect(
    keyspace: &dyn Keyspace,
    key: &[u8],
    from: u64,
    direction: Direction,
    count: u64,
) -> Outcome<Vec<Bytes>> {
    let mut elements = Vec::new();
    keyspace.list_visit(key, from, direction, &mut |_, element| {
        elements.push(Bytes::copy_from_slice(element));
        if elements.len() as u64 == count { Flow::Break(()) } else { Flow::Continue(()) }
    })?;
    Ok(elements)
}

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    Spec::write("lpush", -3, Group::List, push::lpush).with(
        Flags::DENYOOM.or(Flags::FAST),
        "1.0.0",
        "O(1) for each element added, so O(N) to add N elements when the command is called with multiple \
             arguments",
        "Prepend one or multiple elements to a list",
    ),
    Spec::write("rpush", -3, Group::List, push::rpush).with(
        Flags::DENYOOM.or(Flags::FAST),
        "1.0.0",
        "O(1) for each element added, so O(N) to add N elements when the command is called with multiple \
             arguments",
        "Append one or multiple elements to a list",
    ),
    Spec::write("lpushx", -3, Group::List, push::lpushx).with(
        Flags::DENYOOM.or(Flags::FAST),
        "2.2.0",
        "O(1) for each element added, so O(N) to add N elements when the command is called with multiple \
             arguments",
        "Prepend an element to a list, only if the list exists",
    ),
    Spec::write("rpushx", -3, Group::List, push::rpushx).with(
        Flags::DENYOOM.or(Flags::FAST),
        "2.2.0",
        "O(1) for each element added, so O(N) to add N elements when the command is called with multiple \
             arguments",
        "Append an element to a list, only if the list exists",
    ),
    Spec::write("lpop", -2, Group::List, pop::lpop).with(
        Flags::FAST,
        "1.0.0",
        "O(N) where N is the number of elements returned",
        "Remove and get the first elements in a list",
    ),
    Spec::write("rpop", -2, Group::List, pop::rpop).with(
        Flags::FAST,
        "1.0.0",
        "O(N) where N is the number of elements returned",
        "Remove and get the last elements in a list",
    ),
    Spec::write("lmpop", -4, Group::List, pop::lmpop).keys(Keys::Counted { count: 1, extra: 0 }).with(
        Flags::MOVABLE_KEYS,
        "7.0.0",
        "O(N+M) where N is the number of provided keys and M is the number of elements returned",
        "Pop elements from a list",
    ),
    Spec::read("llen", 2, Group::List, read::llen).with(
        Flags::FAST,
        "1.0.0",
        "O(1)",
        "Get the length of a list",
    ),
    Spec::read("lindex", 3, Group::List, read::lindex).with(
        Flags::NONE,
        "1.0.0",
        "O(N) where N is the number of elements to traverse to get to the element at index. This makes \
             asking for the first or the last element of the list O(1)",
        "Get an element from a list by its index",
    ),
    Spec::read("lrange", 4, Group::List, read::lrange).with(
        Flags::SLOW,
        "1.0.0",
        "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end \
             (HEAD or TAIL) for large lists; and N is the number of elements in the specified range",
        "Get a range of elements from a list",
    ),
    Spec::read("lpos", -3, Group::List, read::lpos).with(
        Flags::SLOW,
        "6.0.6",
        "O(N) where N is the number of elements in the list, for the average case. When searching for \
             elements near the head or the tail of the list, or when the MAXLEN option is provided, the \
             command may run in constant time",
        "Return the index of matching elements on a list",
    ),
    Spec::write("lset", 4, Group::List, edit::lset).with(
        Flags::DENYOOM,
        "1.0.0",
        "O(N) where N is the length of the list. Setting either the first or the last element of the \
             list is O(1)",
        "Set the value of an element in a list by its index",
    ),
    Spec::write("ltrim", 4, Group::List, edit::ltrim).with(
        Flags::NONE,
        "1.0.0",
        "O(N) where N is the number of elements to be removed by the operation",
        "Trim a list to the specified range",
    ),
    Spec::write("lrem", 4, Group::List, edit::lrem).with(
        Flags::SLOW,
        "1.0.0",
        "O(N+M) where N is the length of the list and M is the number of elements removed",
        "Remove elements from a list",
    ),
    Spec::write("linsert", 5, Group::List, edit::linsert).with(
        Flags::DENYOOM.or(Flags::SLOW),
        "2.2.0",
        "O(N) where N is the number of elements to traverse before seeing the value pivot. This means \
             that inserting somewhere on the left end on the list (head) can be considered O(1) and \
             inserting somewhere on the right end (tail) is O(N)",
        "Insert an element before or after another element in a list",
    ),
    Spec::write("lmove", 5, Group::List, moving::lmove).keys(Keys::TWO).with(
        Flags::DENYOOM,
        "6.2.0",
        "O(1)",
        "Pop an element from a list, push it to another list and return it",
    ),
    Spec::write("rpoplpush", 3, Group::List, moving::rpoplpush).keys(Keys::TWO).with(
        Flags::DENYOOM,
        "1.2.0",
        "O(1)",
        "Remove the last element in a list, prepend it to another list and return it",
    ),
];
