//! Whose data directory this is, and which log belongs to it.
//!
//! A node that starts on the data of another one, or of another cluster, could vote twice in one term or bring
//! strange entries into the log. So the directory says whose it is, in `identity`, and nobody else may use it. It also
//! says which Raft log is its own ([`DataId`]): a log that is gone, or another one in its place, is noticed.
//!
//! | version | |
//! |---|---|
//! | 1 | node, cluster, when it was made |
//! | 2 | also the data id of the log, once there is one, and what the data was restored from |
//!
//! Version 1 is read, and becomes version 2 when the log has been given its id.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::data_id::{DataId, NoDataId};
use crate::types::NodeId;
use adapter::durable_file;

/// What stands in the place of the cluster's id in the directory of a node without one. The blank keeps it from being
/// any cluster's id.
pub(crate) const STANDALONE: &str = "(stand alone)";

const FILE: &str = "identity";
/// Says how far the Raft log has been; see [`crate::log_store`].
pub(crate) const EXTENT_FILE: &str = "log-extent";
/// Stands in a directory that a backup is being restored to, until that is done.
pub(crate) const RESTORING: &str = "restoring";
/// Stands in a directory that is being made a cluster of its own, until that is done.
pub(crate) const RECOVERING: &str = "recovering";
const VERSION: u32 = 2;

/// Whose data directory this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node's id.
    pub node_id: NodeId,
    /// The cluster's id.
    pub cluster_id: String,
    /// When the directory was first used, Unix seconds.
    pub created: u64,
    /// Which log belongs to the directory; none until it has one.
    pub data: Option<DataId>,
    /// What the data was restored from, as a fingerprint that all members of the new cluster share; empty if it was
    /// not.
    pub origin: String,
    /// The version of the file: in version 1 a directory with a log has no data id either.
    pub version: u32,
}

/// What is wrong with an identity file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is not UTF-8.
    #[error("it is not text")]
    NotText,
    /// It is not what a program of that version has written.
    #[error("{}", .0.message())]
    Form(#[from] toml::de::Error),
    /// Versions begin with 1.
    #[error("it has the version 0")]
    NoVersion,
    /// Its data id is none.
    #[error(transparent)]
    DataId(#[from] NoDataId),
    /// Something in it was changed.
    #[error("its checksum does not match")]
    Checksum,
}

/// The directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It belongs to somebody else.
    #[error(
        "data directory {} belongs to node {} of cluster {}; this is node {node_id} of cluster {cluster_id}",
        directory.display(), found.node_id, found.cluster_id
    )]
    Other {
        /// The data directory.
        directory: PathBuf,
        /// Whose it is.
        found: Box<Identity>,
        /// Who wants it.
        node_id: NodeId,
        /// Whose member that is.
        cluster_id: String,
    },
    /// The file does not say whose it is.
    #[error("{} is damaged: {reason}; restore it, or start this node anew with an empty data directory and a new id", path.display())]
    Damaged {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Damage,
    },
    /// Written by a newer program.
    #[error("{} has the version {found}; this program knows versions up to {VERSION}", path.display())]
    Version {
        /// The identity file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The directory has a log and no identity: it was lost, and with it who may use the log.
    #[error("data directory {} holds a Raft log and no identity file: it is damaged, or not the directory of this program", directory.display())]
    Missing {
        /// The data directory.
        directory: PathBuf,
    },
    /// A restore into it was begun and not finished.
    #[error("data directory {} is half restored from a backup: run raft-proxy restore again, which begins anew", directory.display())]
    HalfRestored {
        /// The data directory.
        directory: PathBuf,
    },
    /// A recovery of it was begun and not finished.
    #[error("data directory {} is half recovered: run raft-proxy recover again, which goes on", directory.display())]
    HalfRecovered {
        /// The data directory.
        directory: PathBuf,
    },
    /// The file system refused.
    #[error("{} cannot be {what}: {source}", path.display())]
    Io {
        /// What was being done: `read`, `created`, `written`.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The file's form, version 2.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    node_id: NodeId,
    cluster_id: String,
    created: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    data_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    origin: String,
    /// CRC-32C of the other values, see [`checksum`].
    crc: u32,
}

/// The file's form, version 1.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredV1 {
    #[serde(rename = "version")]
    _version: u32,
    node_id: NodeId,
    cluster_id: String,
    created: u64,
    crc: u32,
}

