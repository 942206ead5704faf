//! The connections there are: for `CLIENT LIST`, `CLIENT KILL`, the limit and the shutdown.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use adapter::Spec;
use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::Notify;

use crate::resp::Protocol;

/// What a connection is asked to do by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Wish {
    /// Go on.
    Serve = 0,
    /// Finish the pipeline it is in, then close.
    Drain = 1,
    /// Close now.
    Close = 2,
}

/// One connection, as others see it.
#[derive(Debug)]
pub struct Client {
    /// Its id, never used twice.
    pub id: u64,
    /// Where it comes from.
    pub address: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    connected: Instant,
    wish: AtomicU8,
    wake: Notify,
    shown: Mutex<Shown>,
}

/// What `CLIENT LIST` shows of a connection. The connection updates it once for each pipeline.
#[derive(Debug)]
pub struct Shown {
    /// `CLIENT SETNAME`.
    pub name: Bytes,
    /// `CLIENT SETINFO LIB-NAME`.
    pub lib_name: Bytes,
    /// `CLIENT SETINFO LIB-VER`.
    pub lib_ver: Bytes,
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// `CLIENT NO-EVICT`.
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH`.
    pub no_touch: bool,
    /// Its last command and, if that is a subcommand, the command it belongs to.
    pub last: Option<(&'static Spec, Option<&'static Spec>)>,
    /// When it last sent something.
    pub active: Instant,
    /// Bytes of input that are not yet a command.
    pub unparsed: usize,
    /// Bytes of replies that are not yet sent.
    pub unsent: usize,
    /// Commands so far.
    pub commands: u64,
}

impl Client {
    /// What is shown of it, to look at or to change.
    pub fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is asked to do.
    pub fn wish(&self) -> Wish {
        match self.wish.load(Ordering::Acquire) {
            0 => Wish::Serve,
            1 => Wish::Drain,
            _ => Wish::Close,
        }
    }

    /// Asks it to drain or to close.
    pub fn ask(&self, wish: Wish) {
        self.wish.fetch_max(wish as u8, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Answers when the connection has been asked for something since the last call.
    pub fn asked(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }

    /// Its line in `CLIENT LIST`. Fields of what does not exist here (databases, subscriptions, transactions) have
    /// the value that Redis gives to a connection that does not use it.
    pub fn line(&self) -> String {
        let shown = self.shown();
        let mut flags = String::new();
        for (set, letter) in [(shown.no_evict, 'e'), (shown.no_touch, 'T'), (self.wish() == Wish::Close, 'A')]
        {
            if set {
                flags.push(letter);
            }
        }
        if flags.is_empty() {
            flags.push('N');
        }
        let last = match shown.last {
            Some((spec, Some(parent))) => spec.full_name(parent),
            Some((spec, None)) => spec.name.to_owned(),
            None => "NULL".to_owned(),
        };
        let mut line = String::with_capacity(320);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 ssub=0 multi=-1 \
             qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={} oll=0 omem={} tot-mem={} events=r \
             cmd={last} user=default redir=-1 resp={} lib-name={} lib-ver={} tot-cmds={}",
            self.id,
            self.address,
            self.local,
            String::from_utf8_lossy(&shown.name),
            self.connected.elapsed().as_secs(),
            shown.active.elapsed().as_secs(),
            shown.unparsed,
            shown.unsent,
            shown.unsent,
            shown.unparsed + shown.unsent,
            shown.protocol.number(),
            String::from_utf8_lossy(&shown.lib_name),
            String::from_utf8_lossy(&shown.lib_ver),
            shown.commands,
        );
        line
    }
}

/// All connections.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: DashMap<u64, Arc<Client>>,
    last_id: AtomicU64,
}

impl Clients {
    /// Adds a connection.
    pub fn add(&self, address: SocketAddr, local: SocketAddr) -> Arc<Client> {
        let now = Instant::now();
        let client = Arc::new(Client {
            id: self.last_id.fetch_add(1, Ordering::Relaxed) + 1,
            address,
            local,
            connected: now,
            wish: AtomicU8::new(Wish::Serve as u8),
            wake: Notify::new(),
            shown: Mutex::new(Shown {
                name: Bytes::new(),
                lib_name: Bytes::new(),
                lib_ver: Bytes::new(),
                protocol: Protocol::Resp2,
                no_evict: false,
                no_touch: false,
                last: None,
                active: now,
                unparsed: 0,
                unsent: 0,
                commands: 0,
            }),
        });
        self.by_id.insert(client.id, Arc::clone(&client));
        client
    }

    /// Removes a connection.
    pub fn remove(&self, id: u64) {
        self.by_id.remove(&id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.by_id.iter().map(|entry| Arc::clone(entry.value())).collect();
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    /// Asks all of them.
    pub fn ask_all(&self, wish: Wish) {
        for entry in &self.by_id {
            entry.value().ask(wish);
        }
    }
}
