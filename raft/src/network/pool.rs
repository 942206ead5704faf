//! Kept-alive connections to one peer, and one call over them.
//!
//! A call has a connection to itself: it takes an idle one or opens one, and gives it back when the answer is
//! read. So a long body never stands in the way of a vote. A call that is dropped closes its connection.
//!
//! A connection begins with a [`handshake`]. Until that is done, nothing of a request has left this node.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapter::clock::unix_ms;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::Outgoing;
use super::credentials::{Credentials, Verdict};
use super::handshake::{self, HandshakeError, Met};
use super::traffic::Traffic;
use super::version::Version;
use crate::discovery::NodeDiscovery;
use crate::types::NodeId;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the handshake may take after that.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections kept while nobody uses them.
const MAX_IDLE: usize = 8;
/// An idle connection older than this is not used: the server closes it at twice the age.
pub(crate) const MAX_IDLE_AGE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// Why a call brought no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The peer has not seen the request.
    #[error("cannot reach {address}: {reason}")]
    NotSent {
        address: String,
        reason: String,
        /// Why no connection could be made; none if one was.
        kind: Option<io::ErrorKind>,
    },
    /// The peer may have seen the request and done what it says.
    #[error("lost the answer of {address}: {reason}")]
    Lost { address: String, reason: String },
    /// The peer has refused the request and done nothing.
    #[error("{address} refuses: {}", refusal(*status, reason))]
    Refused { address: String, status: StatusCode, reason: String },
}

fn refusal(status: StatusCode, reason: &str) -> String {
    match status {
        // Told by this node, not by the other one.
        StatusCode::UNAUTHORIZED | StatusCode::UPGRADE_REQUIRED => reason.to_owned(),
        _ => format!("{status} {reason}"),
    }
}

/// An open connection, and what is spoken on it.
pub(crate) struct Connection {
    sender: http1::SendRequest<Outgoing>,
    version: Version,
}

/// How far a call has come.
#[derive(Default)]
struct Stage(AtomicU8);

impl Stage {
    const CONNECTING: u8 = 0;
    const PROVING: u8 = 1;
    const SENT: u8 = 2;

    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::Relaxed);
    }
}

/// Connections to one member.
pub(crate) struct Pool {
    target: NodeId,
    place: NodeDiscovery,
    credentials: Credentials,
    traffic: Arc<Traffic>,
    opened_ms: AtomicU64,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

impl Pool {
    pub(crate) fn new(
        target: NodeId,
        place: NodeDiscovery,
        credentials: Credentials,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self { target, place, credentials, traffic, opened_ms: AtomicU64::new(0), idle: Mutex::default() }
    }

    /// Where the membership says that the member is.
    pub(crate) fn address(&self) -> &str {
        self.place.address()
    }

    /// When the newest connection was opened, Unix milliseconds; 0 for none yet.
    pub(crate) fn opened_ms(&self) -> u64 {
        self.opened_ms.load(Ordering::Relaxed)
    }

    /// Where the last connection to the member went.
    pub(crate) fn last_address(&self) -> Option<SocketAddr> {
        self.traffic.last_address()
    }

    /// Sends `body` to `path` and reads the whole answer, all before `deadline`.
    pub(crate) async fn call(
        &self,
        path: &'static str,
        body: impl Into<Outgoing>,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        self.call_unless(path, body, deadline, std::future::pending()).await
    }

    /// As [`Self::call`], but gives up as soon as `given_up` ends. What is given up before any of it can have left is
    /// [`CallError::NotSent`].
    pub(crate) async fn call_unless(
        &self,
        path: &'static str,
        body: impl Into<Outgoing>,
        deadline: Instant,
        given_up: impl Future<Output = ()>,
    ) -> Result<Bytes, CallError> {
        let body = body.into();
        self.exchange_unless(path, |_| body, deadline, given_up).await
    }

    /// As [`Self::call`], with a body whose form depends on what is spoken on the connection.
    pub(crate) async fn call_as(
        &self,
        path: &'static str,
        encode: impl FnOnce(Version) -> Outgoing,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        self.exchange_unless(path, encode, deadline, std::future::pending()).await
    }

