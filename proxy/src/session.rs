//! What a connection has agreed on with its client.

use std::collections::BTreeMap;

use bytes::Bytes;
use conf::{ClusterConfig, Consistency};
use raft::backup::Hold;

use crate::resp::Protocol;
use crate::transaction::Transaction;

/// The state that commands of the connection itself change.
pub struct Session {
    /// It has authenticated, or came when there was no password.
    pub authenticated: bool,
    /// The protocol version that replies are written in.
    pub protocol: Protocol,
    /// `CLIENT REPLY OFF`.
    pub muted: bool,
    /// The command that runs is not answered.
    pub skip: bool,
    /// `CLIENT REPLY SKIP`: the next command is not answered.
    pub skip_next: bool,
    /// It has asked for the cluster's slots or nodes, or has said `READONLY`: it is told where commands go.
    pub cluster_aware: bool,
    /// The connection is closed once the reply is written.
    pub closing: bool,
    /// Snapshots that are being read, which go with the connection.
    pub snapshots: Vec<Hold>,
    /// How recent its reads are.
    pub consistency: Consistency,
    /// No write of this connection, and nothing that it has read, stands behind this index of the log.
    pub seen: u64,
    /// The index of its last write that was acknowledged; 0 for none.
    pub written: u64,
    /// The keys that it watches, and the revisions that they had.
    pub(crate) watched: BTreeMap<Bytes, u64>,
    /// What it has queued since `MULTI`.
    pub(crate) transaction: Option<Box<Transaction>>,
}

impl Session {
    /// A new connection's state.
    pub fn new(config: &ClusterConfig) -> Self {
        Self {
            authenticated: config.listen.password.is_empty(),
            protocol: Protocol::Resp2,
            muted: false,
            skip: false,
            skip_next: false,
            cluster_aware: false,
            closing: false,
            snapshots: Vec::new(),
            consistency: config.default_consistency(),
            seen: 0,
            written: 0,
            watched: BTreeMap::new(),
            transaction: None,
        }
    }

    /// A write of this connection was acknowledged.
    pub fn wrote(&mut self, index: u64) {
        self.written = self.written.max(index);
        self.saw(index);
    }

    /// A read of this connection has seen what stands up to this index.
    pub fn saw(&mut self, index: u64) {
        self.seen = self.seen.max(index);
    }

    /// About how many bytes take what is queued and what is watched.
    pub(crate) fn transaction_bytes(&self) -> usize {
        watched_bytes(self.watched.keys())
            + self.transaction.as_ref().map_or(0, |transaction| transaction.bytes())
    }

    /// Whether the connection must authenticate before anything else.
    pub fn must_authenticate(&self, config: &ClusterConfig) -> bool {
        !self.authenticated && !config.listen.password.is_empty()
    }

    /// Whether its reads are for this node, whoever leads: they are at a level at which the leader is not asked.
    pub fn reads_here(&self) -> bool {
        !self.consistency.is_linearizable()
    }

    /// Whether the command that runs is answered.
    pub fn answers(&self) -> bool {
        !self.muted && !self.skip
    }

    /// The command has run: what was said of the next one now holds.
    pub fn next_command(&mut self) {
        self.skip = std::mem::take(&mut self.skip_next);
    }
}

/// About how many bytes watched keys take.
pub(crate) fn watched_bytes<'a>(keys: impl Iterator<Item = &'a Bytes>) -> usize {
    keys.map(|key| key.len() + size_of::<(Bytes, u64)>()).sum()
}
