//! The table of the sorted-set commands.

use crate::command::{Flags, Group, Keys, Spec};

use super::{add, algebra, pop, range, rank, read, remove};

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    Spec::write("zadd", -4, Group::SortedSet, add::zadd).with(
        Flags::DENYOOM.or(Flags::FAST),
        "1.2.0",
        "O(log(N)) for each item added, where N is the number of elements in the sorted set",
        "Add one or more members to a sorted set, or update its score if it already exists",
    ),
    Spec::write("zincrby", 4, Group::SortedSet, add::zincrby).with(
        Flags::DENYOOM.or(Flags::FAST),
        "1.2.0",
        "O(log(N)) where N is the number of elements in the sorted set",
        "Increment the score of a member in a sorted set",
    ),
    Spec::read("zcard", 2, Group::SortedSet, read::zcard).with(
        Flags::FAST,
        "1.2.0",
        "O(1)",
        "Get the number of members in a sorted set",
    ),
    Spec::read("zscore", 3, Group::SortedSet, read::zscore).with(
        Flags::FAST,
        "1.2.0",
        "O(1)",
        "Get the score associated with the given member in a sorted set",
    ),
    Spec::read("zmscore", -3, Group::SortedSet, read::zmscore).with(
        Flags::FAST,
        "6.2.0",
        "O(N) where N is the number of members being requested",
        "Get the score associated with the given members in a sorted set",
    ),
    Spec::read("zcount", 4, Group::SortedSet, read::zcount).with(
        Flags::FAST.or(Flags::SLOW),
        "2.0.0",
        "O(log(N)) with N being the number of elements in the sorted set",
        "Count the members in a sorted set with scores within the given values",
    ),
    Spec::read("zlexcount", 4, Group::SortedSet, read::zlexcount).with(
        Flags::FAST.or(Flags::SLOW),
        "2.8.9",
        "O(log(N)) with N being the number of elements in the sorted set",
        "Count the number of members in a sorted set between a given lexicographical range",
    ),
    Spec::read("zscan", -3, Group::SortedSet, read::zscan).with(
        Flags::NONE,
        "2.8.0",
        "O(1) for every call. O(N) for a complete iteration, including enough command calls for the \
             cursor to return back to 0. N is the number of elements inside the collection",
        "Incrementally iterate sorted sets elements and associated scores",
    ),
    Spec::read("zrandmember", -2, Group::SortedSet, read::zrandmember).with(
        Flags::SLOW,
        "6.2.0",
        "O(N) where N is the number of elements returned",
        "Get one or multiple random elements from a sorted set",
    ),
    Spec::read("zrank", -3, Group::SortedSet, rank::zrank).with(
        Flags::FAST.or(Flags::SLOW),
        "2.0.0",
        "O(log(N))",
        "Determine the index of a member in a sorted set",
    ),
    Spec::read("zrevrank", -3, Group::SortedSet, rank::zrevrank).with(
        Flags::FAST.or(Flags::SLOW),
        "2.0.0",
        "O(log(N))",
        "Determine the index of a member in a sorted set, with scores ordered from high to low",
    ),
    Spec::read("zrange", -4, Group::SortedSet, range::zrange).with(
        Flags::SLOW,
        "1.2.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             returned",
        "Return a range of members in a sorted set",
    ),
    Spec::read("zrevrange", -4, Group::SortedSet, range::zrevrange).with(
        Flags::SLOW,
        "1.2.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             returned",
        "Return a range of members in a sorted set, by index, with scores ordered from high to low",
    ),
    Spec::read("zrangebyscore", -4, Group::SortedSet, range::zrangebyscore).with(
        Flags::SLOW,
        "1.0.5",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you \
             can consider it O(log(N))",
        "Return a range of members in a sorted set, by score",
    ),
    Spec::read("zrevrangebyscore", -4, Group::SortedSet, range::zrevrangebyscore).with(
        Flags::SLOW,
        "2.2.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you \
             can consider it O(log(N))",
        "Return a range of members in a sorted set, by score, with scores ordered from high to low",
    ),
    Spec::read("zrangebylex", -4, Group::SortedSet, range::zrangebylex).with(
        Flags::SLOW,
        "2.8.9",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you \
             can consider it O(log(N))",
        "Return a range of members in a sorted set, by lexicographical range",
    ),
    Spec::read("zrevrangebylex", -4, Group::SortedSet, range::zrevrangebylex).with(
        Flags::SLOW,
        "2.8.9",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you \
             can consider it O(log(N))",
        "Return a range of members in a sorted set, by lexicographical range, ordered from higher to \
             lower strings",
    ),
    Spec::write("zrangestore", -5, Group::SortedSet, range::zrangestore).keys(Keys::TWO).with(
        Flags::DENYOOM.or(Flags::SLOW),
        "6.2.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             stored into the destination key",
        "Store a range of members from sorted set into another key",
    ),
    Spec::write("zrem", -3, Group::SortedSet, remove::zrem).with(
        Flags::FAST,
        "1.2.0",
        "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements \
             to be removed",
        "Remove one or more members from a sorted set",
    ),
    Spec::write("zremrangebyrank", 4, Group::SortedSet, remove::zremrangebyrank).with(
        Flags::SLOW,
        "2.0.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             removed by the operation",
        "Remove all members in a sorted set within the given indexes",
    ),
    Spec::write("zremrangebyscore", 4, Group::SortedSet, remove::zremrangebyscore).with(
        Flags::SLOW,
        "1.2.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             removed by the operation",
        "Remove all members in a sorted set within the given scores",
    ),
    Spec::write("zremrangebylex", 4, Group::SortedSet, remove::zremrangebylex).with(
        Flags::SLOW,
        "2.8.9",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements \
             removed by the operation",
        "Remove all members in a sorted set between the given lexicographical range",
    ),
    Spec::write("zpopmin", -2, Group::SortedSet, pop::zpopmin).with(
        Flags::FAST,
        "5.0.0",
        "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of \
             elements popped",
        "Remove and return members with the lowest scores in a sorted set",
    ),
    Spec::write("zpopmax", -2, Group::SortedSet, pop::zpopmax).with(
        Flags::FAST,
        "5.0.0",
        "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of \
             elements popped",
        "Remove and return members with the highest scores in a sorted set",
    ),
    Spec::write("zmpop", -4, Group::SortedSet, pop::zmpop).keys(Keys::Counted { count: 1, extra: 0 }).with(
        Flags::MOVABLE_KEYS,
        "7.0.0",
        "O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements in \
             the sorted set, and M being the number of elements popped",
        "Remove and return members with scores in a sorted set",
    ),
    Spec::read("zunion", -3, Group::SortedSet, algebra::zunion)
        .keys(Keys::Counted { count: 1, extra: 0 })
        .with(
            Flags::MOVABLE_KEYS.or(Flags::SLOW),
            "6.2.0",
            "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the \
             number of elements in the resulting sorted set",
            "Add multiple sorted sets",
        ),
    Spec::read("zinter", -3, Group::SortedSet, algebra::zinter)
        .keys(Keys::Counted { count: 1, extra: 0 })
        .with(
            Flags::MOVABLE_KEYS.or(Flags::SLOW),
            "6.2.0",
            "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of \
             input sorted sets and M being the number of elements in the resulting sorted set",
            "Intersect multiple sorted sets",
        ),
    Spec::read("zdiff", -3, Group::SortedSet, algebra::zdiff)
        .keys(Keys::Counted { count: 1, extra: 0 })
        .with(
            Flags::MOVABLE_KEYS.or(Flags::SLOW),
            "6.2.0",
            "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the \
             size of the first set, and K is the size of the result set",
            "Subtract multiple sorted sets",
        ),
    Spec::read("zintercard", -3, Group::SortedSet, algebra::zintercard)
        .keys(Keys::Counted { count: 1, extra: 0 })
        .with(
            Flags::MOVABLE_KEYS.or(Flags::SLOW),
            "7.0.0",
            "O(N*K) worst case with N being the smallest input sorted set, K being the number of input \
             sorted sets",
            "Intersect multiple sorted sets and return the cardinality of the result",
        ),
    Spec::write("zunionstore", -4, Group::SortedSet, algebra::zunionstore)
        .keys(Keys::Counted { count: 2, extra: 1 })
        .with(
            Flags::DENYOOM.or(Flags::MOVABLE_KEYS).or(Flags::SLOW),
            "2.0.0",
            "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the \
             number of elements in the resulting sorted set",
            "Add multiple sorted sets and store the resulting sorted set in a new key",
        ),
    Spec::write("zinterstore", -4, Group::SortedSet, algebra::zinterstore)
        .keys(Keys::Counted { count: 2, extra: 1 })
        .with(
            Flags::DENYOOM.or(Flags::MOVABLE_KEYS).or(Flags::SLOW),
            "2.0.0",
            "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of \
             input sorted sets and M being the number of elements in the resulting sorted set",
            "Intersect multiple sorted sets and store the resulting sorted set in a new key",
        ),
    Spec::write("zdiffstore", -4, Group::SortedSet, algebra::zdiffstore)
        .keys(Keys::Counted { count: 2, extra: 1 })
        .with(
            Flags::DENYOOM.or(Flags::MOVABLE_KEYS).or(Flags::SLOW),
            "6.2.0",
            "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the \
             size of the first set, and K is the size of the result set",
            "Subtract multiple sorted sets and store the resulting sorted set in a new key",
        ),
];
