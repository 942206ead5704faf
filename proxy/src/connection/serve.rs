//! The life of a connection: it reads, runs what has arrived, writes, and reads again, until one of the two closes it.

use std::time::Duration;

use adapter::Reply;
use raft::listener::Refusal;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::closed::Closed;
use super::running::Running;
use super::state::Connection;
use crate::clients::Directive;
use crate::resp::Requests;

/// How long the last reply may take to leave before the connection is closed anyway.
const LAST_REPLY: Duration = Duration::from_secs(5);
/// What a client is told when there are too many.
pub(crate) const TOO_MANY: &str = "ERR max number of clients reached";

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
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
        if is_told && self.client.directive() != Directive::Close {
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
            if self.client.directive() == Directive::Close {
                return Err(Closed::Asked);
            }
            if ran {
                self.run_pipeline(&requests).await?;
                self.publish(&requests);
                requests.clear();
                self.running = None;
            }
            parsed?;
            if self.session.closing || self.client.directive() != Directive::Serve {
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
}
