//! Files that nobody but their owner reads: data, logs, configurations and backups hold everything that a cluster has,
//! and its secret.

use std::fs::{self, DirEntry, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::stat::{Mode, umask};

use super::failure::Failure;

/// What others than the owner may do.
const OTHERS: u32 = 0o077;
/// A directory that is everybody's, as `/tmp` is.
const STICKY: u32 = 0o1000;

/// From now on, what this process makes is its owner's alone: files 0600, directories 0700. To be called first, while
/// there is one thread.
pub(super) fn keep() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

/// Whether a directory is a node's alone: it has been one's before, or is empty. Others are for more than a node.
pub(super) fn is_of_a_node(path: &Path) -> bool {
    let is_lost_and_found =
        |entry: &io::Result<DirEntry>| entry.as_ref().is_ok_and(|entry| entry.file_name() == "lost+found");
    let is_empty =
        || fs::read_dir(path).is_ok_and(|mut entries| entries.all(|entry| is_lost_and_found(&entry)));
    path.join("identity").exists() || is_empty()
}

/// Closes a data directory that was there already, or was made by an earlier version, to others. One that is somebody
/// else's is told of.
pub(super) fn close_directory(path: &Path) {
    match close(path) {
        Ok(true) => {
            tracing::info!(directory = %path.display(), "the data directory was open to others, and is 0700 now");
        }
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, directory = %path.display(), "the data directory cannot be closed to others");
        }
    }
}

/// Takes everything away from others; answers whether there was something. What is meant to be everybody's stays so.
pub(super) fn close(path: &Path) -> io::Result<bool> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & OTHERS == 0 || mode & STICKY != 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))?;
    Ok(true)
}

/// Makes a directory, if it is not there, that is its owner's alone.
pub(super) fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).and_then(|()| close(path)).map_err(Failure::because(path.display()))?;
    Ok(())
}

/// Writes a file that is its owner's alone, also if it was there and was not.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = match close(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::write(path, text),
    };
    written.map_err(Failure::because(path.display()))
}
