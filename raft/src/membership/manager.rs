//! The leader takes changes on and makes them so. See [`crate::membership`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapter::{Adapter, Batch};
use conf::Live;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, Membership};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::change::{Change, ChangeError, View};
use super::dead::Dead;
use super::plan::{self, Action};
use super::transfer::Transfer;
use crate::consensus::RaftConsensus;
use crate::leadership::Leadership;
use crate::proposer::Route;
use crate::state_machine::{Mark, Progress};
use crate::types::{NodeId, Peer, Raft, TargetRole};
use crate::version;

/// A learner that lacks no more entries than this, twice in a row, has caught up.
const CAUGHT_UP: u64 = 128;
/// How often the members are compared with what they are to be, while they are not.
const LOOK: Duration = Duration::from_millis(50);
/// How often otherwise.
const IDLE: Duration = Duration::from_millis(500);
/// The pause after a step that failed.
const RETRY: Duration = Duration::from_millis(300);

type Error = RaftError<NodeId, ClientWriteError<NodeId, Peer>>;

/// Takes changes of the members on, one at a time, and finishes them, whoever began them.
pub(crate) struct ConfigChangeManager {
    pub(crate) id: NodeId,
    pub(crate) raft: Raft,
    pub(crate) leadership: Leadership,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) transfer: Arc<Transfer<RaftConsensus>>,
    pub(crate) config: Live,
    /// Finds dead voters, if they are to be removed.
    pub(crate) dead: Dead,
    /// Held while a change is checked and committed, and during each step.
    pub(crate) turn: Mutex<()>,
    pub(crate) nudged: Notify,
    /// The cluster is being formed: it has no data that an earlier program would have to read, and begins at the newest
    /// version of its members.
    pub(crate) is_new: AtomicBool,
}

impl ConfigChangeManager {
    /// Takes a change on: when this answers, it is committed what is to be, and whoever leads makes it so. Answers the
    /// id of the node that it is about. To be called on the leader.
    pub(crate) async fn accept(&self, change: &Change) -> Result<NodeId, ChangeError> {
        let deadline = Instant::now() + self.timeout();
        let _turn = tokio::time::timeout_at(deadline, self.turn.lock())
            .await
            .map_err(|_| ChangeError::Busy("a step of it is being committed".to_owned()))?;
        let used = self.used(deadline).await?;
        let members = self.newest_members().await?;
        let accepted = plan::accept(change, &members, &used, |id| self.has_data(id))?;
        let force = match change {
            Change::Remove { force, .. } | Change::Demote { force, .. } => *force,
            Change::Add { .. } | Change::Replace { .. } | Change::Promote { .. } => false,
        };
        if let (Some(left), Some(_), false) = (&accepted.leaves, &accepted.commit, force) {
            let alive = self.leadership.alive().await;
            plan::quorum(left, &alive).map_err(|why| {
                ChangeError::Refused(format!(
                    "{why}: the cluster would lose its quorum. FORCE does it all the same"
                ))
            })?;
        }
        if let Some(commit) = accepted.commit {
            tracing::info!(node = self.id, ?change, "a membership change begins");
            self.commit(commit).await?;
            self.nudged.notify_one();
        }
        Ok(accepted.id)
    }

    /// The node that a change would bring in, and where it is said to be, if that is to be looked at first. To be
    /// called on the leader, before [`Self::accept`].
    pub(crate) async fn newcomer(&self, change: &Change) -> Result<Option<(NodeId, String)>, ChangeError> {
        let (Change::Add { raft, fresh: false, force: false, .. }
        | Change::Replace { raft, force: false, .. }) = change
        else {
            return Ok(None);
        };
        let used = self.used(Instant::now() + self.timeout()).await?;
        let accepted = plan::accept(change, &self.members(), &used, |id| self.has_data(id))?;
        Ok(accepted.commit.map(|_| (accepted.id, raft.clone())))
    }

    /// How this leader sees the members.
    pub(crate) fn view(&self) -> Option<View> {
        if self.leadership.route() != Route::Here || !self.has_applied_its_term() {
            return None;
        }
        let members = self.members();
        Some(View {
            members: members.nodes().map(|(id, _)| *id).collect(),
            voters: members.voter_ids().collect(),
            pending: plan::pending(&members).map(|(_, what)| what),
        })
    }

