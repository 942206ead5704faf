//! What one connection holds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// A client that holds less is read, whatever the others hold.
pub const LARGE: usize = 64 * 1024;
/// A connection without any buffer: its task, its state, its entry among the clients.
const BARE: usize = 3 * 1024;

/// What a connection holds at one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Requests that are not parsed yet, or run now.
    pub query: usize,
    /// Room for more of them.
    pub query_free: usize,
    /// The arguments of the commands that run, or of the one that is not complete.
    pub arguments: usize,
    /// All memory for input: the buffers, and where each argument is in them.
    pub input: usize,
    /// Replies in the buffer that is written now.
    pub reply: usize,
    /// The size of that buffer.
    pub reply_capacity: usize,
    /// The number of pieces before it.
    pub pieces: usize,
    /// Their bytes.
    pub piece_bytes: usize,
    /// What is queued since `MULTI`.
    pub transaction: usize,
}

impl Holdings {
    /// All that it holds.
    pub fn total(&self) -> usize {
        BARE + self.input + self.reply_capacity + self.piece_bytes + self.transaction
    }
}

/// What a connection holds, as others see it.
#[derive(Debug, Default)]
pub struct Usage {
    query: AtomicUsize,
    query_free: AtomicUsize,
    arguments: AtomicUsize,
    input: AtomicUsize,
    reply: AtomicUsize,
    reply_capacity: AtomicUsize,
    pieces: AtomicUsize,
    piece_bytes: AtomicUsize,
    transaction: AtomicUsize,
    /// Its part of the sum.
    pub(super) counted: AtomicUsize,
    /// Its part of what belongs to clients that are not closed: commands of theirs run, or they take replies.
    pub(super) moving: AtomicUsize,
    /// Its part of what belongs to clients that are being closed.
    pub(super) leaving: AtomicUsize,
    /// `CLIENT NO-EVICT`.
    pub no_evict: AtomicBool,
}

impl Usage {
    /// What it holds.
    pub fn holdings(&self) -> Holdings {
        Holdings {
            query: self.query.load(Relaxed),
            query_free: self.query_free.load(Relaxed),
            arguments: self.arguments.load(Relaxed),
            input: self.input.load(Relaxed),
            reply: self.reply.load(Relaxed),
            reply_capacity: self.reply_capacity.load(Relaxed),
            pieces: self.pieces.load(Relaxed),
            piece_bytes: self.piece_bytes.load(Relaxed),
            transaction: self.transaction.load(Relaxed),
        }
    }

    /// Whether it holds so much that it may have to wait for others.
    pub fn is_large(&self) -> bool {
        self.counted.load(Relaxed) >= LARGE
    }

    /// Shows others what it holds now.
    pub(super) fn show(&self, holdings: &Holdings) {
        self.query.store(holdings.query, Relaxed);
        self.query_free.store(holdings.query_free, Relaxed);
        self.arguments.store(holdings.arguments, Relaxed);
        self.input.store(holdings.input, Relaxed);
        self.reply.store(holdings.reply, Relaxed);
        self.reply_capacity.store(holdings.reply_capacity, Relaxed);
        self.pieces.store(holdings.pieces, Relaxed);
        self.piece_bytes.store(holdings.piece_bytes, Relaxed);
        self.transaction.store(holdings.transaction, Relaxed);
    }
}