    async fn exchange_unless(
        &self,
        path: &'static str,
        encode: impl FnOnce(Version) -> Outgoing,
        deadline: Instant,
        given_up: impl Future<Output = ()>,
    ) -> Result<Bytes, CallError> {
        let stage = Stage::default();
        let exchange = async {
            let (response, connection) = self.exchange(path, encode, &stage).await?;
            let answer = self.read(response).await;
            if answer.is_ok() {
                self.give_back(connection);
            }
            answer
        };
        let answer = tokio::select! {
            biased;
            answer = timeout_at(deadline, exchange) => answer.map_err(|_| self.late(&stage)),
            () = given_up => Err(self.given_up(&stage)),
        };
        let answer = answer.and_then(|answer| answer);
        match &answer {
            Ok(answer) => self.traffic.received(answer.len() as u64),
            Err(_) => self.traffic.failed(),
        }
        answer
    }

    /// Sends `body` to `path` and answers the response's head; the connection goes with it. No deadline.
    pub(crate) async fn send(
        &self,
        path: &'static str,
        body: Outgoing,
    ) -> Result<(Response<Incoming>, Connection), CallError> {
        self.exchange(path, |_| body, &Stage::default()).await
    }

    async fn exchange(
        &self,
        path: &'static str,
        encode: impl FnOnce(Version) -> Outgoing,
        stage: &Stage,
    ) -> Result<(Response<Incoming>, Connection), CallError> {
        let (mut connection, mut fresh) = self.obtain(stage).await?;
        let version = connection.version;
        let body = encode(version);
        self.traffic.sent(body.size_hint().lower());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = hyper::Uri::from_static(path);
        loop {
            if connection.sender.ready().await.is_ok() || fresh {
                stage.set(Stage::SENT);
                match connection.sender.try_send_request(request).await {
                    Ok(response) => return Ok((response, connection)),
                    Err(mut error) => match error.take_message() {
                        // An idle connection that the peer has closed: nothing of the request has left.
                        Some(unsent) if !fresh => request = unsent,
                        Some(_) => return Err(self.not_sent(error.error())),
                        None => return Err(self.lost(error.error())),
                    },
                }
            }
            (connection, fresh) = self.obtain(stage).await?;
            if connection.version != version {
                return Err(self.not_sent("another version is spoken there now"));
            }
        }
    }

    /// An idle connection, or a fresh one.
    async fn obtain(&self, stage: &Stage) -> Result<(Connection, bool), CallError> {
        stage.set(Stage::CONNECTING);
        match self.take() {
            Some(connection) => Ok((connection, false)),
            None => Ok((self.connect(stage).await?, true)),
        }
    }

    async fn connect(&self, stage: &Stage) -> Result<Connection, CallError> {
        let connected = self.open(stage).await;
        self.traffic
            .connected(connected.as_ref().ok().map(|(address, connection)| (*address, connection.version)));
        let (_, connection) = connected?;
        self.opened_ms.store(unix_ms(), Ordering::Relaxed);
        Ok(connection)
    }

    /// Opens a connection to the member, and to nobody else.
    async fn open(&self, stage: &Stage) -> Result<(SocketAddr, Connection), CallError> {
        let (stream, met) = self.meet(stage).await?;
        let failed = |error: io::Error| self.unconnected(&error, Some(error.kind()));
        let address = stream.peer_addr().map_err(failed)?;
        self.recognize(&met)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.not_sent(error))?;
        // Ends with the connection; its errors reach the caller through the request.
        tokio::spawn(async move { drop(connection.await) });
        Ok((address, Connection { sender, version: met.version }))
    }

    /// Connects, and has whoever is there prove that it knows the secret.
    async fn meet(&self, stage: &Stage) -> Result<(TcpStream, Met), CallError> {
        let failed = |error: io::Error| self.unconnected(&error, Some(error.kind()));
        let mut stream = self.place.connect(CONNECT_TIMEOUT).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stage.set(Stage::PROVING);
        let met = timeout(HANDSHAKE_TIMEOUT, handshake::call(&mut stream, &self.credentials, self.target));
        let met = met.await.map_err(|_| {
            self.place.met_a_stranger();
            self.silent()
        })?;
        let met = met.map_err(|error| self.unproven(&error))?;
        Ok((stream, met))
    }

    /// Opens a connection for the next call.
    pub(crate) async fn open_ahead(&self, deadline: Instant) -> Result<(), CallError> {
        let stage = Stage::default();
        let connected = timeout_at(deadline, self.connect(&stage)).await;
        self.give_back(connected.unwrap_or_else(|_| Err(self.late(&stage)))?);
        Ok(())
    }

