//! What the other members know of a node that has a log, before it takes part again.
//!
//! What the node has cannot tell it that all of it is an older copy: log, storage and identity of the same moment
//! agree with each other. But a leader knows how far this node's log has been, and the membership which data
//! directory it has. Who runs is asked once, and briefly: a restart waits for nobody who does not answer. A leader
//! that could not be asked tells it with its first append ([`crate::network::matched`]). Where nobody knows more, as
//! when all members are started at once, an older copy as a whole goes unnoticed.

use std::time::Duration;

use super::bootstrap::{Answers, ask_all};
use super::error::StartError;
use crate::data_id::DataId;
use crate::network::message::Stage;
use crate::network::peers::Peers;
use crate::types::{LogId, Members, NodeId, Vote};

/// How long a member has to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a leader that has seen more of a node's log than there is puts it.
pub(super) fn longer_log(leader: NodeId, seen: u64, end: u64) -> String {
    format!("node {leader}, which leads, has seen its log up to index {seen}, and it ends at {end}")
}

/// A node that has a log.
pub(super) struct Returning {
    pub(super) id: NodeId,
    pub(super) data: DataId,
    pub(super) last: Option<LogId>,
    pub(super) vote: Vote,
}

impl Returning {
    /// Asks the members; an error if one of them knows of more than is here.
    pub(super) async fn check(&self, peers: &Peers, members: &Members) -> Result<(), StartError> {
        let heard = ask_all(peers, self.id, members, PATIENCE).await;
        self.missing(&heard).map_or(Ok(()), |how| Err(StartError::OlderCopy { node: self.id, how }))
    }

    /// What is missing here that another knows of.
    fn missing(&self, heard: &Answers) -> Option<String> {
        let given = || heard.iter().filter_map(|(id, heard)| Some((id, heard.given()?)));
        if let Some((from, _)) =
            given().find(|(_, said)| said.asker.data.is_some_and(|data| data != self.data))
        {
            return Some(format!("node {from} knows this node with another data directory"));
        }
        // A leader that this node has seen deposed may know of entries that its successor had removed.
        let leads = |stage: &Stage| matches!(stage, Stage::Member { leads: true, .. });
        let present =
            given().filter(|(_, said)| leads(&said.stage) && said.vote.leader_id >= self.vote.leader_id);
        let end = self.last.map_or(0, |last| last.index);
        let matched = present.filter_map(|(from, said)| Some((from, said.asker.matched?)));
        let (from, index) = matched.max_by_key(|(_, index)| *index).filter(|(_, index)| *index > end)?;
        Some(longer_log(*from, index, end))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openraft::CommittedLeaderId;

    use super::super::bootstrap::Answer;
    use super::*;
    use crate::network::message::{Asker, Introduction};

    fn returning(term: u64, index: u64) -> Returning {
        let last = Some(LogId::new(CommittedLeaderId::new(term, 2), index));
        Returning { id: 1, data: DataId(1), last, vote: Vote::new(term, 2) }
    }

    fn heard(term: u64, leads: bool, asker: Asker) -> Answers {
        let stage = Stage::Member { leads, voters: vec![BTreeSet::from([1, 2, 3])] };
        let said = Introduction { data: DataId(2), vote: Vote::new_committed(term, 2), stage, asker };
        Answers::from([(2, Answer::Given(said)), (3, Answer::Nothing)])
    }

    fn matched(index: u64) -> Asker {
        Asker { matched: Some(index), ..Asker::default() }
    }

    #[test]
    fn a_log_that_is_shorter_than_its_leader_knows_is_an_older_copy() {
        assert_eq!(returning(4, 9).missing(&heard(4, true, matched(9))), None);
        assert_eq!(
            returning(4, 9).missing(&heard(5, true, matched(10))).as_deref(),
            Some("node 2, which leads, has seen its log up to index 10, and it ends at 9")
        );
    }

    #[test]
    fn a_leader_that_was_deposed_and_one_that_follows_are_no_witnesses() {
        assert_eq!(returning(6, 9).missing(&heard(5, true, matched(10))), None);
        assert_eq!(returning(4, 9).missing(&heard(5, false, matched(10))), None);
    }

    #[test]
    fn a_directory_that_is_not_the_one_of_the_membership_is_no_members() {
        let other = Asker { data: Some(DataId(9)), ..Asker::default() };
        assert_eq!(
            returning(4, 9).missing(&heard(4, false, other)).as_deref(),
            Some("node 2 knows this node with another data directory")
        );
        let same = Asker { data: Some(DataId(1)), ..Asker::default() };
        assert_eq!(returning(4, 9).missing(&heard(4, false, same)), None);
    }
}
