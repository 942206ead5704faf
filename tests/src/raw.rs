//! A RESP2 client that does nothing by itself: what is sent and what comes back, as it is.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::cluster::PATIENCE;
use crate::differential::resp::{Frame, decode};

/// How long a reply that never comes is waited for.
const HANGS: Duration = Duration::from_millis(300);

/// A connection.
pub struct Client {
    /// Its socket.
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects to a port on loopback.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Sends a command.
    pub fn send(&mut self, args: &[&[u8]]) {
        self.stream.write_all(&encode(args)).unwrap();
    }

    /// Waits for a reply.
    pub fn receive(&mut self) -> Frame {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some((frame, used)) = decode(&self.received) {
                self.received.drain(..used);
                return frame;
            }
            let count = self.stream.read(&mut buffer).expect("an answer");
            assert!(count > 0, "the connection was closed");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// Sends a command and waits for the reply.
    pub fn call(&mut self, args: &[&[u8]]) -> Frame {
        self.send(args);
        self.receive()
    }

    /// The reply to a command of words, as its debug format writes it.
    pub fn ask(&mut self, line: &str) -> String {
        let args: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        format!("{:?}", self.call(&args))
    }

    /// Checks commands and their replies, one after the other.
    pub fn check(&mut self, expected: &[(&str, &str)]) {
        for (line, reply) in expected {
            assert_eq!(self.ask(line), *reply, "{line}");
        }
    }

    /// Whether nothing more comes for a while.
    pub fn hangs(&mut self) -> bool {
        self.stream.set_read_timeout(Some(HANGS)).unwrap();
        let read = self.stream.read(&mut [0; 1]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}

/// A command as it is sent.
pub fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        request.extend_from_slice(arg);
        request.extend_from_slice(b"\r\n");
    }
    request
}
