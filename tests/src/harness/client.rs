//! A client that tells what was surely not done from what nobody knows.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cluster::SECRET;
use crate::differential::resp::{Frame, decode};
use crate::raw::encode;

use super::history::{Operation, Outcome};

/// How long a client waits for a connection.
const CONNECTS: Duration = Duration::from_millis(500);
/// How long a client waits for a reply before it calls the outcome unknown.
const GIVES_UP: Duration = Duration::from_secs(3);
/// Without a leader every answer is immediate: don't flood.
const AFTER_REFUSAL: Duration = Duration::from_millis(10);
/// While nobody can be connected to.
const AFTER_NO_CONNECTION: Duration = Duration::from_millis(20);

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A reply, which may be an error of the command.
    Reply(Frame),
    /// It was surely not done.
    Refused(String),
    /// Nobody knows.
    Lost(String),
}

/// A connection to one node.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects, and waits at most so long for each reply from then on.
    pub fn open(address: SocketAddr, patience: Duration) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECTS)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, received: Vec::new() };
        // A node serves nobody from outside without one.
        match connection.call(&["AUTH", SECRET]) {
            Answer::Reply(_) => Ok(connection),
            Answer::Lost(error) => Err(std::io::Error::other(error)),
            refused => Err(std::io::Error::other(format!("{refused:?}"))),
        }
    }

    /// Sends a request and waits for the reply. Behind [`Answer::Lost`] the connection is of no use.
    pub fn call(&mut self, args: &[&str]) -> Answer {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        match self.exchange(&encode(&args)) {
            Ok(Frame::Error(text)) => refusal(text),
            Ok(frame) => Answer::Reply(frame),
            Err(error) => Answer::Lost(error.to_string()),
        }
    }

    fn exchange(&mut self, request: &[u8]) -> std::io::Result<Frame> {
        self.stream.write_all(request)?;
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some((frame, used)) = decode(&self.received) {
                self.received.drain(..used);
                return Ok(frame);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }
}

/// What an error says of the outcome; see docs/guarantees.md.
fn refusal(text: String) -> Answer {
    let is = |codes: &[&str]| text.split(' ').next().is_some_and(|code| codes.contains(&code));
    // A node that was just started and has not found its Kiwi yet.
    let has_no_storage = text.contains("the storage is not connected");
    if has_no_storage || is(&["CLUSTERDOWN", "BUSY", "NOCLUSTER", "LOADING", "STALE"]) {
        Answer::Refused(text)
    } else if is(&["TIMEOUT"]) {
        Answer::Lost(text)
    } else {
        Answer::Reply(Frame::Error(text))
    }
}

/// What all clients of a round share.
pub struct Shared {
    /// When the run began.
    pub start: Instant,
    /// The seed of this round.
    pub seed: u64,
    /// The number of this round; it begins the names of keys.
    pub round: usize,
    /// What clients of registers say first on each connection.
    pub greeting: Option<&'static str>,
    /// The nodes that clients turn to, by slot. Who comes and goes is known to all at once.
    pub members: RwLock<Vec<(usize, SocketAddr)>>,
    /// The clients are to end.
    pub stop: AtomicBool,
    /// Calls that were answered.
    pub answered: AtomicU64,
}

impl Shared {
    /// Whether the clients go on.
    pub fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// The time of the run.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// One client: a connection at a time, to one node after the other.
pub struct Client {
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Its number.
    pub number: u32,
    /// What it says first on each connection.
    greeting: Option<String>,
    /// Connections so far; they go over the nodes in turn.
    turn: usize,
    open: Option<(usize, Connection)>,
}

/// What a client was told, by whom and when.
#[derive(Clone, Debug)]
pub struct Told {
    /// The slot of the node.
    pub node: usize,
    /// Before the request was sent.
    pub invoked: Duration,
    /// After the reply had come.
    pub completed: Duration,
    /// What came of it.
    pub answer: Answer,
}

impl Client {
    /// A client without a connection. The greeting is a command of words.
    pub fn new(shared: &Arc<Shared>, number: u32, greeting: Option<&str>) -> Self {
        Self {
            shared: Arc::clone(shared),
            number,
            greeting: greeting.map(str::to_owned),
            turn: number as usize,
            open: None,
        }
    }

    /// Calls whichever node it is connected to; none if it could connect to none. Whoever refuses or is lost is left
    /// for the next node.
    pub fn call(&mut self, args: &[&str]) -> Option<Told> {
        let (node, mut connection) = self.open.take().or_else(|| self.connect())?;
        let invoked = self.shared.now();
        let answer = connection.call(args);
        let completed = self.shared.now();
        match &answer {
            Answer::Reply(_) => {
                self.open = Some((node, connection));
                self.shared.answered.fetch_add(1, Ordering::Relaxed);
            }
            Answer::Refused(_) => sleep(AFTER_REFUSAL),
            Answer::Lost(_) => {}
        }
        Some(Told { node, invoked, completed, answer })
    }

    /// Leaves the node that it is connected to.
    pub fn leave(&mut self) {
        self.open = None;
    }

    fn connect(&mut self) -> Option<(usize, Connection)> {
        self.turn += 1;
        let opened = self.open_next();
        if opened.is_none() {
            sleep(AFTER_NO_CONNECTION);
        }
        opened
    }

    fn open_next(&self) -> Option<(usize, Connection)> {
        let members = self.shared.members.read().ok()?.clone();
        let (node, address) = *members.get(self.turn % members.len().max(1))?;
        let mut connection = Connection::open(address, GIVES_UP).ok()?;
        if let Some(greeting) = &self.greeting {
            let words: Vec<&str> = greeting.split(' ').collect();
            if !matches!(connection.call(&words), Answer::Reply(Frame::Status(_))) {
                return None;
            }
        }
        Some((node, connection))
    }
}

/// A call as it is remembered. `reply` reads a frame; what it cannot read is an answer that nothing allows.
pub fn remember<C, R>(
    client: u32,
    key: String,
    call: C,
    told: Told,
    reply: impl Fn(&Frame) -> Option<R>,
) -> Result<Operation<C, R>, String>
where
    C: std::fmt::Debug,
{
    let outcome = match &told.answer {
        Answer::Reply(frame) => match reply(frame) {
            Some(reply) => Outcome::Ok(reply),
            None => return Err(format!("{key}: {call:?} was answered {frame:?} by node {}", told.node + 1)),
        },
        Answer::Refused(_) => Outcome::Fail,
        Answer::Lost(_) => Outcome::Unknown,
    };
    let Told { node, invoked, completed, .. } = told;
    Ok(Operation { client, node, key, call, invoked, completed, outcome })
}
