//! The last look at the cluster, which clients are told of: see `member/glance.rs` for what becomes of it.

use std::sync::Mutex;

use tokio::time::Instant;

use crate::status::MemberStatus;
use crate::types::NodeId;

/// The last look at the cluster.
#[derive(Default)]
pub(super) struct ClusterMap {
    pub(super) seen: tokio::sync::Mutex<Option<(Instant, Vec<MemberStatus>)>>,
    /// Which leader did not answer, and when it was asked.
    pub(super) doubted: Mutex<Option<(NodeId, std::time::Instant)>>,
}

impl ClusterMap {
    /// Something about the cluster was changed from here: what was seen before is old, however young it is.
    pub(super) async fn forget(&self) {
        *self.seen.lock().await = None;
    }
}
