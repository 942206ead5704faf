//! The texts of the HELP subcommands, in Redis's words for what exists here.

use std::borrow::Cow;

use adapter::Reply;
use adapter::command::{self, Flags};

/// `CLIENT HELP`
pub(super) const CLIENT: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made from the specified address",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      Kill connections made to specified local address",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attr. Options are:",
    "    * LIB-NAME: the client lib name.",
    "    * LIB-VER: the client lib version.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Will not touch LRU/LFU stats when this mode is on.",
    "HELP",
    "    Prints this help.",
];

/// `CLUSTER HELP`
pub(super) const CLUSTER: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNT-FAILURE-REPORTS <node-id>",
    "    Return number of failure reports for <node-id>.",
    "COUNTKEYSINSLOT <slot>",
    "    Return the number of keys in <slot>.",
    "FAILOVER [FORCE|TAKEOVER]",
    "    Promote current replica node to being a master.",
    "FORGET <node-id>",
    "    Remove a node from the cluster.",
    "GETKEYSINSLOT <slot> <count>",
    "    Return key names stored by current node in a slot.",
    "INFO",
    "    Return information about the cluster.",
    "KEYSLOT <key>",
    "    Return the hash slot for <key>.",
    "LINKS",
    "    Return information about all network links between this node and its peers.",
    "    Output format is an array where each array element is a map containing attributes of a link",
    "MEET <ip> <port> [<bus-port>]",
    "    Connect nodes into a working cluster.",
    "MYID",
    "    Return the node id.",
    "MYSHARDID",
    "    Return the node's shard id.",
    "NODES",
    "    Return cluster configuration seen by node. Output format:",
    "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
    "REPLICAS <node-id>",
    "    Return <node-id> replicas.",
    "REPLICATE <node-id>",
    "    Configure current node as replica to <node-id>.",
    "RESET [HARD|SOFT]",
    "    Reset current node (default: soft).",
    "SAVECONFIG",
    "    Force saving cluster configuration on disk.",
    "SHARDS",
    "    Return information about slot range mappings and the nodes associated with them.",
    "SLOTS",
    "    Return information about slots range mappings. Each range is made of:",
    "    start, end, master and replicas IP addresses, ports and ids",
    "HELP",
    "    Prints this help.",
];

/// `RAFT.CLUSTER HELP`
pub(super) const RAFT_CLUSTER: &[&str] = &[
    "RAFT.CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "INIT [<cluster-id>]",
    "    Make this node, which belongs to no cluster, the first of a new one. Return the cluster's id.",
    "INIT ADOPT",
    "    Make the data that this node's storage already has the data of the cluster, which must be empty.",
    "    Clients are answered LOADING meanwhile. Answers when it is done.",
    "INIT ADOPT ABORT",
    "    Give up what INIT ADOPT has begun, on whichever node; the storage keeps its data.",
    "JOIN <addr:port> [<addr:port> ...]",
    "    Have this node, which belongs to no cluster, join that of the first of these nodes that lets it in.",
    "    The addresses are those of their Raft listeners.",
    "LEAVE [FORCE]",
    "    Remove this node from its cluster for good.",
    "VERSION",
    "    Return the cluster version, and the newest that the program of each member knows.",
    "VERSION FINALIZE",
    "    Raise the cluster version to the newest that all members know. There is no way back to an earlier program.",
    "HELP",
    "    Prints this help.",
];

/// `RAFT.NODE HELP`
pub(super) const RAFT_NODE: &[&str] = &[
    "RAFT.NODE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ADD <id> <addr:port> [FORCE]",
    "    Add a node as a learner that becomes a voter when it has caught up. An id of 0 allocates one.",
    "    Refused if no node answers there that has the cluster's secret, unless FORCE is given.",
    "    Return the node's id and the cluster's.",
    "DEMOTE <id> [FORCE]",
    "    Make a voter a learner.",
    "LIST",
    "    Return the members, and how they are.",
    "PROMOTE <id>",
    "    Make a learner a voter when it has caught up.",
    "REMOVE <id> [FORCE]",
    "    Remove a node for good. Refused if no majority that answers would be left, unless FORCE is given.",
    "REPLACE <id> <new-id> <addr:port> [FORCE]",
    "    Add a node that takes the place of another when it has caught up.",
    "    Return the new node's id and the cluster's.",
    "HELP",
    "    Prints this help.",
];

/// `CONFIG HELP`
pub(super) const CONFIG: &[&str] = &[
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern>",
    "    Return parameters matching the glob-like <pattern> and their values.",
    "SET <directive> <value>",
    "    Set the configuration <directive> to <value>.",
    "REWRITE",
    "    Rewrite the configuration file.",
    "RESETSTAT",
    "    Reset statistics reported by the INFO command.",
    "HELP",
    "    Prints this help.",
];

/// `COMMAND HELP`
pub(super) const COMMAND: &[&str] = &[
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Return details about all Redis commands.",
    "COUNT",
    "    Return the total number of commands in this Redis server.",
    "LIST",
    "    Return a list of all commands in this Redis server.",
    "INFO [<command-name> ...]",
    "    Return details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "DOCS [<command-name> ...]",
    "    Return documentation details about multiple Redis commands.",
    "    If no command names are given, documentation details for all",
    "    commands are returned.",
    "GETKEYS <full-command>",
    "    Return the keys from a full Redis command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys and the access flags from a full Redis command.",
    "HELP",
    "    Prints this help.",
];

/// `RAFT.HELP`: every command of the cluster, as the table has it.
pub(super) fn raft() -> Reply {
    let mut lines = vec!["RAFT.* commands are:".to_owned()];
    let ours =
        command::all().filter(|spec| spec.name.starts_with("raft.") && !spec.flags.has(Flags::INTERNAL));
    for spec in ours {
        if spec.subcommands.is_empty() {
            lines.extend([spec.name.to_ascii_uppercase(), format!("    {}", spec.summary)]);
        }
        for sub in spec.subcommands {
            let name = format!("{} {}", spec.name, sub.name).to_ascii_uppercase();
            lines.extend([name, format!("    {}", sub.summary)]);
        }
    }
    Reply::Array(lines.into_iter().map(|line| Reply::Status(Cow::Owned(line))).collect())
}

/// The reply of a HELP subcommand.
pub(super) fn reply(lines: &'static [&'static str]) -> Reply {
    Reply::Array(lines.iter().map(|line| Reply::Status(Cow::Borrowed(line))).collect())
}
