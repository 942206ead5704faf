//! Kept-alive connections to one peer, and one call over them.
//!
//! A call has a connection to itself: it takes an idle one or opens one, and gives it back when the answer is
//! read. So a long body never stands in the way of a vote. A call that is dropped closes its connection.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapter::clock::unix_ms;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::body::Outgoing;
use super::credentials::Credentials;
use super::traffic::Traffic;
use crate::discovery::NodeDiscovery;
use crate::types::NodeId;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
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

/// A stranger is told nothing, so that it is most likely the secret must be said here.
fn refusal(status: StatusCode, reason: &str) -> String {
    match status {
        StatusCode::UNAUTHORIZED => "cluster.secret is another one there (401)".to_owned(),
        _ => format!("{status} {reason}"),
    }
}

/// Connections to one member.
pub(crate) struct Pool {
    target: NodeId,
    place: NodeDiscovery,
    credentials: Credentials,
    traffic: Arc<Traffic>,
    opened_ms: AtomicU64,
    idle: Mutex<Vec<(SendRequest<Outgoing>, Instant)>>,
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

    /// Where the last connection went.
    pub(crate) fn last_address(&self) -> Option<std::net::SocketAddr> {
        self.traffic.last_address()
    }

    /// Sends `body` to `path` and reads the whole answer, all before `deadline`.
    pub(crate) async fn call(
        &self,
        path: &'static str,
        body: impl Into<Outgoing>,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let exchange = async {
            let (response, connection) = self.send(path, body.into()).await?;
            let answer = self.read(response).await;
            if answer.is_ok() {
                self.give_back(connection);
            }
            answer
        };
        let answer = timeout_at(deadline, exchange).await;
        let answer = answer.unwrap_or_else(|_| Err(self.lost("the deadline has passed")));
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
    ) -> Result<(Response<Incoming>, SendRequest<Outgoing>), CallError> {
        self.traffic.sent(body.size_hint().lower());
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = hyper::Uri::from_static(path);
        self.credentials.sign(&mut request, self.target);
        loop {
            let (mut connection, fresh) = match self.take() {
                Some(connection) => (connection, false),
                None => (self.connect().await?, true),
            };
            if connection.ready().await.is_err() && !fresh {
                continue;
            }
            match connection.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut error) => match error.take_message() {
                    // An idle connection that the peer has closed: nothing of the request has left.
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) => {
                        self.place.met_a_stranger();
                        return Err(self.not_sent(error.error()));
                    }
                    None => return Err(self.lost(error.error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Outgoing>, CallError> {
        let connected = self.open().await;
        self.traffic.connected(connected.as_ref().ok().and_then(|stream| stream.peer_addr().ok()));
        let stream = connected.map_err(|error| CallError::NotSent {
            address: self.address().to_owned(),
            reason: error.to_string(),
            kind: Some(error.kind()),
        })?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| self.not_sent(error))?;
        self.opened_ms.store(unix_ms(), Ordering::Relaxed);
        // Ends with the connection; its errors reach the caller through the request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let stream = self.place.connect(CONNECT_TIMEOUT).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
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
        if is_stranger(status) {
            self.place.met_a_stranger();
        }
        Err(CallError::Refused { address: self.address().to_owned(), status, reason })
    }

    fn take(&self) -> Option<SendRequest<Outgoing>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = idle.pop() {
            if !connection.is_closed() && since.elapsed() < MAX_IDLE_AGE {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(&self, connection: SendRequest<Outgoing>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.is_closed() && idle.len() < MAX_IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    fn not_sent(&self, reason: impl std::fmt::Display) -> CallError {
        CallError::NotSent { address: self.address().to_owned(), reason: reason.to_string(), kind: None }
    }

    pub(crate) fn lost(&self, reason: impl std::fmt::Display) -> CallError {
        CallError::Lost { address: self.address().to_owned(), reason: reason.to_string() }
    }
}

/// Whether this is what another node, or something else altogether, answers in the member's place.
fn is_stranger(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::CONFLICT
            | StatusCode::MISDIRECTED_REQUEST
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
    )
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
