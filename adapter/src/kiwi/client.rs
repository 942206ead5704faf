//! Connections to Kiwi.
//!
//! Kiwi runs one request of a connection at a time, so each connection has one in flight, and there are many.

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

use super::command::{Request, SAFE_REPLY, SAFE_REPLY_LOCAL};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// More than any reply that is asked for: whoever sends more is no Kiwi.
const MAX_REPLY: usize = 64 << 20;

/// Why a request has no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody listens: no earlier request is running any more either.
    #[error("nobody listens at {address}")]
    Nobody {
        /// Where.
        address: String,
    },
    /// It could not be sent.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// To where.
        address: String,
        /// Why.
        reason: String,
    },
    /// It was sent, and what became of it is unknown.
    #[error("lost the answer of {address}: {reason}")]
    Lost {
        /// Whose.
        address: String,
        /// Why.
        reason: String,
    },
    /// It was answered by an error, which with Kiwi does not mean that nothing was done.
    #[error("{address} answered {request}: {error}")]
    Refused {
        /// Who.
        address: String,
        /// What was asked for.
        request: String,
        /// The error.
        error: String,
    },
}

impl Trouble {
    /// Whether a request may still be running, or run later.
    pub(super) const fn is_unsettled(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Refused { .. })
    }
}

/// Where Kiwi is and how it is spoken to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: String,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) connections: usize,
    pub(super) timeout: Duration,
}

/// All connections.
pub(super) struct Client {
    target: Target,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    pub(super) fn new(target: Target) -> Self {
        let permits = Semaphore::new(target.connections);
        Self { target, idle: Mutex::default(), permits }
    }

    /// Bytes of values that one reply may be asked for.
    pub(super) fn safe_reply(&self) -> usize {
        let host = self.target.address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if is_loopback { SAFE_REPLY_LOCAL } else { SAFE_REPLY }
    }

    /// How long one answer may take.
    pub(super) fn timeout(&self) -> Duration {
        self.target.timeout
    }

    /// Where Kiwi is.
    pub(super) fn address(&self) -> &str {
        &self.target.address
    }

    /// Sends a request, and another one on the same connection behind it, and so on. The replies; none of them an
    /// error.
    pub(super) async fn call_all(&self, requests: Vec<Request>) -> Result<Vec<BytesFrame>, Trouble> {
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
    pub(super) async fn call(&self, request: Request) -> Result<BytesFrame, Trouble> {
        let mut replies = self.call_all(vec![request]).await?;
        replies.pop().ok_or_else(|| self.lost("no reply"))
    }

    /// Closes what is idle: it leads to a process that may be gone.
    pub(super) fn reset(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Connection, Trouble> {
        let address = self.target.address.clone();
        let stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(&address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(Trouble::Nobody { address });
            }
            Ok(Err(error)) => return Err(Trouble::Connect { address, reason: error.to_string() }),
            Err(_) => return Err(Trouble::Connect { address, reason: "it does not answer".to_owned() }),
        };
        if let Err(error) = stream.set_nodelay(true) {
            return Err(Trouble::Connect { address, reason: error.to_string() });
        }
        let mut connection = Connection { stream, input: BytesMut::new() };
        let Target { username, password, .. } = &self.target;
        let login = match (username.is_empty(), password.is_empty()) {
            (_, true) => return Ok(connection),
            (true, false) => Request::new(&[b"AUTH", password.as_bytes()]),
            (false, false) => {
                Request::new(&[b"HELLO", b"3", b"AUTH", username.as_bytes(), password.as_bytes()])
            }
        };
        self.exchange(&mut connection, login).await.map_err(|trouble| match trouble {
            Trouble::Refused { error, .. } => Trouble::Connect { address, reason: error },
            other => other,
        })?;
        Ok(connection)
    }

    async fn exchange(&self, connection: &mut Connection, request: Request) -> Result<BytesFrame, Trouble> {
        let request = request.encode();
        let reply = match timeout(self.target.timeout, connection.exchange(&request)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return Err(self.lost(error)),
            Err(_) => return Err(self.lost("it takes too long")),
        };
        match reply {
            BytesFrame::Error(error) => Err(Trouble::Refused {
                address: self.target.address.clone(),
                request: name(&request),
                error: error.to_string(),
            }),
            reply => Ok(reply),
        }
    }

    fn lost(&self, reason: impl ToString) -> Trouble {
        Trouble::Lost { address: self.target.address.clone(), reason: reason.to_string() }
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
