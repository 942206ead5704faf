//! The data directory of a node of a new cluster, made from a backup.
//!
//! Every member of the new cluster is made from the same backup, with the same `cluster.members`. The directory gets
//! the backup as the node's snapshot, from which the storage is filled at the first start, whatever its kind. The
//! snapshot's position keeps its index, so that digests can be compared, in term 0: whoever is elected begins with
//! term 1. Log ids of the old cluster mean nothing here, and the new cluster has another id, so that no node of
//! the old one is ever taken for a member.
//!
//! A directory that is half made says so, in a file [`RESTORING`] that is there first and goes last.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use adapter::snapshot::{self, Digest, Header, with_header};
use adapter::{StorageError, durable_file};
use conf::ClusterConfig;
use openraft::{CommittedLeaderId, Membership};

use crate::identity::{self, IdentityError, RESTORING, STANDALONE};
use crate::node::enrollment::members;
use crate::node::error::StartError;
use crate::state_machine::Mark;
use crate::state_machine::files::{self, Files};
use crate::types::{LogId, Members, StoredMembership};
use crate::version;

/// What file systems have in an empty directory of their own.
const LOST_AND_FOUND: &str = "lost+found";

/// Why a backup cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The configuration is not one of a node that could start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It could be taken for the old cluster.
    #[error(
        "cluster.id is {0}, the id of the cluster that the backup comes from: nodes of the two could meet. Give the \
         new cluster another id, or none"
    )]
    SameCluster(String),
    /// There is something already.
    #[error(
        "{} is not empty: a backup is restored to a directory of its own. To replace a node's data, move it away first",
        .0.display()
    )]
    NotEmpty(PathBuf),
    /// The backup cannot be read, or its copy not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The directory cannot be made this node's.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A directory that is being made.
pub struct Restore {
    directory: PathBuf,
    node: u64,
    cluster_id: String,
    /// What all members of the new cluster begin with.
    origin: String,
    header: Header,
}

impl Restore {
    /// Checks that the directory `config` names can be made, and marks it as half made. An attempt that was not
    /// finished is removed. `from` and `digest` are the header and the digest of the backup.
    pub fn begin(config: &ClusterConfig, from: &Header, digest: Digest) -> Result<Self, RestoreError> {
        let (cluster_id, origin, header) = if config.cluster.enabled {
            let members = members(config)?;
            let derived = derived_id(&members, from, digest);
            let id = match config.cluster.id.as_str() {
                "" => derived.clone(),
                id => id.to_owned(),
            };
            if id.as_bytes() == from.cluster_id {
                return Err(RestoreError::SameCluster(id));
            }
            let header = new_header(&members, &id, from)?;
            (id, derived, header)
        } else {
            let mut header = Header { cluster_id: Default::default(), ..from.clone() };
            header.applied.position.mark.clear();
            (STANDALONE.to_owned(), String::new(), header)
        };
        let restore = Self {
            directory: config.node.data_dir.clone(),
            node: config.own_id().max(1),
            cluster_id,
            origin,
            header,
        };
        restore.mark_begun()?;
        Ok(restore)
    }

    /// The backup as this node is to have it.
    pub fn stream<R: Read>(&self, backup: R) -> Result<impl Read + use<R>, StorageError> {
        with_header(backup, &self.header)
    }

    /// Lays the backup down as a member's snapshot.
    pub fn lay_down(&self, backup: impl Read) -> Result<(), RestoreError> {
        let mark = Mark::of(&self.header.applied.position).map_err(malformed)?;
        let path = self.directory.join("snapshots");
        let failed = |source| RestoreError::Io { path: path.clone(), source };
        let snapshots = Files::open(path.clone()).map_err(failed)?;
        let meta = files::meta(&mark);
        let file = snapshots.unfinished(&meta);
        let mut out = File::create(&file.path).map_err(failed)?;
        io::copy(&mut self.stream(backup)?, &mut out).map_err(failed)?;
        out.sync_all().map_err(failed)?;
        snapshots.publish(&meta, file).map_err(failed)
    }

    /// Makes the directory the node's; answers the id of its cluster, which is empty for a stand-alone node.
    pub fn finish(self) -> Result<String, RestoreError> {
        identity::create_restored(&self.directory, self.node, &self.cluster_id, &self.origin)?;
        let marker = self.directory.join(RESTORING);
        let failed = |source| RestoreError::Io { path: marker.clone(), source };
        fs::remove_file(&marker).map_err(failed)?;
        durable_file::sync_directory(&self.directory).map_err(failed)?;
        Ok(if self.cluster_id == STANDALONE { String::new() } else { self.cluster_id })
    }

    fn mark_begun(&self) -> Result<(), RestoreError> {
        let directory = &self.directory;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| RestoreError::Io { path, source }
        };
        fs::create_dir_all(directory).map_err(failed(directory))?;
        let entries = fs::read_dir(directory).map_err(failed(directory))?;
        let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(failed(directory))?;
        let marker = directory.join(RESTORING);
        // The marker is made in an empty directory only, so what is beside it is from the attempt that made it.
        let began = marker.exists();
        for entry in entries {
            let (name, path) = (entry.file_name(), entry.path());
            if name == RESTORING || name == LOST_AND_FOUND {
                continue;
            }
            // Its own name may not be durable yet.
            if !began && name != format!("{RESTORING}.{}", durable_file::UNFINISHED).as_str() {
                return Err(RestoreError::NotEmpty(directory.clone()));
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(failed(&path))?;
        }
        let text = b"A backup is being restored to this directory.\n";
        durable_file::write(&marker, text).map_err(failed(&marker))?;
        directory.parent().map_or(Ok(()), durable_file::sync_directory).map_err(failed(directory))
    }
}

fn malformed(reason: impl ToString) -> StorageError {
    StorageError::Malformed { what: "snapshot", reason: reason.to_string() }
}

/// The same on all members, and for another backup another one.
fn derived_id(members: &Members, from: &Header, digest: Digest) -> String {
    let listed: Vec<String> = members.iter().map(|(id, peer)| format!("{id}={}", peer.raft)).collect();
    let source = format!(
        "restored {} {} {digest} for {}",
        from.cluster_id.escape_ascii(),
        from.applied.position.index,
        listed.join(",")
    );
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(source.as_bytes()))
}

/// The header of the new cluster's snapshot: the same data, at the same index, with other members.
fn new_header(members: &Members, cluster_id: &str, from: &Header) -> Result<Header, StorageError> {
    let log_id = LogId::new(CommittedLeaderId::new(0, 0), from.applied.position.index);
    let voters: BTreeSet<u64> = members.keys().copied().collect();
    let membership = Membership::new(vec![voters], members.clone());
    // The data is in the forms of the version that it was written at; a stand-alone node's position has no mark.
    let version = match from.applied.position.mark.is_empty() {
        true if from.version >= snapshot::Version::WithRevisions => version::WITH_REVISIONS,
        true => version::FIRST,
        false => Mark::of(&from.applied.position).map_err(malformed)?.version,
    };
    version::check(version).map_err(|error| malformed(error.to_string()))?;
    let mut mark = Mark { applied: Some(log_id), version, ..Mark::default() };
    mark.set_membership(StoredMembership::new(Some(log_id), membership));
    let mut header = Header { cluster_id: cluster_id.as_bytes().to_vec().into(), ..from.clone() };
    header.applied.position = mark.position().map_err(malformed)?;
    Ok(header)
}
