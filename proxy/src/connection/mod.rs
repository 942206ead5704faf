//! One client: its bytes become pipelines, pipelines become replies, in order.
//!
//! Each connection is one task. It reads, runs *every* complete command that has arrived ([`pipeline`]), writes all
//! their replies with one system call, and reads again. While replies wait for a client that does not read them,
//! input is still taken, up to `reply_buffer_bytes` of them; from there on the client is waited for.
//!
//! | module | what it says |
//! |---|---|
//! | [`pipeline`] | the commands that have arrived, run in groups |
//! | [`routing`] | where a command goes that is for the leader |
//! | [`session`] | what has been agreed on with the client |
//! | [`waiting`] | waiting for the client, as long as it may take |
//! | [`exchange`] | one wait: input, room to write, or somebody who wants it closed |
//! | [`holdings`] | the memory that the connection holds |

mod exchange;
mod holdings;
mod pipeline;
mod routing;
mod session;
mod waiting;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter::{Reply, Spec};
use raft::listener::{Refusal, Slot};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

pub(crate) use pipeline::{Found, find};
pub use session::Session;

use crate::clients::{Client, Wish};
use crate::resp::{Output, ProtocolError, RequestLimits, RequestParser, Requests, reply};
use crate::shared::Shared;
use exchange::Sending;
use holdings::Running;

