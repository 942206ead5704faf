//! What a node tells one that starts: how it is itself, and what it knows of the other.
//!
//! A node that is still opening its data answers nothing here: what it will turn out to be is not known, and it is
//! waited for.

use super::Member;
use crate::network::message::{Asker, Introduction, Stage};
use crate::state_machine::Mark;
use crate::types::{LogId, NodeId};

/// Whether a log holds nothing that was ever proposed. Nobody is elected in term 0: what is of it is what a cluster
/// begins with.
pub(super) fn is_beginning(last: Option<LogId>) -> bool {
    last.is_none_or(|last| last.leader_id.term == 0)
}

impl Member {
    pub(super) fn introduce_to(&self, asker: NodeId) -> Introduction {
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
        Introduction { data: self.data, vote: self.log.current_vote().unwrap_or_default(), stage, asker }
    }
}
