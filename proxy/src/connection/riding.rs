//! Reads that ride: a read between two writes of a pipeline stands in the log entry of both, so that it costs none of
//! its own and does not cut the writes into two entries.
//!
//! Its reply is made where the entry is applied, behind the writes before it and before those behind it, so it is
//! linearizable. What it costs instead is that every replica runs it, while nobody else's entry is applied, and that
//! its reply is in memory with those of the whole entry. So only reads ride that touch little and answer little
//! ([`MOST_REPLY_BYTES`]): those that are fast by their flags. How large a value is that `GET` and its kin answer, a
//! look at this node's storage tells. It may have grown by the time of the entry; that costs time, nothing else: also
//! replies of hundreds of megabytes come out of an entry (`adapter::command::ReadRoom`).

use adapter::command::Flags;
use adapter::{Adapter, Reply, Spec};
use bytes::Bytes;

/// What a read that rides may answer: 64 MiB for an entry full of them, of which `raft.max_batch_commands` allows
/// 4,096 if nothing else is set.
pub(super) const MOST_REPLY_BYTES: usize = 16 * 1024;
/// About what a number, or anything else that is no value, takes in a reply.
const SMALL_REPLY: usize = 32;

/// Writes that can make a large value of few bytes: what a look said before the entry is not true behind them.
const GROWING: &[&str] =
    &["bitfield", "bitop", "copy", "raft.if", "rename", "renamenx", "setbit", "setrange"];

/// How a reading command may ride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rides {
    /// Not at all: it may take long, or answer more than can be known before.
    No,
    /// It answers numbers and the like, at most one for each argument.
    Small,
    /// It answers the strings at all its keys.
    Strings,
    /// It answers fields of the hash at its key.
    Fields,
}

impl Rides {
    /// How this command does.
    pub(super) fn of(spec: &Spec) -> Self {
        match spec.name {
            _ if !spec.flags.has(Flags::FAST) || spec.flags.has(Flags::SLOW) => Self::No,
            _ if spec.flags.has(Flags::VIEW_ONLY) => Self::No,
            "get" | "mget" => Self::Strings,
            "hget" | "hmget" => Self::Fields,
            _ => Self::Small,
        }
    }

    /// Whether it may ride in an entry in which a write may have made a large value.
    pub(super) fn may_follow_growth(self) -> bool {
        self == Self::Small
    }

    /// About how many bytes the reply will have; none if they are too many, or the command does not ride.
    pub(super) async fn reply_bytes(self, adapter: &dyn Adapter, args: &[Bytes]) -> Option<usize> {
        let mut bytes = SMALL_REPLY * args.len();
        let (length, key, names) = match (self, args) {
            (Self::No, _) => return None,
            (Self::Strings, [_, keys @ ..]) => ("STRLEN", None, keys),
            (Self::Fields, [_, key, fields @ ..]) => ("HSTRLEN", Some(key), fields),
            _ => ("", None, &[][..]),
        };
        for name in names {
            if bytes > MOST_REPLY_BYTES {
                return None;
            }
            let name_of_length = Bytes::from_static(length.as_bytes());
            let call = [name_of_length].into_iter().chain(key.cloned()).chain([name.clone()]).collect();
            // What has no length, as what is of another type, is answered in few bytes.
            if let Reply::Integer(length) = adapter.read(call, 0).await.reply {
                bytes = bytes.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
            }
        }
        (bytes <= MOST_REPLY_BYTES).then_some(bytes)
    }
}

/// Whether a write can make a large value of few bytes.
pub(super) fn grows(spec: &Spec) -> bool {
    GROWING.contains(&spec.name)
}

#[cfg(test)]
mod tests {
    use adapter::command;

    use super::*;

    #[test]
    fn what_rides_is_fast_and_what_grows_is_a_write() {
        let rides =
            |name: &str| Rides::of(command::lookup(name.as_bytes()).unwrap_or_else(|| panic!("{name}")));
        for name in ["exists", "ttl", "strlen", "hlen", "sismember", "zscore", "llen", "getbit", "type"] {
            assert_eq!(rides(name), Rides::Small, "{name}");
        }
        for name in [
            "keys",
            "scan",
            "sort_ro",
            "lrange",
            "getrange",
            "zrank",
            "zcount",
            "bitcount",
            "dump",
            "raft.revision",
        ] {
            assert_eq!(rides(name), Rides::No, "{name}");
        }
        assert_eq!((rides("get"), rides("mget")), (Rides::Strings, Rides::Strings));
        assert_eq!((rides("hget"), rides("hmget")), (Rides::Fields, Rides::Fields));
        for name in GROWING {
            let spec = command::lookup(name.as_bytes()).unwrap_or_else(|| panic!("{name}"));
            assert!(spec.handler.may_write(), "{name}");
        }
    }
}
