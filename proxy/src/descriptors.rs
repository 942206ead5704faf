//! What a node does with the file descriptors that it may have.
//!
//! Every client, every peer and every file of the storage takes one, and the kernel sets a limit (`ulimit -n`). A
//! storage that cannot open a file has failed, so files and peers have their share first, and clients what is left of
//! it.

use conf::{ClusterConfig, StorageKind};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Standard streams, listeners, the log, epoll, the files of a snapshot, and connections that are about to be closed.
const OTHERS: u64 = 96;
/// What a RocksDB opens beside the files that it counts: its logs, its manifest, what a compaction writes, directories.
const BESIDE_FILES: u64 = 32;
/// Files of the Raft log; see `raft::log_store`.
const RAFT_LOG: u64 = 64;
/// Connections to and from fourteen other members, about ten each way.
const PEERS: u64 = 280;
/// Connections over HTTP.
const HTTP: u64 = 256;
/// With fewer clients than this a node is of no use.
const LEAST_CLIENTS: u64 = 32;
/// RocksDB does not do with fewer files.
const LEAST_FILES: u64 = 32;
/// A limit with which a node starts in any configuration by default.
const ENOUGH: u64 = 1024;

/// Who may have how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// The limit of the process.
    pub limit: u64,
    /// Client connections at most.
    pub clients: usize,
    /// Files that the storage keeps open at most.
    pub files: usize,
    /// Connections over HTTP at most.
    pub http: usize,
    /// Connections from and to other members that there is room for.
    pub peers: usize,
}

/// The limit is so low that a node could not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}: too low for the files of the storage, the other members and clients; set it to \
     {ENOUGH} or more (ulimit -n, LimitNOFILE)"
)]
pub struct TooFew {
    limit: u64,
}

impl Descriptors {
    /// Raises the process's limit as far as it may go, and divides what there is.
    pub fn of_process(config: &ClusterConfig) -> Result<Self, TooFew> {
        let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
            tracing::warn!("the limit of open files cannot be read; {ENOUGH} is assumed");
            return Self::divide(ENOUGH, config);
        };
        let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            _ if soft >= hard => soft,
            Ok(()) => hard,
            Err(error) => {
                tracing::warn!(%error, soft, hard, "the limit of open files cannot be raised");
                soft
            }
        };
        Self::divide(limit, config)
    }

    /// Divides `limit`. Where it is low, everybody has less.
    fn divide(limit: u64, config: &ClusterConfig) -> Result<Self, TooFew> {
        let clustered = config.cluster.enabled;
        let files = (config.storage.max_open_files as u64).min((limit / 8).max(LEAST_FILES));
        let peers = if clustered { PEERS.min(limit / 8) } else { 0 };
        let log = if clustered { RAFT_LOG + BESIDE_FILES } else { 0 };
        let http = if config.listen.http.is_some() { HTTP.min(limit / 16) } else { 0 };
        let kiwi = match config.storage.kind {
            StorageKind::Kiwi => config.storage.connections as u64,
            StorageKind::Embedded | StorageKind::Memory => 0,
        };
        let reserved = OTHERS + files + BESIDE_FILES + peers + log + http + kiwi;
        let clients = limit.saturating_sub(reserved);
        if clients < LEAST_CLIENTS {
            return Err(TooFew { limit });
        }
        let [clients, files, http, peers] = [clients, files, http, peers].map(|count| count as usize);
        Ok(Self { limit, clients, files, http, peers })
    }

    /// Lowers what a configuration asks for to what there is.
    pub fn lower(&self, config: &mut ClusterConfig) {
        config.limits.max_clients = config.limits.max_clients.min(self.clients);
        config.storage.max_open_files = config.storage.max_open_files.min(self.files);
    }

    /// Says in the log what could not be had.
    pub fn tell(&self, asked: &ClusterConfig) {
        let Self { limit, clients, files, .. } = *self;
        if asked.limits.max_clients > clients {
            tracing::warn!(
                limit,
                asked = asked.limits.max_clients,
                max_clients = clients,
                "limits.max_clients is lowered to what the limit of open files allows, less what files and peers need"
            );
        }
        if asked.storage.max_open_files > files {
            tracing::warn!(
                limit,
                asked = asked.storage.max_open_files,
                max_open_files = files,
                "storage.max_open_files is lowered: the limit of open files is low"
            );
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn divide(limit: u64, kind: StorageKind) -> Result<Descriptors, TooFew> {
        let mut config = ClusterConfig::default();
        config.storage.kind = kind;
        config.listen.http = Some(([127, 0, 0, 1], 1).into());
        Descriptors::divide(limit, &config)
    }

    #[test]
    fn a_server_has_all_that_is_asked_for_and_a_small_limit_leaves_some_of_everything() {
        let config = ClusterConfig::default();
        let many = divide(65536, StorageKind::Embedded).unwrap();
        assert!(many.clients >= config.limits.max_clients);
        assert_eq!((many.files, many.http), (config.storage.max_open_files, HTTP as usize));
        let few = divide(ENOUGH, StorageKind::Embedded).unwrap();
        assert_eq!((few.clients, few.files, few.http), (480, 128, 64));
        assert!(divide(ENOUGH, StorageKind::Kiwi).unwrap().clients >= 300);
    }

    #[test]
    fn what_is_given_away_is_never_more_than_there_is() {
        for limit in (0..4096).chain([65536, 1 << 20, u64::MAX]) {
            for kind in [StorageKind::Embedded, StorageKind::Kiwi] {
                let Ok(given) = divide(limit, kind) else { continue };
                assert!(
                    (given.clients + given.files + given.http + given.peers) as u64 + OTHERS <= limit,
                    "{limit}"
                );
            }
        }
        assert_eq!(divide(100, StorageKind::Embedded), Err(TooFew { limit: 100 }));
    }
}
