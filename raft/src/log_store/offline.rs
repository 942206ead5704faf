//! What is done to the log of a node that does not run. The log is to be closed after it: what is in memory is not
//! brought up to date.

use rocksdb::WriteBatch;

use super::core::Core;
use super::disk::{DiskError, DiskResult};
use super::extent::Reach;
use super::{LogStore, key};
use crate::codec::encode_entry;
use crate::types::{Entry, LogId, Vote};

impl LogStore {
    /// Adds an entry and sets the vote, durably.
    pub(crate) fn append_offline(&self, entry: &Entry, vote: &Vote) -> DiskResult<()> {
        let Core { disk, .. } = &*self.shared;
        let (mut batch, mut frame) = (WriteBatch::default(), bytes::BytesMut::new());
        encode_entry(entry, &mut frame);
        disk.put_entry(&mut batch, entry.log_id.index, &frame)?;
        disk.put_meta(&mut batch, key::VOTE, vote)?;
        disk.write(batch, true)?;
        self.extend_offline(Reach { end: entry.log_id.index + 1, vote: Some(*vote) })
    }

    /// Has the log end with an entry that a snapshot holds, durably: what is in the log is given up.
    pub(crate) fn replace_offline(&self, by: LogId) -> DiskResult<()> {
        let Core { disk, .. } = &*self.shared;
        let reach = Reach { end: by.index + 1, vote: self.current_vote() };
        let known = self.shared.extent().reach();
        if reach.end < known.end {
            self.extend_offline(Reach { vote: known.vote, ..reach })?;
        }
        let mut batch = WriteBatch::default();
        let end = self.last_log_id().map_or(0, |last| last.index + 1).max(reach.end);
        disk.delete_entries(&mut batch, 0..end)?;
        disk.put_meta(&mut batch, key::PURGED, &by)?;
        disk.write(batch, true)?;
        self.extend_offline(Reach { vote: known.vote, ..reach })
    }

    fn extend_offline(&self, reach: Reach) -> DiskResult<()> {
        let mut extent = self.shared.extent();
        extent.set(reach).and_then(|()| extent.sync()).map_err(|error| DiskError::Extent(error.to_string()))
    }
}
