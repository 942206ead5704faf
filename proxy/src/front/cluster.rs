//! What operators ask of the cluster through the Redis port.

use adapter::error::Outcome;
use adapter::{Adapter, Reply, Stop};

use super::Context;

/// `RAFT.STATUS`: how all members are, as JSON.
pub(super) async fn status<A: Adapter>(context: &Context<'_, A>) -> Outcome<Reply> {
    let members = context.shared.handle.members().await;
    let json = serde_json::to_vec(&members).map_err(|error| Stop::say(format!("ERR {error}")))?;
    Ok(Reply::Bulk(json.into()))
}

/// `RAFT.DIGEST`: the log index that this node has applied and the digest of its data there, in 32 hexadecimal
/// digits. Without a barrier: nodes are compared at equal indices.
pub(super) async fn digest<A: Adapter>(context: &Context<'_, A>) -> Outcome<Reply> {
    let (position, digest) = context.shared.handle.adapter().digest().await?;
    Ok(Reply::Array(vec![Reply::count(position.index), Reply::Bulk(format!("{:032x}", digest.0).into())]))
}
