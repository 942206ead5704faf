//! The generic commands: what can be done to a key whatever its type. FLUSHDB and FLUSHALL are here as well.
//!
//! | module | commands |
//! |---|---|
//! | [`keys`] | DEL, EXISTS, TYPE, RENAME … and FLUSHALL |
//! | [`names`] | KEYS, SCAN, RANDOMKEY |
//! | [`expire`] | EXPIRE, TTL … |
//! | [`copy`], [`object`], [`sort`] | COPY; OBJECT; SORT |
//! | [`dump`], [`rdb`] | DUMP and RESTORE; the format of their payloads |

mod copy;
mod dump;
mod expire;
mod keys;
mod names;
mod object;
mod rdb;
mod sort;
#[cfg(test)]
mod tests;

use crate::command::{Flags, Group, Keys, Spec, arg};
use crate::error::{Outcome, Stop};

const NO_SUCH_DATABASE: Stop = Stop::text("ERR DB index is out of range");
const NOT_AN_INT: Stop =
    Stop::text("ERR value is out of range, value must between -2147483648 and 2147483647");

/// Reads the number of a database, of which there is one.
fn database(bytes: &[u8]) -> Outcome<()> {
    match i32::try_from(arg::int(bytes)?) {
        Ok(0) => Ok(()),
        Ok(_) => Err(NO_SUCH_DATABASE),
        Err(_) => Err(NOT_AN_INT),
    }
}

const G: Group = Group::Generic;
/// The name of the internal command that removes keys which are due.
pub(super) const EXPIRE_DUE: &str = "raft.expire";
const FAST: Flags = Flags::FAST;
const SLOW: Flags = Flags::SLOW;
const NONE: Flags = Flags::NONE;

const PER_KEY: &str = "O(N) where N is the number of keys to check.";
const DEL_COST: &str = "O(N) where N is the number of keys that will be removed.";
const FLUSH_COST: &str = "O(1): what was in the database is removed from the disk later.";
const COPY_COST: &str =
    "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.";
const DUMP_COST: &str =
    "O(N*M) where N is the number of elements composing the value and M their average size.";
const SORT_COST: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of \
     returned elements. When the elements are not sorted, complexity is O(N).";
