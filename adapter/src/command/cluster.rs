//! The commands of Redis Cluster, which the proxy answers, and the internal one that looks into a slot for them.

use crate::command::{Flags, Group, Keys, Spec, slot};

const STALE: Flags = Flags::STALE;
/// For administrators.
const ADMIN: Flags = STALE.or(Flags::ADMIN).or(Flags::DANGEROUS);

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    Spec::front("asking", 1, Group::Cluster, Flags::FAST).with(
        Flags::NONE,
        "3.0.0",
        "O(1)",
        "Signals that a cluster client is following an -ASK redirect.",
    ),
    Spec {
        subcommands: CLUSTER,
        ..Spec::front("cluster", -2, Group::Cluster, Flags::NONE).with(
            Flags::NONE,
            "3.0.0",
            "Depends on subcommand.",
            "A container for Redis Cluster commands.",
        )
    },
    Spec::read(slot::LOOK, -2, Group::Cluster, slot::look).keys(Keys::None).with(
        Flags::SLOW.or(Flags::INTERNAL),
        "7.2.0",
        "O(N) where N is the number of keys",
        "Returns the number of keys in a slot, or some of them, for CLUSTER.",
    ),
];

const PER_NODE: &str = "O(N) where N is the total number of Cluster nodes";

/// `CLUSTER`.
static CLUSTER: &[Spec] = &[
    sub(
        "count-failure-reports",
        3,
        ADMIN,
        "3.0.0",
        PER_NODE,
        "Returns the number of failure reports for a node.",
    ),
    sub(
        "countkeysinslot",
        3,
        STALE,
        "3.0.0",
        "O(N) where N is the number of keys",
        "Returns the number of keys in a hash slot.",
    ),
    sub(
        "failover",
        -2,
        ADMIN,
        "3.0.0",
        "O(1)",
        "Forces a replica to perform a manual failover of its master.",
    ),
    sub("forget", 3, ADMIN, "3.0.0", "O(1)", "Removes a node from the cluster."),
    sub(
        "getkeysinslot",
        4,
        STALE,
        "3.0.0",
        "O(N) where N is the number of keys",
        "Returns the key names in a hash slot.",
    ),
    sub(
        "help",
        2,
        STALE.or(Flags::LOADING),
        "5.0.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    sub("info", 2, STALE, "3.0.0", "O(1)", "Returns information about the state of a node."),
    sub(
        "keyslot",
        3,
        STALE,
        "3.0.0",
        "O(N) where N is the number of bytes in the key",
        "Returns the hash slot for a key.",
    ),
    sub("links", 2, STALE, "7.0.0", PER_NODE, "Returns a list of all TCP links to and from peer nodes."),
    sub("meet", -4, ADMIN, "3.0.0", "O(1)", "Adds a node to the cluster."),
    sub("myid", 2, STALE, "3.0.0", "O(1)", "Returns the ID of a node."),
    sub("myshardid", 2, STALE, "7.2.0", "O(1)", "Returns the shard ID of a node."),
    sub("nodes", 2, STALE, "3.0.0", PER_NODE, "Returns the cluster configuration for a node."),
    sub("replicas", 3, ADMIN, "5.0.0", PER_NODE, "Lists the replica nodes of a master node."),
    sub("replicate", 3, ADMIN, "3.0.0", "O(1)", "Configures a node as a replica of a master node."),
    sub("reset", -2, ADMIN.or(Flags::NOSCRIPT), "3.0.0", "O(1)", "Resets a node."),
    sub("saveconfig", 2, ADMIN, "3.0.0", "O(1)", "Forces a node to save the cluster configuration to disk."),
    sub(
        "shards",
        2,
        STALE.or(Flags::LOADING),
        "7.0.0",
        PER_NODE,
        "Returns the mapping of cluster slots to shards.",
    ),
    sub("slaves", 3, ADMIN, "3.0.0", PER_NODE, "Lists the replica nodes of a master node."),
    sub(
        "slots",
        2,
        STALE.or(Flags::LOADING),
        "3.0.0",
        PER_NODE,
        "Returns the mapping of cluster slots to nodes.",
    ),
];

const fn sub(
    name: &'static str,
    arity: i16,
    flags: Flags,
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::front(name, arity, Group::Cluster, flags).with(Flags::NONE, since, complexity, summary)
}
