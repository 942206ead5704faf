//! What a connection is made of, and the small steps that more than one part of it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter::{Reply, Spec};
use raft::listener::Slot;
use tokio::io::{AsyncRead, AsyncWrite};

use super::closed::Closed;
use super::exchange::Sending;
use super::running::Running;
use crate::clients::Client;
use crate::lookup::Found;
use crate::resp::{Output, RequestLimits, RequestParser, Requests, reply};
use crate::session::Session;
use crate::shared::Shared;

/// A client's connection.
pub struct Connection<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Arc<Client>,
    pub(super) stream: S,
    pub(super) session: Session,
    pub(super) parser: RequestParser,
    pub(super) output: Output,
    pub(super) sending: Sending,
    /// Its place among the connections.
    pub(super) slot: Arc<Slot>,
    /// It has sent a command.
    pub(super) has_spoken: bool,
    /// It keeps its place: it has sent a command, and the password if there is one.
    pub(super) proven: bool,
    /// The requests that run.
    pub(super) running: Option<Running>,
    /// The index of the last entry that commands of this pipeline are in, once it is committed.
    pub(super) committed: Option<u64>,
    /// At so many bytes of replies, its memory is counted anew.
    pub(super) count_at: usize,
    pub(super) counted: Counted,
}

/// What a pipeline adds to the counts, gathered so that shared counters are touched once for a pipeline.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) commands: u64,
    pub(super) errors: u64,
    pub(super) output_bytes: u64,
    pub(super) last: Option<(&'static Spec, Option<&'static Spec>)>,
    /// The commands of the group that is being made or run: equal ones that follow each other are one item.
    pub(super) group: Vec<(&'static Spec, u64)>,
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
            committed: None,
            count_at: 0,
            counted: Counted::default(),
        }
    }

    /// Keeps its place from now on, if it has shown what it is for.
    pub(super) fn prove(&mut self) -> Result<(), Closed> {
        if self.proven || !self.has_spoken || self.session.must_authenticate(&self.shared.config.load()) {
            return Ok(());
        }
        self.proven = self.slot.prove();
        if self.proven { Ok(()) } else { Err(Closed::MadeRoom) }
    }

    /// What the next requests may be, and how many of them are taken at once. Before AUTH it is one at a time,
    /// because AUTH changes the limits of those behind it.
    pub(super) fn limits(&self) -> (RequestLimits, usize) {
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
    pub(super) fn answer(&mut self, reply: &Reply) {
        let before = self.output.len();
        reply::encode(reply, self.session.protocol, &mut self.output);
        self.counted.output_bytes += (self.output.len() - before) as u64;
        if let Reply::Error(text) = reply {
            self.counted.errors += 1;
            self.shared.stats.failed(text);
        }
    }

    /// Has others see the command that runs now.
    pub(super) fn show_command(&self) {
        self.client.shown().last = self.counted.last;
    }

    /// Counts a command towards its group.
    pub(super) fn count(&mut self, found: Found) {
        self.counted.last = Some((found.spec, found.parent));
        match self.counted.group.last_mut() {
            Some((spec, times)) if std::ptr::eq(*spec, found.spec) => *times += 1,
            _ => self.counted.group.push((found.spec, 1)),
        }
    }

    /// The commands of the group were answered together after this time.
    pub(super) fn count_group(&mut self, took: Duration) {
        for (spec, times) in self.counted.group.drain(..) {
            self.shared.stats.called(spec, times, took);
        }
    }

    /// Makes the pipeline's counts, and what CLIENT LIST shows, visible to others.
    pub(super) fn publish(&mut self, requests: &Requests) {
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
        shown.queued = self.session.transaction.as_ref().map(|transaction| transaction.queued.len());
        drop(shown);
        let group = std::mem::take(&mut self.counted.group);
        self.counted = Counted { group, ..Counted::default() };
    }
}
