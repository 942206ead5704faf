//! The hash commands.
//!
//! | module | what it holds |
//! |---|---|
//! | [`field`] | commands that name fields |
//! | [`counter`] | fields that are numbers |
//! | [`whole`] | commands that look at all fields, or at any |

mod counter;
mod field;
mod whole;

use crate::command::{Flags, Group, Spec};

const FAST: Flags = Flags::FAST;
const SLOW: Flags = Flags::SLOW;
const WRITE_FAST: Flags = Flags::DENYOOM.or(Flags::FAST);

const HSET_COST: &str = "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the \
    command is called with multiple field/value pairs.";
const WHOLE_COST: &str = "O(N) where N is the size of the hash.";
const SCAN_COST: &str = "O(1) for every call. O(N) for a complete iteration, including enough command calls \
    for the cursor to return back to 0. N is the number of elements inside the collection.";

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    Spec::write("hset", -4, Group::Hash, field::hset).with(
        WRITE_FAST,
        "2.0.0",
        HSET_COST,
        "Set the string value of a hash field",
    ),
    Spec::write("hmset", -4, Group::Hash, field::hmset).with(
        WRITE_FAST,
        "2.0.0",
        "O(N) where N is the number of fields being set.",
        "Set multiple hash fields to multiple values",
    ),
    Spec::write("hsetnx", 4, Group::Hash, field::hsetnx).with(
        WRITE_FAST,
        "2.0.0",
        "O(1)",
        "Set the value of a hash field, only if the field does not exist",
    ),
    Spec::read("hget", 3, Group::Hash, field::hget).with(
        FAST,
        "2.0.0",
        "O(1)",
        "Get the value of a hash field",
    ),
    Spec::read("hmget", -3, Group::Hash, field::hmget).with(
        FAST,
        "2.0.0",
        "O(N) where N is the number of fields being requested.",
        "Get the values of all the given hash fields",
    ),
    Spec::read("hgetall", 2, Group::Hash, whole::hgetall).with(
        SLOW,
        "2.0.0",
        WHOLE_COST,
        "Get all the fields and values in a hash",
    ),
    Spec::read("hkeys", 2, Group::Hash, whole::hkeys).with(
        SLOW,
        "2.0.0",
        WHOLE_COST,
        "Get all the fields in a hash",
    ),
    Spec::read("hvals", 2, Group::Hash, whole::hvals).with(
        SLOW,
        "2.0.0",
        WHOLE_COST,
        "Get all the values in a hash",
    ),
    Spec::read("hlen", 2, Group::Hash, whole::hlen).with(
        FAST,
        "2.0.0",
        "O(1)",
        "Get the number of fields in a hash",
    ),
    Spec::read("hexists", 3, Group::Hash, field::hexists).with(
        FAST,
        "2.0.0",
        "O(1)",
        "Determine if a hash field exists",
    ),
    Spec::write("hdel", -3, Group::Hash, field::hdel).with(
        FAST,
        "2.0.0",
        "O(N) where N is the number of fields to be removed.",
        "Delete one or more hash fields",
    ),
    Spec::read("hstrlen", 3, Group::Hash, field::hstrlen).with(
        FAST,
        "3.2.0",
        "O(1)",
        "Get the length of the value of a hash field",
    ),
    Spec::write("hincrby", 4, Group::Hash, counter::hincrby).with(
        WRITE_FAST,
        "2.0.0",
        "O(1)",
        "Increment the integer value of a hash field by the given number",
    ),
    Spec::write("hincrbyfloat", 4, Group::Hash, counter::hincrbyfloat).with(
        WRITE_FAST,
        "2.6.0",
        "O(1)",
        "Increment the float value of a hash field by the given amount",
    ),
    Spec::read("hscan", -3, Group::Hash, whole::hscan).with(
        Flags::NONE,
        "2.8.0",
        SCAN_COST,
        "Incrementally iterate hash fields and associated values",
    ),
    Spec::read("hrandfield", -2, Group::Hash, whole::hrandfield).with(
        SLOW,
        "6.2.0",
        "O(N) where N is the number of fields returned",
        "Get one or multiple random fields from a hash",
    ),
];

#[cfg(test)]
mod tests;
