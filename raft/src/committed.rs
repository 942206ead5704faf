//! What became of writes that were committed.

use adapter::Reply;
use serde::{Deserialize, Serialize};

/// What became of a group of commands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    /// The index of the log entry that holds them; 0 where there were none. A storage that has applied it shows them.
    pub index: u64,
    /// One reply for each command.
    pub replies: Vec<Reply>,
}
