//! Who a node is and what it shares with its cluster: what it proves on every connection, and what it asks of others.

use std::sync::Arc;

use super::secret::Key;
use super::version::Versions;
use crate::types::NodeId;

/// The longest cluster id that is said in one byte's length.
const MAX_CLUSTER_BYTES: usize = u8::MAX as usize;

/// Why no credentials can be made.
#[derive(Debug, thiserror::Error)]
#[error("{what} is longer than {MAX_CLUSTER_BYTES} bytes")]
pub struct CredentialsError {
    /// The option at fault.
    pub what: &'static str,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// This node's id; 0 if it has none yet.
    pub(crate) node: NodeId,
    /// The cluster's id; empty for a node that belongs to none.
    pub(crate) cluster: Arc<str>,
    /// The root of the cluster's keys.
    pub(crate) root: Key,
    /// What it speaks.
    pub(crate) versions: Versions,
}

/// What a caller says of itself, and whom it wants to speak to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Its own id; 0 if it has none yet.
    pub(crate) node: NodeId,
    /// The id of whom it looks for; 0 for whoever is there.
    pub(crate) target: NodeId,
    /// The id of its cluster; empty if it belongs to none.
    pub(crate) cluster: String,
}

impl Claim {
    /// A node without a cluster, which may ask to be let into this one and nothing else.
    pub(crate) fn is_without_cluster(&self) -> bool {
        self.cluster.is_empty()
    }
}

/// What a node answers to a caller that has proved to have the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Welcome,
    /// This node belongs to another cluster.
    OtherCluster,
    /// This is another node of the cluster.
    OtherNode,
    /// This node belongs to no cluster.
    NoCluster,
    /// The caller has as many connections as one node may have.
    Full,
}

impl Credentials {
    pub(crate) fn new(node: NodeId, cluster: &str, secret: &str) -> Result<Self, CredentialsError> {
        if cluster.len() > MAX_CLUSTER_BYTES {
            return Err(CredentialsError { what: "cluster.id" });
        }
        let (root, versions) = (Key::of_secret(secret), Versions::spoken());
        Ok(Self { node, cluster: cluster.into(), root, versions })
    }

    /// What this node says of itself when it looks for `target`.
    pub(crate) fn claim(&self, target: NodeId) -> Claim {
        Claim { node: self.node, target, cluster: (*self.cluster).to_owned() }
    }

    /// Whether a caller is to speak to this node.
    pub(crate) fn judge(&self, claim: &Claim) -> Verdict {
        if self.cluster.is_empty() {
            Verdict::NoCluster
        } else if claim.is_without_cluster() {
            Verdict::Welcome
        } else if claim.cluster != *self.cluster {
            Verdict::OtherCluster
        } else if claim.target != self.node {
            Verdict::OtherNode
        } else {
            Verdict::Welcome
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn of(node: NodeId, cluster: &str) -> Credentials {
        Credentials::new(node, cluster, "a secret of the tests").unwrap()
    }

    #[test]
    fn only_a_member_that_looks_for_this_node_and_a_node_without_a_cluster_are_welcome() {
        let me = of(1, "c");
        assert_eq!(me.judge(&of(2, "c").claim(1)), Verdict::Welcome);
        assert_eq!(me.judge(&of(2, "c").claim(3)), Verdict::OtherNode);
        assert_eq!(me.judge(&of(2, "c").claim(0)), Verdict::OtherNode);
        assert_eq!(me.judge(&of(2, "d").claim(1)), Verdict::OtherCluster);
        assert_eq!(me.judge(&of(0, "").claim(0)), Verdict::Welcome);
        assert_eq!(of(1, "").judge(&of(2, "c").claim(1)), Verdict::NoCluster);
        assert_eq!(of(1, "").judge(&of(0, "").claim(0)), Verdict::NoCluster);
    }

    #[test]
    fn a_cluster_id_that_cannot_be_said_is_refused() {
        assert!(Credentials::new(1, &"x".repeat(256), "").is_err());
        assert!(Credentials::new(1, &"x".repeat(255), "").is_ok());
    }
}
