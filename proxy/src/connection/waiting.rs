//! Waiting for the client: for what it sends, and for what it takes.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep_until, timeout_at};

use super::closed::Closed;
use super::exchange::{self, Event};
use super::state::Connection;
use crate::clients::{Directive, LARGE};

/// How long a connection in a reserved place may take to send the first command.
const RESERVED_FIRST: Duration = Duration::from_secs(1);
/// How long it may be idle: there are few such places.
const RESERVED_IDLE: Duration = Duration::from_secs(60);
/// A client that takes nothing of many replies for so long may be closed where memory is short.
const STALLED: Duration = Duration::from_secs(1);

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Waits for more input, and sends meanwhile.
    pub(super) async fn wait(&mut self) -> Result<(), Closed> {
        self.wait_for_memory().await?;
        let most = self.shared.config.load().limits.reply_buffer_bytes;
        let left = self.output.len();
        let is_full = left > most;
        let reads = !is_full && !self.is_held_back();
        // What is left of replies is counted anew whenever some of them are gone.
        let unsent = left.saturating_sub(LARGE).max(if is_full { most } else { 0 });
        let event = if self.proven {
            self.exchange(reads, unsent).await?
        } else {
            let (slot, deadline) = (Arc::clone(&self.slot), self.proof_deadline());
            tokio::select! {
                biased;
                () = slot.given_up() => return Err(Closed::MadeRoom),
                () = at(deadline) => return Err(Closed::Unproven),
                event = self.exchange(reads, unsent) => event?,
            }
        };
        match event {
            Event::Input => Ok(()),
            Event::Sent => {
                self.is_active();
                Ok(())
            }
            Event::End => Err(Closed::ByClient),
            Event::Asked if self.client.directive() == Directive::Serve => Ok(()),
            Event::Asked => Err(Closed::Asked),
        }
    }

    /// Sends until at most `unsent` bytes are left.
    pub(super) async fn send_down_to(&mut self, unsent: usize) -> Result<(), Closed> {
        while self.output.len() > unsent {
            let next = unsent.max(self.output.len().saturating_sub(LARGE));
            let event = self.exchange(false, next).await?;
            if event == Event::Asked && self.client.directive() == Directive::Close {
                return Err(Closed::Asked);
            }
            self.count_memory(false);
        }
        Ok(())
    }

    /// Sends what the socket takes now.
    pub(super) async fn send_now(&mut self) -> Result<(), Closed> {
        Ok(exchange::send_now(&mut self.stream, &mut self.output, &mut self.sending).await?)
    }

    /// One wait. It ends when the client has been idle for too long; who takes replies is not. Who has many and takes
    /// none is counted as stalled.
    async fn exchange(&mut self, reads: bool, unsent: usize) -> Result<Event, Closed> {
        let idle = Some(self.idle_timeout()).filter(|idle| !idle.is_zero());
        let mut stall = Some(STALLED).filter(|_| self.output.len() > LARGE);
        let mut since = Instant::now();
        loop {
            let Self { stream, parser, output, sending, client, .. } = self;
            let input = reads.then(|| parser.buffer());
            let wait = exchange::exchange(stream, input, output, (unsent, sending), client);
            let Some(patience) = [idle, stall].into_iter().flatten().min() else { return Ok(wait.await?) };
            if let Ok(event) = timeout_at((since + patience).into(), wait).await {
                return Ok(event?);
            }
            match self.sending.taken() {
                Some(taken) if taken > since => since = taken,
                _ if idle.is_some_and(|idle| since.elapsed() >= idle) => return Err(Closed::Idle),
                _ => {
                    stall = None;
                    self.count_memory(true);
                }
            }
        }
    }

    fn idle_timeout(&self) -> Duration {
        let idle = self.shared.config.load().limits.idle_timeout;
        match self.slot.is_reserved() {
            true if idle.is_zero() => RESERVED_IDLE,
            true => idle.min(RESERVED_IDLE),
            false => idle,
        }
    }

    /// When a connection that has not proved itself is closed whether others need its place or not.
    fn proof_deadline(&self) -> Option<Instant> {
        let config = self.shared.config.load();
        let patience = config.limits.handshake_timeout;
        let for_password =
            (self.session.must_authenticate(&config) && !patience.is_zero()).then_some(patience);
        let for_reserved = self.slot.is_reserved().then_some(RESERVED_FIRST).filter(|_| !self.has_spoken);
        let patience = [for_password, for_reserved].into_iter().flatten().min()?;
        Some(self.client.connected() + patience)
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => pending().await,
    }
}
