//! When a node stands for election.
//!
//! openraft's own timer is off: it raises the term as soon as a follower has heard no leader for a while, and a node that
//! comes back from a partition would depose a leader that is well. Here a node asks first, in a *pre-vote*: would you vote
//! for me, if I stood with this log? The answer is no while the one that is asked leads or has a leader, or has more of
//! the log. Only with a quorum of yeses the node stands, by openraft's own election. Asking changes nothing anywhere, so
//! nothing rests on it but the peace: it is the election that decides.
//!
//! The follower whose timer ends first may be one that lacks the newest entries. So a voter that is asked by a candidate
//! whose log is shorter than its own, and has no leader, stands at once. The same if it meets such a candidate in an
//! election.
//!
//! A node that was removed, while it was away or before it had heard of the last step, cannot hear of it from the log any
//! more. It hears of it here: from anybody who has applied its removal, because no id is ever used again. Learners ask
//! for that alone.
//!
//! **Promises.** A node that takes a leader's append promises to vote for nobody else for a time, itself included: a
//! leader's lease ([`crate::lease`]) rests on that. openraft keeps it towards candidates and in its own timer. Whatever
//! else has the node stand must go through [`Elections::stand_for_election`], which keeps it here; only a leader that
//! gives up leading, and so has no lease any more, may release its followers from it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use openraft::{CommittedLeaderId, ServerState};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use super::consensus::Leadership;
use crate::log_store::LogStore;
use crate::network::{path, wire};
use crate::read_index::Quorum;
use crate::types::{LogId, NodeId, Raft, Vote};

/// How often the timer is looked at.
const TICK: Duration = Duration::from_millis(20);
/// How often a node stands against one candidate. The first try can meet the candidate's own vote, which may be the
/// higher one of the same term; the second is of the next term.
const TRIES: u32 = 3;
/// Longer than an exchange between two nodes and the two fsyncs in it mostly take.
const BETWEEN_TRIES: Duration = Duration::from_millis(60);
/// Several that meet one candidate stand at different moments.
const JITTER: Duration = Duration::from_millis(20);
/// The wait before a node that was told no asks again: whoever said so may only have heard the leader a little later.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long the others have to answer, once somebody has said no.
const AFTER_DENIAL: Duration = Duration::from_millis(50);
/// An index that no log ever reaches.
const NOWHERE: u64 = u64::MAX / 2;

/// The append that carries a vote and nothing else: it claims to come behind an entry that no log has, so that openraft
/// takes the vote and refuses the rest. (An append that could succeed would have to be a leader's.)
fn giving_way(vote: Vote) -> AppendEntriesRequest<crate::TypeConfig> {
    let nowhere = LogId::new(CommittedLeaderId::new(vote.leader_id.term, vote.leader_id.node_id), NOWHERE);
    AppendEntriesRequest { vote, prev_log_id: Some(nowhere), entries: Vec::new(), leader_commit: None }
}

/// A question: would you vote for me?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PreVote {
    /// The vote that the asker would stand with.
    pub(crate) vote: Vote,
    /// The end of its log.
    pub(crate) last: Option<LogId>,
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PreVoteAnswer {
    pub(crate) granted: bool,
    /// Whether the asker is known to have been removed.
    pub(crate) removed: bool,
}

/// What a member's network has seen of leaders and candidates.
pub(crate) struct Elections {
    /// The shortest and the longest wait before standing. The longest is openraft's lease of a leader over its followers.
    timeout: (Duration, Duration),
    heard: Mutex<Heard>,
    /// Whether there is a leader, for those that wait for one, or for its end.
    present: watch::Sender<bool>,
    /// The last candidate whose log was shorter than this node's.
    lesser: watch::Sender<Option<Vote>>,
    removed: AtomicBool,
}

#[derive(Default)]
struct Heard {
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
        let heard = Mutex::new(Heard { at: Some(Instant::now()), ..Heard::default() });
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

    /// The leader that this node followed at this moment gives up leading, and its lease with it: what was promised until
    /// then is void. What was promised later may be another leader's.
    fn release(&self, followed_at: Instant) {
        let mut heard = self.heard();
        if heard.at.is_some_and(|at| at <= followed_at) {
            heard.at = None;
            self.present.send_if_modified(|present| std::mem::replace(present, false));
        }
    }

    /// For how long at most a node hears no leader before it stands, and for how long it names the last one.
    pub(super) fn longest_timeout(&self) -> Duration {
        self.timeout.1
    }

