//! A small RESP2 client for `status`, `backup` and `demo`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::encode::extend_encode;
use redis_protocol::resp2::types::BytesFrame;

use super::failure::Failure;

/// A connection to a node's client port.
pub(super) struct Client {
    stream: TcpStream,
    buffer: BytesMut,
    address: String,
    patience: Duration,
}

impl Client {
    /// Connects, and authenticates if there is a password. Every call may take as long as `patience`.
    pub(super) fn connect(
        address: &str,
        password: Option<&str>,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let cannot = || format!("cannot connect to {address}");
        let targets = address.to_socket_addrs().map_err(Failure::because(cannot()))?;
        let deadline = Instant::now() + patience;
        let mut stream = Err(io::Error::new(ErrorKind::NotFound, "no such host"));
        // A name may have several addresses, and the node listen on one of them.
        for target in targets {
            stream = left(deadline).and_then(|left| TcpStream::connect_timeout(&target, left));
            if stream.is_ok() {
                break;
            }
        }
        let stream = stream.map_err(|error| failed(error, &cannot(), address, patience))?;
        let mut client = Self { stream, buffer: BytesMut::new(), address: address.to_owned(), patience };
        if let Some(password) = password {
            client.call(&["AUTH", password])?;
        }
        Ok(client)
    }

    /// Sends one command and reads its reply; an error reply is a failure.
    pub(super) fn call(&mut self, args: &[&str]) -> Result<BytesFrame, Failure> {
        let args = args.iter().map(|arg| BytesFrame::BulkString((*arg).to_owned().into())).collect();
        let mut request = BytesMut::new();
        extend_encode(&mut request, &BytesFrame::Array(args), false)
            .map_err(Failure::because("cannot encode"))?;
        let deadline = Instant::now() + self.patience;
        let sent = self.stream.set_write_timeout(Some(self.patience));
        let sent = sent.and_then(|()| self.stream.write_all(&request));
        sent.map_err(|error| failed(error, "cannot send", &self.address, self.patience))?;
        loop {
            let decoded = decode_bytes_mut(&mut self.buffer).map_err(Failure::because("not a RESP reply"))?;
            match decoded {
                Some((BytesFrame::Error(text), _, _)) => return Err(Failure::Failed(text.to_string())),
                Some((frame, _, _)) => return Ok(frame),
                None => self.read_more(deadline)?,
            }
        }
    }

    /// Sends one command whose reply is a text.
    pub(super) fn text(&mut self, args: &[&str]) -> Result<String, Failure> {
        match self.call(args)? {
            BytesFrame::BulkString(bytes) | BytesFrame::SimpleString(bytes) => {
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => Err(Failure::Failed(format!("{}: not a text", args.join(" ")))),
        }
    }

    fn read_more(&mut self, deadline: Instant) -> Result<(), Failure> {
        let mut chunk = [0; 16 * 1024];
        let read = left(deadline)
            .and_then(|left| self.stream.set_read_timeout(Some(left)))
            .and_then(|()| self.stream.read(&mut chunk));
        match read {
            // Whoever handles the signal sees to what comes of it.
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(failed(error, "no reply", &self.address, self.patience)),
            Ok(0) => Err(Failure::Failed("the node closed the connection".to_owned())),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }
}

/// The time that is left; if none is, that is the error that a socket gives too.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A socket that waits for too long says so in several ways, none of which tells an operator anything.
fn failed(error: io::Error, what: &str, address: &str, patience: Duration) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            let patience = conf::value::write_duration(patience);
            Failure::Failed(format!("timed out after {patience}: {address} does not answer"))
        }
        _ => Failure::because(what)(error),
    }
}
