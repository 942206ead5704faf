//! A cluster of one, from a node of a cluster that has lost its majority for good.
//!
//! This is not safe, and nothing can make it so: the other members may have committed what this node never heard of,
//! and may still live. What is done, on the node's data directory, while the node does not run:
//!
//! 1. `recovering` is written: the directory is no node's until all of this is done, and a recovery that broke off
//!    goes on with the same new cluster id.
//! 2. The newest snapshot is made one of the new cluster. Where the log does not reach it, or is another one there (a
//!    snapshot that had arrived and was not installed yet), the log ends with the snapshot.
//! 3. A membership with this node alone is appended to the log, in a term above all that the node has seen.
//!    Everything in the log stays, committed or not: a write that was acknowledged and has reached this node is kept;
//!    one that nobody was told of may take effect.
//! 4. The identity gets the new cluster's id, so that no member of the old cluster is ever listened to again.
//! 5. `recovering` becomes `recovered-<time>`, and stays as the record of what was done.
//!
//! Ids of the old cluster's nodes stay used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use adapter::clock::unix_time;
use adapter::snapshot::{read_header, with_header};
use conf::ClusterConfig;
use openraft::storage::RaftLogStorage;
use openraft::{CommittedLeaderId, EntryPayload, Membership};

use crate::identity::{self, Identity, IdentityError, RECOVERING, STANDALONE};
use crate::log_store::{LogStore, OpenError, Options};
use crate::state_machine::files::Files;
use crate::types::{Entry, LogId, NodeId, Peer, StorageError, Vote};
use adapter::durable_file;

