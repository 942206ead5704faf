//! A node's data, opened and found to belong together, before anything is done with it.

use std::path::Path;
use std::sync::Arc;

use adapter::Adapter;
use conf::ClusterConfig;
use openraft::storage::RaftLogStorage;

use super::bootstrap::{Admission, Candidacy, Newcomer};
use super::enrollment::How;
use super::error::StartError;
use super::rejoin::Returning;
use crate::identity::{self, Identity};
use crate::log_store::{LogStore, Options};
use crate::network::message::{Asker, Beginning, Introduction, Stage};
use crate::network::peers::Peers;
use crate::state_machine::KiwiStateMachine;
use crate::types::{LogId, Members, NodeId, Vote};

/// What a member finds in its data directory.
pub(super) struct Opened {
    pub(super) log: LogStore,
    pub(super) state_machine: KiwiStateMachine,
    /// The end of the log.
    last: Option<LogId>,
    /// What the storage has applied.
    pub(super) applied: Option<LogId>,
    /// What the data was restored from.
    origin: String,
}

impl Opened {
    pub(super) async fn open(
        config: &ClusterConfig,
        id: NodeId,
        cluster_id: &str,
        adapter: Arc<dyn Adapter>,
    ) -> Result<Self, StartError> {
        let data_dir = &config.node.data_dir;
        let (mut log, identity, is_new) = open_log(data_dir, Options::new(id, &config.raft)).await?;
        let state_machine = KiwiStateMachine::open(adapter, data_dir, cluster_id, log.reader()).await?;
        let state = log.get_log_state().await.map_err(|error| StartError::Raft(error.to_string()))?;
        let applied = state_machine.progress().borrow().applied;
        fits(&log, applied, state.last_purged_log_id, is_new).await?;
        Ok(Self { log, state_machine, last: state.last_log_id, applied, origin: identity.origin })
    }

    /// Whether the node has never been in a cluster. Nobody is ever elected in term 0: what was applied in it was
    /// restored from a backup.
    fn is_empty(&self) -> bool {
        self.last.is_none()
            && self.log.current_vote().is_none_or(|vote| vote == Vote::default())
            && self.restored_at().is_some()
    }

    /// The index behind which the log of a node begins that has never been in a cluster; none if something of a
    /// cluster was applied.
    fn restored_at(&self) -> Option<u64> {
        self.applied.map_or(Some(0), |applied| (applied.leader_id.term == 0).then_some(applied.index))
    }

    /// What the cluster of this node begins with, if the node is one of those that form it.
    pub(super) fn beginning(&self, how: &How) -> Option<Beginning> {
        let members = how.members()?.keys().copied().collect();
        Some(Beginning { members, origin: self.origin.clone(), base: self.restored_at().unwrap_or(0) })
    }

    /// How a node that is empty comes into its cluster; none if it is not, or if that is settled.
    pub(super) fn candidacy<'a>(
        &self,
        id: NodeId,
        how: &'a How,
        peers: &'a Peers,
    ) -> Result<Option<Candidacy<'a>>, StartError> {
        let data = self.log.data();
        let ask = |members: &'a Members, beginning, may_form| {
            let me = Newcomer { id, data, beginning, may_form };
            Ok(Some(Candidacy { me, peers, members }))
        };
        match how {
            _ if !self.is_empty() => Ok(None),
            How::Configured(members) | How::Founder(members) => {
                ask(members, self.beginning(how).unwrap_or_default(), true)
            }
            How::Joined(members) => ask(members, Beginning::default(), false),
            How::Known if self.applied.is_none() => Err(StartError::Lost),
            How::Joining | How::Known => Ok(None),
        }
    }

    /// What a node says to others that start, while it waits to come into its cluster itself.
    pub(super) fn introduction(&self, beginning: Beginning) -> Introduction {
        let stage = Stage::Empty { beginning, runs: false };
        Introduction { data: self.log.data(), vote: Vote::default(), stage, asker: Asker::default() }
    }

    /// Waits until the node may take part.
    pub(super) async fn come_in(
        &self,
        candidacy: Option<&Candidacy<'_>>,
        id: NodeId,
        how: &How,
        peers: &Peers,
    ) -> Result<Option<Admission>, StartError> {
        if let Some(candidacy) = candidacy {
            return candidacy.admit().await.map(Some);
        }
        if !self.is_empty() {
            // The storage is ahead where a snapshot was installed and the log not yet given up.
            let last = [self.last, self.applied].into_iter().flatten().max_by_key(|id| id.index);
            let vote = self.log.current_vote().unwrap_or_default();
            let members = self.known_members(how).await?;
            Returning { id, data: self.log.data(), last, vote }.check(peers, &members).await?;
        }
        Ok(None)
    }

    /// The members, as the storage and the log know them, or else the configuration. A storage may have lost what it
    /// has applied last: the log has it, and with it who came in lately, and may lead.
    async fn known_members(&self, how: &How) -> Result<Members, StartError> {
        let mark = self.state_machine.mark();
        let (next, end) = (index_after(self.applied), index_after(self.last));
        let newest = self.log.reader().last_membership(next..end).await;
        let newest = newest.map_err(|error| StartError::Raft(error.to_string()))?;
        let memberships = [Some(mark.membership.membership()), newest.as_ref()];
        let nodes = memberships.into_iter().flatten().flat_map(|membership| membership.nodes());
        let members: Members = nodes.map(|(id, peer)| (*id, peer.clone())).collect();
        Ok(if members.is_empty() { how.members().cloned().unwrap_or_default() } else { members })
    }
}

