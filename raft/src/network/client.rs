//! openraft's way to a peer.
//!
//! openraft gives up waiting for an AppendEntries after one heartbeat interval and asks again. A large payload may
//! need longer, so each payload travels in a task of its own; being asked again means to go on waiting for it.
//! While it travels, empty AppendEntries on another connection keep the follower from standing for election.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftNetwork, RaftNetworkFactory, Snapshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::task::AbortOnDropHandle;

use super::body::Outgoing;
use super::matched::{Asked, Matched};
use super::peers::Peers;
use super::pool::{CallError, Pool};
use super::{path, snapshot, wire};
use crate::TypeConfig;
use crate::boot_clock;
use crate::codec::encode_entry;
use crate::elections::Elections;
use crate::lease::Lease;
use crate::logger::RaftLogger;
use crate::types::{Entry, LogId, NodeId, Peer, Vote};
use crate::watermark::Watermark;

type AppendResult = Result<AppendEntriesResponse<NodeId>, CallError>;
type RpcError = RPCError<NodeId, Peer, RaftError<NodeId>>;

/// A payload longer than this has heartbeats beside it.
const LARGE_PAYLOAD_BYTES: usize = 1 << 20;
/// How long a payload may take, besides the time that its bytes take at [`SLOWEST_BYTES_PER_SECOND`].
const APPEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A link slower than this cannot carry a cluster.
const SLOWEST_BYTES_PER_SECOND: usize = 1 << 20;
/// Why entries are not sent: see [`wire::newer_than_vote`].
#[derive(Debug, thiserror::Error)]
#[error("the entry {entry} is newer than the vote {vote}")]
struct Deposed {
    vote: Vote,
    entry: LogId,
}

/// The first and the last wait before an unreachable peer is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_millis(400));
/// The same for a snapshot.
const SNAPSHOT_BACKOFF: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// Makes the clients of all peers.
pub struct RaftNetworkClients {
    peers: Peers,
    encoded: Arc<EncodedEntries>,
    heartbeat_interval: Duration,
    elections: Arc<Elections>,
    lease: Arc<Lease>,
    watermark: Arc<Watermark>,
    matched: Arc<Matched>,
}

impl RaftNetworkClients {
    pub(crate) fn new(
        peers: Peers,
        heartbeat_interval: Duration,
        elections: Arc<Elections>,
        lease: Arc<Lease>,
        watermark: Arc<Watermark>,
    ) -> Self {
        let (encoded, matched) = Default::default();
        Self { peers, encoded, heartbeat_interval, elections, lease, watermark, matched }
    }
}

impl RaftNetworkFactory<TypeConfig> for RaftNetworkClients {
    type Network = RaftNetworkClient;

    async fn new_client(&mut self, target: NodeId, node: &Peer) -> RaftNetworkClient {
        let (pool, lease) = (self.peers.at(target, &node.raft), Arc::clone(&self.lease));
        let way = Way { pool, target, lease, matched: Arc::clone(&self.matched) };
        RaftNetworkClient {
            way,
            encoded: Arc::clone(&self.encoded),
            heartbeat_interval: self.heartbeat_interval,
            elections: Arc::clone(&self.elections),
            watermark: Arc::clone(&self.watermark),
            in_flight: None,
            snapshot_wait: Duration::ZERO,
        }
    }
}

/// One peer, as openraft sees it.
pub struct RaftNetworkClient {
    way: Way,
    encoded: Arc<EncodedEntries>,
    heartbeat_interval: Duration,
    elections: Arc<Elections>,
    watermark: Arc<Watermark>,
    in_flight: Option<InFlight>,
    /// The wait before the next snapshot, if the last one could not be sent: openraft begins its own waits anew with
    /// every snapshot.
    snapshot_wait: Duration,
}

