//! Outgoing bodies: slices sent as they are, or a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

/// A body of a request or a response.
pub(crate) enum Outgoing {
    /// Slices that exist already; their sum is the content length.
    Chunks { chunks: VecDeque<Bytes>, left: u64 },
    /// Slices that somebody else supplies as fast as they are taken. `length` is their sum, if it is known.
    Stream { source: mpsc::Receiver<Bytes>, length: Option<u64> },
}

impl Outgoing {
    pub(crate) fn new(chunks: impl IntoIterator<Item = Bytes>) -> Self {
        let chunks: VecDeque<Bytes> = chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect();
        let left = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self::Chunks { chunks, left }
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self::new([bytes])
    }
}

impl From<Vec<u8>> for Outgoing {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new([Bytes::from(bytes)])
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Chunks { chunks, left } => {
                let next = chunks.pop_front();
                *left -= next.as_ref().map_or(0, |chunk| chunk.len() as u64);
                Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
            }
            // A source that ends early leaves the body short; the peer sees that by the content length.
            Self::Stream { source, .. } => {
                source.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Chunks { chunks, .. } if chunks.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Chunks { left, .. } => SizeHint::with_exact(*left),
            Self::Stream { length, .. } => length.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