const SCAN_COST: &str = "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to \
     return back to 0. N is the number of elements inside the collection.";

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    Spec::write("del", -2, G, keys::del).keys(Keys::ALL).with(NONE, "1.0.0", DEL_COST, "Delete a key"),
    Spec::write("unlink", -2, G, keys::del).keys(Keys::ALL).with(
        FAST,
        "4.0.0",
        "O(1) for each key removed regardless of its size.",
        "Delete a key; the same as DEL, which does not wait for the removal of the data either.",
    ),
    Spec::read("exists", -2, G, keys::exists).keys(Keys::ALL).with(
        FAST,
        "1.0.0",
        PER_KEY,
        "Determine if a key exists",
    ),
    Spec::read("touch", -2, G, keys::exists).keys(Keys::ALL).with(
        FAST,
        "3.2.1",
        PER_KEY,
        "Returns the number of existing keys specified. The time of the last access is not kept.",
    ),
    Spec::read("type", 2, G, keys::type_of).with(FAST, "1.0.0", "O(1)", "Determine the type stored at key"),
    Spec::write("rename", 3, G, keys::rename).keys(Keys::TWO).with(NONE, "1.0.0", "O(1)", "Rename a key"),
    Spec::write("renamenx", 3, G, keys::renamenx).keys(Keys::TWO).with(
        FAST,
        "1.0.0",
        "O(1)",
        "Rename a key, only if the new key does not exist",
    ),
    Spec::write("move", 3, G, keys::move_key).with(FAST, "1.0.0", "O(1)", "Move a key to another database"),
    Spec::write("copy", -3, G, copy::copy).keys(Keys::TWO).with(
        Flags::DENYOOM,
        "6.2.0",
        COPY_COST,
        "Copy a key",
    ),
    Spec::write("flushdb", -1, Group::Server, keys::flush).keys(Keys::None).with(
        SLOW.or(Flags::DANGEROUS),
        "1.0.0",
        FLUSH_COST,
        "Remove all keys from the current database",
    ),
    Spec::write("flushall", -1, Group::Server, keys::flush).keys(Keys::None).with(
        SLOW.or(Flags::DANGEROUS),
        "1.0.0",
        FLUSH_COST,
        "Remove all keys from all databases",
    ),
    Spec::write(EXPIRE_DUE, -2, G, keys::expire_due).keys(Keys::ALL).with(
        Flags::INTERNAL,
        "1.0.0",
        DEL_COST,
        "Remove those of the keys whose deadline has passed",
    ),
    Spec::read("keys", 2, G, names::keys).keys(Keys::None).with(
        SLOW.or(Flags::DANGEROUS),
        "1.0.0",
        "O(N) with N being the number of keys in the database.",
        "Find all keys matching the given pattern",
    ),
    Spec::read("scan", -2, G, names::scan).keys(Keys::None).with(
        SLOW,
        "2.8.0",
        SCAN_COST,
        "Incrementally iterate the keys space",
    ),
    Spec::read("randomkey", 1, G, names::randomkey).keys(Keys::None).with(
        NONE,
        "1.0.0",
        "O(1)",
        "Return a random key from the keyspace",
    ),
    Spec::write("expire", -3, G, expire::expire).with(
        FAST,
        "1.0.0",
        "O(1)",
        "Set a key's time to live in seconds",
    ),
    Spec::write("pexpire", -3, G, expire::pexpire).with(
        FAST,
        "2.6.0",
        "O(1)",
        "Set a key's time to live in milliseconds",
    ),
    Spec::write("expireat", -3, G, expire::expireat).with(
        FAST,
        "1.2.0",
        "O(1)",
        "Set the expiration for a key as a UNIX timestamp",
    ),
    Spec::write("pexpireat", -3, G, expire::pexpireat).with(
        FAST,
        "2.6.0",
        "O(1)",
        "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
    ),
    Spec::write("persist", 2, G, expire::persist).with(
        FAST,
        "2.2.0",
        "O(1)",
        "Remove the expiration from a key",
    ),
    Spec::read("ttl", 2, G, expire::ttl).with(
        FAST,
        "1.0.0",
        "O(1)",
        "Get the time to live for a key in seconds",
    ),
    Spec::read("pttl", 2, G, expire::pttl).with(
        FAST,
        "2.6.0",
        "O(1)",
        "Get the time to live for a key in milliseconds",
    ),
    Spec::read("expiretime", 2, G, expire::expiretime).with(
        FAST,
        "7.0.0",
        "O(1)",
        "Get the expiration Unix timestamp for a key",
    ),
    Spec::read("pexpiretime", 2, G, expire::pexpiretime).with(
        FAST,
        "7.0.0",
        "O(1)",
        "Get the expiration Unix timestamp for a key in milliseconds",
    ),
    Spec {
        subcommands: OBJECT,
        since: "2.2.3",
        complexity: "Depends on subcommand.",
        summary: "A container for object introspection commands",
        ..Spec::front("object", -2, G, NONE)
    },
    Spec::read("dump", 2, G, dump::dump).with(
        SLOW,
        "2.6.0",
        DUMP_COST,
        "Return a serialized version of the value stored at the specified key.",
    ),
    Spec::write("restore", -4, G, dump::restore).with(
        Flags::DENYOOM.or(Flags::DANGEROUS),
        "2.6.0",
        DUMP_COST,
        "Create a key using the provided serialized value, previously obtained using DUMP.",
    ),
    Spec::write("sort", -2, G, sort::sort).keys(Keys::Found(sort::find_keys)).with(
        Flags::DENYOOM.or(Flags::MOVABLE_KEYS).or(Flags::DANGEROUS),
        "1.0.0",
        SORT_COST,
        "Sort the elements in a list, set or sorted set",
    ),
    Spec::read("sort_ro", -2, G, sort::sort_ro).with(
        SLOW.or(Flags::MOVABLE_KEYS).or(Flags::DANGEROUS),
        "7.0.0",
        SORT_COST,
        "Sort the elements in a list, set or sorted set. Read-only variant of SORT.",
    ),
];

/// The key of a subcommand stands behind its name.
const SUB_KEY: Keys = Keys::Range { first: 2, last: 2, step: 1 };

static OBJECT: &[Spec] = &[
    Spec::read("encoding", 3, G, object::encoding).keys(SUB_KEY).with(
        NONE,
        "2.2.3",
        "O(1)",
        "Inspect the internal encoding of a Redis object",
    ),
    Spec::read("freq", 3, G, object::freq).keys(SUB_KEY).with(
        NONE,
        "4.0.0",
        "O(1)",
        "Get the logarithmic access frequency counter of a Redis object",
    ),
    Spec {
        flags: Flags::LOADING.or(Flags::STALE),
        ..Spec::read("help", 2, G, object::help).keys(Keys::None).with(
            NONE,
            "6.2.0",
            "O(1)",
            "Show helpful text about the different subcommands",
        )
    },
    Spec::read("idletime", 3, G, object::idletime).keys(SUB_KEY).with(
        NONE,
        "2.2.3",
        "O(1)",
        "Get the time since a Redis object was last accessed",
    ),
    Spec::read("refcount", 3, G, object::refcount).keys(SUB_KEY).with(
        NONE,
        "2.2.3",
        "O(1)",
        "Get the number of references to the value of the key",
    ),
];
