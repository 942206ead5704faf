//! Small files that are either the old or the new one after a crash, and survive it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The ending of a file that is not finished yet; whoever owns the directory removes leftovers at start.
pub const UNFINISHED: &str = "tmp";

/// Replaces the file at `path` by one with these bytes. When this returns, a crash does not undo it; before, a crash
/// leaves what was there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = unfinished(path);
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename(&unfinished, path)
}

/// The name that a file has until it is finished.
pub fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Renames a file that is synced already, durably.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    to.parent().map_or(Ok(()), sync_directory)
}

/// Makes the names in a directory durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    // The parent of a bare file name is the empty path.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}