    /// Makes the members what they are to be, whenever this node leads. For ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut caught_up = BTreeSet::new();
        let mut pause = LOOK;
        loop {
            tokio::select! {
                () = self.nudged.notified() => {}
                () = sleep(pause) => {}
            }
            pause = if self.is_new.load(Ordering::Relaxed) { LOOK } else { IDLE };
            if self.leadership.route() != Route::Here || !self.has_applied_its_term() {
                caught_up.clear();
                continue;
            }
            if self.is_new.load(Ordering::Relaxed) && self.finalize().await.is_ok() {
                self.is_new.store(false, Ordering::Relaxed);
            }
            if let Some(id) = self.find_dead().await {
                let change = Change::Remove { id, force: false };
                if let Err(error) = self.accept(&change).await {
                    tracing::warn!(node = self.id, dead = id, %error, "a dead voter cannot be removed");
                }
            }
            let Ok(_turn) = self.turn.try_lock() else { continue };
            let Ok(members) = self.newest_members().await else { continue };
            let near: BTreeSet<NodeId> =
                members.nodes().map(|(id, _)| *id).filter(|id| self.is_near(*id)).collect();
            let step = plan::next(self.id, &members, |id| near.contains(&id) && caught_up.contains(&id));
            caught_up = near;
            let Some(step) = step else { continue };
            pause = LOOK;
            if step == Action::Wait {
                continue;
            }
            match self.go(&step, &members).await {
                Ok(()) => self.nudged.notify_one(),
                Err(error) => {
                    tracing::warn!(node = self.id, ?step, %error, "a step of a membership change failed; it is tried again");
                    pause = RETRY;
                }
            }
        }
    }

    async fn go(&self, step: &Action, members: &Membership<NodeId, Peer>) -> Result<(), ChangeError> {
        match step {
            Action::Wait => Ok(()),
            Action::HandOver => self.hand_over(members).await,
            Action::Drop(id) => self.commit(ChangeMembers::RemoveNodes(BTreeSet::from([*id]))).await,
            Action::Set(peers) => self.commit(ChangeMembers::SetNodes(peers.clone())).await,
            Action::Voters(voters) => {
                let present = plan::voters(members);
                let more = voters.difference(&present).next().is_some();
                // Who goes was checked when that was asked for, and may have been forced.
                if more && members.get_joint_config().len() == 1 {
                    let alive = self.leadership.alive().await;
                    plan::quorum(voters, &alive).map_err(|why| ChangeError::Refused(why.to_string()))?;
                }
                self.commit(ChangeMembers::ReplaceAllVoters(voters.clone())).await?;
                tracing::info!(node = self.id, ?voters, "the voters have changed");
                Ok(())
            }
        }
    }

    /// Has a voter lead that is to stay one.
    async fn hand_over(&self, members: &Membership<NodeId, Peer>) -> Result<(), ChangeError> {
        let stays = |id: &NodeId| members.get_node(id).is_some_and(|peer| peer.target == TargetRole::Voter);
        let heir = self.transfer.heirs().into_iter().find(stays);
        let heir = heir.ok_or_else(|| {
            ChangeError::Refused(format!("node {} leads, and there is nobody who could instead", self.id))
        })?;
        self.transfer.run(Some(heir), self.timeout()).await?;
        Ok(())
    }

    /// Has the membership say where a member is. What the member is to be stays as it is. To be called on the leader.
    pub(crate) async fn set_place(&self, id: NodeId, place: Peer) -> Result<(), ChangeError> {
        let _turn = self.turn.lock().await;
        let members = self.newest_members().await?;
        let known = members.get_node(&id).ok_or(ChangeError::NoSuchNode)?;
        if let (Some(data), Some(_)) = (known.data, place.data.filter(|data| known.data != Some(*data))) {
            return Err(ChangeError::Refused(format!(
                "node {id} is a member with the data directory {data}"
            )));
        }
        let place = Peer { target: known.target, data: known.data.or(place.data), ..place };
        if *known == place {
            return Ok(());
        }
        if members.get_joint_config().len() > 1 {
            return Err(ChangeError::Busy("the voters are being changed".to_owned()));
        }
        tracing::info!(
            node = id,
            raft = place.raft,
            clients = place.resp,
            "a member's addresses are recorded"
        );
        self.commit(ChangeMembers::SetNodes(BTreeMap::from([(id, place)]))).await
    }

    async fn commit(&self, change: ChangeMembers<NodeId, Peer>) -> Result<(), ChangeError> {
        // Who is no voter any more stays as a learner until it is dropped.
        match timeout(self.timeout(), self.raft.change_membership(change, true)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(ChangeError::Unknown),
        }
    }

    fn timeout(&self) -> Duration {
        self.config.load().raft.request_timeout
    }

    fn members(&self) -> Membership<NodeId, Peer> {
        self.raft.server_metrics().borrow().membership_config.membership().clone()
    }

    /// The members as openraft's core knows them behind everything that it was asked for before: what is written back
    /// of an older view would undo what was changed since. A change that is not answered in time may still be waiting
    /// there.
    async fn newest_members(&self) -> Result<Membership<NodeId, Peer>, ChangeError> {
        let ask = self.raft.with_raft_state(|state| state.membership_state.effective().membership().clone());
        match timeout(self.timeout(), ask).await {
            Ok(Ok(members)) => Ok(members),
            // Nothing has been asked for yet.
            Ok(Err(_)) | Err(_) => Err(ChangeError::NoLeader),
        }
    }

    /// Only then does a leader know of every change that was committed before it.
    fn has_applied_its_term(&self) -> bool {
        let term = self.raft.server_metrics().borrow().vote.leader_id.term;
        self.progress.borrow().applied.is_some_and(|applied| applied.leader_id.term == term)
    }

    /// Raises the cluster version to this program's newest, if every member knows it. Answers the cluster's version. To
    /// be called on the leader.
    pub(crate) async fn finalize(&self) -> Result<u16, ChangeError> {
        let deadline = Instant::now() + self.timeout();
        // Nobody comes in meanwhile who has not been asked.
        let _turn = tokio::time::timeout_at(deadline, self.turn.lock())
            .await
            .map_err(|_| ChangeError::Busy("a step of it is being committed".to_owned()))?;
        let (version, newest) = (self.mark(deadline).await?.version, version::newest());
        if version >= newest {
            return Ok(version);
        }
        let known = self.leadership.newest_versions().await;
        for (id, peer) in self.members().nodes().filter(|(id, _)| **id != self.id) {
            match known.get(id) {
                Some(known) if *known >= newest => {}
                Some(known) => {
                    return Err(ChangeError::Refused(format!(
                        "node {id} at {} runs a program that knows versions up to {known}, not {newest}: upgrade it first",
                        peer.raft
                    )));
                }
                None => {
                    return Err(ChangeError::Refused(format!(
                        "node {id} at {} does not say which versions it knows: it must be up, or be removed first",
                        peer.raft
                    )));
                }
            }
        }
        match timeout(self.timeout(), self.raft.client_write(Batch::raise(newest))).await {
            Ok(Ok(_)) => {
                tracing::info!(node = self.id, from = version, to = newest, "the cluster version was raised");
                Ok(newest)
            }
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Err(ChangeError::Unknown),
        }
    }

    /// The ids of all nodes that have ever been members.
    async fn used(&self, deadline: Instant) -> Result<BTreeSet<NodeId>, ChangeError> {
        Ok(self.mark(deadline).await?.used)
    }

    /// What has been applied of everything that was committed before this node led.
    async fn mark(&self, deadline: Instant) -> Result<Mark, ChangeError> {
        loop {
            if self.leadership.route() != Route::Here {
                return Err(ChangeError::NoLeader);
            }
            let applied = self.progress.borrow().applied;
            let mark = Mark::of(&self.adapter.applied().position)
                .map_err(|error| ChangeError::Refused(error.to_string()))?;
            // A storage that is being rebuilt is behind what has been applied.
            if self.has_applied_its_term() && mark.applied >= applied {
                return Ok(mark);
            }
            if Instant::now() >= deadline {
                return Err(ChangeError::NoLeader);
            }
            sleep(LOOK / 10).await;
        }
    }

    fn has_data(&self, id: NodeId) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics
            .replication
            .as_ref()
            .is_some_and(|replication| replication.get(&id).is_some_and(Option::is_some))
    }

    fn is_near(&self, id: NodeId) -> bool {
        self.has_data(id) && self.transfer.lag(id).is_ok_and(|lag| lag <= CAUGHT_UP)
    }

    async fn find_dead(&self) -> Option<NodeId> {
        if !self.dead.is_due() {
            return None;
        }
        let members = self.members();
        let alive = self.leadership.alive().await;
        let is_busy = plan::pending(&members).is_some();
        let found = self.dead.look(&plan::voters(&members), &alive);
        found.filter(|_| !is_busy)
    }
}

fn failed(error: Error) -> ChangeError {
    match error {
        // Not appended, or truncated.
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => ChangeError::NoLeader,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(
            _,
        ))) => ChangeError::Busy("a step of it is being committed".to_owned()),
        other => ChangeError::Refused(other.to_string()),
    }
}
