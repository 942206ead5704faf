//! How far the followers' logs are known to match this leader's, by what they have answered.
//!
//! openraft keeps the same for itself, and stops the node if a follower says that it lacks what it has once said to
//! have. Such a follower has lost a part of its log, for instance because an older copy of its data directory was put
//! back. The leader tells each follower with every append how far it knows it to be ([`wire`](super::wire)), so that
//! the follower notices; and what a follower says against that does not reach openraft.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};

use crate::TypeConfig;
use crate::types::{NodeId, Vote};

/// What an append asks: whether the entries of this leader up to `last` match, behind those up to `prev`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    leader: Vote,
    prev: u64,
    last: u64,
}

impl Asked {
    pub(crate) fn by(rpc: &AppendEntriesRequest<TypeConfig>) -> Self {
        let prev = rpc.prev_log_id.map_or(0, |prev| prev.index);
        let last = rpc.entries.last().map_or(prev, |last| last.log_id.index);
        Self { leader: rpc.vote, prev, last }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Matched(Mutex<HashMap<NodeId, (Vote, u64)>>);

impl Matched {
    /// The index up to which a follower's log matches that of the leader with this vote; 0 if nothing is known.
    pub(crate) fn of(&self, follower: NodeId, leader: Vote) -> u64 {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&follower).filter(|(vote, _)| *vote == leader).map_or(0, |(_, index)| *index)
    }

    /// Notes that a follower's log matches up to this index.
    pub(crate) fn note(&self, follower: NodeId, leader: Vote, index: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(follower).or_insert((leader, index));
        if leader > entry.0 {
            *entry = (leader, index);
        } else if leader == entry.0 {
            entry.1 = entry.1.max(index);
        }
    }

    /// Notes what the answer to an append says; an error if it takes back what was said before.
    pub(crate) fn check(
        &self,
        follower: NodeId,
        asked: Asked,
        answer: &AppendEntriesResponse<NodeId>,
    ) -> Result<(), TakenBack> {
        let matches = match answer {
            AppendEntriesResponse::Success => asked.last,
            AppendEntriesResponse::PartialSuccess(last) => last.map_or(0, |last| last.index),
            AppendEntriesResponse::Conflict => {
                let matched = self.of(follower, asked.leader);
                let takes_back = matched > 0 && matched >= asked.prev;
                return if takes_back { Err(TakenBack { follower, matched }) } else { Ok(()) };
            }
            AppendEntriesResponse::HigherVote(_) => return Ok(()),
        };
        self.note(follower, asked.leader, matches);
        Ok(())
    }
}

/// A follower lacks what it has said to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "node {follower} lacks log entries that it has acknowledged, up to index {matched}: its data directory is an older \
     copy, or was cut. It gets nothing more"
)]
pub(crate) struct TakenBack {
    follower: NodeId,
    matched: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(term: u64, prev: u64) -> Asked {
        Asked { leader: Vote::new_committed(term, 1), prev, last: prev }
    }

    #[test]
    fn what_a_follower_has_acknowledged_it_cannot_take_back_in_the_same_term() {
        let matched = Matched::default();
        let check = |term, prev, answer| matched.check(2, asked(term, prev), &answer);
        assert_eq!(check(3, 9, AppendEntriesResponse::Conflict), Ok(()), "nothing was acknowledged yet");
        assert_eq!(check(3, 7, AppendEntriesResponse::Success), Ok(()));
        assert_eq!(matched.of(2, Vote::new_committed(3, 1)), 7);
        // An answer that comes late lowers nothing, and what lies behind may be missing.
        assert_eq!(check(3, 5, AppendEntriesResponse::Success), Ok(()));
        assert_eq!(check(3, 8, AppendEntriesResponse::Conflict), Ok(()));
        assert_eq!(check(3, 7, AppendEntriesResponse::Conflict), Err(TakenBack { follower: 2, matched: 7 }));
        assert_eq!(
            matched.check(3, asked(3, 7), &AppendEntriesResponse::Conflict),
            Ok(()),
            "another follower"
        );
        // Another leader begins anew, and the one before it says nothing any more.
        assert_eq!(check(4, 6, AppendEntriesResponse::Conflict), Ok(()));
        assert_eq!(check(4, 6, AppendEntriesResponse::Success), Ok(()));
        assert_eq!(check(3, 20, AppendEntriesResponse::Success), Ok(()));
        assert_eq!(matched.of(2, Vote::new_committed(4, 1)), 6);
    }
}
