#![allow(
    clippy::unwrap_used,
    clippy::unimplemented,
    reason = "a test fails by panicking, and asks for nothing of a node but what it is about"
)]

use std::net::SocketAddr;

use openraft::{CommittedLeaderId, Snapshot, SnapshotMeta};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::*;
use crate::boxed::Boxed;
use crate::discovery::NodeDiscovery;
use crate::health::HealthMonitor;
use crate::membership::change::{Join, Joined, View};
use crate::network::handshake::HELLO_BYTES;
use crate::network::message::{
    Announced, Forwarded, PreVoteAnswer, Proposed, ReadIndexAnswer, Replicated, StatusReport,
};
use crate::network::pool::{CallError, Pool};
use crate::network::snapshot;
use crate::network::traffic::Traffic;
use crate::state_machine::KeepError;
use crate::types::{LogId, Raft, SnapshotFile, Vote};

const SECRET: &str = "a secret of the tests";
const PATIENCE: Duration = Duration::from_secs(20);

/// A node as far as these tests ask it.
struct Behind {
    vote: Vote,
}

impl Inbound for Behind {
    fn raft(&self) -> &Raft {
        unimplemented!()
    }
    fn vote(&self) -> Vote {
        self.vote
    }
    fn check_log(&self, _: Vote, _: u64) -> Result<(), inbound::ShorterLog> {
        Ok(())
    }
    fn pre_vote(&self, _: NodeId, _: &PreVote) -> PreVoteAnswer {
        unimplemented!()
    }
    fn propose(&self, _: Vec<Forwarded>) -> Boxed<'_, Proposed> {
        unimplemented!()
    }
    fn read_index(&self, _: bool) -> Boxed<'_, ReadIndexAnswer> {
        unimplemented!()
    }
    fn replicated(&self, _: Replicated) -> Boxed<'_, Option<u32>> {
        unimplemented!()
    }
    fn report(&self, _: NodeId) -> StatusReport {
        unimplemented!()
    }
    fn introduction(&self, _: NodeId) -> Introduction {
        unimplemented!()
    }
    fn health(&self) -> &HealthMonitor {
        unimplemented!()
    }
    fn traffic(&self, _: NodeId) -> Arc<Traffic> {
        Arc::new(Traffic::uncounted())
    }
    fn announced(&self, _: NodeId, _: Peer) -> Boxed<'_, Announced> {
        unimplemented!()
    }
    fn join(&self, _: Join) -> Boxed<'_, Result<Joined, ChangeError>> {
        Box::pin(std::future::ready(Err(ChangeError::NoLeader)))
    }
    fn change(&self, _: Change) -> Boxed<'_, Result<NodeId, ChangeError>> {
        unimplemented!()
    }
    fn transfer(&self, _: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>> {
        unimplemented!()
    }
    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>> {
        unimplemented!()
    }
    fn view(&self) -> Option<View> {
        None
    }
    fn keep_snapshot(&self, _: Box<SnapshotFile>) -> Boxed<'_, Result<Box<SnapshotFile>, KeepError>> {
        unimplemented!()
    }
}

