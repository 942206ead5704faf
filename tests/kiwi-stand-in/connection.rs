//! One client: one command at a time, however many it sends; long replies that are cut, long requests that reset.

use std::io::{self, IoSlice};
use std::sync::Arc;

use adapter::Reply;
use bytes::Bytes;
use raft_proxy::resp::output::SLICES;
use raft_proxy::resp::{Output, Protocol, ProtocolError, RequestLimits, RequestParser, Requests, reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fault::Fault;
use crate::request;
use crate::server::Shared;
use crate::session::Session;

/// What a request may be apart from [`request::is_too_long`].
const LIMITS: RequestLimits = RequestLimits {
    bulk_bytes: 512 * 1024 * 1024,
    args: 1024 * 1024,
    request_bytes: 1024 * 1024 * 1024,
    authenticated: true,
};
/// The most commands that are parsed at once.
const ROUND: usize = 1024;

/// A client's connection.
pub(crate) struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    session: Session,
}

impl Connection {
    /// The connection that has this number.
    pub(crate) fn new(stream: TcpStream, id: i64, shared: Arc<Shared>) -> Self {
        // A reply that waits to be sent along with another would be late by more than a batch.
        let _ = stream.set_nodelay(true);
        let session = Session::new(id, &shared.settings);
        Self { stream, shared, session }
    }

    /// Serves the client until one of the two closes the connection.
    pub(crate) async fn serve(mut self) -> io::Result<()> {
        let (mut parser, mut requests) = (RequestParser::default(), Requests::default());
        loop {
            let parsed = parser.parse(&LIMITS, ROUND, &mut requests);
            for index in 0..requests.len() {
                let args = requests.shared_args(index);
                if self.has(Fault::ResetRequests) && request::is_too_long(&args) {
                    return self.stream.set_zero_linger();
                }
                let reply = self.answer(args).await;
                self.send(&reply).await?;
            }
            let ran = !requests.is_empty();
            requests.clear();
            if let Err(error) = parsed {
                return self.refuse(error).await;
            }
            if !ran && self.stream.read_buf(parser.buffer()).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn answer(&mut self, args: Vec<Bytes>) -> Reply {
        match self.session.answer(&args) {
            Some(reply) => reply,
            None => self.shared.batcher.call(args).await,
        }
    }

    /// Sends a reply, or what a Kiwi sends of it.
    async fn send(&mut self, reply: &Reply) -> io::Result<()> {
        let bytes = self.encode(reply);
        let cut = self.shared.settings.cut_replies_at;
        if bytes.len() <= cut || !self.has(Fault::CutReplies) {
            return self.stream.write_all(&bytes).await;
        }
        self.stream.write_all(&bytes[..cut]).await?;
        let mut ignored = vec![0; 16 * 1024];
        while self.stream.read(&mut ignored).await? > 0 {}
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn encode(&self, reply: &Reply) -> Vec<u8> {
        let mut out = Output::default();
        match self.session.protocol() {
            // The types of RESP2, and of RESP3 only its nil.
            Protocol::Resp3 if self.has(Fault::Handshake) => {
                reply::encode(&flat(reply), Protocol::Resp3, &mut out);
            }
            protocol => reply::encode(reply, protocol, &mut out),
        }
        whole(out)
    }

    async fn refuse(&mut self, error: ProtocolError) -> io::Result<()> {
        if !self.has(Fault::SilentProtocolErrors) {
            self.send(&Reply::Error(format!("ERR Protocol error: {error}").into())).await?;
        }
        self.stream.shutdown().await
    }

    fn has(&self, fault: Fault) -> bool {
        self.shared.settings.faults.has(fault)
    }
}

/// A reply in the types that RESP2 has.
fn flat(reply: &Reply) -> Reply {
    let list = |items: &[Reply]| Reply::Array(items.iter().map(flat).collect());
    match reply {
        Reply::Double(value) => Reply::bulk(adapter::command::number::format_f64(*value).as_bytes()),
        Reply::Boolean(value) => Reply::Integer(i64::from(*value)),
        Reply::Verbatim(text) => Reply::Bulk(text.clone()),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => list(items),
        Reply::Map(entries) | Reply::Pairs(entries) => {
            Reply::Array(entries.iter().flat_map(|(key, value)| [flat(key), flat(value)]).collect())
        }
        other => other.clone(),
    }
}

/// All bytes of the output in one piece.
fn whole(mut out: Output) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(out.len());
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = out.slices(&mut slices);
        let before = bytes.len();
        slices[..count].iter().for_each(|slice| bytes.extend_from_slice(slice));
        let taken = bytes.len() - before;
        out.advance(taken);
    }
    bytes
}