    /// Whether a leader has been heard lately: within the time for which it was promised not to vote for another.
    pub(crate) fn presence(&self) -> watch::Receiver<bool> {
        self.present.subscribe()
    }

    /// Takes notice of a leader that has fallen silent.
    fn notice_silence(&self) {
        let heard = self.heard();
        if self.lease_left(&heard).is_zero() {
            self.present.send_if_modified(|present| std::mem::replace(present, false));
        }
    }

    /// Has this node vote for the candidate of `vote` before it asks, at the wish of the leader that led with the vote
    /// `gives_up` and has no lease any more. Answers whether it did: not if it follows another leader by now.
    ///
    /// `current` is this node's vote as it is on disk. It counts as standing meanwhile, so that nothing is promised to a leader whose append openraft may take before.
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

    /// Stands, as the leader that gives up with this vote asks it to: what was promised to that one is void. `current` was
    /// this node's vote at a moment after `before`.
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

    fn begin(&self, heard: &mut Heard) -> Standing<'_> {
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
    pub(super) fn last_heard(&self) -> Option<Instant> {
        self.heard().at
    }

    /// The candidate with this vote has a shorter log than this node.
    pub(crate) fn lesser_candidate(&self, vote: Vote) {
        self.lesser.send_replace(Some(vote));
    }

    /// Whether this node is known to have been removed from the cluster.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn has_leader(&self) -> bool {
        self.lease_left(&self.heard()) > Duration::ZERO
    }

    fn lease_left(&self, heard: &Heard) -> Duration {
        heard.at.map_or(Duration::ZERO, |at| self.timeout.1.saturating_sub(at.elapsed()))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) -> Duration {
        let (least, most) = self.timeout;
        least + most.saturating_sub(least).mul_f64(rand::random())
    }
}

/// What a pre-vote brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    Granted,
    /// Somebody says no, and there are too few others.
    Denied,
    /// Too few answer.
    Unheard,
    /// This node was removed.
    Removed,
}

/// What became of a try to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    /// It stands, or there was no reason to.
    Settled,
    /// It was told that it would not be elected now.
    Denied,
    /// openraft has ended.
    Ended,
}

/// A node that may stand.
pub(crate) struct Campaign {
    pub(crate) id: NodeId,
    pub(crate) elections: Arc<Elections>,
    pub(crate) raft: Raft,
    pub(crate) log: LogStore,
    pub(crate) leadership: Leadership,
    /// The node gives up leading, for now or for good.
    pub(crate) yielding: Arc<AtomicBool>,
    /// Whether a node was removed, as far as this one has applied the log.
    pub(crate) has_lost: Box<dyn Fn(NodeId) -> bool + Send + Sync>,
}

impl Campaign {
    /// Answers another node's question.
    pub(crate) fn answer(&self, asker: NodeId, question: &PreVote) -> PreVoteAnswer {
        let removed = (self.has_lost)(asker);
        let leads = self.raft.server_metrics().borrow().state.is_leader();
        let has_leader = leads || self.elections.has_leader();
        let last = self.log.last_log_id();
        if !has_leader && !removed && question.last < last {
            self.elections.lesser_candidate(question.vote);
        }
        PreVoteAnswer { granted: !has_leader && !removed && question.last >= last, removed }
    }

    /// Stands when it is time to. For ever.
    pub(super) async fn run(self: Arc<Self>) {
        let elections = &self.elections;
        let mut lesser = elections.lesser.subscribe();
        // A leader from before this node started may live: its lease runs.
        let (mut vote, mut since) = (self.log.current_vote(), Instant::now());
        let (mut wait, mut not_before) = (elections.draw(), since);
        loop {
            let met = tokio::select! {
                changed = lesser.changed() => if changed.is_ok() { *lesser.borrow_and_update() } else { return },
                () = sleep(TICK) => None,
            };
            elections.notice_silence();
            if let Some(candidate) = met {
                self.stand_against(candidate).await;
                continue;
            }
            let present = self.log.current_vote();
            if present != vote {
                (vote, since, wait) = (present, Instant::now(), elections.draw());
            }
            if !self.may_stand() && !self.is_learner() {
                continue;
            }
            // Its own log may say so, and then nobody need be asked.
            if self.is_learner() && !elections.is_removed() && (self.has_lost)(self.id) {
                self.note_removal();
            }
            let lease =
                if vote.is_some_and(|vote| vote.committed) { elections.timeout.1 } else { Duration::ZERO };
            let quiet_since = elections.heard().at.map_or(since, |heard| heard.max(since));
            let is_due = self.is_only_voter() || quiet_since.elapsed() >= lease + wait;
            if !is_due || Instant::now() < not_before {
                continue;
            }
            wait = elections.draw();
            not_before = match self.stand().await {
                Tried::Settled => Instant::now() + wait,
                Tried::Denied => Instant::now() + ASK_AGAIN,
                Tried::Ended => return,
            };
        }
    }

