//! A snapshot's file, opened for those whom it is meant for.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use adapter::StorageError;
use adapter::snapshot::read_header;

/// Opens a snapshot to be installed in a member of this cluster. That of another cluster is refused; one that comes
/// from no cluster, as a stand-alone node's, is not.
pub(super) fn open(path: &Path, cluster_id: &[u8]) -> Result<File, StorageError> {
    let mut file = File::open(path).map_err(StorageError::engine("open a snapshot"))?;
    let from = read_header(&mut file)?.cluster_id;
    if !from.is_empty() && from != cluster_id {
        let reason = format!(
            "it is of the cluster {}, and this node belongs to {}",
            from.escape_ascii(),
            cluster_id.escape_ascii()
        );
        return Err(StorageError::Malformed { what: "snapshot", reason });
    }
    file.seek(SeekFrom::Start(0)).map_err(StorageError::engine("read a snapshot"))?;
    Ok(file)
}
