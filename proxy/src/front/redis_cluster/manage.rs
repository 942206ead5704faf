//! CLUSTER MEET, FORGET, REPLICATE, FAILOVER, RESET: Redis Cluster's words for changes of the membership and of the
//! leader. Slots stay where they are: all of them are everywhere.

use adapter::command::{arg, text};
use adapter::error::Outcome;
use adapter::{Reply, Stop};
use raft::handle::Change;

use super::map::{ClusterNode, Map};
use crate::front::context::Context;
use crate::front::nodes::failed;

/// How far Redis puts the port for nodes behind the one for clients, if nobody says where it is.
const BUS_PORT_OFFSET: i64 = 10_000;

/// Finds a node by its name.
pub(super) fn find<'a>(map: &'a Map, name: &[u8]) -> Outcome<&'a ClusterNode> {
    map.find(name).ok_or_else(|| Stop::say(format!("ERR Unknown node {}", text::shown(name))))
}

/// Checks what can be checked before anybody is asked.
pub(super) fn check(name: &str, args: &[&[u8]]) -> Outcome<()> {
    match name {
        "meet" => bus_address(args).map(|_| ()),
        "failover" => match args {
            [_, _] => Ok(()),
            [_, _, option] if arg::is(option, "force") || arg::is(option, "takeover") => Ok(()),
            [_, _, _] => Err(text::SYNTAX),
            _ => Err(wrong_number(args[1])),
        },
        _ => Ok(()),
    }
}

/// Runs a subcommand that changes something.
pub(super) async fn run(context: &Context<'_>, map: &Map, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    match name {
        "meet" => meet(context, args).await,
        "forget" => {
            let node = find(map, args[2])?;
            if node.id == map.me {
                return Err(Stop::text("ERR I tried hard but I can't forget myself..."));
            }
            forget(context, node.id).await
        }
        "replicate" => replicate(map, args[2]),
        "failover" if map.is_led && Some(map.me) == map.master => {
            Err(Stop::text("ERR You should send CLUSTER FAILOVER to a replica"))
        }
        "failover" => failover(context, map, args.len() > 2).await,
        _ => Err(text::unknown_subcommand("cluster", args[1])),
    }
}

/// `CLUSTER MEET ip port [bus-port]`: the node there joins. Answers where its port for nodes is.
fn bus_address(args: &[&[u8]]) -> Outcome<String> {
    let (host, rest) = (args[2], &args[3..]);
    let invalid =
        |what: &str, given: &[u8]| Stop::say(format!("ERR Invalid {what} specified: {}", text::shown(given)));
    let port = arg::parse_i64(rest[0]).ok_or_else(|| invalid("TCP base port", rest[0]))?;
    let bus = match rest {
        [_] => port + BUS_PORT_OFFSET,
        [_, bus] => arg::parse_i64(bus).ok_or_else(|| invalid("TCP bus port", bus))?,
        _ => return Err(wrong_number(args[1])),
    };
    let is_port = |port: i64| (1..=i64::from(u16::MAX)).contains(&port);
    let host_text = String::from_utf8_lossy(host);
    let host_text = if host_text.contains(':') { format!("[{host_text}]") } else { host_text.into_owned() };
    let address = conf::value::host_port(&format!("{host_text}:{bus}"));
    match address {
        Ok(address) if is_port(port) && is_port(bus) => Ok(address),
        _ => Err(invalid("node address", &[host, b":", rest[0]].concat())),
    }
}

fn wrong_number(sub: &[u8]) -> Stop {
    Stop::say(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try CLUSTER HELP.",
        text::shown(sub)
    ))
}

/// A node that waits for a cluster joins that of the node it meets; a member lets the node it meets in.
async fn meet(context: &Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let (handle, raft) = (&context.shared.handle, bus_address(args)?);
    if handle.status().cluster_id.is_empty() {
        handle.join_cluster(vec![raft]).await.map_err(failed)?;
    } else {
        handle
            .change_membership(Change::Add { id: 0, raft, fresh: false, force: false })
            .await
            .map_err(failed)?;
    }
    Ok(Reply::OK)
}

async fn forget(context: &Context<'_>, id: u64) -> Outcome<Reply> {
    let change = Change::Remove { id, force: false };
    context.shared.handle.change_membership(change).await.map_err(failed)?;
    Ok(Reply::OK)
}

/// `CLUSTER FAILOVER [FORCE | TAKEOVER]`: this node leads in the end. Nobody leads without a majority, so to take
/// over is no more than to insist: it waits for somebody to hand leadership over, if nobody leads right now.
async fn failover(context: &Context<'_>, map: &Map, insists: bool) -> Outcome<Reply> {
    if !map.is_led && !insists {
        return Err(Stop::text("ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"));
    }
    context.shared.handle.transfer_leadership(Some(map.me)).await.map_err(failed)?;
    Ok(Reply::OK)
}

/// `CLUSTER REPLICATE node`: everybody follows the leader already.
fn replicate(map: &Map, name: &[u8]) -> Outcome<Reply> {
    let node = find(map, name)?;
    if node.id == map.me {
        Err(Stop::text("ERR Can't replicate myself"))
    } else if Some(node.id) != map.master {
        Err(Stop::text("ERR I can only replicate a master, not a replica."))
    } else {
        Ok(Reply::OK)
    }
}

/// `CLUSTER RESET [HARD | SOFT]`: a node does not forget its cluster while it holds a vote in it.
pub(super) fn reset(args: &[&[u8]]) -> Outcome<Reply> {
    match args {
        [_, _] => {}
        [_, _, how] if arg::is(how, "hard") || arg::is(how, "soft") => {}
        [_, _, _] => return Err(text::SYNTAX),
        _ => return Err(wrong_number(args[1])),
    }
    Err(Stop::text(
        "ERR CLUSTER RESET can't be called: this node is a member, with data and a vote. Have the cluster remove it \
         with CLUSTER FORGET",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(args: &[&str]) -> Result<String, String> {
        let args: Vec<&[u8]> = ["cluster", "meet"].iter().chain(args).map(|arg| arg.as_bytes()).collect();
        bus_address(&args).map_err(|stop| match Reply::from_stop(stop) {
            Reply::Error(text) => text.into_owned(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn meet_reads_addresses_as_redis_does() {
        assert_eq!(met(&["10.0.0.1", "6400"]), Ok("10.0.0.1:16400".to_owned()));
        assert_eq!(met(&["node1.example", "6400", "7"]), Ok("node1.example:7".to_owned()));
        assert_eq!(met(&["::1", "6400"]), Ok("[::1]:16400".to_owned()));
        let wrong = |args: &[&str], text: &str| assert_eq!(met(args), Err(text.to_owned()));
        wrong(&["1.1.1.1", "x"], "ERR Invalid TCP base port specified: x");
        wrong(&["1.1.1.1", "1", "a"], "ERR Invalid TCP bus port specified: a");
        wrong(&["1.1.1.1", "99999"], "ERR Invalid node address specified: 1.1.1.1:99999");
        wrong(&["1.1.1.1", "60000"], "ERR Invalid node address specified: 1.1.1.1:60000");
        wrong(&["a b", "1"], "ERR Invalid node address specified: a b:1");
        let many = "ERR unknown subcommand or wrong number of arguments for 'meet'. Try CLUSTER HELP.";
        wrong(&["1.1.1.1", "1", "2", "3"], many);
    }
}
