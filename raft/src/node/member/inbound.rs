//! What its peers ask of a member.

use std::sync::Arc;

use super::Member;
use crate::boxed::Boxed;
use crate::error::ProposeError;
use crate::failure;
use crate::health::HealthMonitor;
use crate::membership::change::{Change, ChangeError, Join, Joined, View};
use crate::network::message::{
    Announced, Answers, Forwarded, Introduction, PreVote, PreVoteAnswer, Proposed, ReadIndexAnswer,
    Replicated, StatusReport,
};
use crate::network::traffic::Traffic;
use crate::node::error::StartError;
use crate::node::rejoin::longer_log;
use crate::remote_clock::Reading;
use crate::server::inbound::{Inbound, ShorterLog};
use crate::state_machine::KeepError;
use crate::types::{NodeId, Peer, Raft, SnapshotFile, Vote};

impl Inbound for Member {
    fn raft(&self) -> &Raft {
        &self.raft
    }

    fn vote(&self) -> Vote {
        self.log.current_vote().unwrap_or_default()
    }

    fn check_log(&self, leader: Vote, matched: u64) -> Result<(), ShorterLog> {
        // What a snapshot brought is applied before the log is given up for it.
        let applied = self.progress.borrow().applied;
        let end = self.log.last_log_id().max(applied).map_or(0, |last| last.index);
        // A later leader may have removed entries; it has had this node's vote first.
        if matched <= end || self.vote() != leader {
            return Ok(());
        }
        let how = longer_log(leader.leader_id.node_id, matched, end);
        failure::fail(StartError::OlderCopy { node: self.id, how }.to_string());
        Err(ShorterLog)
    }

    fn propose(&self, groups: Vec<Forwarded>) -> Boxed<'_, Proposed> {
        Box::pin(async move {
            // All queue before any is waited for, so that they can share an entry.
            let queue = |(deadline, group): Forwarded| match deadline.left() {
                Some(budget) => self.proposer.queue_here(group, budget),
                // Its sender waits no longer, or means the process that was here before.
                None => Err(ProposeError::NoLeader),
            };
            let queued: Vec<_> = groups.into_iter().map(queue).collect();
            let mut answers = Answers::with_capacity(queued.len());
            for group in queued {
                answers.push(match group {
                    Ok(waiting) => waiting.answer().await,
                    Err(error) => Err(error),
                });
            }
            (answers, Reading::now())
        })
    }

    fn read_index(&self, by_lease: bool) -> Boxed<'_, ReadIndexAnswer> {
        Box::pin(self.reads.leader_index(by_lease))
    }

    fn replicated(&self, question: Replicated) -> Boxed<'_, Option<u32>> {
        Box::pin(self.replicated_here(question))
    }

    fn keep_snapshot(&self, file: Box<SnapshotFile>) -> Boxed<'_, Result<Box<SnapshotFile>, KeepError>> {
        Box::pin(self.keeper.keep(file))
    }

    fn report(&self, asker: NodeId) -> StatusReport {
        self.status_report(asker)
    }

    fn introduction(&self, asker: NodeId) -> Introduction {
        self.introduce_to(asker)
    }

    fn health(&self) -> &HealthMonitor {
        &self.health
    }

    fn traffic(&self, from: NodeId) -> Arc<Traffic> {
        self.peers.traffic(from)
    }

    fn announced(&self, member: NodeId, place: Peer) -> Boxed<'_, Announced> {
        Box::pin(self.place_announced(member, place))
    }

    fn pre_vote(&self, asker: NodeId, question: &PreVote) -> PreVoteAnswer {
        self.campaign.answer(asker, question)
    }

    fn join(&self, join: Join) -> Boxed<'_, Result<Joined, ChangeError>> {
        Box::pin(self.let_in(join))
    }

    fn change(&self, change: Change) -> Boxed<'_, Result<NodeId, ChangeError>> {
        Box::pin(async move { self.take_on(&change).await })
    }

    fn transfer(&self, target: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>> {
        Box::pin(self.transfer_here(target))
    }

    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>> {
        Box::pin(self.manager.finalize())
    }

    fn view(&self) -> Option<View> {
        self.membership_view()
    }
}