    /// Whether a node is there that could be this member: that one itself, or one that knows the secret and belongs
    /// to no cluster yet.
    pub(crate) async fn probe(&self, deadline: Instant) -> Result<(), CallError> {
        let stage = Stage::default();
        let met = timeout_at(deadline, self.meet(&stage)).await;
        let (_, met) = met.unwrap_or_else(|_| Err(self.late(&stage)))?;
        if met.verdict == Verdict::NoCluster { Ok(()) } else { self.recognize(&met) }
    }

    /// Whether somebody who knows the secret is the member, and wants to speak to this node.
    fn recognize(&self, met: &Met) -> Result<(), CallError> {
        let (status, reason) = match met.verdict {
            Verdict::Welcome => return Ok(()),
            Verdict::NoCluster => {
                self.place.met_a_stranger();
                return Err(self.not_sent("the node there belongs to no cluster"));
            }
            Verdict::Full => {
                return Err(self.not_sent("it has no place for one more connection of this node"));
            }
            Verdict::OtherCluster => {
                (StatusCode::CONFLICT, format!("this node belongs to the cluster {}", met.cluster))
            }
            Verdict::OtherNode => (
                StatusCode::MISDIRECTED_REQUEST,
                format!("this is node {}, not the one that was asked for", met.node),
            ),
        };
        self.place.met_a_stranger();
        Err(CallError::Refused { address: self.address().to_owned(), status, reason })
    }

    fn unproven(&self, error: &HandshakeError) -> CallError {
        if !matches!(error, HandshakeError::Connection(_)) {
            self.place.met_a_stranger();
        }
        let status = match error {
            HandshakeError::Secret => StatusCode::UNAUTHORIZED,
            HandshakeError::NoCommonVersion { .. } => StatusCode::UPGRADE_REQUIRED,
            _ => return self.not_sent(error),
        };
        CallError::Refused { address: self.address().to_owned(), status, reason: error.to_string() }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes, CallError> {
        let status = response.status();
        let answer =
            read_body(response.into_body(), MAX_ANSWER_BYTES).await.map_err(|error| self.lost(error))?;
        self.judge(status, answer)
    }

    /// Turns a status other than success into an error.
    pub(crate) fn judge(&self, status: StatusCode, answer: Bytes) -> Result<Bytes, CallError> {
        if status.is_success() {
            return Ok(answer);
        }
        let reason = String::from_utf8_lossy(&answer).into_owned();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            return Err(self.lost(reason));
        }
        Err(CallError::Refused { address: self.address().to_owned(), status, reason })
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = idle.pop() {
            if !connection.sender.is_closed() && since.elapsed() < MAX_IDLE_AGE {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.sender.is_closed() && idle.len() < MAX_IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    fn not_sent(&self, reason: impl std::fmt::Display) -> CallError {
        self.unconnected(reason, None)
    }

    fn unconnected(&self, reason: impl std::fmt::Display, kind: Option<io::ErrorKind>) -> CallError {
        CallError::NotSent { address: self.address().to_owned(), reason: reason.to_string(), kind }
    }

    fn silent(&self) -> CallError {
        self.not_sent("it takes the connection and says nothing")
    }

    /// The deadline has passed. What has not left this node is not done.
    fn late(&self, stage: &Stage) -> CallError {
        match stage.0.load(Ordering::Relaxed) {
            Stage::CONNECTING => {
                self.unconnected("no connection in the time for it", Some(io::ErrorKind::TimedOut))
            }
            Stage::PROVING => self.silent(),
            _ => self.lost("the deadline has passed"),
        }
    }

    /// The answer is not waited for any more. What has not left this node is not done.
    fn given_up(&self, stage: &Stage) -> CallError {
        let reason = "it is not waited for any more";
        if stage.0.load(Ordering::Relaxed) == Stage::SENT { self.lost(reason) } else { self.not_sent(reason) }
    }

    pub(crate) fn lost(&self, reason: impl std::fmt::Display) -> CallError {
        CallError::Lost { address: self.address().to_owned(), reason: reason.to_string() }
    }
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    #[error(transparent)]
    Connection(#[from] hyper::Error),
}

/// Reads a body into one buffer; a body of one frame is not copied.
pub(crate) async fn read_body(mut body: Incoming, limit: usize) -> Result<Bytes, BodyError> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if expected > limit {
        return Err(BodyError::TooLong(limit));
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + first.len() + data.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        if data.len() >= expected && first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.reserve(expected.max(first.len() + data.len()));
            whole.extend_from_slice(&std::mem::take(&mut first));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}