/// Only what every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Identity {
    /// The identity of a directory; none if it has none.
    pub(crate) fn load(directory: &Path) -> Result<Option<Self>, IdentityError> {
        if directory.join(RESTORING).exists() {
            return Err(IdentityError::HalfRestored { directory: directory.to_owned() });
        }
        if directory.join(RECOVERING).exists() {
            return Err(IdentityError::HalfRecovered { directory: directory.to_owned() });
        }
        Self::read(directory)
    }

    /// The same, though something may be half done to the directory.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, IdentityError> {
        let path = directory.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => parse(&path, &text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(IdentityError::Damaged { path, reason: Damage::NotText })
            }
            Err(source) => Err(IdentityError::Io { what: "read", path, source }),
        }
    }

    /// Checks that the directory belongs to this node of this cluster. A directory without identity is made this
    /// node's, durably; one that does not exist is created.
    pub fn load_or_create(
        directory: &Path,
        node_id: NodeId,
        cluster_id: &str,
    ) -> Result<Self, IdentityError> {
        let Some(found) = Self::load(directory)? else { return create(directory, node_id, cluster_id) };
        if found.node_id != node_id || found.cluster_id != cluster_id {
            let (directory, cluster_id) = (directory.to_owned(), cluster_id.to_owned());
            return Err(IdentityError::Other { directory, found: Box::new(found), node_id, cluster_id });
        }
        Ok(found)
    }
}

/// Makes a directory without identity this node's, durably.
pub(crate) fn create(directory: &Path, node_id: NodeId, cluster_id: &str) -> Result<Identity, IdentityError> {
    create_restored(directory, node_id, cluster_id, "")
}

/// The same, of a directory to which a backup with this fingerprint was restored.
pub(crate) fn create_restored(
    directory: &Path,
    node_id: NodeId,
    cluster_id: &str,
    origin: &str,
) -> Result<Identity, IdentityError> {
    if ["log", EXTENT_FILE].iter().any(|name| directory.join(name).exists()) {
        return Err(IdentityError::Missing { directory: directory.to_owned() });
    }
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (cluster_id, origin) = (cluster_id.to_owned(), origin.to_owned());
    replace(directory, Identity { node_id, cluster_id, created, data: None, origin, version: VERSION })
}

/// Notes which log belongs to the directory, durably. A file of an earlier version becomes one of this.
pub(crate) fn set_data(
    directory: &Path,
    identity: Identity,
    data: DataId,
) -> Result<Identity, IdentityError> {
    replace(directory, Identity { data: Some(data), ..identity })
}

/// Writes the identity of a directory, whoever's it was, durably.
pub(crate) fn replace(directory: &Path, identity: Identity) -> Result<Identity, IdentityError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::Io { what, path, source }
    };
    std::fs::create_dir_all(directory).map_err(failed("created", directory))?;
    let identity = Identity { version: VERSION, ..identity };
    let path = directory.join(FILE);
    let text = render(&identity).map_err(io::Error::other).map_err(failed("written", &path))?;
    durable_file::write(&path, text.as_bytes()).map_err(failed("written", &path))?;
    // The directory itself may be new.
    let parent = directory.parent().unwrap_or(directory);
    durable_file::sync_directory(parent).map_err(failed("written", parent))?;
    Ok(identity)
}

fn render(identity: &Identity) -> Result<String, toml::ser::Error> {
    let crc = checksum(identity);
    let Identity { node_id, cluster_id, created, data, origin, version } = identity.clone();
    let data_id = data.map(|data| data.to_string()).unwrap_or_default();
    let stored = toml::to_string(&Stored { version, node_id, cluster_id, created, data_id, origin, crc })?;
    Ok(format!(
        "# Whose data directory this is. Not to be edited, and not to be copied to another one.\n{stored}"
    ))
}

fn parse(path: &Path, text: &str) -> Result<Identity, IdentityError> {
    let damaged = |reason: Damage| IdentityError::Damaged { path: path.to_owned(), reason };
    let Versioned { version } = toml::from_str(text).map_err(|error| damaged(error.into()))?;
    let (identity, crc) = match version {
        0 => Err(Damage::NoVersion),
        1 => toml::from_str::<StoredV1>(text).map(upgraded).map_err(Damage::from),
        VERSION => read_stored(text),
        _ => return Err(IdentityError::Version { path: path.to_owned(), found: version }),
    }
    .map_err(damaged)?;
    if checksum(&identity) != crc { Err(damaged(Damage::Checksum)) } else { Ok(identity) }
}

fn read_stored(text: &str) -> Result<(Identity, u32), Damage> {
    let stored: Stored = toml::from_str(text)?;
    let Stored { version, node_id, cluster_id, created, data_id, origin, crc } = stored;
    let data = if data_id.is_empty() { None } else { Some(data_id.parse()?) };
    Ok((Identity { node_id, cluster_id, created, data, origin, version }, crc))
}

/// What a file of version 1 says.
fn upgraded(StoredV1 { node_id, cluster_id, created, crc, .. }: StoredV1) -> (Identity, u32) {
    (Identity { node_id, cluster_id, created, data: None, origin: String::new(), version: 1 }, crc)
}