/// Where append requests go, and what their answers are good for besides.
#[derive(Clone)]
struct Way {
    pool: Arc<Pool>,
    target: NodeId,
    lease: Arc<Lease>,
    matched: Arc<Matched>,
}

/// A payload on its way.
struct InFlight {
    vote: Vote,
    prev: Option<LogId>,
    last: LogId,
    answer: AbortOnDropHandle<AppendResult>,
}

impl InFlight {
    /// Whether the answer to this payload is an answer to `rpc`: the same leader sends entries from the same place
    /// on, at least up to the same entry.
    fn serves(&self, rpc: &AppendEntriesRequest<TypeConfig>) -> bool {
        self.vote == rpc.vote
            && self.prev == rpc.prev_log_id
            && rpc.entries.iter().any(|entry| entry.log_id == self.last)
    }
}

impl RaftNetworkClient {
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot<TypeConfig>,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        if let Some(entry) = snapshot.meta.last_log_id.filter(|entry| entry.leader_id > vote.leader_id) {
            return Err(StreamingError::Unreachable(Unreachable::new(&Deposed { vote, entry })));
        }
        // Only a leader sends one, with its own vote.
        let logger = RaftLogger::new(vote.leader_id.node_id);
        let (at, began) = (snapshot.meta.last_log_id, Instant::now());
        logger.snapshot_sending(at, self.way.target, &snapshot.snapshot.path);
        let sent = snapshot::send(&self.way.pool, vote, snapshot).await;
        if let (Ok(answer), Some(at)) = (&sent, at)
            && answer.vote == vote
        {
            self.way.matched.note(self.way.target, vote, at.index);
        }
        logger.snapshot_sent(at, self.way.target, began.elapsed(), sent.as_ref().map(drop));
        sent.map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))
    }

    /// Starts to send a payload, unless it is on its way already.
    fn start(&mut self, rpc: AppendEntriesRequest<TypeConfig>, last: LogId) -> InFlight {
        match self.in_flight.take() {
            Some(in_flight) if in_flight.serves(&rpc) => in_flight,
            _ => {
                let (vote, prev) = (rpc.vote, rpc.prev_log_id);
                let (way, encoded) = (self.way.clone(), Arc::clone(&self.encoded));
                let send = send_entries(way, encoded, self.heartbeat_interval, rpc);
                InFlight { vote, prev, last, answer: AbortOnDropHandle::new(tokio::spawn(send)) }
            }
        }
    }
}

