//! CLUSTER: what clients of Redis Cluster ask for, and what its operators are used to.
//!
//! | module | what it says |
//! |---|---|
//! | [`map`] | the cluster as such clients see it |
//! | [`show`] | the map in the forms that they read |
//! | [`manage`] | CLUSTER MEET, FORGET, REPLICATE, FAILOVER, RESET |

mod manage;
mod map;
mod show;

use adapter::clock::unix_ms;
use adapter::command::arg;
use adapter::command::slot::{self, SLOTS};
use adapter::error::Outcome;
use adapter::{Reply, Stop};
use bytes::Bytes;

use super::context::Context;
use super::help;
use map::Map;

const DISABLED: Stop = Stop::text("ERR This instance has cluster support disabled");
const INVALID_SLOT: Stop = Stop::text("ERR Invalid slot");
const INVALID_SLOT_OR_COUNT: Stop = Stop::text("ERR Invalid slot or number of keys");

/// `ASKING`: no slot is ever on its way from one node to another, so there is nothing to be asked for.
pub(super) fn asking(context: &mut Context<'_>) -> Outcome<Reply> {
    if !context.shared.is_clustered() {
        return Err(DISABLED);
    }
    context.session.cluster_aware = true;
    Ok(Reply::OK)
}

/// Runs a subcommand of `CLUSTER`.
pub(super) async fn run(context: &mut Context<'_>, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    if !context.shared.is_clustered() {
        return Err(DISABLED);
    }
    if matches!(name, "slots" | "shards" | "nodes") {
        context.session.cluster_aware = true;
    }
    match name {
        "help" => Ok(help::reply(help::CLUSTER)),
        "keyslot" => Ok(Reply::Integer(i64::from(slot::of(args[2])))),
        "countkeysinslot" => count_keys(context, args).await,
        "getkeysinslot" => get_keys(context, args).await,
        "myid" => Ok(own_name(context, |id| id.to_string())),
        "myshardid" => Ok(own_name(context, |_| "shard".to_owned())),
        // The membership is on disk before it is in force.
        "saveconfig" => Ok(Reply::OK),
        "reset" => manage::reset(args),
        _ => with_map(context, name, args).await,
    }
}

/// The subcommands that need the map.
async fn with_map(context: &Context<'_>, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    if let ("meet", Err(stop)) | ("failover", Err(stop)) = (name, manage::check(name, args)) {
        return Err(stop);
    }
    let map = Map::look(context).await;
    match name {
        "info" => Ok(show::info(&map)),
        "nodes" => Ok(show::nodes(&map)),
        "slots" => Ok(show::slots(&map)),
        "shards" => Ok(show::shards(&map)),
        "links" => Ok(show::links(&map)),
        "replicas" | "slaves" => match manage::find(&map, args[2])?.id {
            id if Some(id) == map.master => Ok(show::replicas(&map)),
            _ => Err(Stop::text("ERR The specified node is not a master")),
        },
        // This node's own view: it is the only one that it can answer for.
        "count-failure-reports" => {
            manage::find(&map, args[2]).map(|node| Reply::Integer(i64::from(!node.is_up)))
        }
        _ => manage::run(context, &map, name, args).await,
    }
}

fn own_name(context: &Context<'_>, thing: impl Fn(u64) -> String) -> Reply {
    let status = context.shared.handle.status();
    Reply::Bulk(map::name(&status.cluster_id, &thing(status.id)).into())
}

/// `CLUSTER COUNTKEYSINSLOT slot`
async fn count_keys(context: &Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let slot = arg::int(args[2])?;
    if !(0..i64::from(SLOTS)).contains(&slot) {
        return Err(INVALID_SLOT);
    }
    Ok(look_into(context, &[args[2]]).await)
}

/// `CLUSTER GETKEYSINSLOT slot count`
async fn get_keys(context: &Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let (slot, most) = (arg::int(args[2])?, arg::int(args[3])?);
    if !(0..i64::from(SLOTS)).contains(&slot) || most < 0 {
        return Err(INVALID_SLOT_OR_COUNT);
    }
    Ok(look_into(context, &[args[2], args[3]]).await)
}

/// What this node has in a slot now, as in Redis: without a read barrier.
async fn look_into(context: &Context<'_>, args: &[&[u8]]) -> Reply {
    let mut call = vec![Bytes::from_static(slot::LOOK.as_bytes())];
    call.extend(args.iter().map(|arg| Bytes::copy_from_slice(arg)));
    context.shared.handle.adapter().read(call, unix_ms()).await.reply
}