/// How long the last reply may take to leave before the connection is closed anyway.
const LAST_REPLY: Duration = Duration::from_secs(5);
/// What a client is told when there are too many.
pub(crate) const TOO_MANY: &str = "ERR max number of clients reached";

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("the client has closed it")]
    ByClient,
    #[error("it was asked to close")]
    Asked,
    #[error("it sent an HTTP request")]
    Http,
    #[error("it was idle for too long")]
    Idle,
    #[error("it had sent no command, and another one needed its place")]
    MadeRoom,
    #[error("it has not proved in time who it is")]
    Unproven,
    #[error("there are too many, and it is not for administration")]
    TooMany,
    #[error("protocol error: {0}")]
    Protocol(#[from] ProtocolError),
    #[error("a reply of about {0} bytes is larger than reply_buffer_bytes")]
    LargeReply(usize),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A client's connection.
pub struct Connection<S> {
    shared: Arc<Shared>,
    client: Arc<Client>,
    stream: S,
    session: Session,
    parser: RequestParser,
    output: Output,
    sending: Sending,
    /// Its place among the connections.
    slot: Arc<Slot>,
    /// It has sent a command.
    has_spoken: bool,
    /// It keeps its place: it has sent a command, and the password if there is one.
    proven: bool,
    /// The requests that run.
    running: Option<Running>,
    /// At so many bytes of replies, its memory is counted anew.
    count_at: usize,
    counted: Counted,
}

/// What a pipeline adds to the counts, gathered so that shared counters are touched once for a pipeline.
#[derive(Debug, Default)]
struct Counted {
    commands: u64,
    errors: u64,
    output_bytes: u64,
    last: Option<(&'static Spec, Option<&'static Spec>)>,
    /// The commands of the group that is being made or run: equal ones that follow each other are one item.
    group: Vec<(&'static Spec, u64)>,
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.shared.clients.remove(&self.client);
        self.shared.stats.disconnected();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// A connection that is registered as `client`. It leaves the registry, and its place, when it is dropped.
    pub fn new(shared: Arc<Shared>, client: Arc<Client>, stream: S, slot: Slot) -> Self {
        shared.stats.connected();
        let session = Session::new(&shared.config.load());
        Self {
            shared,
            client,
            stream,
            session,
            parser: RequestParser::default(),
            output: Output::default(),
            sending: Sending::default(),
            slot: Arc::new(slot),
            has_spoken: false,
            proven: false,
            running: None,
            count_at: 0,
            counted: Counted::default(),
        }
    }

    /// Serves the client until one of the two closes the connection. Answers why it was turned away, if it was.
    pub async fn run(mut self) -> Option<Refusal> {
        let Err(mut closed) = self.serve().await;
        if matches!(closed, Closed::Unproven) && self.slot.is_reserved() && !self.has_spoken {
            closed = Closed::TooMany;
        }
        if matches!(closed, Closed::TooMany) {
            self.answer(&Reply::error(TOO_MANY));
        }
        if let Closed::Protocol(error) = &closed {
            self.shared.stats.protocol_error();
            self.answer(&Reply::Error(format!("ERR Protocol error: {error}").into()));
        }
        if matches!(closed, Closed::LargeReply(_) | Closed::Http) {
            tracing::warn!(client = self.client.id, address = %self.client.address, %closed, "connection closed");
        } else {
            tracing::debug!(client = self.client.id, address = %self.client.address, %closed, "connection closed");
        }
        let is_told = matches!(closed, Closed::Protocol(_) | Closed::Asked | Closed::TooMany);
        if is_told && self.client.wish() != Wish::Close {
            let _ = tokio::time::timeout(LAST_REPLY, self.send_down_to(0)).await;
            let _ = self.stream.shutdown().await;
        }
        match closed {
            Closed::TooMany => {
                self.shared.stats.turned_away();
                Some(Refusal::TooMany)
            }
            Closed::Unproven => Some(Refusal::Unproven),
            _ => None,
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, Closed> {
        let mut requests = Requests::default();
        loop {
            let (limits, most) = self.limits();
            let parsed = self.parser.parse(&limits, most, &mut requests);
            let full = requests.len() == most;
            let ran = !requests.is_empty();
            if ran {
                self.has_spoken = true;
                self.prove()?;
                self.running = Some(Running::from(&requests));
            } else {
                self.is_active();
            }
            self.count_memory(false);
            if self.client.wish() == Wish::Close {
                return Err(Closed::Asked);
            }
            if ran {
                self.run_pipeline(&requests).await?;
                self.publish(&requests);
                requests.clear();
                self.running = None;
            }
            parsed?;
            if self.session.closing || self.client.wish() != Wish::Serve {
                return Err(Closed::Asked);
            }
            self.prove()?;
            if ran {
                self.count_output().await?;
            }
            if !(ran && full) {
                self.wait().await?;
            }
        }
    }

    /// Keeps its place from now on, if it has shown what it is for.
    fn prove(&mut self) -> Result<(), Closed> {
        if self.proven || !self.has_spoken || self.session.must_authenticate(&self.shared.config.load()) {
            return Ok(());
        }
        self.proven = self.slot.prove();
        if self.proven { Ok(()) } else { Err(Closed::MadeRoom) }
    }

    /// What the next requests may be, and how many of them are taken at once. Before AUTH it is one at a time,
    /// because AUTH changes the limits of those behind it.
    fn limits(&self) -> (RequestLimits, usize) {
        let config = self.shared.config.load();
        let limits = &config.limits;
        let authenticated = !self.session.must_authenticate(&config);
        let requests = RequestLimits {
            bulk_bytes: limits.max_bulk_bytes,
            args: limits.max_args,
            request_bytes: limits.query_buffer_bytes,
            authenticated,
        };
        (requests, if authenticated { limits.max_pipeline.max(1) } else { 1 })
    }

    /// Adds a reply behind the others, whatever CLIENT REPLY says.
    fn answer(&mut self, reply: &Reply) {
        let before = self.output.len();
        reply::encode(reply, self.session.protocol, &mut self.output);
        self.counted.output_bytes += (self.output.len() - before) as u64;
        if let Reply::Error(text) = reply {
            self.counted.errors += 1;
            self.shared.stats.failed(text);
        }
    }

    /// Has others see the command that runs now.
    fn show_command(&self) {
        self.client.shown().last = self.counted.last;
    }

    /// Counts a command towards its group.
    fn count(&mut self, found: Found) {
        self.counted.last = Some((found.spec, found.parent));
        match self.counted.group.last_mut() {
            Some((spec, times)) if std::ptr::eq(*spec, found.spec) => *times += 1,
            _ => self.counted.group.push((found.spec, 1)),
        }
    }

    /// The commands of the group were answered together after this time.
    fn count_group(&mut self, took: Duration) {
        for (spec, times) in self.counted.group.drain(..) {
            self.shared.stats.called(spec, times, took);
        }
    }

    /// Makes the pipeline's counts, and what CLIENT LIST shows, visible to others.
    fn publish(&mut self, requests: &Requests) {
        let stats = &self.shared.stats;
        self.counted.commands = requests.len() as u64;
        stats.commands.add(self.counted.commands);
        stats.input_bytes.add(requests.wire_bytes() as u64);
        stats.output_bytes.add(self.counted.output_bytes);
        if self.counted.errors > 0 {
            stats.errors.add(self.counted.errors);
        }
        let mut shown = self.client.shown();
        shown.last = self.counted.last;
        shown.active = Instant::now();
        shown.commands += self.counted.commands;
        shown.protocol = self.session.protocol;
        drop(shown);
        let group = std::mem::take(&mut self.counted.group);
        self.counted = Counted { group, ..Counted::default() };
    }
}
