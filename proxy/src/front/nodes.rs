//! RAFT.NODE and RAFT.TRANSFER_LEADER: the members of the cluster, and who leads it, on any node.
//!
//! | call | reply |
//! |---|---|
//! | `RAFT.NODE ADD id addr:port [FORCE]` | the node's id (given, or allocated for 0) and the cluster's id; the node is a learner, and becomes a voter when it has caught up. Refused if no node that knows the secret is there, but for FORCE |
//! | `RAFT.NODE REMOVE id [FORCE]` | `OK` when it is a member no more |
//! | `RAFT.NODE REPLACE id new-id addr:port [FORCE]` | the new node's id and the cluster's id, when the one votes and the other is a member no more |
//! | `RAFT.NODE PROMOTE id` | `OK` when it votes |
//! | `RAFT.NODE DEMOTE id [FORCE]` | `OK` when it does not vote any more |
//! | `RAFT.NODE LIST` | a map for each member: who and where it is, how it is, and the state of its link to each other one |
//! | `RAFT.TRANSFER_LEADER [id]` | `OK` when it leads |

use adapter::command::{arg, text};
use adapter::error::Outcome;
use adapter::{Reply, Stop};
use raft::handle::{Change, ChangeError};
use raft::health::HealthView;
use raft::status::MemberStatus;

use super::context::Context;
use super::help;
use crate::resp_error::RespError;

/// Runs a subcommand of `RAFT.NODE`.
pub(super) async fn run(context: &Context<'_>, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    let answers_ids = matches!(name, "add" | "replace");
    let change = match (name, &args[2..]) {
        ("help", _) => return Ok(help::reply(help::RAFT_NODE)),
        ("list", _) => {
            let handle = &context.shared.handle;
            let (members, health) = (handle.members().await, handle.health_view());
            return Ok(Reply::Array(members.iter().map(|member| listed(member, &health)).collect()));
        }
        ("add", [id, raft, rest @ ..]) => {
            Change::Add { id: node_id(id)?, raft: address(raft)?, fresh: false, force: force(rest)? }
        }
        ("replace", [old, new, raft, rest @ ..]) => Change::Replace {
            old: node_id(old)?,
            new: node_id(new)?,
            raft: address(raft)?,
            force: force(rest)?,
        },
        ("remove", [id, rest @ ..]) => Change::Remove { id: node_id(id)?, force: force(rest)? },
        ("demote", [id, rest @ ..]) => Change::Demote { id: node_id(id)?, force: force(rest)? },
        ("promote", [id]) => Change::Promote { id: node_id(id)? },
        _ => return Err(text::SYNTAX),
    };
    let handle = &context.shared.handle;
    let id = handle.change_membership(change).await.map_err(failed)?;
    if !answers_ids {
        return Ok(Reply::OK);
    }
    Ok(Reply::Array(vec![Reply::count(id), Reply::Bulk(handle.status().cluster_id.into())]))
}

/// `RAFT.TRANSFER_LEADER [id]`
pub(super) async fn transfer(context: &Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let target = match args {
        [_] => None,
        [_, id] => Some(node_id(id)?),
        _ => return Err(text::wrong_arity("raft.transfer_leader")),
    };
    context.shared.handle.transfer_leadership(target).await.map_err(failed)?;
    Ok(Reply::OK)
}

/// The one word that may stand behind the rest.
pub(super) fn force(rest: &[&[u8]]) -> Outcome<bool> {
    match rest {
        [] => Ok(false),
        [word] if arg::is(word, "force") => Ok(true),
        _ => Err(text::SYNTAX),
    }
}

/// `host:port`, or the name of SRV records.
pub(super) fn seed(given: &[u8]) -> Outcome<String> {
    let given = std::str::from_utf8(given).ok().and_then(|given| conf::value::seed(given).ok());
    given.ok_or(Stop::text("ERR invalid node address"))
}

/// `host:port`.
pub(super) fn address(given: &[u8]) -> Outcome<String> {
    let given = std::str::from_utf8(given).ok().and_then(|given| conf::value::host_port(given).ok());
    given.ok_or(Stop::text("ERR invalid node address"))
}

/// The reply for a change that was not made.
pub(super) fn failed(error: ChangeError) -> Stop {
    error.stop()
}

fn node_id(given: &[u8]) -> Outcome<u64> {
    const INVALID: Stop = Stop::text("ERR invalid node id");
    let id = arg::int(given).map_err(|_| INVALID)?;
    u64::try_from(id).ok().filter(|id| *id <= 1 << 53).ok_or(INVALID)
}

fn listed(member: &MemberStatus, health: &HealthView) -> Reply {
    let text = |text: &str| Reply::bulk(text.as_bytes());
    let node = member.node.as_ref();
    let role = node.map_or("unreachable", |node| node.role.name());
    let known = health.members.iter().find(|known| known.id == member.id);
    let links = health.links.iter().filter(|link| link.from == member.id);
    let links = links.map(|link| (text(&link.to.to_string()), text(link.state.name()))).collect();
    Reply::Map(vec![
        (text("id"), Reply::count(member.id)),
        (text("addr"), text(&member.raft)),
        (text("resp"), text(&member.resp)),
        (text("voting"), text(if member.voter { "yes" } else { "no" })),
        (text("state"), text(role)),
        (text("applied"), node.map_or(Reply::Null, |node| Reply::count(node.applied))),
        (text("health"), text(known.map_or("unknown", |known| known.state.name()))),
        (text("links"), Reply::Map(links)),
    ])
}
