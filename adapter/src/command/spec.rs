//! The form of an entry of the command table.

use crate::command::{Call, ReadRoom};
use crate::error::Outcome;
use crate::keyspace::{Keyspace, KeyspaceMut};
use crate::reply::Reply;

/// Everything that is known of a command.
#[derive(Debug)]
pub struct Spec {
    /// Its name in lower case; of a subcommand, the subcommand's own.
    pub name: &'static str,
    /// The number of arguments, the name included (for a subcommand: both names); negative for "at least".
    pub arity: i16,
    /// Redis's command flags.
    pub flags: Flags,
    /// Where its keys stand.
    pub keys: Keys,
    /// The group that `COMMAND DOCS` names.
    pub group: Group,
    /// The Redis version that brought it.
    pub since: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Its complexity, as Redis's documentation gives it.
    pub complexity: &'static str,
    /// What runs it.
    pub handler: Handler,
    /// Its subcommands; empty for most.
    pub subcommands: &'static [Spec],
}

/// What runs a command.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Reads; never changes anything.
    Read(fn(&dyn Keyspace, &Call<'_>) -> Outcome<Reply>),
    /// May write; goes through the log.
    Write(fn(&mut dyn KeyspaceMut, &Call<'_>) -> Outcome<Reply>),
    /// Runs other commands, reading or writing; goes through the log. The replies to those that read share a room.
    Nested(fn(&mut dyn KeyspaceMut, &Call<'_>, &mut ReadRoom) -> Outcome<Reply>),
    /// Answered by the proxy: connection, server and cluster commands, and containers of subcommands.
    Front,
}

impl Handler {
    /// Whether it goes through the log.
    pub const fn may_write(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Nested(_))
    }
}

/// Redis's command flags, as a set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// May modify data.
    pub const WRITE: Self = Self(1);
    /// Only reads.
    pub const READONLY: Self = Self(1 << 1);
    /// Refused when memory is short.
    pub const DENYOOM: Self = Self(1 << 2);
    /// For administrators.
    pub const ADMIN: Self = Self(1 << 3);
    /// Constant or logarithmic time.
    pub const FAST: Self = Self(1 << 4);
    /// Allowed while data is loading.
    pub const LOADING: Self = Self(1 << 5);
    /// Allowed on a stale replica.
    pub const STALE: Self = Self(1 << 6);
    /// Not shown to MONITOR or the slow log.
    pub const SKIP: Self = Self(1 << 7);
    /// Allowed before AUTH.
    pub const NO_AUTH: Self = Self(1 << 8);
    /// Keys cannot be told from the key specification alone.
    pub const MOVABLE_KEYS: Self = Self(1 << 9);
    /// Not allowed in scripts.
    pub const NOSCRIPT: Self = Self(1 << 10);
    /// Exists for replication only; clients are told that it is unknown.
    pub const INTERNAL: Self = Self(1 << 11);
    /// May take long: run off the connection's thread.
    pub const SLOW: Self = Self(1 << 12);
    /// ACL category `@dangerous`.
    pub const DANGEROUS: Self = Self(1 << 13);
    /// Reads a view of the content, and cannot stand in a log entry.
    pub const VIEW_ONLY: Self = Self(1 << 14);
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Both sets.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Where a command's keys stand among its arguments.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// It has none.
    None,
    /// At `first`, every `step`, up to `last` (negative: from the end), as in Redis's key specification.
    Range {
        /// The index of the first key.
        first: i16,
        /// The index of the last key; -1 is the last argument.
        last: i16,
        /// The distance between keys.
        step: i16,
    },
    /// A number of keys stands at an index, the keys right behind it; `extra` is the index of one more key in
    /// front (a destination), 0 for none.
    Counted {
        /// The index of the number.
        count: i16,
        /// The index of a destination key, or 0.
        extra: i16,
    },
    /// Found by a function, which answers the indices (`SORT … STORE dst`).
    Found(fn(&[&[u8]]) -> Vec<usize>),
}

impl Keys {
    /// One key, the first argument.
    pub const ONE: Self = Self::Range { first: 1, last: 1, step: 1 };
    /// Two keys, the first and the second argument.
    pub const TWO: Self = Self::Range { first: 1, last: 2, step: 1 };
    /// All arguments.
    pub const ALL: Self = Self::Range { first: 1, last: -1, step: 1 };
}

/// A group of commands, as Redis's documentation sorts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Group {
    Bitmap,
    Cluster,
    Connection,
    Generic,
    Hash,
    List,
    Server,
    Set,
    SortedSet,
    String,
    Transactions,
}

impl Group {
    /// The name that `COMMAND DOCS` gives.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bitmap => "bitmap",
            Self::Cluster => "cluster",
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Hash => "hash",
            Self::List => "list",
            Self::Server => "server",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }
}

impl Spec {
    /// A command that reads data. The rest is set with struct update syntax:
    /// `Spec { keys: Keys::ALL, ..Spec::read("mget", -2, Group::String, run) }`.
    pub const fn read(
        name: &'static str,
        arity: i16,
        group: Group,
        run: fn(&dyn Keyspace, &Call<'_>) -> Outcome<Reply>,
    ) -> Self {
        Self::new(name, arity, Flags::READONLY, Keys::ONE, group, Handler::Read(run))
    }

    /// A command that may write data.
    pub const fn write(
        name: &'static str,
        arity: i16,
        group: Group,
        run: fn(&mut dyn KeyspaceMut, &Call<'_>) -> Outcome<Reply>,
    ) -> Self {
        Self::new(name, arity, Flags::WRITE, Keys::ONE, group, Handler::Write(run))
    }

    /// A command that runs others, which may write data.
    pub const fn nested(
        name: &'static str,
        arity: i16,
        group: Group,
        run: fn(&mut dyn KeyspaceMut, &Call<'_>, &mut ReadRoom) -> Outcome<Reply>,
    ) -> Self {
        Self::new(name, arity, Flags::WRITE, Keys::ONE, group, Handler::Nested(run))
    }

    /// A command that the proxy answers.
    pub const fn front(name: &'static str, arity: i16, group: Group, flags: Flags) -> Self {
        Self::new(name, arity, flags, Keys::None, group, Handler::Front)
    }

    const fn new(
        name: &'static str,
        arity: i16,
        flags: Flags,
        keys: Keys,
        group: Group,
        handler: Handler,
    ) -> Self {
        Self {
            name,
            arity,
            flags,
            keys,
            group,
            since: "1.0.0",
            summary: "",
            complexity: "O(1)",
            handler,
            subcommands: &[],
        }
    }

    /// Adds flags, and says since when the command exists, what it does and what it costs.
    pub const fn with(
        mut self,
        flags: Flags,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.flags = self.flags.or(flags);
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }

    /// Says where the keys stand; one key, the first argument, if not said.
    pub const fn keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// Whether a call with `argc` arguments, names included, has the right number of them.
    pub const fn arity_allows(&self, argc: usize) -> bool {
        if self.arity < 0 { argc >= self.arity.unsigned_abs() as usize } else { argc == self.arity as usize }
    }

    /// Finds a subcommand by its name in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Spec> {
        self.subcommands.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The name as Redis writes it for a subcommand of `parent`: `object|encoding`.
    pub fn full_name(&self, parent: &Spec) -> String {
        format!("{}|{}", parent.name, self.name)
    }

    /// The indices of the keys in `args`; none if the call is malformed.
    pub fn key_indices(&self, args: &[&[u8]]) -> Vec<usize> {
        match self.keys {
            Keys::None => Vec::new(),
            Keys::Range { first, last, step } => {
                let last = if last < 0 { args.len() as i64 + i64::from(last) } else { i64::from(last) };
                (first as usize..=last.max(0) as usize)
                    .step_by(step.max(1) as usize)
                    .filter(|index| *index < args.len())
                    .collect()
            }
            Keys::Counted { count, extra } => {
                let count = count as usize;
                let number = args
                    .get(count)
                    .and_then(|text| std::str::from_utf8(text).ok())
                    .and_then(|text| text.parse::<usize>().ok())
                    .unwrap_or(0);
                let extra = (extra > 0).then_some(extra as usize);
                let behind = (count + 1..args.len()).take(number);
                extra.into_iter().chain(behind).collect()
            }
            Keys::Found(find) => find(args),
        }
    }
}
