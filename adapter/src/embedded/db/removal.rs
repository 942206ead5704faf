//! Removing a directory when its database is closed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Removes a directory on drop, once armed.
pub(crate) struct Removal {
    dir: PathBuf,
    armed: AtomicBool,
}

impl Removal {
    pub(crate) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), armed: AtomicBool::new(false) }
    }

    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::Release);
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if !self.armed.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            // It is a leftover now; the next start tries again.
            tracing::warn!(directory = %self.dir.display(), %error, "cannot remove a replaced generation of the data");
        }
    }
}
