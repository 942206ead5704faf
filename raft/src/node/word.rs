//! What a node tells one that starts: how it is itself, and what it knows of the other.
//!
//! A node that is still opening its data answers nothing here: what it will turn out to be is not known, and it is waited for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Member;
use crate::data_id::DataId;
use crate::state_machine::Mark;
use crate::types::{LogId, NodeId, Vote};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    /// The answering node's data directory.
    pub(crate) data: DataId,
    /// Its vote.
    pub(crate) vote: Vote,
    /// How it is.
    pub(crate) stage: Stage,
    /// What it knows of the one that asks.
    pub(crate) asker: Asker,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// It has nothing but what its cluster begins with, and never had anything else.
    Empty {
        /// What that is.
        beginning: Beginning,
        /// Whether it takes part already.
        runs: bool,
    },
    /// It has been in a cluster.
    Member {
        /// Whether it leads, and has applied an entry of its term: then it has everything that was ever committed.
        leads: bool,
        /// The voters, as it knows them; two sets while they change.
        voters: Vec<BTreeSet<NodeId>>,
    },
}

/// What a cluster begins with. It must be the same for all that form it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beginning {
    /// The ids of the members. Where each is reached may differ with where one looks from.
    pub(crate) members: BTreeSet<NodeId>,
    /// The backup, if it begins with one; else empty.
    pub(crate) origin: String,
    /// The index behind which the log begins.
    pub(crate) base: u64,
}

/// What is known of a node that asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asker {
    /// It was a member, and is none any more.
    pub(crate) removed: bool,
    /// The data directory with which it is a member; none if that is not recorded.
    pub(crate) data: Option<DataId>,
    /// The index up to which this leader knows its log to match the leader's own.
    pub(crate) matched: Option<u64>,
}

/// Whether a log holds nothing that was ever proposed. Nobody is elected in term 0: what is of it is what a cluster begins
/// with.
pub(super) fn is_beginning(last: Option<LogId>) -> bool {
    last.is_none_or(|last| last.leader_id.term == 0)
}

impl Member {
    pub(super) fn word_to(&self, asker: NodeId) -> Word {
        let mark = Mark::of(&self.adapter.applied().position);
        let removed = mark.is_ok_and(|mark| mark.has_lost(asker));
        let applied = self.progress.borrow().applied;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let matched = metrics.replication.as_ref().and_then(|replication| *replication.get(&asker)?);
        let asker = Asker {
            removed,
            data: membership.get_node(&asker).and_then(|peer| peer.data),
            matched: matched.map(|log_id| log_id.index),
        };
        let stage = match &self.beginning {
            Some(beginning) if is_beginning(self.log.last_log_id()) => {
                Stage::Empty { beginning: beginning.clone(), runs: true }
            }
            _ => {
                let leads = metrics.state.is_leader()
                    && applied.is_some_and(|applied| applied.leader_id.term == metrics.current_term);
                Stage::Member { leads, voters: membership.get_joint_config().clone() }
            }
        };
        Word { data: self.data, vote: self.log.current_vote().unwrap_or_default(), stage, asker }
    }
}
