//! What operators ask of the cluster through the Redis port.

use adapter::error::Outcome;
use adapter::{Adapter, FactValue, Reply, Stop};

use super::Context;

/// `RAFT.STATUS`: how all members are, as JSON.
pub(super) async fn status<A: Adapter>(context: &Context<'_, A>) -> Outcome<Reply> {
    let members = context.shared.handle.members().await;
    let json = serde_json::to_vec(&members).map_err(|error| Stop::say(format!("ERR {error}")))?;
    Ok(Reply::Bulk(json.into()))
}

/// `RAFT.BACKEND`: what this node's storage is, how it stands with it, and its limits.
pub(super) fn backend<A: Adapter>(context: &Context<'_, A>) -> Reply {
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
/// digits. Without a barrier: nodes are compared at equal indices.
pub(super) async fn digest<A: Adapter>(context: &Context<'_, A>) -> Outcome<Reply> {
    let (position, digest) = context.shared.handle.adapter().digest().await?;
    Ok(Reply::Array(vec![Reply::count(position.index), Reply::Bulk(format!("{:032x}", digest.0).into())]))
}
