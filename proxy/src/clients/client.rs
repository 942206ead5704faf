//! One connection, as others see it: what `CLIENT LIST` shows of it, and what it can be asked to do.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use adapter::Spec;
use bytes::Bytes;
use tokio::sync::Notify;

use super::usage::Usage;
use crate::resp::Protocol;

/// What a connection is asked to do by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Directive {
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
    /// What it holds.
    pub usage: Usage,
    fd: RawFd,
    connected: Instant,
    directive: AtomicU8,
    wake: Notify,
    shown: Mutex<Shown>,
}

/// What `CLIENT LIST` shows of a connection. The connection updates it twice for each pipeline.
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
    /// `CLIENT NO-TOUCH`.
    pub no_touch: bool,
    /// The command that it runs, or its last one, and, if that is a subcommand, the command it belongs to.
    pub last: Option<(&'static Spec, Option<&'static Spec>)>,
    /// When it last sent something.
    pub active: Instant,
    /// Commands so far.
    pub commands: u64,
    /// How many commands it has queued since `MULTI`; none outside of a transaction.
    pub queued: Option<usize>,
}

impl Client {
    /// One that has just come.
    pub(super) fn new(id: u64, address: SocketAddr, local: SocketAddr, fd: RawFd) -> Self {
        let now = Instant::now();
        Self {
            id,
            address,
            local,
            usage: Usage::default(),
            fd,
            connected: now,
            directive: AtomicU8::new(Directive::Serve as u8),
            wake: Notify::new(),
            shown: Mutex::new(Shown {
                name: Bytes::new(),
                lib_name: Bytes::new(),
                lib_ver: Bytes::new(),
                protocol: Protocol::Resp2,
                no_touch: false,
                last: None,
                active: now,
                commands: 0,
                queued: None,
            }),
        }
    }

    /// What is shown of it, to look at or to change.
    pub fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is asked to do.
    pub fn directive(&self) -> Directive {
        match self.directive.load(Ordering::Acquire) {
            0 => Directive::Serve,
            1 => Directive::Drain,
            _ => Directive::Close,
        }
    }

    /// Asks it to drain or to close.
    pub fn ask(&self, directive: Directive) {
        self.directive.fetch_max(directive as u8, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Answers when the connection has been asked for something since the last call.
    pub fn asked(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }

    /// Its line in `CLIENT LIST`. Fields of what does not exist here (databases, subscriptions) have the value that Redis gives to a connection that does not use it.
    pub fn line(&self) -> String {
        let (shown, holds) = (self.shown(), self.usage.holdings());
        let no_evict = self.usage.no_evict.load(Ordering::Relaxed);
        let mut flags = String::new();
        for (set, letter) in [
            (no_evict, 'e'),
            (shown.no_touch, 'T'),
            (self.directive() == Directive::Close, 'A'),
            (shown.queued.is_some(), 'x'),
        ] {
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
        let events = if holds.reply + holds.piece_bytes > 0 { "rw" } else { "r" };
        let mut line = String::with_capacity(320);
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 ssub=0 multi={} \
             qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp=0 obl={} oll={} omem={} tot-mem={} \
             events={events} cmd={last} user=default redir=-1 resp={} lib-name={} lib-ver={} tot-cmds={}",
            self.id,
            self.address,
            self.local,
            self.fd,
            String::from_utf8_lossy(&shown.name),
            self.connected.elapsed().as_secs(),
            shown.active.elapsed().as_secs(),
            shown.queued.map_or(-1, |queued| i64::try_from(queued).unwrap_or(i64::MAX)),
            holds.query,
            holds.query_free,
            holds.arguments,
            holds.transaction,
            holds.reply_capacity,
            holds.reply,
            holds.pieces,
            holds.piece_bytes,
            holds.total(),
            shown.protocol.number(),
            String::from_utf8_lossy(&shown.lib_name),
            String::from_utf8_lossy(&shown.lib_ver),
            shown.commands,
        );
        line
    }

    /// When it came.
    pub fn connected(&self) -> Instant {
        self.connected
    }
}
