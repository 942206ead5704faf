//! What operators ask of the cluster through the Redis port.

use adapter::command::{arg, text};
use adapter::error::Outcome;
use adapter::{FactValue, Reply, Stop};
use raft::handle::{Change, ChangeError};
use raft::status::{NodeStatus, Role};

use super::context::Context;
use super::{help, nodes};
use crate::resp_error::RespError;

/// Runs a subcommand of `RAFT.CLUSTER`.
pub(super) async fn run(context: &Context<'_>, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    match (name, &args[2..]) {
        ("help", _) => Ok(help::reply(help::RAFT_CLUSTER)),
        ("init", [adopt, rest @ ..]) if arg::is(adopt, "adopt") => init_adopt(context, rest).await,
        ("init", []) => init(context, None).await,
        ("init", [id]) => init(context, Some(cluster_id(id)?)).await,
        ("join", seeds) => {
            let seeds: Vec<String> = seeds.iter().map(|seed| nodes::seed(seed)).collect::<Outcome<_>>()?;
            context.shared.handle.join_cluster(seeds).await.map_err(nodes::failed)?;
            Ok(Reply::OK)
        }
        ("version", []) => Ok(version(context).await),
        ("version", [finalize]) if arg::is(finalize, "finalize") => {
            let version = context.shared.handle.finalize_version().await.map_err(nodes::failed)?;
            Ok(Reply::Status(format!("OK {version}").into()))
        }
        ("leave", rest) => {
            let (id, force) = (context.shared.handle.status().id, nodes::force(rest)?);
            let change = Change::Remove { id, force };
            context.shared.handle.change_membership(change).await.map_err(nodes::failed)?;
            Ok(Reply::OK)
        }
        _ => Err(text::SYNTAX),
    }
}

/// `RAFT.CLUSTER INIT [cluster-id]`: makes this node the first of a cluster. Members in the configuration form one by
/// themselves.
async fn init(context: &Context<'_>, id: Option<String>) -> Outcome<Reply> {
    let id = context.shared.handle.init_cluster(id).await.map_err(nodes::failed)?;
    Ok(Reply::Status(format!("OK {id}").into()))
}

/// `RAFT.CLUSTER VERSION`: the cluster version here, the newest that this node's program knows, and the same of every
/// member that answers. `RAFT.CLUSTER VERSION FINALIZE` raises the first to the second.
async fn version(context: &Context<'_>) -> Reply {
    let text = |text: &str| Reply::bulk(text.as_bytes());
    let (status, members) = (context.shared.handle.status(), context.shared.handle.members().await);
    let members = members.iter().map(|member| {
        let node = member.node.as_ref();
        let number =
            |of: fn(&NodeStatus) -> u16| node.map_or(Reply::Null, |node| Reply::count(of(node).into()));
        Reply::Map(vec![
            (text("id"), Reply::count(member.id)),
            (text("program"), node.map_or(Reply::Null, |node| text(&node.program))),
            (text("version"), number(|node| node.cluster_version)),
            (text("newest"), number(|node| node.newest_version)),
        ])
    });
    Reply::Map(vec![
        (text("version"), Reply::count(status.cluster_version.into())),
        (text("newest"), Reply::count(status.newest_version.into())),
        (text("members"), Reply::Array(members.collect())),
    ])
}

/// As `cluster.id` in the configuration.
fn cluster_id(given: &[u8]) -> Outcome<String> {
    let mut config = conf::ClusterConfig::default();
    let option = conf::options::find("cluster", "id");
    let set =
        std::str::from_utf8(given).ok().zip(option).map(|(text, option)| (option.set)(&mut config, text));
    match set {
        Some(Ok(())) if !config.cluster.id.is_empty() => Ok(config.cluster.id),
        _ => Err(Stop::text("ERR invalid cluster id: it has up to 64 letters, digits, - and _")),
    }
}

/// `RAFT.CLUSTER INIT ADOPT [ABORT]`: makes the data that this node's storage has the cluster's.
async fn init_adopt(context: &Context<'_>, rest: &[&[u8]]) -> Outcome<Reply> {
    let shared = context.shared;
    let status = shared.handle.status();
    if status.role == Role::Standalone {
        return Err(nodes::failed(ChangeError::StandAlone));
    }
    if rest.is_empty() && status.cluster_id.is_empty() {
        init(context, None).await?;
    }
    let status = shared.handle.status();
    let ended = match rest {
        [] => shared.adoption.run(&shared.handle).await,
        [abort] if arg::is(abort, "abort") => shared.adoption.abort(&shared.handle).await,
        _ => return Err(text::SYNTAX),
    };
    match ended {
        Ok(()) if rest.is_empty() => Ok(Reply::Status(format!("OK {}", status.cluster_id).into())),
        Ok(()) => Ok(Reply::OK),
        Err(error) => Err(Stop::say(format!("ERR {error}"))),
    }
}

/// `RAFT.STATUS`: how all members are, as JSON.
pub(super) async fn status(context: &Context<'_>) -> Outcome<Reply> {
    let members = context.shared.handle.members().await;
    let json = serde_json::to_vec(&members).map_err(|error| Stop::say(format!("ERR {error}")))?;
    Ok(Reply::Bulk(json.into()))
}

/// `RAFT.BACKEND`: what this node's storage is, how it stands with it, and its limits.
pub(super) fn backend(context: &Context<'_>) -> Reply {
    let field = |name: &str| Reply::Bulk(name.to_owned().into());
    let kind = context.shared.handle.status().storage_kind;
    let mut fields = vec![(field("kind"), Reply::Bulk(kind.into()))];
    fields.extend(context.shared.handle.adapter().facts().into_iter().map(|fact| {
        let value = match fact.value {
            FactValue::Text(text) => Reply::Bulk(text.into()),
            FactValue::Count(number) | FactValue::Level(number) => Reply::count(number),
        };
        (field(fact.name), value)
    }));
    Reply::Map(fields)
}

/// `RAFT.DIGEST`: the log index that this node has applied and the digest of its data there, in 32 hexadecimal
/// digits. Without a barrier: nodes are compared at equal indices. With `AT index` it is the digest at exactly this
/// index, which is waited for; so nodes can be compared while they move on.
pub(super) async fn digest(context: &Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let handle = &context.shared.handle;
    let (index, digest) = match args {
        [_] => {
            let (position, digest) = handle.adapter().digest().await?;
            (position.index, digest)
        }
        [_, at, index] if arg::is(at, "at") => {
            let index = number(index)?;
            (index, handle.digest_at(index).await.map_err(|error| error.stop())?)
        }
        _ => return Err(text::SYNTAX),
    };
    Ok(Reply::Array(vec![Reply::count(index), Reply::Bulk(digest.to_string().into())]))
}

/// An index, an offset or a length.
pub(super) fn number(given: &[u8]) -> Outcome<u64> {
    u64::try_from(arg::int(given)?).map_err(|_| text::NOT_INTEGER)
}
