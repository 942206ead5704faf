//! Whose data directory this is.
//!
//! A node that starts on the data of another one, or of another cluster, could vote twice in one term or bring
//! strange entries into the log. So the directory says whose it is, in `identity`, and nobody else may use it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::durable_file;
use crate::types::NodeId;

const FILE: &str = "identity";
/// Stands in a directory that a backup is being restored to, until that is done.
pub(crate) const RESTORING: &str = "restoring";
/// Stands in a directory that is being made a cluster of its own, until that is done.
pub(crate) const RECOVERING: &str = "recovering";
const VERSION: u32 = 1;

/// Whose data directory this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node's id.
    pub node_id: NodeId,
    /// The cluster's id.
    pub cluster_id: String,
    /// When the directory was first used, Unix seconds.
    pub created: u64,
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
        found: Identity,
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
        reason: String,
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

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    node_id: NodeId,
    cluster_id: String,
    created: u64,
    /// CRC-32C of the other values, see [`checksum`].
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
                Err(IdentityError::Damaged { path, reason: "it is not text".to_owned() })
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
            return Err(IdentityError::Other { directory, found, node_id, cluster_id });
        }
        Ok(found)
    }
}

/// Makes a directory without identity this node's, durably.
pub(crate) fn create(directory: &Path, node_id: NodeId, cluster_id: &str) -> Result<Identity, IdentityError> {
    if directory.join("log").exists() {
        return Err(IdentityError::Missing { directory: directory.to_owned() });
    }
    replace(directory, node_id, cluster_id)
}

/// Makes a directory this node's, whoever's it was, durably.
pub(crate) fn replace(
    directory: &Path,
    node_id: NodeId,
    cluster_id: &str,
) -> Result<Identity, IdentityError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::Io { what, path, source }
    };
    std::fs::create_dir_all(directory).map_err(failed("created", directory))?;
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let identity = Identity { node_id, cluster_id: cluster_id.to_owned(), created };
    let path = directory.join(FILE);
    let text = render(&identity).map_err(io::Error::other).map_err(failed("written", &path))?;
    durable_file::write(&path, text.as_bytes()).map_err(failed("written", &path))?;
    // The directory itself may be new.
    let parent = directory.parent().unwrap_or(directory);
    durable_file::sync_directory(parent).map_err(failed("written", parent))?;
    Ok(identity)
}

fn render(identity: &Identity) -> Result<String, toml::ser::Error> {
    let Identity { node_id, cluster_id, created } = identity.clone();
    let crc = checksum(identity);
    let stored = toml::to_string(&Stored { version: VERSION, node_id, cluster_id, created, crc })?;
    Ok(format!("# Whose data directory this is. Written once; not to be edited.\n{stored}"))
}

fn parse(path: &Path, text: &str) -> Result<Identity, IdentityError> {
    let path = path.to_owned();
    let damaged = |reason: String| IdentityError::Damaged { path: path.clone(), reason };
    let Versioned { version } = toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))?;
    if version > VERSION {
        return Err(IdentityError::Version { path, found: version });
    }
    let stored: Stored = toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))?;
    let Stored { node_id, cluster_id, created, crc, .. } = stored;
    let identity = Identity { node_id, cluster_id, created };
    if checksum(&identity) != crc {
        return Err(damaged("its checksum does not match".to_owned()));
    }
    Ok(identity)
}

fn checksum(identity: &Identity) -> u32 {
    let Identity { node_id, cluster_id, created } = identity;
    crc32c::crc32c(format!("{node_id} {created} {cluster_id}").as_bytes())
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
        std::fs::write(directory.path().join(FILE), "version = 2\nsomething = \"new\"\n").unwrap();
        let error = Identity::load_or_create(directory.path(), 2, "ab12").unwrap_err();
        assert!(matches!(error, IdentityError::Version { found: 2, .. }), "{error}");
    }

    #[test]
    fn a_log_without_an_identity_is_not_adopted() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("log")).unwrap();
        let error = Identity::load_or_create(directory.path(), 2, "ab12").unwrap_err();
        assert!(matches!(error, IdentityError::Missing { .. }), "{error}");
        assert!(!directory.path().join(FILE).exists());
    }
}