/// A server of node 1 of the cluster `c`, whose vote is this one.
async fn serve(vote: Vote) -> (SocketAddr, Arc<Elections>) {
    let elections = Elections::new((Duration::from_millis(20), Duration::from_millis(40)));
    let server = Server::new(of(1, "c"), 1 << 20, Arc::clone(&elections));
    server.open(Arc::new(Behind { vote }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(server.run(listener));
    (address, elections)
}

fn of(node: NodeId, cluster: &str) -> Credentials {
    Credentials::new(node, cluster, SECRET).unwrap()
}

fn pool(caller: Credentials, target: NodeId, address: SocketAddr) -> Pool {
    let place = NodeDiscovery::new(address.to_string(), None);
    Pool::new(target, place, caller, Arc::new(Traffic::uncounted()))
}

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + PATIENCE
}

#[tokio::test]
async fn a_snapshot_that_is_refused_does_not_count_as_a_leader_heard() {
    let (address, elections) = serve(Vote::new_committed(5, 3)).await;
    // What the node promised before it was started runs out.
    while elections.has_leader() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("snapshot");
    std::fs::write(&path, b"of a leader that was deposed").unwrap();
    let last_log_id = Some(LogId::new(CommittedLeaderId::new(4, 2), 9));
    let meta = SnapshotMeta { last_log_id, ..SnapshotMeta::default() };
    let snapshot = Snapshot { meta, snapshot: Box::new(SnapshotFile { path, temporary: false }) };
    let answer = snapshot::send(&pool(of(2, "c"), 1, address), Vote::new_committed(4, 2), snapshot).await;
    assert_eq!(answer.unwrap().vote, Vote::new_committed(5, 3));
    assert!(!elections.has_leader());
}

#[tokio::test]
async fn an_append_that_is_newer_than_its_vote_is_refused_and_no_leader_is_heard() {
    let (address, elections) = serve(Vote::new_committed(4, 2)).await;
    while elections.has_leader() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let rpc = openraft::raft::AppendEntriesRequest::<crate::TypeConfig> {
        vote: Vote::new_committed(4, 2),
        prev_log_id: Some(LogId::new(CommittedLeaderId::new(5, 3), 9)),
        entries: Vec::new(),
        leader_commit: None,
    };
    let encode = |version| wire::append_header(version, &rpc, 0, 0).into();
    let answer = pool(of(2, "c"), 1, address).call_as(path::APPEND, encode, soon()).await;
    assert!(matches!(answer, Err(CallError::Refused { status: StatusCode::BAD_REQUEST, .. })), "{answer:?}");
    assert!(!elections.has_leader());
}

#[tokio::test]
async fn who_belongs_to_no_cluster_may_ask_to_be_let_in_and_nothing_else() {
    let (address, _) = serve(Vote::default()).await;
    let (stranger, member) = (pool(of(0, ""), 0, address), pool(of(2, "c"), 1, address));
    let join = wire::encode(&Join { id: 0, raft: "127.0.0.1:1".to_owned(), newest_version: 1 });
    let answer = stranger.call(path::JOIN, join.clone(), soon()).await.unwrap();
    let answer: Result<Joined, ChangeError> = wire::decode(&answer).unwrap();
    assert_eq!(answer.unwrap_err(), ChangeError::NoLeader);
    let is_forbidden = |answer: Result<Bytes, CallError>| {
        matches!(answer, Err(CallError::Refused { status: StatusCode::FORBIDDEN, .. }))
    };
    for path in [path::MEMBERSHIP, path::STATUS, path::APPEND, path::VOTE, "/nowhere"] {
        assert!(is_forbidden(stranger.call(path, Vec::new(), soon()).await), "{path}");
    }
    assert!(is_forbidden(member.call(path::JOIN, join, soon()).await));
    assert!(member.call(path::MEMBERSHIP, Vec::new(), soon()).await.is_ok());
}

#[tokio::test]
async fn each_reason_not_to_speak_to_somebody_has_its_own_answer() {
    let (address, _) = serve(Vote::default()).await;
    let ask = async |caller, target| {
        let pool = pool(caller, target, address);
        let answer = pool.call(path::MEMBERSHIP, Vec::new(), soon()).await.unwrap_err();
        let status = match &answer {
            CallError::Refused { status, .. } => status.as_u16(),
            CallError::NotSent { .. } | CallError::Lost { .. } => 0,
        };
        (status, answer.to_string())
    };
    let other_secret = Credentials::new(2, "c", "another secret of the tests").unwrap();
    let (status, said) = ask(other_secret, 1).await;
    assert_eq!((status, said.contains("cluster.secret is another one there")), (401, true), "{said}");
    let (status, said) = ask(of(2, "d"), 1).await;
    assert_eq!((status, said.contains("belongs to the cluster c")), (409, true), "{said}");
    let (status, said) = ask(of(2, "c"), 3).await;
    assert_eq!((status, said.contains("this is node 1")), (421, true), "{said}");
    let newer =
        Credentials { versions: crate::network::version::Versions { oldest: 7, newest: 9 }, ..of(2, "c") };
    let (status, said) = ask(newer, 1).await;
    assert_eq!((status, said.contains("this node speaks versions 7 to 9")), (426, true), "{said}");
}

#[tokio::test]
async fn five_hundred_connections_that_say_nothing_keep_no_member_out() {
    let (address, _) = serve(Vote::default()).await;
    let mut silent = Vec::new();
    for _ in 0..512 {
        silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    let began = Instant::now();
    pool(of(2, "c"), 1, address).call(path::MEMBERSHIP, Vec::new(), soon()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    // All of them are gone once their time is up, without a word to them.
    for mut stream in silent {
        let mut said = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap();
        assert_eq!(said, b"");
    }
}

#[tokio::test]
async fn whoever_is_called_by_mistake_is_told_a_nonce_and_nothing_happens_to_what_was_not_sent() {
    // It answers as a node does, and makes its proof up.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let recorded = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; HELLO_BYTES];
        stream.read_exact(&mut hello).await.unwrap();
        let mut answer = hello.clone();
        answer.splice(20..20, 2u16.to_le_bytes());
        answer.extend_from_slice(&[7; 32]);
        tokio::io::AsyncWriteExt::write_all(&mut stream, &answer).await.unwrap();
        stream.read_to_end(&mut hello).await.unwrap();
        hello
    });
    let answer = pool(of(2, "c"), 4, address).call(path::PROPOSE, b"a value".to_vec(), soon()).await;
    assert!(matches!(answer, Err(CallError::Refused { status: StatusCode::UNAUTHORIZED, .. })), "{answer:?}");
    assert_eq!(timeout(PATIENCE, recorded).await.unwrap().unwrap().len(), HELLO_BYTES);
    // One that says nothing: what is not done by the deadline was not sent.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_millis(100);
    let answer =
        pool(of(2, "c"), 4, silent.local_addr().unwrap()).call(path::PROPOSE, b"x".to_vec(), deadline).await;
    assert!(matches!(answer, Err(CallError::NotSent { kind: None, .. })), "{answer:?}");
}