/// Why a node cannot be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is no member of a cluster here.
    #[error("{} is not the data directory of a member of a cluster", .0.display())]
    NoMember(PathBuf),
    /// The new cluster must not be taken for the old one.
    #[error(
        "cluster.id is {0}, the id of the cluster that is given up: its members could meet those of the new one. Give the \
         new cluster another id, or none"
    )]
    SameCluster(String),
    /// There is nothing to keep.
    #[error("the Raft log of this node is empty: there is nothing to recover")]
    Empty,
    /// The log cannot be opened: mostly, the node runs.
    #[error("{0}; the node must not run")]
    Log(#[from] OpenError),
    /// The log cannot be read or written.
    #[error("the Raft log: {0}")]
    Entries(String),
    /// The directory cannot be made this cluster's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The newest snapshot cannot be read.
    #[error("the newest snapshot: {0}")]
    Snapshot(#[from] adapter::StorageError),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The node.
    pub node: NodeId,
    /// The cluster that is given up.
    pub old_cluster: String,
    /// The cluster that the node is now.
    pub new_cluster: String,
    /// The members of the old cluster, as far as the node's log says.
    pub old_members: Vec<NodeId>,
    /// The index of the entry that makes the node the only member.
    pub index: u64,
    /// The record of it.
    pub record: PathBuf,
}

/// Makes the node of this data directory the only member of a new cluster. See the module.
pub async fn recover(config: &ClusterConfig) -> Result<Recovered, RecoverError> {
    let directory = &config.node.data_dir;
    let no_member = || RecoverError::NoMember(directory.clone());
    let found =
        Identity::read(directory)?.filter(|found| found.cluster_id != STANDALONE).ok_or_else(no_member)?;
    // Before anything is written: nobody else may have the log open.
    // What a log lacks is given up with all else.
    let options =
        Options { data: found.data, accepts_losses: true, ..Options::new(found.node_id, &config.raft) };
    let log = LogStore::open(directory, options)?;
    let path = directory.join("snapshots");
    let snapshots = Files::open(path.clone()).map_err(on(&path))?;
    let newest = snapshots.newest().map(|(meta, _)| meta);
    let snapshot = newest.as_ref().and_then(|meta| meta.last_log_id);
    if log.last_log_id().max(snapshot).is_none() {
        return Err(RecoverError::Empty);
    }
    let (old_cluster, new_cluster) = begin(config, &found)?;
    adopt_snapshot(&snapshots, &path, &new_cluster)?;
    let last = end(&log, snapshot).await?.ok_or(RecoverError::Empty)?;
    let mut old_members = members(&log, last).await?;
    if let (true, Some(meta)) = (old_members.is_empty(), &newest) {
        old_members = meta.last_membership.nodes().map(|(id, _)| *id).collect();
    }
    let me = found.node_id;
    let index = if old_members.len() == 1 && found.cluster_id == new_cluster {
        last.index
    } else {
        append(&log, last, me, &config.advertised_raft())?
    };
    let data = Some(log.data());
    drop(log);
    identity::replace(
        directory,
        Identity { cluster_id: new_cluster.clone(), data, origin: String::new(), ..found },
    )?;
    let record = directory.join(format!("recovered-{}", unix_time().as_secs()));
    let text = format!(
        "# What raft-proxy recover has done.\nnode = {me}\nold_cluster = \"{old_cluster}\"\n\
         new_cluster = \"{new_cluster}\"\nold_members = {old_members:?}\nindex = {index}\n"
    );
    durable_file::write(&record, text.as_bytes()).map_err(on(&record))?;
    let marker = directory.join(RECOVERING);
    fs::remove_file(&marker).map_err(on(&marker))?;
    durable_file::sync_directory(directory).map_err(on(directory))?;
    tracing::warn!(
        node = me,
        old_cluster,
        new_cluster,
        ?old_members,
        index,
        "this node was made the only member of a new cluster; the old one is given up"
    );
    Ok(Recovered { node: me, old_cluster, new_cluster, old_members, index, record })
}

/// Marks the directory; answers the old cluster's id and the new one's. One that was begun keeps both.
fn begin(config: &ClusterConfig, found: &Identity) -> Result<(String, String), RecoverError> {
    let marker = config.node.data_dir.join(RECOVERING);
    match fs::read_to_string(&marker) {
        Ok(text) => {
            let mut lines = text.lines().map(str::to_owned);
            if let (Some(old), Some(new)) = (lines.next(), lines.next()) {
                return Ok((old, new));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(RecoverError::Io { path: marker, source }),
    }
    let old = found.cluster_id.clone();
    let new = match config.cluster.id.as_str() {
        "" => format!("{:032x}", rand::random::<u128>()),
        id if id == old => return Err(RecoverError::SameCluster(old)),
        id => id.to_owned(),
    };
    durable_file::write(&marker, format!("{old}\n{new}\n").as_bytes()).map_err(on(&marker))?;
    Ok((old, new))
}

/// The end of the log, which is made the newest snapshot's where the log does not hold that.
async fn end(log: &LogStore, snapshot: Option<LogId>) -> Result<Option<LogId>, RecoverError> {
    let last = log.last_log_id();
    let Some(snapshot) = snapshot else { return Ok(last) };
    let failed = |error: StorageError| RecoverError::Entries(error.to_string());
    let purged = log.clone().get_log_state().await.map_err(failed)?.last_purged_log_id;
    let there = log.reader().log_id(snapshot.index).await.map_err(failed)?;
    if there == Some(snapshot) || purged.is_some_and(|purged| purged.index >= snapshot.index) {
        return Ok(last);
    }
    log.replace_offline(snapshot).map_err(|error| RecoverError::Entries(error.to_string()))?;
    Ok(Some(snapshot))
}

/// Makes the newest snapshot one of the new cluster; it is the same otherwise.
fn adopt_snapshot(files: &Files, path: &Path, cluster_id: &str) -> Result<(), RecoverError> {
    let Some((meta, snapshot)) = files.newest() else { return Ok(()) };
    let open = || File::open(&snapshot.path).map_err(on(&snapshot.path));
    let mut header = read_header(&mut open()?)?;
    if header.cluster_id == cluster_id.as_bytes() {
        return Ok(());
    }
    header.cluster_id = cluster_id.as_bytes().to_vec().into();
    let file = files.unfinished(&meta);
    let mut out = File::create(&file.path).map_err(on(&file.path))?;
    io::copy(&mut with_header(open()?, &header)?, &mut out).map_err(on(&file.path))?;
    out.sync_all().map_err(on(&file.path))?;
    files.publish(&meta, file).map_err(on(path))
}

/// The members by the last membership in the log; none if it has none any more.
async fn members(log: &LogStore, last: LogId) -> Result<Vec<NodeId>, RecoverError> {
    let found = log.reader().last_membership(0..last.index + 1).await;
    let found = found.map_err(|error| RecoverError::Entries(error.to_string()))?;
    Ok(found.iter().flat_map(|membership| membership.nodes()).map(|(id, _)| *id).collect())
}

fn append(log: &LogStore, last: LogId, me: NodeId, raft: &str) -> Result<u64, RecoverError> {
    let seen = log.current_vote().map_or(0, |vote| vote.leader_id.term).max(last.leader_id.term);
    let (term, index) = (seen + 1, last.index + 1);
    let peer = Peer { raft: raft.to_owned(), data: Some(log.data()), ..Peer::default() };
    let membership = Membership::new(vec![BTreeSet::from([me])], BTreeMap::from([(me, peer)]));
    let log_id = LogId::new(CommittedLeaderId::new(term, me), index);
    let entry = Entry { log_id, payload: EntryPayload::Membership(membership) };
    let appended = log.append_offline(&entry, &Vote::new(term, me));
    appended.map_err(|error| RecoverError::Entries(error.to_string()))?;
    Ok(index)
}

fn on(path: &Path) -> impl FnOnce(io::Error) -> RecoverError + use<> {
    let path = path.to_owned();
    move |source| RecoverError::Io { path, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use adapter::memory::MemoryAdapter;
    use openraft::RaftSnapshotBuilder;
    use openraft::storage::{RaftLogStorageExt, RaftStateMachine};

    use super::*;
    use crate::state_machine::KiwiStateMachine;
    use openraft::RaftLogReader;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(term, 2), index)
    }

    fn blank(term: u64, index: u64) -> Entry {
        Entry { log_id: id(term, index), payload: EntryPayload::Blank }
    }

    fn members(term: u64, index: u64) -> Entry {
        let nodes: BTreeMap<NodeId, Peer> = (1..=3).map(|id| (id, Peer::default())).collect();
        let membership = Membership::new(vec![BTreeSet::from([1, 2, 3])], nodes);
        Entry { log_id: id(term, index), payload: EntryPayload::Membership(membership) }
    }

    /// A data directory of node 1 with this log, and with a snapshot of the entries up to (3, 20) that has arrived.
    async fn directory(log: Vec<Entry>) -> (tempfile::TempDir, ClusterConfig) {
        let directory = tempfile::tempdir().unwrap();
        let mut config = ClusterConfig::default();
        config.node.data_dir = directory.path().to_owned();
        let found = Identity::load_or_create(directory.path(), 1, "old").unwrap();
        let mut store = LogStore::open(directory.path(), Options::new(1, &config.raft)).unwrap();
        identity::set_data(directory.path(), found, store.data()).unwrap();
        store.blocking_append(log).await.unwrap();
        let storage = Arc::new(MemoryAdapter::default());
        let mut machine =
            KiwiStateMachine::open(storage, directory.path(), "old", store.reader()).await.unwrap();
        machine
            .apply([members(1, 1)].into_iter().chain((2..=20).map(|index| blank(3, index))))
            .await
            .unwrap();
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        (directory, config)
    }

    async fn recovered(log: Vec<Entry>) -> (Recovered, Option<LogId>, Vec<u64>) {
        let (directory, config) = directory(log).await;
        let done = recover(&config).await.unwrap();
        let found = Identity::load(directory.path()).unwrap().unwrap();
        assert_eq!(found.cluster_id, done.new_cluster);
        let options = Options { data: found.data, ..Options::new(1, &config.raft) };
        let mut log = LogStore::open(directory.path(), options).unwrap();
        let purged = log.get_log_state().await.unwrap().last_purged_log_id;
        let entries = log.try_get_log_entries(..).await.unwrap();
        (done, purged, entries.iter().map(|entry| entry.log_id.index).collect())
    }

    #[tokio::test]
    async fn a_recovery_goes_on_behind_a_newer_snapshot_and_not_behind_the_end_of_the_log() {
        let (done, purged, entries) = recovered(vec![members(1, 1), blank(1, 2), blank(1, 3)]).await;
        assert_eq!((done.index, purged, entries), (21, Some(id(3, 20)), vec![21]));
        assert_eq!(done.old_members, [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_recovery_gives_up_a_log_that_is_another_one_than_the_newer_snapshot_says() {
        let log = [members(1, 1)].into_iter().chain((2..=30).map(|index| blank(2, index))).collect();
        let (done, purged, entries) = recovered(log).await;
        assert_eq!((done.index, purged, entries), (21, Some(id(3, 20)), vec![21]));
    }

    #[tokio::test]
    async fn a_recovery_keeps_everything_in_a_log_that_reaches_beyond_its_snapshot() {
        let log = [members(1, 1)].into_iter().chain((2..=22).map(|index| blank(3, index))).collect();
        let (done, purged, entries) = recovered(log).await;
        assert_eq!((done.index, purged, entries), (23, None, (1..=23).collect()));
    }
}
