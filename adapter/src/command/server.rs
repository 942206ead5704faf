//! Commands that the proxy answers: connection, server and cluster commands. They are declared here because the
//! table is one; what they do is in the proxy. Two of them look at the storage, and so are here whole.

use crate::command::{Call, Flags, Group, Handler, Keys, Spec, arg, resolve};
use crate::error::Outcome;
use crate::keyspace::Keyspace;
use crate::reply::Reply;

/// Answered at any time and quickly: connection commands.
const QUICK: Flags = Flags::LOADING.or(Flags::STALE).or(Flags::FAST);
/// As [`QUICK`], and not for scripts.
const SESSION: Flags = QUICK.or(Flags::NOSCRIPT);
/// Subcommands that look at the server: allowed at any time, not for scripts.
const LOOK: Flags = Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE);
/// As [`LOOK`], for administrators.
const MANAGE: Flags = LOOK.or(Flags::ADMIN).or(Flags::DANGEROUS);
/// Subcommands about the command table.
const TABLE: Flags = Flags::LOADING.or(Flags::STALE);

/// The commands of this group.
pub static COMMANDS: &[Spec] = &[
    // Connection.
    connection("auth", -2, SESSION.or(Flags::NO_AUTH), "1.0.0", "Authenticates the connection."),
    Spec {
        subcommands: CLIENT,
        ..connection("client", -2, Flags::NONE, "2.4.0", "A container for client connection commands.")
    },
    connection("echo", 2, QUICK, "1.0.0", "Returns the given string."),
    connection("hello", -1, SESSION.or(Flags::NO_AUTH), "6.0.0", "Handshakes with the server."),
    connection("ping", -1, Flags::FAST, "1.0.0", "Returns the server's liveliness response."),
    connection("quit", -1, SESSION.or(Flags::NO_AUTH), "1.0.0", "Closes the connection."),
    connection("reset", 1, SESSION.or(Flags::NO_AUTH), "6.2.0", "Resets the connection."),
    connection("select", 2, QUICK, "1.0.0", "Changes the selected database."),
    connection("wait", 3, Flags::NOSCRIPT, "3.0.0", "Waits until other nodes have the connection's writes."),
    connection(
        "waitaof",
        4,
        Flags::NOSCRIPT,
        "7.2.0",
        "Waits until this node and others have synced the connection's writes to disk.",
    ),
    // Transactions.
    Spec::front("discard", 1, Group::Transactions, SESSION).with(
        Flags::NONE,
        "2.0.0",
        "O(N), when N is the number of queued commands",
        "Discards a transaction.",
    ),
    Spec::front("exec", 1, Group::Transactions, LOOK.or(Flags::SKIP)).with(
        Flags::NONE,
        "1.2.0",
        "Depends on commands in the transaction",
        "Executes all commands in a transaction.",
    ),
    Spec::front("multi", 1, Group::Transactions, SESSION).with(
        Flags::NONE,
        "1.2.0",
        "O(1)",
        "Starts a transaction.",
    ),
    Spec::front("unwatch", 1, Group::Transactions, SESSION).with(
        Flags::NONE,
        "2.2.0",
        "O(1)",
        "Forgets about watched keys of a transaction.",
    ),
    Spec::front("watch", -2, Group::Transactions, SESSION).keys(Keys::ALL).with(
        Flags::NONE,
        "2.2.0",
        "O(1) for every key.",
        "Monitors changes to keys to determine the execution of a transaction.",
    ),
    // Server.
    Spec {
        subcommands: COMMAND,
        ..server("command", -1, TABLE, "2.8.13", "Returns detailed information about all commands.")
    },
    Spec {
        subcommands: CONFIG,
        ..server("config", -2, Flags::NONE, "2.0.0", "A container for server configuration commands.")
    },
    Spec::read("dbsize", 1, Group::Server, dbsize).keys(Keys::None).with(
        Flags::FAST,
        "1.0.0",
        "O(1)",
        "Returns the number of keys in the database.",
    ),
    server("info", -1, TABLE.or(Flags::DANGEROUS), "1.0.0", "Returns information about the server."),
    server("time", 1, QUICK, "2.6.0", "Returns the server time."),
    // The cluster.
    Spec::read("raft.keyspace", 1, Group::Server, keyspace).keys(Keys::None).with(
        Flags::FAST.or(Flags::INTERNAL),
        "7.2.0",
        "O(1)",
        "Returns the number of keys and how many of them have a deadline, for INFO.",
    ),
    Spec {
        subcommands: RAFT_CLUSTER,
        ..server("raft.cluster", -2, Flags::NONE, "7.2.0", "A container for commands that make clusters.")
    },
    Spec {
        subcommands: RAFT_NODE,
        ..Spec::front("raft.node", -2, Group::Cluster, Flags::NONE).with(
            Flags::NONE,
            "7.2.0",
            "Depends on subcommand.",
            "A container for commands about the members of the cluster.",
        )
    },
    Spec::front("raft.transfer_leader", -1, Group::Cluster, MANAGE).with(
        Flags::NONE,
        "7.2.0",
        "O(1)",
        "Has the given node lead, or the one that has most of the log.",
    ),
    Spec::front("raft.status", 1, Group::Cluster, TABLE).with(
        Flags::NONE,
        "7.2.0",
        "O(N) where N is the number of nodes",
        "Returns how all members of the cluster are, as JSON.",
    ),
    Spec::front("raft.help", 1, Group::Cluster, TABLE).with(
        Flags::NONE,
        "7.2.0",
        "O(1)",
        "Returns the commands of the cluster, each with what it does.",
    ),
    Spec::front("raft.backend", 1, Group::Cluster, TABLE).with(
        Flags::NONE,
        "7.2.0",
        "O(1)",
        "Returns what the storage of this node is, how it stands with it, and its limits.",
    ),
    Spec::front("raft.digest", -1, Group::Cluster, TABLE).with(
        Flags::NONE,
        "7.2.0",
        "O(N) where N is the size of the data",
        "Returns the log index this node has applied, or waits for one, and the digest of its data there.",
    ),
    level("raft.consistency", -1, QUICK, "7.2.0", "Sets or returns how recent the connection's reads are."),
    Spec::front("raft.read", -3, Group::Cluster, Flags::READONLY).keys(Keys::Found(keys_of_read)).with(
        Flags::MOVABLE_KEYS,
        "7.2.0",
        "Depends on the command.",
        "Runs a command that reads, at a level of consistency of its own.",
    ),
    level("raft.token", 1, QUICK, "7.2.0", "Returns the position in the log that the connection has seen."),
    level(
        "raft.wait",
        3,
        Flags::NOSCRIPT,
        "7.2.0",
        "Waits until this node has applied a position in the log.",
    ),
    level(
        "readonly",
        1,
        QUICK,
        "3.0.0",
        "Enables read-only queries for a connection to any node, of whatever age its data is.",
    ),
    level("readwrite", 1, QUICK, "3.0.0", "Takes a connection's reads back to the default level."),
    Spec {
        subcommands: SNAPSHOT,
        ..Spec::front("raft.snapshot", -2, Group::Cluster, Flags::NONE).with(
            Flags::NONE,
            "7.2.0",
            "Depends on subcommand.",
            "A container for commands that make a snapshot, or read one of all data for a backup.",
        )
    },
];

