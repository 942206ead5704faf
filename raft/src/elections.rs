//! What a node has heard of leaders and candidates, and what it has promised them.
//!
//! **Promises.** A node that takes a leader's append promises to vote for nobody else for a time, itself included: a
//! leader's lease ([`crate::lease`]) rests on that. openraft keeps it towards candidates and in its own timer. Whatever
//! else has the node stand must go through [`Elections::stand_for_election`], which keeps it here; only a leader that
//! gives up leading, and so has no lease any more, may release its followers from it.
//!
//! When a node stands is decided in [`crate::node::campaign`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openraft::CommittedLeaderId;
use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use tokio::sync::watch;

use crate::types::{LogId, NodeId, Raft, Vote};

/// An index that no log ever reaches.
const NOWHERE: u64 = u64::MAX / 2;

/// The append that carries a vote and nothing else: it claims to come behind an entry that no log has, so that openraft
/// takes the vote and refuses the rest. (An append that could succeed would have to be a leader's.)
fn giving_way(vote: Vote) -> AppendEntriesRequest<crate::TypeConfig> {
    let nowhere = LogId::new(CommittedLeaderId::new(vote.leader_id.term, vote.leader_id.node_id), NOWHERE);
    AppendEntriesRequest { vote, prev_log_id: Some(nowhere), entries: Vec::new(), leader_commit: None }
}

/// What a member's network has seen of leaders and candidates.
pub(crate) struct Elections {
    /// The shortest and the longest wait before standing. The longest is openraft's lease of a leader over its
    /// followers.
    timeout: (Duration, Duration),
    heard: Mutex<LeaderContact>,
    /// Whether there is a leader, for those that wait for one, or for its end.
    present: watch::Sender<bool>,
    /// The last candidate whose log was shorter than this node's.
    lesser: watch::Sender<Option<Vote>>,
    removed: AtomicBool,
}

#[derive(Default)]
struct LeaderContact {
    /// When the last append of a leader was taken.
    at: Option<Instant>,
    /// How often the node has begun to stand.
    stood: u64,
    /// How many have openraft stand right now; it may not have heard of it.
    standing: u32,
}

/// Counts as standing until openraft has been told.
struct Standing<'a>(&'a Elections);

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.heard().standing -= 1;
    }
}

/// What goes before an append is taken: see [`Elections::leader_heard`].
pub(crate) struct Taking(Option<u64>);

impl Elections {
    /// `timeout` is the shortest and the longest time without a leader before a node stands.
    pub(crate) fn new(timeout: (Duration, Duration)) -> Arc<Self> {
        // What it promised to a leader before it was started again still holds.
        let heard = Mutex::new(LeaderContact { at: Some(Instant::now()), ..LeaderContact::default() });
        let (present, lesser) = (watch::Sender::new(true), watch::Sender::default());
        Arc::new(Self { timeout, heard, present, lesser, removed: AtomicBool::new(false) })
    }

    /// An append is about to be handed to openraft.
    pub(crate) fn taking(&self) -> Taking {
        let heard = self.heard();
        Taking((heard.standing == 0).then_some(heard.stood))
    }

    /// A leader's append was taken. Answers for how long this node votes for nobody else: not at all if it has begun to
    /// stand meanwhile, because openraft may have heard of that after the append.
    pub(crate) fn leader_heard(&self, taking: &Taking) -> Duration {
        self.removed.store(false, Ordering::Release);
        let mut heard = self.heard();
        heard.at = Some(Instant::now());
        self.present.send_if_modified(|present| !std::mem::replace(present, true));
        let is_undisturbed = heard.standing == 0 && taking.0 == Some(heard.stood);
        if is_undisturbed { self.timeout.1 } else { Duration::ZERO }
    }

    /// The leader that this node followed at this moment gives up leading, and its lease with it: what was promised
    /// until then is void. What was promised later may be another leader's.
    fn release(&self, followed_at: Instant) {
        let mut heard = self.heard();
        if heard.at.is_some_and(|at| at <= followed_at) {
            heard.at = None;
            self.present.send_if_modified(|present| std::mem::replace(present, false));
        }
    }

    /// For how long at least a node hears no leader before it stands.
    pub(crate) fn shortest_timeout(&self) -> Duration {
        self.timeout.0
    }

    /// For how long at most a node hears no leader before it stands, and for how long it names the last one.
    pub(crate) fn longest_timeout(&self) -> Duration {
        self.timeout.1
    }

    /// Whether a leader has been heard lately: within the time for which it was promised not to vote for another.
    pub(crate) fn presence(&self) -> watch::Receiver<bool> {
        self.present.subscribe()
    }

    /// Takes notice of a leader that has fallen silent.
    pub(crate) fn notice_silence(&self) {
        let heard = self.heard();
        if self.lease_left(&heard).is_zero() {
            self.present.send_if_modified(|present| std::mem::replace(present, false));
        }
    }