impl RaftNetwork<TypeConfig> for RaftNetworkClient {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        if let Some(entry) = wire::newer_than_vote(&rpc) {
            // This node is no leader any more: openraft ends the replication as soon as it knows.
            let deposed = Deposed { vote: rpc.vote, entry };
            tracing::warn!(%deposed, "an append was not sent");
            return Err(RPCError::Unreachable(Unreachable::new(&deposed)));
        }
        // Whoever is told may show it before this node does.
        self.watermark.raise(rpc.leader_commit.map_or(0, |committed| committed.index));
        let asked = Asked::by(&rpc);
        let Some(last) = rpc.entries.last().map(|entry| entry.log_id) else {
            let deadline = Instant::now() + option.hard_ttl();
            let answer = self.way.append(&rpc, Vec::new(), deadline).await.map_err(unreachable)?;
            return self.way.believed(asked, answer).map_err(RPCError::Unreachable);
        };
        let in_flight = self.start(rpc, last);
        // Kept in `self` while waiting: this future may be dropped, the payload must not be.
        let in_flight = self.in_flight.insert(in_flight);
        let answer = (&mut in_flight.answer).await;
        let sent = in_flight.last;
        self.in_flight = None;
        match answer {
            Ok(Ok(AppendEntriesResponse::Success)) if sent != last => {
                let partial = AppendEntriesResponse::PartialSuccess(Some(sent));
                self.way.believed(asked, partial).map_err(RPCError::Unreachable)
            }
            Ok(Ok(response)) => self.way.believed(asked, response).map_err(RPCError::Unreachable),
            Ok(Err(error)) => Err(unreachable(error)),
            Err(stopped) => Err(RPCError::Network(NetworkError::new(&stopped))),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        let deadline = Instant::now() + option.hard_ttl();
        let answer =
            self.way.pool.call(path::VOTE, wire::encode(&rpc), deadline).await.map_err(unreachable)?;
        let answer: VoteResponse<NodeId> =
            wire::decode(&answer).map_err(|error| RPCError::Network(NetworkError::new(&error)))?;
        let is_candidate =
            !answer.vote.is_committed() && answer.vote.leader_id().voted_for() == Some(self.way.target);
        if is_candidate && !answer.vote_granted && answer.last_log_id < rpc.last_log_id {
            self.elections.lesser_candidate(answer.vote);
        }
        Ok(answer)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        let wait = self.snapshot_wait;
        let (first, longest) = SNAPSHOT_BACKOFF;
        self.snapshot_wait = (wait * 2).clamp(first, longest);
        let sent = async {
            tokio::time::sleep(wait).await;
            self.send_snapshot(vote, snapshot).await
        };
        let sent = tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = sent => sent,
        };
        if sent.is_ok() {
            self.snapshot_wait = Duration::ZERO;
        }
        sent
    }

    fn backoff(&self) -> Backoff {
        let (mut next, longest) = BACKOFF;
        Backoff::new(std::iter::from_fn(move || {
            let wait = next.mul_f64(rand::random_range(0.5..1.0));
            next = (next * 2).min(longest);
            Some(wait)
        }))
    }
}

/// openraft waits before it asks again only if the peer is "unreachable".
fn unreachable(error: CallError) -> RpcError {
    RPCError::Unreachable(Unreachable::new(&error))
}

impl Way {
    /// Sends an append request. A follower that takes it makes a promise to the leader, which counts from before it
    /// was sent.
    async fn append(
        &self,
        rpc: &AppendEntriesRequest<TypeConfig>,
        entries: Vec<Bytes>,
        deadline: Instant,
    ) -> AppendResult {
        let (sent, vote) = (boot_clock::now(), rpc.vote);
        let matched = self.matched.of(self.target, vote);
        let encode = |version| {
            let header = wire::append_header(version, rpc, matched, entries.len());
            Outgoing::new(std::iter::once(header).chain(entries))
        };
        let answer = self.pool.call_as(path::APPEND, encode, deadline).await?;
        let (answer, promise) = wire::decode_appended(&answer).map_err(|error| self.pool.lost(error))?;
        if let Some(sent) = sent.filter(|_| !matches!(answer, AppendEntriesResponse::HigherVote(_))) {
            self.lease.promised(vote, self.target, sent, promise);
        }
        Ok(answer)
    }

    /// The answer to a request, for openraft; an error if it takes back what the follower has acknowledged.
    fn believed(
        &self,
        asked: Asked,
        answer: AppendEntriesResponse<NodeId>,
    ) -> Result<AppendEntriesResponse<NodeId>, Unreachable> {
        match self.matched.check(self.target, asked, &answer) {
            Ok(()) => Ok(answer),
            Err(taken_back) => {
                tracing::error!(%taken_back, "a follower is not believed");
                Err(Unreachable::new(&taken_back))
            }
        }
    }
}

async fn send_entries(
    way: Way,
    encoded: Arc<EncodedEntries>,
    heartbeat_interval: Duration,
    mut rpc: AppendEntriesRequest<TypeConfig>,
) -> AppendResult {
    let chunks: Vec<Bytes> = rpc.entries.drain(..).map(|entry| encoded.get(&entry)).collect();
    let bytes = chunks.iter().map(Bytes::len).sum::<usize>();
    let allowance = APPEND_TIMEOUT + Duration::from_secs((bytes / SLOWEST_BYTES_PER_SECOND) as u64);
    let payload = way.append(&rpc, chunks, Instant::now() + allowance);
    if bytes <= LARGE_PAYLOAD_BYTES {
        return payload.await;
    }
    // `rpc` has lost its entries: what is left of it is a heartbeat.
    tokio::select! {
        answer = payload => answer,
        never = keep_alive(&way, heartbeat_interval, &rpc) => match never {},
    }
}

