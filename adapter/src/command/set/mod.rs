//! The set commands.
//!
//! | module | commands |
//! |---|---|
//! | [`members`] | SADD, SREM, SISMEMBER, SMISMEMBER, SMEMBERS, SCARD, SMOVE |
//! | [`random`] | SPOP, SRANDMEMBER, SSCAN |
//! | [`algebra`] | SINTER, SUNION, SDIFF, their STORE forms, SINTERCARD |
//!
//! The sorted-set commands share [`pages`] and [`picks`].

mod algebra;
mod members;
pub(super) mod pages;
pub(super) mod picks;
mod random;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test's panic is its failure")]
mod tests;

use crate::command::{Flags, Group, Keys, Spec};

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    Spec::write("sadd", -3, Group::Set, members::sadd).with(
        Flags::DENYOOM.or(Flags::FAST),
        "1.0.0",
        "O(1) for each element added, so O(N) to add N elements when the command is called with multiple \
             arguments",
        "Add one or more members to a set",
    ),
    Spec::write("srem", -3, Group::Set, members::srem).with(
        Flags::FAST,
        "1.0.0",
        "O(N) where N is the number of members to be removed",
        "Remove one or more members from a set",
    ),
    Spec::read("sismember", 3, Group::Set, members::sismember).with(
        Flags::FAST,
        "1.0.0",
        "O(1)",
        "Determine if a given value is a member of a set",
    ),
    Spec::read("smismember", -3, Group::Set, members::smismember).with(
        Flags::FAST,
        "6.2.0",
        "O(N) where N is the number of elements being checked for membership",
        "Returns the membership associated with the given elements for a set",
    ),
    Spec::read("smembers", 2, Group::Set, members::smembers).with(
        Flags::SLOW,
        "1.0.0",
        "O(N) where N is the set cardinality",
        "Get all the members in a set",
    ),
    Spec::read("scard", 2, Group::Set, members::scard).with(
        Flags::FAST,
        "1.0.0",
        "O(1)",
        "Get the number of members in a set",
    ),
    Spec::write("smove", 4, Group::Set, members::smove).keys(Keys::TWO).with(
        Flags::FAST,
        "1.0.0",
        "O(1)",
        "Move a member from one set to another",
    ),
    Spec::write("spop", -2, Group::Set, random::spop).with(
        Flags::FAST.or(Flags::SLOW),
        "1.0.0",
        "Without the count argument O(1), otherwise O(N) where N is the value of the passed count",
        "Remove and return one or multiple random members from a set",
    ),
    Spec::read("srandmember", -2, Group::Set, random::srandmember).with(
        Flags::SLOW,
        "1.0.0",
        "Without the count argument O(1), otherwise O(N) where N is the absolute value of the passed \
             count",
        "Get one or multiple random members from a set",
    ),
    Spec::read("sscan", -3, Group::Set, random::sscan).with(
        Flags::NONE,
        "2.8.0",
        "O(1) for every call. O(N) for a complete iteration, including enough command calls for the \
             cursor to return back to 0. N is the number of elements inside the collection",
        "Incrementally iterate Set elements",
    ),
    Spec::read("sinter", -2, Group::Set, algebra::sinter).keys(Keys::ALL).with(
        Flags::SLOW,
        "1.0.0",
        "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets",
        "Intersect multiple sets",
    ),
    Spec::read("sintercard", -3, Group::Set, algebra::sintercard)
        .keys(Keys::Counted { count: 1, extra: 0 })
        .with(
            Flags::MOVABLE_KEYS.or(Flags::SLOW),
            "7.0.0",
            "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets",
            "Intersect multiple sets and return the cardinality of the result",
        ),
    Spec::write("sinterstore", -3, Group::Set, algebra::sinterstore).keys(Keys::ALL).with(
        Flags::DENYOOM.or(Flags::SLOW),
        "1.0.0",
        "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets",
        "Intersect multiple sets and store the resulting set in a key",
    ),
    Spec::read("sunion", -2, Group::Set, algebra::sunion).keys(Keys::ALL).with(
        Flags::SLOW,
        "1.0.0",
        "O(N) where N is the total number of elements in all given sets",
        "Add multiple sets",
    ),
    Spec::write("sunionstore", -3, Group::Set, algebra::sunionstore).keys(Keys::ALL).with(
        Flags::DENYOOM.or(Flags::SLOW),
        "1.0.0",
        "O(N) where N is the total number of elements in all given sets",
        "Add multiple sets and store the resulting set in a key",
    ),
    Spec::read("sdiff", -2, Group::Set, algebra::sdiff).keys(Keys::ALL).with(
        Flags::SLOW,
        "1.0.0",
        "O(N) where N is the total number of elements in all given sets",
        "Subtract multiple sets",
    ),
    Spec::write("sdiffstore", -3, Group::Set, algebra::sdiffstore).keys(Keys::ALL).with(
        Flags::DENYOOM.or(Flags::SLOW),
        "1.0.0",
        "O(N) where N is the total number of elements in all given sets",
        "Subtract multiple sets and store the resulting set in a key",
    ),
];
