//! A real `redis-server`, for as long as a test runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub(super) struct Server {
    connection: BufReader<UnixStream>,
    /// Ended when the test is over, also if it fails.
    _process: Process,
    _dir: TempDir,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts one with a single database and nothing on disk.
    pub(super) fn start() -> Self {
        // A socket in a directory of its own: a free port may be another's a moment later.
        let dir = TempDir::with_prefix("redis-").unwrap();
        let socket = dir.path().join("socket");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", socket.to_str().unwrap()])
            .args(["--save", "", "--databases", "1"])
            .args(["--enable-debug-command", "yes"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be installed");
        let process = Process(child);
        for _ in 0..500 {
            if let Ok(stream) = UnixStream::connect(&socket) {
                return Self { connection: BufReader::new(stream), _process: process, _dir: dir };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server does not listen");
    }

    /// The reply to a call, as it is on the wire.
    pub(super) fn call(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.connection.get_mut().write_all(&request).unwrap();
        let mut reply = Vec::new();
        self.read(&mut reply);
        reply
    }

    fn read(&mut self, reply: &mut Vec<u8>) {
        let start = reply.len();
        self.connection.read_until(b'\n', reply).unwrap();
        let line = std::str::from_utf8(&reply[start..]).unwrap().trim_end();
        let number = line.get(1..).and_then(|number| number.parse::<i64>().ok()).unwrap_or(-1);
        match line.as_bytes().first() {
            Some(b'$') if number >= 0 => {
                let body = reply.len();
                reply.resize(body + number as usize + 2, 0);
                self.connection.read_exact(&mut reply[body..]).unwrap();
            }
            Some(b'*') => (0..number).for_each(|_| self.read(reply)),
            Some(_) => {}
            None => panic!("redis-server closed the connection"),
        }
    }
}

/// The content of a bulk string; none if it is null or something else.
pub(super) fn bulk(reply: &[u8]) -> Option<Vec<u8>> {
    let text = reply.strip_prefix(b"$")?;
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let len: usize = std::str::from_utf8(&text[..end - 1]).ok()?.parse().ok()?;
    text.get(end + 1..end + 1 + len).map(<[u8]>::to_vec)
}