fn checksum(identity: &Identity) -> u32 {
    let Identity { node_id, cluster_id, created, data, origin, version } = identity;
    let text = match (version, data) {
        (1, _) => format!("{node_id} {created} {cluster_id}"),
        (_, None) => format!("{node_id} {created} {cluster_id} - {origin}"),
        (_, Some(data)) => format!("{node_id} {created} {cluster_id} {data} {origin}"),
    };
    crc32c::crc32c(text.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed test says enough by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stays_with_the_node_that_first_used_it() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("new/deep");
        let first = Identity::load_or_create(&directory, 1, "ab12").unwrap();
        assert_eq!(Identity::load_or_create(&directory, 1, "ab12").unwrap(), first);
    }

    #[test]
    fn another_node_or_cluster_is_refused_with_both_names_and_nothing_is_written() {
        let directory = tempfile::tempdir().unwrap();
        Identity::load_or_create(directory.path(), 2, "ab12").unwrap();
        let before = std::fs::read(directory.path().join(FILE)).unwrap();
        for (node_id, cluster_id) in [(1, "ab12"), (2, "cd34")] {
            let error =
                Identity::load_or_create(directory.path(), node_id, cluster_id).unwrap_err().to_string();
            let expected = format!(
                "data directory {} belongs to node 2 of cluster ab12; this is node {node_id} of cluster {cluster_id}",
                directory.path().display()
            );
            assert_eq!(error, expected);
        }
        assert_eq!(std::fs::read(directory.path().join(FILE)).unwrap(), before);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        Identity::load_or_create(directory.path(), 2, "ab12").unwrap();
        let path = directory.path().join(FILE);
        let good = std::fs::read_to_string(&path).unwrap();
        let edited = good.replace("node_id = 2", "node_id = 3");
        let cut = good[..good.len() / 2].to_owned();
        let more = format!("{good}color = 1\n");
        for bad in [edited.into_bytes(), cut.into_bytes(), more.into_bytes(), Vec::new(), vec![0xff; 40]] {
            std::fs::write(&path, &bad).unwrap();
            let error = Identity::load_or_create(directory.path(), 2, "ab12").unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), bad);
        }
    }

    #[test]
    fn a_newer_version_is_named_and_not_called_damage() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "version = 3\nsomething = \"new\"\n").unwrap();
        let error = Identity::load_or_create(directory.path(), 2, "ab12").unwrap_err();
        assert!(matches!(error, IdentityError::Version { found: 3, .. }), "{error}");
    }

    #[test]
    fn a_log_without_an_identity_is_not_adopted_nor_is_what_a_lost_log_has_left() {
        for left in ["log", EXTENT_FILE] {
            let directory = tempfile::tempdir().unwrap();
            std::fs::create_dir(directory.path().join(left)).unwrap();
            let error = Identity::load_or_create(directory.path(), 2, "ab12").unwrap_err();
            assert!(matches!(error, IdentityError::Missing { .. }), "{error}");
            assert!(!directory.path().join(FILE).exists());
        }
    }

    /// As version 1 was written, byte by byte.
    const V1: &str = "# Whose data directory this is. Written once; not to be edited.\nversion = 1\nnode_id = 2\n\
        cluster_id = \"ab12\"\ncreated = 1764196021\ncrc = 1690879156\n";

    #[test]
    fn a_file_of_version_1_is_read_and_becomes_one_of_version_2() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), V1).unwrap();
        let old = Identity::load_or_create(directory.path(), 2, "ab12").unwrap();
        assert_eq!((old.version, old.created, old.data), (1, 1_764_196_021, None));
        let kept = std::fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert_eq!(kept, V1, "reading changes nothing");
        let data = DataId(7);
        set_data(directory.path(), old, data).unwrap();
        let new = Identity::load_or_create(directory.path(), 2, "ab12").unwrap();
        assert_eq!((new.version, new.created, new.data), (2, 1_764_196_021, Some(data)));
        std::fs::write(directory.path().join(FILE), V1.replace("node_id = 2", "node_id = 3")).unwrap();
        let error = Identity::load_or_create(directory.path(), 3, "ab12").unwrap_err();
        assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
    }

    #[test]
    fn what_the_data_was_restored_from_stays_in_the_identity() {
        let directory = tempfile::tempdir().unwrap();
        let made = create_restored(directory.path(), 2, "ab12", "f00d").unwrap();
        let made = set_data(directory.path(), made, DataId(9)).unwrap();
        assert_eq!(Identity::load(directory.path()).unwrap(), Some(made.clone()));
        assert_eq!((made.origin.as_str(), made.data), ("f00d", Some(DataId(9))));
    }
}
