//! The faults, each a switch. All are on unless `--without` names them.

use clap::ValueEnum;

/// A way in which a Kiwi differs from a Redis. The texts are what `--help` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// Storage commands wait for 10 ms without arrivals or for 100 of them, and then run in any order
    Batcher,
    /// Bytes that are not UTF-8 become U+FFFD in the replies of HGET, SMEMBERS and others
    LossyReplies,
    /// Of the members of one SADD that are not UTF-8, only the first is stored
    LostMembers,
    /// Replies beyond 3.8 MB are cut short, and the connection hangs
    CutReplies,
    /// A command with more than 60,000 arguments has its connection reset
    ResetRequests,
    /// Protocol errors close the connection without a message
    SilentProtocolErrors,
    /// Most of Redis's commands are missing
    Surface,
    /// SET, EXPIRE and its like, FLUSHALL and FLUSHDB have no options: one is an arity error
    NoOptions,
    /// Keys that are not in one slot are refused in SINTER, SUNION, SDIFF, their STORE forms, and SMOVE
    CrossSlot,
    /// Keys of different instances are refused in RPOPLPUSH, BITOP, ZUNIONSTORE and ZINTERSTORE
    Instances,
    /// SREM, HDEL and ZREM count a repeated member as often as it is named; ZCARD believes it
    RepeatedMembers,
    /// SCARD of a missing key is an error; LPOP and RPOP with a count answer it a null string, and LPOP takes no 0
    MissingKeys,
    /// LINSERT takes the last pivot and refuses a missing key, LRANGE past the end finds an element, RPOPLPUSH can
    /// lose one
    Lists,
    /// ZADD, ZRANGE and their like know fewer forms, clamp differently, and keep the first score
    SortedSets,
    /// TTL floors; a time to live of zero or less does not delete
    Expiry,
    /// INCR takes "007", DECRBY of the minimum overflows, INCRBYFLOAT rounds, SETRANGE pads for nothing
    Numbers,
    /// SCAN's cursors are numbers in a memory of 5000; any other is an error
    ScanCursors,
    /// HELLO names Kiwi, RESP3 changes only nil, AUTH takes no user, CLIENT can do little
    Handshake,
    /// INFO is always the same, and CONFIG GET knows next to nothing
    Constants,
    /// Errors have other texts: `ERR WRONGTYPE`, none of the arguments of an unknown command
    ErrorTexts,
    /// At most 1000 connections are served; further ones hang until one of those goes
    ConnectionLimit,
    /// When the port is in use, the process stays and does not listen
    SilentPort,
}

/// The faults that are on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Those that are not.
    pub(crate) without: Vec<Fault>,
}

impl Faults {
    /// Whether a fault is on.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        !self.without.contains(&fault)
    }
}