/// `RAFT.SNAPSHOT`.
static SNAPSHOT: &[Spec] = &[
    cluster(
        "begin",
        2,
        "O(N) where N is the size of the data",
        "Begins a snapshot of all data as it is now.",
    ),
    cluster(
        "create",
        2,
        "O(N) where N is the size of the data",
        "Has this node make a snapshot, so that it can give up log, and answers the index that it will reach.",
    ),
    cluster("end", 3, "O(1)", "Gives a snapshot up."),
    cluster("read", 5, "O(N) where N is the length of the piece", "Returns a piece of a snapshot."),
];

/// `RAFT.NODE`.
static RAFT_NODE: &[Spec] = &[
    cluster("add", -4, "O(1)", "Adds a node, which becomes a voter when it has caught up."),
    cluster("demote", -3, "O(1)", "Makes a voter a learner."),
    Spec::front("help", 2, Group::Cluster, TABLE).with(
        Flags::NONE,
        "7.2.0",
        "O(1)",
        "Returns helpful text about the different subcommands.",
    ),
    Spec::front("list", 2, Group::Cluster, LOOK).with(
        Flags::NONE,
        "7.2.0",
        "O(N) where N is the number of nodes",
        "Returns the members, and how they are.",
    ),
    cluster("promote", 3, "O(1)", "Makes a learner a voter when it has caught up."),
    cluster("remove", -3, "O(1)", "Removes a node from the cluster for good."),
    cluster("replace", -5, "O(1)", "Has a new node take the place of another when it has caught up."),
];

/// `RAFT.CLUSTER`.
static RAFT_CLUSTER: &[Spec] = &[
    server("help", 2, TABLE, "7.2.0", "Returns helpful text about the different subcommands."),
    server(
        "init",
        -2,
        MANAGE,
        "7.2.0",
        "Makes a cluster; with ADOPT, of the data that the storage has already.",
    ),
    server("join", -3, MANAGE, "7.2.0", "Joins the cluster of the first node that lets this one in."),
    server("leave", -2, MANAGE, "7.2.0", "Removes this node from its cluster."),
    server(
        "version",
        -2,
        MANAGE,
        "7.2.0",
        "Returns the cluster version; with FINALIZE, raises it to the newest that all members know.",
    ),
];

