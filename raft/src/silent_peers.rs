//! A leader of three whose peers vote for it and answer nothing else, for tests: openraft, the log and the state
//! machine are the real ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use adapter::Adapter;
use adapter::memory::MemoryAdapter;
use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftNetwork, RaftNetworkFactory, ServerState, Snapshot};
use tokio::sync::watch;

use crate::TypeConfig;
use crate::consensus::{Means, RaftConsensus};
use crate::elections::Elections;
use crate::leadership::Leadership;
use crate::lease::Lease;
use crate::log_clock::LogClock;
use crate::log_store::{LogStore, Options};
use crate::network::credentials::Credentials;
use crate::network::peers::Peers;
use crate::state_machine::{Keeper, KiwiStateMachine, Progress};
use crate::types::{NodeId, Peer, Raft, Vote};

type RpcError = RPCError<NodeId, Peer, RaftError<NodeId>>;

/// Peers that vote for this node and then fall silent.
struct Silent;

impl RaftNetworkFactory<TypeConfig> for Silent {
    type Network = Self;

    async fn new_client(&mut self, _: NodeId, _: &Peer) -> Self {
        Self
    }
}

impl RaftNetwork<TypeConfig> for Silent {
    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        pending().await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        _: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        Ok(VoteResponse::new(rpc.vote, None, true))
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: Snapshot<TypeConfig>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        pending().await
    }
}

/// Node 1, which leads in term 1.
pub(crate) struct SilentPeersLeader {
    pub(crate) raft: Raft,
    pub(crate) log: LogStore,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) keeper: Keeper,
    pub(crate) progress: watch::Receiver<Progress>,
    pub(crate) elections: Arc<Elections>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) leadership: Leadership,
    pub(crate) config: conf::Live,
    _directory: tempfile::TempDir,
}

impl SilentPeersLeader {
    /// Elected by the voters, itself among them.
    pub(crate) async fn of(voters: BTreeMap<NodeId, Peer>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = conf::ClusterConfig::default();
        let log = LogStore::open(directory.path(), Options::new(1, &config.raft)).unwrap();
        let adapter: Arc<dyn Adapter> = Arc::new(MemoryAdapter::new());
        let machine =
            KiwiStateMachine::open(Arc::clone(&adapter), directory.path(), "c", log.reader()).await.unwrap();
        let (keeper, progress) = (machine.keeper(), machine.progress());
        let openraft_config = openraft::Config { enable_elect: false, ..openraft::Config::default() };
        let raft = Raft::new(1, Arc::new(openraft_config), Silent, log.clone(), machine).await.unwrap();
        raft.initialize(voters).await.unwrap();
        raft.trigger().elect().await.unwrap();
        raft.wait(Some(Duration::from_secs(10))).state(ServerState::Leader, "it leads").await.unwrap();
        let peers = Peers::new(Credentials::new(1, "c", "secret").unwrap(), HashMap::new());
        let elections = Elections::new((Duration::from_millis(500), Duration::from_secs(1)));
        let leadership = Leadership::new(1, &raft, peers, &elections);
        let (lease, config) = (Arc::new(Lease::new(1, &config.raft)), (&config).into());
        let _directory = directory;
        Self { raft, log, adapter, keeper, progress, elections, lease, leadership, config, _directory }
    }

    /// Its consensus.
    pub(crate) fn consensus(&self) -> RaftConsensus {
        let means = Means {
            raft: self.raft.clone(),
            adapter: Arc::clone(&self.adapter),
            busy: Arc::default(),
            log: self.log.clone(),
            lease: Arc::clone(&self.lease),
            clock: LogClock::new(0),
            snapshots: self.keeper.taken(),
            config: self.config.clone(),
        };
        RaftConsensus::new(self.leadership.clone(), means)
    }
}
