//! Replies on their way to a client: small ones side by side in one buffer, large ones as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Bytes from which a bulk string is sent from where it lies instead of being copied.
pub const LARGE: usize = 16 * 1024;
/// Bytes at which the buffer is closed and another begun, so that growing never copies what is there.
const CHUNK: usize = 64 * 1024;
/// The most pieces of one system call.
pub const SLICES: usize = 64;

/// What a client is still to be sent, in order.
#[derive(Debug, Default)]
pub struct Output {
    closed: VecDeque<Bytes>,
    closed_bytes: usize,
    open: BytesMut,
}

impl Output {
    /// The buffer at the end, to write a small reply into.
    pub fn open(&mut self) -> &mut BytesMut {
        if self.open.len() >= CHUNK {
            self.close();
        }
        &mut self.open
    }

    /// Adds bytes without copying them.
    pub fn push(&mut self, bytes: Bytes) {
        self.close();
        self.closed_bytes += bytes.len();
        self.closed.push_back(bytes);
    }

    /// The bytes to be sent.
    pub fn len(&self) -> usize {
        self.closed_bytes + self.open.len()
    }

    /// Bytes in the buffer at the end, and its size.
    pub fn open_bytes(&self) -> (usize, usize) {
        (self.open.len(), self.open.capacity())
    }

    /// The number of pieces before that buffer, and their bytes with what it takes to list them.
    pub fn pieces(&self) -> (usize, usize) {
        (self.closed.len(), self.closed_bytes + self.closed.len() * size_of::<Bytes>())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next pieces to be sent; answers how many of `slices` were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let pieces = self.closed.iter().map(|piece| &piece[..]).chain(std::iter::once(&self.open[..]));
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(pieces.filter(|piece| !piece.is_empty())) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Forgets the first `sent` bytes.
    pub fn advance(&mut self, mut sent: usize) {
        while let Some(piece) = self.closed.front_mut() {
            let part = sent.min(piece.len());
            piece.advance(part);
            self.closed_bytes -= part;
            sent -= part;
            if !piece.is_empty() {
                return;
            }
            self.closed.pop_front();
        }
        if sent < self.open.len() {
            self.open.advance(sent);
        } else if self.open.capacity() > 4 * CHUNK {
            self.open = BytesMut::new();
        } else {
            self.open.clear();
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.closed_bytes += self.open.len();
            self.closed.push_back(self.open.split().freeze());
        }
    }
}
