//! One wait of a connection: for input, for room to write, or for somebody who wants it closed.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use crate::clients::Client;
use crate::resp::Output;
use crate::resp::output::SLICES;

/// What ended the wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Input has arrived.
    Input,
    /// The client has closed its side.
    End,
    /// What was to be sent is down to the bound.
    Sent,
    /// Somebody has asked the connection for something.
    Asked,
}

/// How a client takes what it is sent.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// It has not taken all, the last time.
    stuck: bool,
    /// When a client that had not taken all took something.
    taken: Option<Instant>,
}

impl Sending {
    /// When the client last took some of what it was slow to take.
    pub(super) fn taken(&self) -> Option<Instant> {
        self.taken
    }
}

/// Sends what there is to send and, if `input` is given, reads at the same time: a client may send all of a long
/// pipeline before it reads the first reply. Where there is more to be sent than `unsent` bytes, it answers once
/// there is not; without `input` also where there is not now.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    mut input: Option<&mut BytesMut>,
    output: &mut Output,
    (unsent, sending): (usize, &mut Sending),
    client: &Client,
) -> io::Result<Event> {
    let mut asked = pin!(client.asked());
    let waits_for_input = input.is_some() && output.len() <= unsent;
    poll_fn(|cx| {
        poll_send(stream, output, sending, cx)?;
        if !waits_for_input && output.len() <= unsent {
            return Poll::Ready(Ok(Event::Sent));
        }
        if let Some(buffer) = &mut input
            && let Poll::Ready(read) = pin!(stream.read_buf(buffer)).poll(cx)
        {
            return Poll::Ready(read.map(|bytes| if bytes == 0 { Event::End } else { Event::Input }));
        }
        asked.as_mut().poll(cx).map(|()| Ok(Event::Asked))
    })
    .await
}

/// Sends what the socket takes now, without waiting.
pub(super) async fn send_now<S: AsyncWrite + Unpin>(
    stream: &mut S,
    output: &mut Output,
    sending: &mut Sending,
) -> io::Result<()> {
    poll_fn(|cx| Poll::Ready(poll_send(stream, output, sending, cx))).await
}

/// Sends until everything is sent or the socket is full; in the latter case the task is woken when it is not.
fn poll_send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    output: &mut Output,
    sending: &mut Sending,
    cx: &mut Context<'_>,
) -> io::Result<()> {
    let before = output.len();
    let was_stuck = std::mem::take(&mut sending.stuck);
    while !output.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = output.slices(&mut slices);
        match Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]) {
            Poll::Ready(Ok(0)) => return Err(ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(sent)) => output.advance(sent),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {
                sending.stuck = true;
                break;
            }
        }
    }
    // Who takes everything at once needs no look at the clock.
    if (was_stuck || sending.stuck) && output.len() < before {
        sending.taken = Some(Instant::now());
    }
    Ok(())
}
