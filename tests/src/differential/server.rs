//! A `redis-server` process and connections to it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use raft_proxy::resp::reply::Protocol;
use tempfile::TempDir;

use super::resp::{Frame, decode};
use super::{Call, call};

/// How long the server may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A `redis-server` that keeps nothing, listens on a socket in a directory of its own, and is killed when this is
/// dropped.
pub struct RedisServer {
    process: Child,
    dir: TempDir,
}

impl RedisServer {
    /// Starts one. It has one database, as a cluster has.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--databases", "1", "--unixsocket"])
            .arg(dir.path().join("socket"))
            .arg("--dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is to be installed: `make deps` does it");
        Self { process, dir }
    }

    /// Connects, waiting for the server to be there.
    pub fn connect(&self, protocol: Protocol) -> Connection {
        let started = Instant::now();
        let stream = loop {
            match UnixStream::connect(self.dir.path().join("socket")) {
                Ok(stream) => break stream,
                Err(error) if started.elapsed() > PATIENCE => panic!("redis-server does not listen: {error}"),
                Err(_) => sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = Connection { stream, protocol, received: Vec::new() };
        connection.call(&call(&[b"HELLO", protocol.number().to_string().as_bytes()]));
        connection
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing left to do about it then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection that sends one call at a time.
pub struct Connection {
    stream: UnixStream,
    protocol: Protocol,
    received: Vec<u8>,
}

impl Connection {
    /// The version of the protocol that the server answers in.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Sends a call and waits for the reply.
    pub fn call(&mut self, call: &Call) -> Frame {
        let mut request = format!("*{}\r\n", call.len()).into_bytes();
        for arg in call {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&request).unwrap();
        loop {
            if let Some((frame, used)) = decode(&self.received) {
                self.received.drain(..used);
                return frame;
            }
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer).expect("an answer from redis-server");
            assert!(count > 0, "redis-server closed the connection");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }
}
