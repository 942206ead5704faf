//! A snapshot that is checked while it is passed on: a thread reads what goes by.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use adapter::StorageError;
use adapter::snapshot::{Survey, survey};

/// Pieces that may wait for the check.
const WAITING: usize = 4;

type Checking = JoinHandle<Result<Survey, StorageError>>;

/// What was passed on is no snapshot, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("the check has ended early")]
    EndedEarly,
    #[error(transparent)]
    Damaged(#[from] StorageError),
}

/// Passes on what is written to it, and checks it.
pub(super) struct Checked<W> {
    output: W,
    bytes: u64,
    pieces: Option<SyncSender<Vec<u8>>>,
    checking: Option<Checking>,
}

impl<W: Write> Checked<W> {
    pub(super) fn new(output: W) -> Self {
        let (pieces, received) = sync_channel(WAITING);
        let checking = std::thread::spawn(move || survey(Pieces { received, piece: Vec::new(), at: 0 }));
        Self { output, bytes: 0, pieces: Some(pieces), checking: Some(checking) }
    }

    /// What all of it holds, and how many bytes it is; an error if it is not whole or not right.
    pub(super) fn finish(mut self) -> Result<(Survey, u64), CheckError> {
        drop(self.pieces.take());
        let ended = self.checking.take().and_then(|checking| checking.join().ok());
        let survey = ended.ok_or(CheckError::EndedEarly)??;
        Ok((survey, self.bytes))
    }
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.output.write_all(piece)?;
        self.bytes += piece.len() as u64;
        // A check that has failed takes nothing more; what it has found is told at the end.
        if self.pieces.as_ref().is_some_and(|pieces| pieces.send(piece.to_owned()).is_err()) {
            self.pieces = None;
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// The pieces as one stream, which ends when no more can come.
struct Pieces {
    received: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            let Ok(piece) = self.received.recv() else { return Ok(0) };
            (self.piece, self.at) = (piece, 0);
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_snapshot_is_passed_on_and_called_damaged() {
        let mut output = Vec::new();
        let mut checked = Checked::new(&mut output);
        for _ in 0..100 {
            checked.write_all(&[7; 100_000]).unwrap();
        }
        assert!(checked.finish().is_err());
        assert_eq!(output.len(), 10_000_000);
    }
}
