//! Disks that are full for a while.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use super::Fault;
use crate::harness::deployment::Deployment;
use crate::harness::failure::{Failure, Result};

/// Between two attempts to fill what has become free.
const POLL: Duration = Duration::from_millis(20);

/// For so long after there is room again, a node may end of what has failed before.
const MAY_END: Duration = Duration::from_secs(1);

/// A file takes all that is free on a node's disk, and all that becomes free.
pub(super) struct Full {
    slot: usize,
    filling: Option<(Arc<Filler>, JoinHandle<()>)>,
    found_full: u64,
}

struct Filler {
    path: PathBuf,
    stop: AtomicBool,
    /// How often nothing more could be written.
    full: AtomicU64,
}

impl Filler {
    fn fill(&self) {
        let Ok(mut file) = File::options().create(true).append(true).open(&self.path) else { return };
        let block = vec![0; 64 * 1024];
        while !self.stop.load(Ordering::SeqCst) {
            // Down to the last page.
            while file.write_all(&block).is_ok() {}
            match file.write_all(&block[..512]) {
                Err(error) if error.kind() == ErrorKind::StorageFull => {
                    self.full.fetch_add(1, Ordering::SeqCst);
                    sleep(POLL);
                }
                Err(_) => return,
                Ok(()) => {}
            }
        }
    }
}

impl Full {
    pub(super) fn of(slot: usize) -> Self {
        Self { slot, filling: None, found_full: 0 }
    }

    fn fill(path: &Path) -> (Arc<Filler>, JoinHandle<()>) {
        let filler = Filler { path: path.join("ballast"), stop: false.into(), full: 0.into() };
        let filler = Arc::new(filler);
        let at_work = Arc::clone(&filler);
        (filler, std::thread::spawn(move || at_work.fill()))
    }
}

impl Fault for Full {
    fn begin(&mut self, deployment: &mut Deployment) -> Result<()> {
        let (filler, thread) = Self::fill(&deployment.slots[self.slot].disk);
        self.filling = Some((Arc::clone(&filler), thread));
        deployment.until("a disk to be full", |_| filler.full.load(Ordering::SeqCst) > 0)
    }

    fn look(&mut self, _deployment: &mut Deployment) -> Result<()> {
        let filling = self.filling.as_ref();
        self.found_full = filling.map_or(0, |(filler, _)| filler.full.load(Ordering::SeqCst));
        if self.found_full > 2 { Ok(()) } else { Err(Failure::NoFault("the disk was not full".to_owned())) }
    }

    fn end(&mut self, deployment: &mut Deployment) -> Result<String> {
        if let Some((filler, thread)) = self.filling.take() {
            filler.stop.store(true, Ordering::SeqCst);
            // It panics in no case.
            let _ = thread.join();
            std::fs::remove_file(&filler.path)?;
        }
        let slot = self.slot;
        // A Kiwi on the same disk may have ended as well.
        let storage = &mut deployment.node(slot)?.storage;
        if storage.as_mut().is_some_and(|process| process.ended().is_some()) {
            *storage = None;
            deployment.launch_storage(slot)?;
        }
        // A node whose storage has failed may take a moment to end.
        let (mut ended, since) = (None, Instant::now());
        deployment.until("a node whose disk was full to go on, or to end", |deployment| {
            ended = deployment.sidecar(slot).ok().and_then(|sidecar| sidecar.ended());
            ended.is_some() || (since.elapsed() > MAY_END && deployment.status(slot).is_some())
        })?;
        let went =
            ended.map_or_else(|| "the node went on".to_owned(), |status| format!("the node ended: {status}"));
        if ended.is_some() {
            deployment.launch(slot)?;
        }
        Ok(format!("the disk of slot {} was found full {} times; {went}", slot + 1, self.found_full))
    }

    fn may_end(&self) -> Option<usize> {
        Some(self.slot)
    }
}
