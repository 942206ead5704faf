//! A snapshot as a backup.
//!
//! | module | what it says |
//! |---|---|
//! | this one | what a backup says of the cluster that it comes from |
//! | [`taken`] | snapshots that are taken for somebody who reads them piece by piece |

mod taken;

use adapter::Position;
use serde::Serialize;

pub use taken::{Backups, Begun, Hold, IDLE, MOST, MOST_PIECE, Piece, TakeError};

use crate::state_machine::{Mark, MarkError};
use crate::types::NodeId;

/// Where a backup's data comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The index of the last log entry whose effects are in it.
    pub index: u64,
    /// The term of that entry; none in a backup of a stand-alone node.
    pub term: Option<u64>,
    /// The members at that entry, in the order of their ids.
    pub members: Vec<OriginMember>,
}

/// A member of the cluster that a backup comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OriginMember {
    /// Its id.
    pub id: NodeId,
    /// Whether it voted.
    pub voter: bool,
    /// `host:port` for nodes.
    pub raft: String,
}

impl Origin {
    /// Reads the position that a snapshot's header has.
    pub fn of(position: &Position) -> Result<Self, MarkError> {
        if position.mark.is_empty() {
            return Ok(Self { index: position.index, ..Self::default() });
        }
        let mark = Mark::of(position)?;
        let membership = mark.membership.membership();
        let voters: Vec<NodeId> = membership.voter_ids().collect();
        let members = membership.nodes().map(|(id, peer)| OriginMember {
            id: *id,
            voter: voters.contains(id),
            raft: peer.raft.clone(),
        });
        Ok(Self {
            index: position.index,
            term: mark.applied.map(|applied| applied.leader_id.term),
            members: members.collect(),
        })
    }
}
