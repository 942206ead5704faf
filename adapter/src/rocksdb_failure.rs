//! What an error of RocksDB means to an operator. It tells the system's errors by their text only.

/// What is behind an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Another process has the database open.
    Locked,
    /// The disk, or a quota on it, is full.
    DiskFull,
    /// What is there is not what was written, or a part of it is missing.
    Damaged,
    /// Anything else, such as missing permissions.
    Other,
}

/// Sorts an error.
pub fn cause(error: &rocksdb::Error) -> Cause {
    sort(error.kind(), error.as_ref())
}

fn sort(kind: rocksdb::ErrorKind, text: &str) -> Cause {
    let says = |what: &str| text.contains(what);
    if says("No space left on device") || says("Disk quota exceeded") {
        Cause::DiskFull
    } else if says("lock file") || says("lock hold") {
        Cause::Locked
    } else if kind == rocksdb::ErrorKind::Corruption
        || kind == rocksdb::ErrorKind::InvalidArgument && says("does not exist")
    {
        Cause::Damaged
    } else {
        Cause::Other
    }
}

#[cfg(test)]
mod tests {
    use rocksdb::ErrorKind;

    use super::*;

    #[test]
    fn errors_are_told_by_what_rocksdb_says() {
        let appending = "IO error: No space left on device: While appending to file: /d/000004.log: No space left on device";
        assert_eq!(sort(ErrorKind::IOError, appending), Cause::DiskFull);
        let quota = "IO error: While open a file for appending: /d/000004.log: Disk quota exceeded";
        assert_eq!(sort(ErrorKind::IOError, quota), Cause::DiskFull);
        let lock = "IO error: While lock file: /d/LOCK: Resource temporarily unavailable";
        assert_eq!(sort(ErrorKind::IOError, lock), Cause::Locked);
        assert_eq!(sort(ErrorKind::Corruption, "Corruption: block checksum mismatch"), Cause::Damaged);
        let missing = "Invalid argument: /d: does not exist (create_if_missing is false)";
        assert_eq!(sort(ErrorKind::InvalidArgument, missing), Cause::Damaged);
        assert_eq!(sort(ErrorKind::IOError, "IO error: /d: Permission denied"), Cause::Other);
    }
}
