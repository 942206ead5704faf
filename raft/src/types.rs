//! The types openraft is instantiated with.

use std::fmt;
use std::path::PathBuf;

use adapter::{Batch, Reply};
use serde::{Deserialize, Serialize};

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
    pub wish: Wish,
}

/// What a member is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
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

/// The form in which a [`Peer`] is stored and sent: two strings, as it was before there were wishes. A wish other than
/// the usual one is a word behind the clients' address.
#[derive(Serialize, Deserialize)]
struct StoredPeer {
    raft: String,
    resp: String,
}

impl From<Peer> for StoredPeer {
    fn from(Peer { raft, resp, wish }: Peer) -> Self {
        let resp = match wish {
            Wish::Voter => resp,
            Wish::Learner => format!("{resp} learner"),
            Wish::Gone => format!("{resp} gone"),
            Wish::ReplacedBy(node) => format!("{resp} replaced-by={node}"),
        };
        Self { raft, resp }
    }
}

impl TryFrom<StoredPeer> for Peer {
    type Error = String;

    fn try_from(StoredPeer { raft, resp }: StoredPeer) -> Result<Self, String> {
        let Some((resp, word)) = resp.split_once(' ') else {
            return Ok(Self { raft, resp, wish: Wish::Voter });
        };
        let unknown = || format!("a member is to be {word:?}, which this program does not know");
        let wish = match word {
            "learner" => Wish::Learner,
            "gone" => Wish::Gone,
            _ => {
                let node = word.strip_prefix("replaced-by=").and_then(|node| node.parse().ok());
                Wish::ReplacedBy(node.ok_or_else(unknown)?)
            }
        };
        Ok(Self { raft, resp: resp.to_owned(), wish })
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
    fn a_peer_without_a_wish_of_its_own_is_stored_as_it_was_before_there_were_wishes() {
        let peer = Peer { raft: "a:1".to_owned(), resp: "b:2".to_owned(), wish: Wish::Voter };
        let before = postcard::to_stdvec(&("a:1", "b:2")).unwrap();
        assert_eq!(postcard::to_stdvec(&peer).unwrap(), before);
        assert_eq!(postcard::from_bytes::<Peer>(&before).unwrap(), peer);
    }

    #[test]
    fn every_wish_comes_back_and_an_unknown_one_is_an_error() {
        for wish in [Wish::Voter, Wish::Learner, Wish::Gone, Wish::ReplacedBy(7)] {
            for resp in ["", "b:2"] {
                let peer = Peer { raft: "a:1".to_owned(), resp: resp.to_owned(), wish };
                let stored = postcard::to_stdvec(&peer).unwrap();
                assert_eq!(postcard::from_bytes::<Peer>(&stored).unwrap(), peer);
            }
        }
        let newer = postcard::to_stdvec(&("a:1", "b:2 emperor")).unwrap();
        assert!(postcard::from_bytes::<Peer>(&newer).is_err());
    }
}
