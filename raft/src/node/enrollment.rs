//! How a node came, or comes, into its cluster; and the file in the data directory that says so.
//!
//! | `cluster.members` | data directory | the node |
//! |---|---|---|
//! | not empty | any | is one of the founders, or has been one |
//! | empty | has an identity | is a member of that cluster |
//! | empty | has none | is alone: it waits for `RAFT.CLUSTER INIT` or `JOIN` |
//!
//! The file `entry` is written before the identity, and is what a node goes by whose log is still empty when it is
//! started again: a founder forms its cluster, and one that joined asks those that it joined before it takes part.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use conf::ClusterConfig;

use super::bootstrap;
use super::error::StartError;
use crate::identity::{Identity, IdentityError, STANDALONE};
use crate::types::{Members, NodeId, Peer};
use adapter::durable_file;

const FILE: &str = "entry";
const FOUNDER: &str = "founder";
const JOINED: &str = "joined";

/// What a node is enrolled as: its id, its cluster, and how it came there.
#[derive(Debug)]
pub(crate) struct Enrollment {
    pub(crate) id: NodeId,
    pub(crate) cluster_id: String,
    pub(crate) how: How,
}

/// How it came there.
#[derive(Debug)]
pub(crate) enum How {
    /// With the others of `cluster.members`.
    Configured(Members),
    /// By `RAFT.CLUSTER INIT`.
    Founder(Members),
    /// It is being let in right now.
    Joining,
    /// It joined these earlier.
    Joined(Members),
    /// The log says.
    Known,
}

impl How {
    /// The members that form the cluster, or have formed it, as the configuration says.
    pub(super) fn members(&self) -> Option<&Members> {
        match self {
            Self::Configured(members) | Self::Founder(members) => Some(members),
            Self::Joined(_) | Self::Joining | Self::Known => None,
        }
    }

    /// Where the members are, as far as that is known without the log.
    pub(super) fn places(&self) -> HashMap<NodeId, String> {
        match self {
            Self::Configured(members) | Self::Founder(members) | Self::Joined(members) => {
                members.iter().map(|(id, peer)| (*id, peer.raft.clone())).collect()
            }
            Self::Joining | Self::Known => HashMap::new(),
        }
    }
}

/// The enrollment of the node whose data directory this is; none for a node that is alone.
pub(crate) fn find(config: &ClusterConfig) -> Result<Option<Enrollment>, StartError> {
    if !config.cluster.members.is_empty() {
        let members = members(config)?;
        let identity = identity(config, &members)?;
        let (id, cluster_id) = (identity.node_id, identity.cluster_id);
        return Ok(Some(Enrollment { id, cluster_id, how: How::Configured(members) }));
    }
    let Some(found) = Identity::load(&config.node.data_dir)? else { return Ok(None) };
    let id = if config.node.id == 0 { found.node_id } else { config.node.id };
    let wanted = if config.cluster.id.is_empty() { &found.cluster_id } else { &config.cluster.id };
    if id != found.node_id || *wanted != found.cluster_id || found.cluster_id == STANDALONE {
        return Err(IdentityError::Other {
            directory: config.node.data_dir.clone(),
            node_id: id,
            cluster_id: if found.cluster_id == STANDALONE { "(any)".to_owned() } else { wanted.clone() },
            found: Box::new(found),
        }
        .into());
    }
    let how = read(&config.node.data_dir, found.node_id, &config.advertised_raft())?;
    Ok(Some(Enrollment { id, cluster_id: found.cluster_id, how }))
}

/// The members, with this node among them; without any in the configuration, this node alone.
pub(crate) fn members(config: &ClusterConfig) -> Result<Members, StartError> {
    let at = |raft: String| Peer { raft, ..Peer::default() };
    if config.cluster.members.is_empty() {
        return Ok(Members::from([(config.own_id().max(1), at(config.advertised_raft()))]));
    }
    let members: Members =
        config.cluster.members.iter().map(|member| (member.id, at(member.address.clone()))).collect();
    let id = config.own_id();
    if !members.contains_key(&id) {
        return Err(StartError::Config(format!("node.id {id} is not among cluster.members")));
    }
    if members.len() > 1 && config.cluster.secret.is_empty() {
        return Err(StartError::Config("a cluster of more than one member needs cluster.secret".to_owned()));
    }
    Ok(members)
}

