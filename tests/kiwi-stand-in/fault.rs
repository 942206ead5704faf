//! The faults, each a switch. All are on unless `--without` names them.

use clap::ValueEnum;

/// A way in which a Kiwi differs from a Redis. The texts are what `--help` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// Storage commands wait for 10 ms without arrivals or for 100 of them, and then run in any order
    Batcher,
    /// Bytes that are not UTF-8 become U+FFFD in the replies of HGET, SMEMBERS and others
    LossyReplies,
    /// Of the members of one SADD that look alike with U+FFFD in place of what is not UTF-8, only the first is stored
    LostMembers,
    /// Replies beyond a length (`--cut-replies-at`) are cut short, and the connection hangs
    CutReplies,
    /// A request whose arguments times its bytes are more than some 8,000 million, or with more than 65,536
    /// arguments, has its connection reset
    ResetRequests,
    /// Protocol errors close the connection without a message
    SilentProtocolErrors,
    /// Most of Redis's commands are missing
    Surface,
    /// SET, EXPIRE and its like, FLUSHALL and FLUSHDB have no options: one is an arity error
    NoOptions,
    /// Keys with different checksums are refused in SINTER, SUNION, SDIFF, their STORE forms, and SMOVE
    CrossSlot,
    /// Keys of different instances are refused in RPOPLPUSH and BITOP; ZUNIONSTORE and ZINTERSTORE do not see them
    Instances,
    /// SREM and ZREM count a repeated member as often as it is named; a count of 0 removes all that is left, and
    /// nothing can be added to one below
    RepeatedMembers,
    /// SCARD of a missing key is an error; LPOP and RPOP with a count answer it a null string, and LPOP takes no 0
    MissingKeys,
    /// LINSERT takes the last pivot and refuses a missing key, LRANGE past the end finds an element and LTRIM keeps
    /// it, RPOPLPUSH can lose one
    Lists,
    /// ZADD, ZRANGE and their like know fewer forms, clamp differently, and keep the first score
    SortedSets,
    /// ZADD does not make a change of a score by less than 2.2e-16
    TinyScores,
    /// TTL floors; a time to live of zero or less does not delete
    Expiry,
    /// INCR takes "007", DECRBY of the minimum overflows, INCRBYFLOAT rounds, SETRANGE pads for nothing
    Numbers,
    /// SCAN's cursors are numbers in a memory of 5000; any other is an error
    ScanCursors,
    /// HSCAN's cursors count what was looked at, and any unknown one begins anew; SSCAN's are indices
    MemberCursors,
    /// HSET with several pairs and MSET are not one write: the end of the process can come in between
    TornWrites,
    /// Writes that were refused as unavailable (after SIGUSR2) run later, behind newer ones
    RefusedWrites,
    /// HELLO names Kiwi, RESP3 changes only nil, AUTH takes no user, PING needs no password, CLIENT can do little
    Handshake,
    /// INFO is always the same, and CONFIG GET knows next to nothing
    Constants,
    /// Errors have other texts: `ERR WRONGTYPE`, none of the arguments of an unknown command
    ErrorTexts,
    /// At most 1000 connections are served; further ones wait for one of those to go, and are reset after 30 s
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