    async fn stand_against(&self, candidate: Vote) {
        sleep(JITTER.mul_f64(rand::random())).await;
        for _ in 0..TRIES {
            let vote = self.log.current_vote().unwrap_or_default();
            // This node has stood above the candidate already, or voted for a better one.
            let decided = vote.partial_cmp(&candidate).is_none_or(|order| order.is_gt());
            if decided || self.elections.has_leader() || !self.may_stand() {
                return;
            }
            tracing::info!(%candidate, "a candidate's log is behind this node's: standing for election");
            if self.stand().await == Tried::Ended {
                return;
            }
            sleep(BETWEEN_TRIES).await;
        }
    }

    /// Asks, and stands if a quorum would vote for this node.
    async fn stand(&self) -> Tried {
        match self.ask().await {
            Poll::Granted => {}
            Poll::Denied => return Tried::Denied,
            Poll::Unheard => return Tried::Settled,
            Poll::Removed => {
                self.note_removal();
                return Tried::Settled;
            }
        }
        if !self.may_stand() {
            return Tried::Settled;
        }
        tracing::info!(node = self.id, "a quorum has no leader either: standing for election");
        match self.elections.stand_for_election(&self.raft).await {
            Ok(()) => Tried::Settled,
            Err(_) => Tried::Ended,
        }
    }

    fn note_removal(&self) {
        if !self.elections.removed.swap(true, Ordering::AcqRel) {
            tracing::error!(
                node = self.id,
                "this node has been removed from its cluster: stop it. To have it in the cluster again, let it join with \
                 a new id and an empty data directory"
            );
        }
    }

    /// Asks all voters, and waits for no more of them than it needs: one that hangs must not delay the next try.
    async fn ask(&self) -> Poll {
        let term = self.log.current_vote().map_or(0, |vote| vote.leader_id.term);
        let question = PreVote { vote: Vote::new(term + 1, self.id), last: self.log.last_log_id() };
        let (body, configs) = (wire::encode(&question), self.leadership.voters());
        let mut asking = JoinSet::new();
        let mut others: BTreeSet<NodeId> = configs.iter().flatten().copied().collect();
        others.remove(&self.id);
        let now = tokio::time::Instant::now;
        let deadline = now() + self.elections.timeout.0;
        for node in others.iter().copied() {
            let (pool, body) = (self.leadership.peer(node), body.clone());
            asking.spawn(async move {
                let answer = async { pool?.call(path::PRE_VOTE, body, deadline).await.ok() }.await;
                (node, answer.and_then(|answer| wire::decode::<PreVoteAnswer>(&answer).ok()))
            });
        }
        let mut granted = Quorum::new(configs);
        granted.grant(self.id);
        let (mut without, mut until) = (Poll::Unheard, deadline);
        loop {
            if granted.reached() {
                return Poll::Granted;
            }
            let Ok(Some(Ok((node, answer)))) = timeout_at(until, asking.join_next()).await else {
                return without;
            };
            match answer {
                Some(answer) if answer.granted => granted.grant(node),
                Some(answer) if answer.removed => return Poll::Removed,
                // The missing one may be the leader, which hangs.
                Some(_) => (without, until) = (Poll::Denied, until.min(now() + AFTER_DENIAL)),
                None => {}
            }
        }
    }

    fn may_stand(&self) -> bool {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow();
        let voter = metrics.membership_config.membership().voter_ids().any(|id| id == self.id);
        let stands = matches!(metrics.state, ServerState::Follower | ServerState::Candidate);
        voter && stands && !self.yielding.load(Ordering::Acquire)
    }

    /// A learner does not stand, and asks all the same: whether it is still one.
    fn is_learner(&self) -> bool {
        let state = self.raft.server_metrics().borrow().state;
        state == ServerState::Learner && !self.yielding.load(Ordering::Acquire)
    }

    fn is_only_voter(&self) -> bool {
        self.leadership.voters().iter().all(|config| config.len() == 1 && config.contains(&self.id))
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