/// Makes sure that the data directory belongs to this node as it is configured, before anything in it is opened; an
/// empty one is made this node's, unless the node is to be let into a cluster first. A stand-alone node's data and a
/// cluster's are never taken for each other's.
pub fn claim_data_dir(config: &ClusterConfig) -> Result<(), StartError> {
    if config.cluster.enabled {
        find(config)?;
    } else {
        Identity::load_or_create(&config.node.data_dir, standalone_id(config), STANDALONE)?;
    }
    Ok(())
}

/// Who a stand-alone node is: what the configuration says, or else its directory.
pub(crate) fn standalone_id(config: &ClusterConfig) -> NodeId {
    let found = || Identity::load(&config.node.data_dir).ok().flatten();
    match config.own_id() {
        0 => found().map_or(1, |found| found.node_id),
        id => id,
    }
}

/// The identity of the data directory. A cluster without a configured id keeps the one that it was given at its
/// first start, whatever becomes of its members.
fn identity(config: &ClusterConfig, members: &Members) -> Result<Identity, StartError> {
    let (data_dir, id) = (&config.node.data_dir, config.own_id());
    if !config.cluster.id.is_empty() {
        return Ok(Identity::load_or_create(data_dir, id, &config.cluster.id)?);
    }
    match Identity::load_or_create(data_dir, id, &bootstrap::cluster_id(members)) {
        Err(IdentityError::Other { found, .. }) if found.node_id == id && found.cluster_id != STANDALONE => {
            Ok(*found)
        }
        other => Ok(other?),
    }
}

/// Writes down how a node comes in, durably.
pub(crate) fn write(directory: &Path, how: &How) -> Result<(), StartError> {
    let text = match how {
        How::Founder(_) => format!("{FOUNDER}\n"),
        How::Joined(members) => {
            let line = |(id, peer): (&NodeId, &Peer)| format!("{id}={}\n", peer.raft);
            format!("{JOINED}\n{}", members.iter().map(line).collect::<String>())
        }
        How::Configured(_) | How::Joining | How::Known => return Ok(()),
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    let path = directory.join(FILE);
    durable_file::write(&path, text.as_bytes()).map_err(|error| failed(&path, &error))
}

/// A founder has formed its cluster: its log says so from now on.
pub(crate) fn forget(directory: &Path) -> Result<(), StartError> {
    let path = directory.join(FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path, &error)),
        _ => durable_file::sync_directory(directory).map_err(|error| failed(directory, &error)),
    }
}

fn read(directory: &Path, id: NodeId, raft: &str) -> Result<How, StartError> {
    let path = directory.join(FILE);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(How::Known),
        Err(error) => return Err(failed(&path, &error)),
    };
    let at = |raft: &str| Peer { raft: raft.to_owned(), ..Peer::default() };
    let mut lines = text.lines();
    match lines.next() {
        Some(FOUNDER) => Ok(How::Founder(Members::from([(id, at(raft))]))),
        Some(JOINED) => {
            let member = |line: &str| {
                let (id, raft) = line.split_once('=')?;
                Some((id.parse().ok()?, at(raft)))
            };
            let members: Option<Members> = lines.map(member).collect();
            members
                .map(How::Joined)
                .ok_or_else(|| StartError::Config(format!("{} is damaged", path.display())))
        }
        _ => Err(StartError::Config(format!("{} is damaged", path.display()))),
    }
}

fn failed(path: &Path, error: &io::Error) -> StartError {
    StartError::Config(format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn how_a_node_came_in_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(directory.path(), 4, "d:4").unwrap(), How::Known));
        let members = Members::from([(1, Peer { raft: "a:1".to_owned(), ..Peer::default() })]);
        write(directory.path(), &How::Joined(members.clone())).unwrap();
        let How::Joined(read_back) = read(directory.path(), 4, "d:4").unwrap() else { panic!("another way") };
        assert_eq!(read_back, members);
        write(directory.path(), &How::Founder(members)).unwrap();
        let How::Founder(me) = read(directory.path(), 4, "d:4").unwrap() else { panic!("another way") };
        assert_eq!(me.keys().copied().collect::<Vec<_>>(), [4]);
        forget(directory.path()).unwrap();
        assert!(matches!(read(directory.path(), 4, "d:4").unwrap(), How::Known));
        std::fs::write(directory.path().join(FILE), "emperor\n").unwrap();
        assert!(read(directory.path(), 4, "d:4").is_err());
    }
}
