//! What a connection holds, told to those who look at all connections.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

use super::closed::Closed;
use super::state::Connection;
use crate::clients::{Directive, Holdings, LARGE};

/// How often a client that is held back looks whether it still is.
const HELD_BACK: Duration = Duration::from_millis(10);

/// More bytes of replies than the last time are counted, and sent as far as the client takes them, before all of a
/// pipeline is done.
const OUTPUT_STEP: usize = 256 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Counts what the connection holds now. `stalled`: its client takes none of its replies.
    pub(super) fn count_memory(&mut self, stalled: bool) {
        let (reply, reply_capacity) = self.output.open_bytes();
        let (pieces, piece_bytes) = self.output.pieces();
        let running = self.running.unwrap_or_default();
        let holdings = Holdings {
            query: self.parser.unparsed() + running.wire_bytes,
            query_free: self.parser.free(),
            arguments: self.parser.arg_bytes() + running.arg_bytes,
            input: self.parser.memory() + running.memory,
            reply,
            reply_capacity,
            pieces,
            piece_bytes,
            transaction: self.session.transaction_bytes(),
        };
        self.count_at = self.output.len() + OUTPUT_STEP;
        let moves = !stalled && (self.running.is_some() || self.output.len() > LARGE);
        let grew = self.shared.clients.memory.count(&self.client, &holdings, moves);
        if grew || (!moves && holdings.total() >= LARGE) {
            self.shared.clients.relieve(self.memory_bound());
        }
    }

    /// Sends what the client takes now of the replies, and counts what is left. If all clients together hold too
    /// much, this one's replies go before it makes more.
    pub(super) async fn count_output(&mut self) -> Result<(), Closed> {
        self.send_now().await?;
        self.count_memory(false);
        let memory = &self.shared.clients.memory;
        if self.output.len() > LARGE
            && memory.exceeds(self.memory_bound())
            && !self.client.usage.no_evict.load(Relaxed)
        {
            self.send_down_to(LARGE).await?;
        }
        Ok(())
    }

    /// Whether the client is not read any further, because all clients together hold too much.
    pub(super) fn is_held_back(&self) -> bool {
        self.client.usage.is_large()
            && self.shared.clients.memory.holds_back(&self.client, self.memory_bound())
    }

    /// Waits as long as a client is held back that has nothing to take.
    pub(super) async fn wait_for_memory(&mut self) -> Result<(), Closed> {
        while self.output.len() <= LARGE && self.is_held_back() {
            self.shared.clients.relieve(self.memory_bound());
            // Ends early if it is to be closed itself.
            let _ = tokio::time::timeout(HELD_BACK, self.client.asked()).await;
            if self.client.directive() != Directive::Serve {
                return Err(Closed::Asked);
            }
            self.send_now().await?;
        }
        Ok(())
    }

    /// The client has done something just now.
    pub(super) fn is_active(&self) {
        self.client.shown().active = Instant::now();
    }

    fn memory_bound(&self) -> usize {
        self.shared.clients.memory.bytes(self.shared.config.load().limits.max_client_memory)
    }
}
