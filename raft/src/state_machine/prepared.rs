//! Committed entries, made ready to be applied.

use adapter::Run;
use openraft::EntryPayload;

use super::mark::{Mark, MarkError};
use super::pieces::Pieces;
use crate::types::{Entry, LogId, StoredMembership};

/// Entries, as a run for the adapter.
pub(super) struct Prepared {
    pub(super) run: Run,
    pub(super) last: LogId,
    /// For each entry, whether it has a batch.
    pub(super) has_batch: Vec<bool>,
}

impl Prepared {
    /// Makes a run of entries that come behind a mark, and takes the mark to the last of them. None of none. `pieces`
    /// is what is there of the upload that the mark names.
    pub(super) fn new(
        entries: Vec<Entry>,
        mark: &mut Mark,
        pieces: &mut Pieces,
    ) -> Result<Option<Self>, MarkError> {
        let Some(last) = entries.last().map(|entry| entry.log_id) else { return Ok(None) };
        let mut has_batch = Vec::with_capacity(entries.len());
        let mut batches = Vec::with_capacity(entries.len());
        for entry in entries {
            pieces.meet(mark, entry.log_id);
            let before = batches.len();
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(batch) => {
                    let batch = pieces.take(mark, entry.log_id, batch)?;
                    let revision = mark.revision(entry.log_id.index);
                    batches.extend(batch.map(|batch| batch.at_revision(revision)));
                }
                EntryPayload::Membership(membership) => {
                    mark.set_membership(StoredMembership::new(Some(entry.log_id), membership));
                }
            }
            has_batch.push(batches.len() > before);
        }
        mark.applied = Some(last);
        let position = mark.position()?;
        Ok(Some(Self { run: Run { batches, position }, last, has_batch }))
    }
}
