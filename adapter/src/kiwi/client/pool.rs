//! The connection pool.
//!
//! Kiwi processes one request per connection at a time, so each connection has at most one in flight and there are
//! many connections.

use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::types::BytesFrame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::error::RequestError;
use super::limits::{SAFE_REPLY, SAFE_REPLY_LOCAL};
use super::request::Request;

/// Timeout for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Larger than any reply we ask for: a peer that sends more is not Kiwi.
const MAX_REPLY: usize = 64 << 20;

/// Kiwi's address, credentials and limits.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) connections: usize,
    pub(crate) timeout: Duration,
}

/// The pool of connections.
pub(crate) struct Client {
    target: Target,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    pub(crate) fn new(target: Target) -> Self {
        let permits = Semaphore::new(target.connections);
        Self { target, idle: Mutex::default(), permits }
    }

    /// Bytes of values to ask for in one reply.
    pub(crate) fn safe_reply(&self) -> usize {
        let host = self.target.address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if is_loopback { SAFE_REPLY_LOCAL } else { SAFE_REPLY }
    }

    /// Timeout for one reply.
    pub(crate) fn timeout(&self) -> Duration {
        self.target.timeout
    }

    /// Kiwi's address.
    pub(crate) fn address(&self) -> &str {
        &self.target.address
    }

    /// Sends requests one after the other on one connection and returns the replies. Stops at the first error.
    pub(crate) async fn call_all(&self, requests: Vec<Request>) -> Result<Vec<BytesFrame>, RequestError> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut replies = Vec::with_capacity(requests.len());
        for request in requests {
            replies.push(self.exchange(&mut connection, request).await?);
        }
        self.idle().push(connection);
        Ok(replies)
    }

    /// Sends one request.
    pub(crate) async fn call(&self, request: Request) -> Result<BytesFrame, RequestError> {
        let mut replies = self.call_all(vec![request]).await?;
        replies.pop().ok_or_else(|| self.no_answer("no reply"))
    }

    /// Closes idle connections: the process they lead to may be gone.
    pub(crate) fn reset(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Connection, RequestError> {
        let address = self.target.address.clone();
        let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(&address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(RequestError::NotListening { address });
            }
            Ok(Err(error)) => return Err(RequestError::Connect { address, reason: error.to_string() }),
            Err(_) => return Err(RequestError::Connect { address, reason: "it does not answer".to_owned() }),
        };
        if let Err(error) = stream.set_nodelay(true) {
            return Err(RequestError::Connect { address, reason: error.to_string() });
        }
        let mut connection = Connection { stream, input: BytesMut::new() };
        let Target { username, password, .. } = &self.target;
        let login = match (username.is_empty(), password.is_empty()) {
            (_, true) => return Ok(connection),
            (true, false) => Request::new(&[b"AUTH", password.as_bytes()]),
            // Kiwi knows no AUTH with a user. Replies are read as RESP2, so that is what is asked for.
            (false, false) => {
                Request::new(&[b"HELLO", b"2", b"AUTH", username.as_bytes(), password.as_bytes()])
            }
        };
        self.exchange(&mut connection, login).await.map_err(|failure| match failure {
            RequestError::Refused { error, .. } => RequestError::Connect { address, reason: error },
            other => other,
        })?;
        Ok(connection)
    }

    async fn exchange(
        &self,
        connection: &mut Connection,
        request: Request,
    ) -> Result<BytesFrame, RequestError> {
        let request = request.encode();
        let reply = match timeout(self.target.timeout, connection.exchange(&request)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return Err(self.no_answer(error)),
            Err(_) => return Err(self.no_answer("it takes too long")),
        };
        match reply {
            BytesFrame::Error(error) => Err(RequestError::Refused {
                address: self.target.address.clone(),
                request: name(&request),
                error: error.to_string(),
            }),
            reply => Ok(reply),
        }
    }

    fn no_answer(&self, reason: impl ToString) -> RequestError {
        RequestError::NoAnswer { address: self.target.address.clone(), reason: reason.to_string() }
    }
}

/// The name of the command in an encoded request.
fn name(request: &Bytes) -> String {
    let name = request.split(|byte| *byte == b'\n').nth(2).unwrap_or_default();
    String::from_utf8_lossy(name).trim_end().to_owned()
}

impl Connection {
    async fn exchange(&mut self, request: &Bytes) -> io::Result<BytesFrame> {
        self.stream.write_all(request).await?;
        loop {
            let decoded = decode_bytes_mut(&mut self.input)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if let Some((frame, ..)) = decoded {
                if self.input.is_empty() {
                    return Ok(frame);
                }
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it answers more than it was asked"));
            }
            if self.input.len() > MAX_REPLY {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