    /// Has this node vote for the candidate of `vote` before it asks, as asked by the leader that led with the vote
    /// `gives_up` and has no lease any more. Answers whether it did: not if it follows another leader by now.
    ///
    /// `current` is this node's vote as it is on disk. It counts as standing meanwhile, so that nothing is promised
    /// to a leader whose append openraft may take before.
    pub(crate) async fn give_way(
        &self,
        raft: &Raft,
        current: impl Fn() -> Vote,
        gives_up: Vote,
        vote: Vote,
    ) -> Result<bool, RaftError<NodeId>> {
        let (standing, before) = (self.begin(&mut self.heard()), Instant::now());
        if current() != gives_up || vote.committed || vote <= gives_up {
            return Ok(false);
        }
        let answer = raft.append_entries(giving_way(vote)).await?;
        let given = !matches!(answer, AppendEntriesResponse::HigherVote(_));
        if given {
            self.release(before);
        }
        drop(standing);
        Ok(given)
    }

    /// Stands, as the leader that gives up with this vote asks it to: what was promised to that one is void.
    /// `current` was this node's vote at a moment after `before`.
    pub(crate) async fn take_over(
        &self,
        raft: &Raft,
        before: Instant,
        current: Vote,
        gives_up: Vote,
    ) -> Result<(), openraft::error::Fatal<NodeId>> {
        if current == gives_up {
            self.release(before);
        }
        self.stand_for_election(raft).await
    }

    fn begin(&self, heard: &mut LeaderContact) -> Standing<'_> {
        heard.stood += 1;
        heard.standing += 1;
        Standing(self)
    }

    /// Has this node stand, unless it has promised a leader not to. An error means that openraft has ended.
    pub(crate) async fn stand_for_election(&self, raft: &Raft) -> Result<(), openraft::error::Fatal<NodeId>> {
        let standing = {
            let mut heard = self.heard();
            if self.lease_left(&heard) > Duration::ZERO {
                return Ok(());
            }
            self.begin(&mut heard)
        };
        // openraft sees to it that a leader and a learner do not stand.
        let told = raft.trigger().elect().await;
        drop(standing);
        told
    }

    /// When the last append of a leader was taken.
    pub(crate) fn last_heard(&self) -> Option<Instant> {
        self.heard().at
    }

    /// The candidate with this vote has a shorter log than this node.
    pub(crate) fn lesser_candidate(&self, vote: Vote) {
        self.lesser.send_replace(Some(vote));
    }

    /// Tells of candidates whose logs are shorter than this node's.
    pub(crate) fn lesser_candidates(&self) -> watch::Receiver<Option<Vote>> {
        self.lesser.subscribe()
    }

    /// This node is known to have been removed from the cluster. Answers whether that was known before.
    pub(crate) fn set_removed(&self) -> bool {
        self.removed.swap(true, Ordering::AcqRel)
    }

    /// Whether this node is known to have been removed from the cluster.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn has_leader(&self) -> bool {
        self.lease_left(&self.heard()) > Duration::ZERO
    }

    fn lease_left(&self, heard: &LeaderContact) -> Duration {
        heard.at.map_or(Duration::ZERO, |at| self.timeout.1.saturating_sub(at.elapsed()))
    }

    fn heard(&self) -> MutexGuard<'_, LeaderContact> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A time between the shortest and the longest timeout.
    pub(crate) fn draw(&self) -> Duration {
        let (least, most) = self.timeout;
        least + most.saturating_sub(least).mul_f64(rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_promised_to_a_leader_whose_append_met_an_election() {
        let elections = Elections::new((Duration::from_millis(500), Duration::from_secs(1)));
        assert_eq!(elections.leader_heard(&elections.taking()), Duration::from_secs(1));
        let before = elections.taking();
        let standing = elections.begin(&mut elections.heard());
        let during = elections.taking();
        assert_eq!(elections.leader_heard(&during), Duration::ZERO, "it was standing all the time");
        drop(standing);
        assert_eq!(elections.leader_heard(&before), Duration::ZERO, "it has begun to stand");
        assert_eq!(elections.leader_heard(&during), Duration::ZERO, "it has ceased to stand");
        assert_eq!(elections.leader_heard(&elections.taking()), Duration::from_secs(1));
    }

    #[test]
    fn a_node_that_was_started_again_has_a_leader_for_as_long_as_it_may_have_promised() {
        let elections = Elections::new((Duration::from_millis(20), Duration::from_millis(40)));
        assert!(elections.has_leader());
        std::thread::sleep(Duration::from_millis(60));
        assert!(!elections.has_leader());
        let presence = elections.presence();
        assert!(*presence.borrow());
        elections.notice_silence();
        assert!(!*presence.borrow());
        elections.leader_heard(&elections.taking());
        assert!(*presence.borrow());
    }

    #[test]
    fn what_is_promised_after_a_leader_gave_way_is_kept() {
        let elections = Elections::new((Duration::from_millis(500), Duration::from_secs(1)));
        let before = Instant::now();
        elections.leader_heard(&elections.taking());
        elections.release(before);
        assert!(elections.has_leader(), "it may be another leader's append");
        elections.release(Instant::now());
        assert!(!elections.has_leader());
    }
}
