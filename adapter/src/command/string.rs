//! The string commands.
//!
//! | module | what it holds |
//! |---|---|
//! | [`get_set`] | whole values of one key |
//! | [`expiry`] | the options that give a value a deadline |
//! | [`multi`] | whole values of several keys |
//! | [`range`] | parts of a value |
//! | [`counter`] | values that are numbers |
//! | [`lcs`] | the longest common subsequence |

mod counter;
mod expiry;
mod get_set;
mod lcs;
mod multi;
pub(crate) mod range;

use crate::command::{Flags, Group, Keys, Spec};

const READ_FAST: Flags = Flags::FAST;
const WRITE: Flags = Flags::DENYOOM;
const WRITE_FAST: Flags = Flags::DENYOOM.or(Flags::FAST);

/// Keys and values in turn, from the first argument on.
const KEYS_AND_VALUES: Keys = Keys::Range { first: 1, last: -1, step: 2 };

const RANGE_COST: &str = "O(N) where N is the length of the returned string. The complexity is ultimately \
    determined by the returned length, but because creating a substring from an existing string is very \
    cheap, it can be considered O(1) for small strings.";
const SETRANGE_COST: &str = "O(1), not counting the time taken to copy the new string in place. Usually, this \
    string is very small so the amortized complexity is O(1). Otherwise, complexity is O(M) with M being the \
    length of the value argument.";

const fn read(
    name: &'static str,
    arity: i16,
    run: fn(&dyn crate::Keyspace, &crate::Call<'_>) -> crate::error::Outcome<crate::Reply>,
) -> Spec {
    Spec::read(name, arity, Group::String, run)
}

const fn write(
    name: &'static str,
    arity: i16,
    run: fn(&mut dyn crate::KeyspaceMut, &crate::Call<'_>) -> crate::error::Outcome<crate::Reply>,
) -> Spec {
    Spec::write(name, arity, Group::String, run)
}

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    read("get", 2, get_set::get).with(READ_FAST, "1.0.0", "O(1)", "Get the value of a key"),
    write("set", -3, get_set::set).with(WRITE, "1.0.0", "O(1)", "Set the string value of a key"),
    write("setnx", 3, get_set::setnx).with(
        WRITE_FAST,
        "1.0.0",
        "O(1)",
        "Set the value of a key, only if the key does not exist",
    ),
    write("setex", 4, get_set::setex).with(WRITE, "2.0.0", "O(1)", "Set the value and expiration of a key"),
    write("psetex", 4, get_set::psetex).with(
        WRITE,
        "2.6.0",
        "O(1)",
        "Set the value and expiration in milliseconds of a key",
    ),
    write("getset", 3, get_set::getset).with(
        WRITE_FAST,
        "1.0.0",
        "O(1)",
        "Set the string value of a key and return its old value",
    ),
    write("getdel", 2, get_set::getdel).with(
        Flags::FAST,
        "6.2.0",
        "O(1)",
        "Get the value of a key and delete the key",
    ),
    write("getex", -2, get_set::getex).with(
        Flags::FAST,
        "6.2.0",
        "O(1)",
        "Get the value of a key and optionally set its expiration",
    ),
    read("getrange", 4, range::getrange).with(
        Flags::NONE,
        "2.4.0",
        RANGE_COST,
        "Get a substring of the string stored at a key",
    ),
    read("substr", 4, range::getrange).with(
        Flags::NONE,
        "1.0.0",
        RANGE_COST,
        "Get a substring of the string stored at a key",
    ),
    write("setrange", 4, range::setrange).with(
        WRITE,
        "2.2.0",
        SETRANGE_COST,
        "Overwrite part of a string at key starting at the specified offset",
    ),
    read("strlen", 2, range::strlen).with(
        READ_FAST,
        "2.2.0",
        "O(1)",
        "Get the length of the value stored in a key",
    ),
    write("append", 3, range::append).with(WRITE_FAST, "2.0.0", "O(1)", "Append a value to a key"),
    read("mget", -2, multi::mget).keys(Keys::ALL).with(
        READ_FAST,
        "1.0.0",
        "O(N) where N is the number of keys to retrieve.",
        "Get the values of all the given keys",
    ),
    write("mset", -3, multi::mset).keys(KEYS_AND_VALUES).with(
        WRITE,
        "1.0.1",
        "O(N) where N is the number of keys to set.",
        "Set multiple keys to multiple values",
    ),
    write("msetnx", -3, multi::msetnx).keys(KEYS_AND_VALUES).with(
        WRITE,
        "1.0.1",
        "O(N) where N is the number of keys to set.",
        "Set multiple keys to multiple values, only if none of the keys exist",
    ),
    write("incr", 2, counter::incr).with(
        WRITE_FAST,
        "1.0.0",
        "O(1)",
        "Increment the integer value of a key by one",
    ),
    write("decr", 2, counter::decr).with(
        WRITE_FAST,
        "1.0.0",
        "O(1)",
        "Decrement the integer value of a key by one",
    ),
    write("incrby", 3, counter::incrby).with(
        WRITE_FAST,
        "1.0.0",
        "O(1)",
        "Increment the integer value of a key by the given amount",
    ),
    write("decrby", 3, counter::decrby).with(
        WRITE_FAST,
        "1.0.0",
        "O(1)",
        "Decrement the integer value of a key by the given number",
    ),
    write("incrbyfloat", 3, counter::incrbyfloat).with(
        WRITE_FAST,
        "2.6.0",
        "O(1)",
        "Increment the float value of a key by the given amount",
    ),
    read("lcs", -3, lcs::lcs).keys(Keys::TWO).with(
        Flags::SLOW,
        "7.0.0",
        "O(N*M) where N and M are the lengths of s1 and s2, respectively",
        "Find longest common substring",
    ),
];

#[cfg(test)]
mod tests;
