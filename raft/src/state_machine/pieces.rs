//! Commands that came in pieces, put together until they take effect.
//!
//! What is too large for one entry is proposed as one entry for each piece and one that ends the upload. Entries of
//! others come between them, so nothing waits for all of the bytes: no heartbeat, no vote, and no small write. Pieces
//! are gathered here, on every node alike, and in the log. The storage is given long arguments as they come, so that it
//! can write them ahead ([`Adapter::stage`]); nobody sees them before the last entry. The storage's position
//! says where the upload began ([`Mark::upload`]), so a node that is started again reads them back from the log. No
//! snapshot is made while an upload is under way: whoever begins with it would lack the first pieces.
//!
//! There is one upload at a time. It ends with its last entry; with the first piece of another; and with the first
//! entry of another term, because then nothing of its leader can follow. All of this follows from the log alone.

use adapter::batch::{Assembly, Form};
use adapter::{Adapter, Batch};

use super::mark::{Mark, MarkError, Upload};
use crate::log_store::LogReader;
use crate::types::{Entry, LogId, StorageError};
use openraft::{EntryPayload, RaftLogReader as _};

/// What is there of the upload that the mark names.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    assembly: Option<Assembly>,
    /// The storage has been given something of an upload that was given up since.
    is_stale: bool,
}

impl Pieces {
    /// Reads back what is there of the upload that a mark names. The log may lack it, as that of a node that was
    /// restored from a backup does: then the upload ends with the first entry of a new leader.
    pub(super) async fn of(mark: &Mark, log: &LogReader) -> Result<Self, StorageError> {
        let (mut pieces, mut log) = (Self::default(), log.clone());
        let (Some(upload), Some(applied)) = (mark.upload, mark.applied) else { return Ok(pieces) };
        let mut next = upload.first.index;
        while next <= applied.index {
            let entries = log.limited_get_log_entries(next, applied.index + 1).await?;
            let Some(last) = entries.last() else { break };
            next = last.log_id.index + 1;
            entries.iter().for_each(|entry| pieces.read_back(upload, entry));
        }
        Ok(pieces)
    }

    fn read_back(&mut self, wanted: Upload, entry: &Entry) {
        if let EntryPayload::Normal(batch) = &entry.payload
            && let Form::Piece { upload, total, offset, bytes } = batch.form()
            && upload == wanted.id
        {
            self.assembly.get_or_insert_with(|| Assembly::new(upload, total)).add(offset, bytes);
        }
    }

    /// An entry is about to be applied: it may be another leader's.
    pub(super) fn meet(&mut self, mark: &mut Mark, entry: LogId) {
        if mark.upload.is_some_and(|upload| upload.first.leader_id != entry.leader_id) {
            self.give_up(mark);
        }
    }

    fn give_up(&mut self, mark: &mut Mark) {
        mark.upload = None;
        self.is_stale |= self.assembly.take().is_some();
    }

    /// Takes a batch; answers the commands to be run for it, if any. An error means that pieces are gone which the
    /// others have.
    pub(super) fn take(
        &mut self,
        mark: &mut Mark,
        log_id: LogId,
        batch: Batch,
    ) -> Result<Option<Batch>, MarkError> {
        match batch.form() {
            Form::Commands => Ok(Some(batch)),
            Form::Raise { version } => Ok(mark.raise_version(version).map(|()| None)?),
            Form::Piece { upload, total, offset: 0, bytes } => {
                let mut assembly = Assembly::new(upload, total);
                if assembly.add(0, bytes) {
                    mark.upload = Some(Upload { first: log_id, id: upload });
                    self.is_stale |= self.assembly.replace(assembly).is_some();
                } else {
                    self.give_up(mark);
                }
                Ok(None)
            }
            Form::Piece { upload, offset, bytes, .. } => {
                if self.is_present(mark, upload)?
                    && !self.assembly.as_mut().is_some_and(|there| there.add(offset, bytes))
                {
                    self.give_up(mark);
                }
                Ok(None)
            }
            Form::Last { upload, .. } => {
                if !self.is_present(mark, upload)? {
                    return Ok(None);
                }
                let assembly = self.assembly.take();
                mark.upload = None;
                let whole = assembly.and_then(|there| there.finish(&batch));
                self.is_stale |= whole.is_none();
                Ok(whole)
            }
        }
    }

    /// Gives the storage what has come of long arguments. To be called behind each run, before the next.
    pub(super) async fn stage(&mut self, adapter: &dyn Adapter) -> Result<(), adapter::StorageError> {
        if std::mem::take(&mut self.is_stale) {
            adapter.unstage().await?;
        }
        let Some(assembly) = &mut self.assembly else { return Ok(()) };
        for arrived in assembly.take_arrived() {
            adapter.stage(arrived).await?;
        }
        Ok(())
    }

    /// Whether this is the upload that is under way.
    fn is_present(&self, mark: &Mark, id: u64) -> Result<bool, MarkError> {
        if mark.upload.is_none_or(|upload| upload.id != id) {
            return Ok(false);
        }
        if self.assembly.as_ref().is_none_or(|there| there.upload() != id) {
            return Err(MarkError::PiecesLost);
        }
        Ok(true)
    }
}