/// `CLIENT`.
static CLIENT: &[Spec] = &[
    connection("getname", 2, LOOK, "2.6.9", "Returns the name of the connection."),
    connection("help", 2, TABLE, "5.0.0", "Returns helpful text about the different subcommands."),
    connection("id", 2, LOOK, "5.0.0", "Returns the unique client ID of the connection."),
    connection("info", 2, LOOK, "6.2.0", "Returns information about the connection."),
    connection("kill", -3, MANAGE, "2.4.0", "Terminates open connections."),
    connection("list", -2, MANAGE, "2.4.0", "Lists open connections."),
    connection("no-evict", 3, MANAGE, "7.0.0", "Sets the client eviction mode of the connection."),
    connection(
        "no-touch",
        3,
        LOOK,
        "7.2.0",
        "Controls whether commands of this client affect the LRU of keys.",
    ),
    connection("reply", 3, LOOK, "3.2.0", "Instructs the server whether to reply to commands."),
    connection("setinfo", 4, LOOK, "7.2.0", "Sets information specific to the client or connection."),
    connection("setname", 3, LOOK, "2.6.9", "Sets the connection name."),
];

/// `COMMAND`.
static COMMAND: &[Spec] = &[
    server("count", 2, TABLE, "2.8.13", "Returns a count of commands."),
    server("docs", -2, TABLE, "7.0.0", "Returns documentary information about commands."),
    server("getkeys", -4, TABLE, "2.8.13", "Extracts the key names from an arbitrary command."),
    server("getkeysandflags", -4, TABLE, "7.0.0", "Extracts the key names and access flags of a command."),
    server("help", 2, TABLE, "5.0.0", "Returns helpful text about the different subcommands."),
    server("info", -2, TABLE, "2.8.13", "Returns information about one, several or all commands."),
    server("list", -2, TABLE, "7.0.0", "Returns a list of command names."),
];

/// `CONFIG`.
static CONFIG: &[Spec] = &[
    server("get", -3, MANAGE, "2.0.0", "Returns the effective values of configuration parameters."),
    server("help", 2, TABLE, "5.0.0", "Returns helpful text about the different subcommands."),
    server("resetstat", 2, MANAGE, "2.0.0", "Resets the server's statistics."),
    server("rewrite", 2, MANAGE, "2.8.0", "Persists the effective configuration to file."),
    server("set", -4, MANAGE, "2.0.0", "Sets configuration parameters in-flight."),
];

const fn connection(
    name: &'static str,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::front(name, arity, Group::Connection, flags).with(Flags::NONE, since, "O(1)", summary)
}

const fn level(
    name: &'static str,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::front(name, arity, Group::Cluster, flags).with(Flags::NONE, since, "O(1)", summary)
}

const fn cluster(name: &'static str, arity: i16, complexity: &'static str, summary: &'static str) -> Spec {
    Spec::front(name, arity, Group::Cluster, MANAGE).with(Flags::NONE, "7.2.0", complexity, summary)
}

const fn server(
    name: &'static str,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
) -> Spec {
    Spec::front(name, arity, Group::Server, flags).with(Flags::NONE, since, "O(1)", summary)
}

/// The keys of the command in `RAFT.READ level [MAXLAG ms] command …`.
fn keys_of_read(args: &[&[u8]]) -> Vec<usize> {
    let before = if args.get(2).is_some_and(|arg| arg::is(arg, "maxlag")) { 4 } else { 2 };
    let Some(inner) = args.get(before..) else { return Vec::new() };
    let Ok(spec) = resolve(inner) else { return Vec::new() };
    // A `RAFT.READ` in a `RAFT.READ` is none that can be run.
    if matches!(spec.handler, Handler::Front) {
        return Vec::new();
    }
    spec.key_indices(inner).into_iter().map(|index| index + before).collect()
}

fn dbsize(keyspace: &dyn Keyspace, _call: &Call<'_>) -> Outcome<Reply> {
    Ok(Reply::count(keyspace.key_count()?))
}

fn keyspace(keyspace: &dyn Keyspace, _call: &Call<'_>) -> Outcome<Reply> {
    let (keys, deadlines) = (keyspace.key_count(), keyspace.deadline_count());
    Ok(Reply::Array(vec![Reply::count(keys?), Reply::count(deadlines?)]))
}
