//! A small RESP2 client for `status`, `backup` and `demo`.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::BytesMut;
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::encode::extend_encode;
use redis_protocol::resp2::types::BytesFrame;

use super::Failure;

/// A connection to a node's client port.
pub(super) struct Client {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Client {
    /// Connects, and authenticates if there is a password. Every call has a deadline of `patience`.
    pub(super) fn connect(
        address: &str,
        password: Option<&str>,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let cannot = || format!("cannot connect to {address}");
        let target = address
            .to_socket_addrs()
            .map_err(Failure::because(cannot()))?
            .next()
            .ok_or_else(|| Failure::Failed(format!("{}: no such host", cannot())))?;
        let stream = TcpStream::connect_timeout(&target, patience).map_err(Failure::because(cannot()))?;
        stream.set_read_timeout(Some(patience)).map_err(Failure::because(cannot()))?;
        stream.set_write_timeout(Some(patience)).map_err(Failure::because(cannot()))?;
        let mut client = Self { stream, buffer: BytesMut::new() };
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
        self.stream.write_all(&request).map_err(Failure::because("cannot send"))?;
        loop {
            let decoded = decode_bytes_mut(&mut self.buffer).map_err(Failure::because("not a RESP reply"))?;
            match decoded {
                Some((BytesFrame::Error(text), _, _)) => return Err(Failure::Failed(text.to_string())),
                Some((frame, _, _)) => return Ok(frame),
                None => self.read_more()?,
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

    fn read_more(&mut self) -> Result<(), Failure> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            // Whoever handles the signal sees to what comes of it.
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(Failure::because("no reply")(error)),
            Ok(0) => Err(Failure::Failed("the node closed the connection".to_owned())),
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }
}
