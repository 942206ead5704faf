//! Keys of the `meta` column family.

pub(super) const FORMAT: &str = "format";
/// [`crate::data_id::DataId`]: which log this is.
pub(super) const DATA: &str = "data";
/// [`crate::types::Vote`].
pub(super) const VOTE: &str = "vote";
/// [`crate::types::LogId`]: committed up to here.
pub(super) const COMMITTED: &str = "committed";
/// [`crate::types::LogId`]: purged up to here.
pub(super) const PURGED: &str = "purged";