async fn keep_alive(
    way: &Way,
    every: Duration,
    rpc: &AppendEntriesRequest<TypeConfig>,
) -> std::convert::Infallible {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Whatever it answers, the payload's own answer is the one that counts.
        if let Err(error) = way.append(rpc, Vec::new(), Instant::now() + every).await {
            tracing::debug!(%error, "a heartbeat beside a large payload failed");
        }
    }
}

/// The encoded form of the entries that were sent last, so that what goes to several followers is encoded once.
#[derive(Default)]
struct EncodedEntries(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    entries: VecDeque<(LogId, Bytes)>,
    bytes: usize,
}

impl EncodedEntries {
    const MAX_ENTRIES: usize = 64;
    const MAX_BYTES: usize = 16 << 20;

    fn get(&self, entry: &Entry) -> Bytes {
        if let Some(bytes) = self.find(entry.log_id) {
            return bytes;
        }
        let mut buffer = BytesMut::new();
        encode_entry(entry, &mut buffer);
        let bytes = buffer.freeze();
        if bytes.len() <= Self::MAX_BYTES {
            self.keep(entry.log_id, bytes.clone());
        }
        bytes
    }

    fn find(&self, log_id: LogId) -> Option<Bytes> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.entries.iter().rev().find(|(id, _)| *id == log_id).map(|(_, bytes)| bytes.clone())
    }

    fn keep(&self, log_id: LogId, bytes: Bytes) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.bytes += bytes.len();
        recent.entries.push_back((log_id, bytes));
        while recent.bytes > Self::MAX_BYTES || recent.entries.len() > Self::MAX_ENTRIES {
            let Some((_, oldest)) = recent.entries.pop_front() else { break };
            recent.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload};
    use tokio::net::TcpListener;

    use super::*;
    use crate::network::credentials::Credentials;

    #[tokio::test]
    async fn a_deposed_leader_does_not_send_its_successors_entries_under_its_own_vote() {
        let peers =
            Peers::new(Credentials::new(2, "c", "a secret of the tests").unwrap(), Default::default());
        let elections = Elections::new((Duration::from_millis(500), Duration::from_secs(1)));
        let lease = Arc::new(Lease::new(2, &conf::ClusterConfig::default().raft));
        let mut clients =
            RaftNetworkClients::new(peers, Duration::from_millis(100), elections, lease, Arc::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Peer { raft: listener.local_addr().unwrap().to_string(), ..Peer::default() };
        let mut client = clients.new_client(1, &peer).await;
        let id = |term, node, index| LogId::new(CommittedLeaderId::new(term, node), index);
        let entry = |log_id| Entry { log_id, payload: EntryPayload::Blank };
        let rpc = |entries| AppendEntriesRequest {
            vote: Vote::new_committed(4, 2),
            prev_log_id: Some(id(4, 2, 6)),
            entries,
            leader_commit: None,
        };
        let option = || RPCOption::new(Duration::from_millis(200));
        let answer = client.append_entries(rpc(vec![entry(id(4, 2, 7)), entry(id(5, 3, 8))]), option()).await;
        let said = answer.unwrap_err().to_string();
        assert!(said.contains("newer than the vote"), "{said}");
        let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(nobody.is_err(), "it was sent");
        // Its own are.
        let sending = client.append_entries(rpc(vec![entry(id(4, 2, 7))]), option());
        tokio::select! {
            accepted = listener.accept() => drop(accepted.unwrap()),
            _ = sending => panic!("it was not sent"),
        }
    }
}
