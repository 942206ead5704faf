//! A member of the cluster, as `cluster.members` names it.

/// One of `cluster.members`, written `id=host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node's id.
    pub id: u64,
    /// `host:port` of its Raft listener.
    pub address: String,
}
