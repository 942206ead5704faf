//! Keys that a storage keeps for itself.

/// The prefix of all of them. Clients cannot write such keys.
pub const RESERVED: &[u8] = b"__raft_proxy__:";

/// The progress of an [adoption](crate::command::adoption); while this key exists, data is loading.
pub(crate) const ADOPTION: &[u8] = b"__raft_proxy__:adoption";
