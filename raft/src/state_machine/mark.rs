//! What the state machine keeps in the adapter's position, and so with the data: log id, membership, the ids of all
//! nodes that have ever been members, and the cluster version.

use std::collections::BTreeSet;

use adapter::Position;
use adapter::snapshot::{self, Origin};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::types::{LogId, NodeId, StoredMembership};
use crate::version;

/// The last applied log id, and the last applied membership with the log id that brought it.
///
/// Stored as `postcard(applied, membership) | postcard(used) | postcard(version, upload)`. Version 1 has no third part,
/// and before there were used ids there was no second; then the members are what is known to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
    /// The nodes of every membership that was applied: an id is never used twice. It follows from the log, so it is the
    /// same on all nodes; being with the data, it is in every snapshot.
    pub(crate) used: BTreeSet<NodeId>,
    /// The cluster version. It only rises.
    pub(crate) version: u16,
    /// The commands of which some pieces were applied, and not the last.
    pub(crate) upload: Option<Upload>,
}

/// Why a position says nothing, or an entry cannot be applied behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// It has no encoded form.
    #[error("the position cannot be encoded: {0}")]
    Unencodable(postcard::Error),
    /// It is none that this program has stored.
    #[error("the storage's position is not one of a Raft log: {0}")]
    Malformed(postcard::Error),
    /// Its two halves do not belong together.
    #[error("the storage's position is {position} and its mark says {mark}")]
    OtherIndex {
        /// The index of the position.
        position: u64,
        /// The index in the mark.
        mark: u64,
    },
    /// The entry raises the cluster version above what this program knows.
    #[error(transparent)]
    Version(#[from] version::TooNew),
    /// The entry belongs to an upload whose beginning is gone.
    #[error("the log has lost the first pieces of a large write")]
    PiecesLost,
}

/// Commands that come in pieces: see [`super::pieces`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    /// The entry with the first piece.
    pub(crate) first: LogId,
    /// What its pieces are known by.
    pub(crate) id: u64,
}

impl Default for Mark {
    fn default() -> Self {
        Self {
            applied: None,
            membership: StoredMembership::default(),
            used: BTreeSet::new(),
            version: version::FIRST,
            upload: None,
        }
    }
}

impl Mark {
    /// Takes a membership that is applied.
    pub(crate) fn set_membership(&mut self, membership: StoredMembership) {
        self.used.extend(membership.membership().nodes().map(|(id, _)| *id));
        self.membership = membership;
    }

    /// Takes a raise of the cluster version that is applied; one to what it is already changes nothing.
    pub(crate) fn raise_version(&mut self, raised: u16) -> Result<(), version::TooNew> {
        version::check(raised)?;
        self.version = self.version.max(raised);
        Ok(())
    }

    /// What a snapshot at this mark says of where it comes from.
    pub(crate) fn origin(&self, cluster_id: Bytes) -> Origin {
        let version = match self.version {
            ..version::WITH_REVISIONS => snapshot::Version::First,
            version::WITH_REVISIONS.. => snapshot::Version::WithRevisions,
        };
        Origin { version, cluster_id }
    }

    /// The revision that an entry at this mark gives to what it changes; 0 where none are kept.
    pub(crate) fn revision(&self, index: u64) -> u64 {
        if self.version >= version::WITH_REVISIONS { index } else { 0 }
    }

    /// Whether this node was a member and is none any more. That is final: an id is never used twice.
    pub(crate) fn has_lost(&self, id: NodeId) -> bool {
        self.used.contains(&id) && self.membership.membership().get_node(&id).is_none()
    }

    /// The position that says this.
    pub(crate) fn position(&self) -> Result<Position, MarkError> {
        let failed = MarkError::Unencodable;
        let mut mark = postcard::to_stdvec(&(&self.applied, &self.membership)).map_err(failed)?;
        mark.extend(postcard::to_stdvec(&self.used).map_err(failed)?);
        // Nothing is proposed in pieces in version 1, so its form stays what it was.
        if self.version > version::FIRST || self.upload.is_some() {
            mark.extend(postcard::to_stdvec(&(self.version, self.upload)).map_err(failed)?);
        }
        Ok(Position { index: self.applied.map_or(0, |applied| applied.index), mark: mark.into() })
    }

