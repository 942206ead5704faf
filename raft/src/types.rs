//! The types openraft is instantiated with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use adapter::{Batch, Reply};
use serde::{Deserialize, Serialize};

use crate::data_id::DataId;

/// A node's id.
pub type NodeId = u64;

openraft::declare_raft_types!(
    /// One log entry is one batch of commands, answered by one list of replies.
    pub TypeConfig:
        D = Batch,
        R = Replies,
        NodeId = NodeId,
        Node = Peer,
        SnapshotData = SnapshotFile,
);

/// A log id.
pub type LogId = openraft::LogId<NodeId>;
/// A vote.
pub type Vote = openraft::Vote<NodeId>;
/// A log entry.
pub type Entry = openraft::Entry<TypeConfig>;
/// The membership with the log id that brought it.
pub type StoredMembership = openraft::StoredMembership<NodeId, Peer>;
/// openraft's handle.
pub type Raft = openraft::Raft<TypeConfig>;
/// What openraft tells of a node's standing: its vote, its role, the leader and the membership.
pub(crate) type ServerMetrics = openraft::metrics::RaftServerMetrics<NodeId, Peer>;
/// An error of the log store or the state machine. Fatal to the node.
pub type StorageError = openraft::StorageError<NodeId>;

/// What the membership says of a node: where it is reached, and what it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredPeer", into = "StoredPeer")]
pub struct Peer {
    /// `host:port` of its Raft listener.
    pub raft: String,
    /// `host:port` for Redis clients; empty until the node has told it.
    pub resp: String,
    /// What it is to be in the end. Until it is that, a change of membership is under way, which the leader, whoever
    /// that is, goes on with.
    pub target: TargetRole,
    /// Which data directory it has; none until it has told. It stays the same as long as it is a member: who comes with
    /// another one has lost its own.
    pub data: Option<DataId>,
}

/// Members, and where each is reached.
pub(crate) type Members = BTreeMap<NodeId, Peer>;

/// What a member is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetRole {
    /// A voter.
    #[default]
    Voter,
    /// A learner.
    Learner,
    /// No member any more.
    Gone,
    /// No member any more, once this node votes in its place.
    ReplacedBy(NodeId),
}

/// The form in which a [`Peer`] is stored and sent: two strings, as it was when there was no more to say. What else
/// there is to say stands in words behind the clients' address: a target other than the usual one, the data
/// directory.
#[derive(Serialize, Deserialize)]
struct StoredPeer {
    raft: String,
    resp: String,
}

impl From<Peer> for StoredPeer {
    fn from(Peer { raft, mut resp, target, data }: Peer) -> Self {
        match target {
            TargetRole::Voter => {}
            TargetRole::Learner => resp.push_str(" learner"),
            TargetRole::Gone => resp.push_str(" gone"),
            TargetRole::ReplacedBy(node) => resp.push_str(&format!(" replaced-by={node}")),
        }
        if let Some(data) = data {
            resp.push_str(&format!(" data={data}"));
        }
        Self { raft, resp }
    }
}

/// A word about a member that this program does not know: a newer one has written it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("of a member it says {0:?}, which this program does not know")]
pub struct UnknownWord(String);

impl TryFrom<StoredPeer> for Peer {
    type Error = UnknownWord;

    fn try_from(StoredPeer { raft, resp }: StoredPeer) -> Result<Self, UnknownWord> {
        let mut words = resp.split(' ');
        let resp = words.next().unwrap_or_default().to_owned();
        let mut peer = Self { raft, resp, ..Self::default() };
        for word in words {
            let unknown = || UnknownWord(word.to_owned());
            match word.split_once('=') {
                None if word == "learner" => peer.target = TargetRole::Learner,
                None if word == "gone" => peer.target = TargetRole::Gone,
                Some(("replaced-by", node)) => {
                    peer.target = TargetRole::ReplacedBy(node.parse().map_err(|_| unknown())?);
                }
                Some(("data", data)) => peer.data = Some(data.parse().map_err(|_| unknown())?),
                _ => return Err(unknown()),
            }
        }
        Ok(peer)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (clients: {})", self.raft, self.resp)
    }
}

/// The replies to one entry; empty for entries without commands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replies(pub Vec<Reply>);

/// A snapshot stream in a file. A received one is removed when this is dropped unless it was installed.
#[derive(Debug)]
pub struct SnapshotFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the file goes when this goes.
    pub temporary: bool,
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if self.temporary {
            // A leftover is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_peer_with_the_usual_target_is_stored_as_it_was_before_there_were_targets() {
        let peer = Peer { raft: "a:1".to_owned(), resp: "b:2".to_owned(), ..Peer::default() };
        let before = postcard::to_stdvec(&("a:1", "b:2")).unwrap();
        assert_eq!(postcard::to_stdvec(&peer).unwrap(), before);
        assert_eq!(postcard::from_bytes::<Peer>(&before).unwrap(), peer);
    }

    #[test]
    fn every_target_comes_back_and_an_unknown_one_is_an_error() {
        for target in [TargetRole::Voter, TargetRole::Learner, TargetRole::Gone, TargetRole::ReplacedBy(7)] {
            for (resp, data) in [("", None), ("b:2", None), ("", Some(DataId(7))), ("b:2", Some(DataId(7)))] {
                let peer = Peer { raft: "a:1".to_owned(), resp: resp.to_owned(), target, data };
                let stored = postcard::to_stdvec(&peer).unwrap();
                assert_eq!(postcard::from_bytes::<Peer>(&stored).unwrap(), peer);
            }
        }
        for newer in ["b:2 emperor", "b:2 data=7", "b:2 gone soon=1"] {
            let newer = postcard::to_stdvec(&("a:1", newer)).unwrap();
            assert!(postcard::from_bytes::<Peer>(&newer).is_err());
        }
    }
}
