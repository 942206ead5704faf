//! What reading needs: look-ups and ordered scans.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::embedded::db::key_range::KeyRange;
use crate::embedded::db::schema::{Family, Record};
use crate::embedded::db::state::State;
use crate::embedded::error::damaged;
use crate::embedded::offload::remote::{RemoteValue, RemoteValues, ValueId};
use crate::embedded::offload::value_ref::ValuePointer;
use crate::error::Outcome;
use crate::keyspace::{Direction, Flow};

/// The callback of a scan, given the key and the value.
pub(crate) type Visitor<'v> = dyn FnMut(&[u8], &[u8]) -> Outcome<Flow> + 'v;

/// Something that can be read: the store at a snapshot, or a run in progress.
pub(crate) trait Reader {
    /// Looks up a value and decodes it.
    fn get<T>(&self, family: Family, key: &[u8], decode: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>>;

    /// Visits the keys of a range in order, or in reverse.
    fn scan(
        &self,
        family: Family,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visitor<'_>,
    ) -> Outcome<()>;

    /// The state, for its counts.
    fn state(&self) -> Outcome<State>;

    /// Whether data is being adopted.
    fn is_loading(&self) -> bool;

    /// Where remote values come from; none if all values are inline.
    fn remote(&self) -> Option<&dyn RemoteValues> {
        None
    }

    /// A remote value.
    fn remote_value(&self, place: ValueId, pointer: ValuePointer) -> Outcome<Bytes> {
        let remote = self.remote().ok_or_else(|| damaged("a value that is nowhere"))?;
        remote.value(place, pointer, &|place| self.readahead(place))
    }

    /// Reads ahead; only for full scans.
    fn readahead(&self, _place: &ValueId) -> Outcome<Vec<RemoteValue>> {
        Ok(Vec::new())
    }

    /// Called for every record before it is used; may stop the command.
    fn check_record(&self, _record: &Record) -> Outcome<()> {
        Ok(())
    }
}

/// Orders two keys as a scan meets them.
pub(crate) fn scan_order(direction: Direction, left: &[u8], right: &[u8]) -> Ordering {
    match direction {
        Direction::Forward => left.cmp(right),
        Direction::Backward => right.cmp(left),
    }
}