    /// Reads a position. That of a storage in which nothing was applied yet has no mark.
    pub(crate) fn of(position: &Position) -> Result<Self, MarkError> {
        if position.mark.is_empty() && position.index == 0 {
            return Ok(Self::default());
        }
        let failed = MarkError::Malformed;
        let ((applied, membership), rest): ((Option<LogId>, StoredMembership), _) =
            postcard::take_from_bytes(&position.mark).map_err(failed)?;
        let (used, rest) = match rest {
            [] => (BTreeSet::new(), rest),
            _ => postcard::take_from_bytes(rest).map_err(failed)?,
        };
        let (version, upload) = match rest {
            [] => (version::FIRST, None),
            _ => postcard::from_bytes(rest).map_err(failed)?,
        };
        let mut mark = Self { applied, used, version, upload, ..Self::default() };
        mark.set_membership(membership);
        let index = applied.map_or(0, |applied| applied.index);
        if index != position.index {
            return Err(MarkError::OtherIndex { position: position.index, mark: index });
        }
        Ok(mark)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;

    use openraft::{CommittedLeaderId, Membership};

    use super::*;
    use crate::types::Peer;

    fn members(index: u64, ids: &[NodeId]) -> StoredMembership {
        let log_id = LogId::new(CommittedLeaderId::new(1, 1), index);
        let nodes: BTreeMap<NodeId, Peer> = ids.iter().map(|id| (*id, Peer::default())).collect();
        let voters = ids.iter().copied().collect();
        StoredMembership::new(Some(log_id), Membership::new(vec![voters], nodes))
    }

    #[test]
    fn ids_of_nodes_that_are_gone_stay_used_and_come_back_from_storage() {
        let mut mark = Mark { applied: *members(7, &[]).log_id(), ..Mark::default() };
        mark.set_membership(members(6, &[1, 2, 5]));
        mark.set_membership(members(7, &[1]));
        assert_eq!([1, 2, 3, 5].map(|id| mark.has_lost(id)), [false, true, false, true]);
        let read = Mark::of(&mark.position().unwrap()).unwrap();
        assert_eq!(read, mark);
        assert_eq!(read.used, BTreeSet::from([1, 2, 5]));
    }

    #[test]
    fn an_upload_under_way_comes_back_from_storage() {
        let first = LogId::new(CommittedLeaderId::new(3, 2), 6);
        let upload = Some(Upload { first, id: u64::MAX });
        let mark = Mark { applied: *members(7, &[]).log_id(), version: 2, upload, ..Mark::default() };
        assert_eq!(Mark::of(&mark.position().unwrap()).unwrap(), mark);
    }

    #[test]
    fn the_cluster_version_comes_back_and_the_first_is_stored_as_before_there_were_versions() {
        let membership = members(7, &[1, 2]);
        let mut mark = Mark { applied: *membership.log_id(), ..Mark::default() };
        mark.set_membership(membership.clone());
        let first = mark.position().unwrap();
        let mut before = postcard::to_stdvec(&(membership.log_id(), &membership)).unwrap();
        before.extend(postcard::to_stdvec(&mark.used).unwrap());
        assert_eq!(first.mark, before);
        assert_eq!(Mark::of(&first).unwrap().version, version::FIRST);
        mark.version = 300;
        assert_eq!(Mark::of(&mark.position().unwrap()).unwrap(), mark);
    }

    #[test]
    fn a_mark_from_before_there_were_used_ids_knows_its_members() {
        let membership = members(7, &[1, 2]);
        let mark = postcard::to_stdvec(&(membership.log_id(), &membership)).unwrap();
        let read = Mark::of(&Position { index: 7, mark: mark.into() }).unwrap();
        assert_eq!(read.used, BTreeSet::from([1, 2]));
    }
}