fn index_after(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

/// Opens the log that the identity names. A new one, or one from before logs had ids, is noted there. Answers the
/// identity as it was, and whether the log is new, or can't be told from a new one.
async fn open_log(data_dir: &Path, options: Options) -> Result<(LogStore, Identity, bool), StartError> {
    let data_dir = data_dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let identity = Identity::load(&data_dir)?.ok_or(StartError::Lost)?;
        let log = LogStore::open(&data_dir, Options { data: identity.data, ..options })?;
        if identity.data.is_some() {
            return Ok((log, identity, false));
        }
        let is_new = log.is_new();
        // It is from before logs had ids, or was made in a start that did not get to note it. The latter has nothing.
        if !is_new && identity.version > 1 {
            return Err(StartError::Log(log.unnamed()));
        }
        identity::set_data(&data_dir, identity.clone(), log.data())?;
        Ok((log, identity, is_new))
    })
    .await;
    opened.map_err(|error| StartError::Raft(error.to_string()))?
}

/// Whether the storage, which has applied the log up to `applied`, and the log are of one node and lack nothing between
/// them.
async fn fits(
    log: &LogStore,
    applied: Option<LogId>,
    purged: Option<LogId>,
    is_new: bool,
) -> Result<(), StartError> {
    if is_new && applied.is_some_and(|applied| applied.leader_id.term > 0) {
        return Err(StartError::Lost);
    }
    let index = |id: Option<LogId>| id.map(|id| id.index);
    if index(applied) < index(purged) {
        let (applied, begins_behind) = (index(applied).unwrap_or(0), index(purged).unwrap_or(0));
        return Err(StartError::Gap { applied, begins_behind });
    }
    let Some(applied) = applied else { return Ok(()) };
    let read = log.reader().log_id(applied.index).await;
    let there = read.map_err(|error| StartError::Raft(error.to_string()))?;
    if there.is_some_and(|there| there != applied) {
        return Err(StartError::OtherHistory { applied: applied.index });
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use adapter::memory::MemoryAdapter;
    use openraft::storage::RaftStateMachine;
    use openraft::{CommittedLeaderId, EntryPayload, Membership};

    use super::*;
    use crate::types::{Entry, Peer};

    #[tokio::test]
    async fn whoever_came_in_lately_is_asked_though_the_storage_has_lost_that() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = ClusterConfig::default();
        config.node.data_dir = directory.path().to_owned();
        Identity::load_or_create(directory.path(), 1, "c").unwrap();
        let adapter: Arc<dyn Adapter> = Arc::new(MemoryAdapter::new());
        let open = || Opened::open(&config, 1, "c", Arc::clone(&adapter));
        let entry = |index, ids: [NodeId; 3]| {
            let nodes: Members = ids.into_iter().map(|id| (id, Peer::default())).collect();
            let membership = Membership::new(vec![ids.into_iter().collect()], nodes);
            let log_id = LogId::new(CommittedLeaderId::new(1, 2), index);
            Entry { log_id, payload: EntryPayload::Membership(membership) }
        };
        let mut opened = open().await.unwrap();
        opened.state_machine.apply([entry(0, [1, 2, 3])]).await.unwrap();
        for entry in [entry(0, [1, 2, 3]), entry(1, [1, 2, 4])] {
            opened.log.append_offline(&entry, &Vote::new_committed(1, 2)).unwrap();
        }
        drop(opened);
        let opened = open().await.unwrap();
        assert_eq!(opened.applied.map(|applied| applied.index), Some(0));
        let members = opened.known_members(&How::Known).await.unwrap();
        assert_eq!(members.into_keys().collect::<Vec<_>>(), [1, 2, 3, 4]);
    }
}
