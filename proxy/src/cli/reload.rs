//! What has the configuration of a running node reloaded: SIGHUP, and a change of the file if that is watched. SIGUSR1
//! only reopens the log file, as logrotate wants it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::reload::Reloader;
use crate::telemetry;

/// A file that has not changed for this long is one that its editor has finished.
const QUIET: Duration = Duration::from_millis(300);
/// A file that changes all the time is read anyway.
const PATIENCE: Duration = Duration::from_secs(3);

/// The signals; from the making of this on, they do not end the process.
pub(super) struct Signals {
    hangup: Signal,
    reopen: Signal,
}

impl Signals {
    /// Must be called on a runtime.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { hangup: signal(SignalKind::hangup())?, reopen: signal(SignalKind::user_defined1())? })
    }

    /// Does what they ask for. For ever.
    pub(super) async fn obey(mut self, reloader: Arc<Reloader>) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    telemetry::reopen();
                    reload(&reloader).await;
                }
                _ = self.reopen.recv() => telemetry::reopen(),
            }
        }
    }
}

async fn reload(reloader: &Arc<Reloader>) {
    let reloader = Arc::clone(reloader);
    // What came of it is logged where it happened.
    let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
}

/// Reloads whenever the file has other content. For ever; ends at once if the file cannot be watched.
pub(super) async fn watch(reloader: Arc<Reloader>) {
    let Some(path) = reloader.file().map(Path::to_path_buf) else {
        tracing::warn!("node.watch_config is set, and there is no file to watch");
        return;
    };
    let changed = Arc::new(Notify::new());
    let _watcher = match watcher(&path, Arc::clone(&changed)) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(%error, file = %path.display(), "the configuration file cannot be watched");
            return;
        }
    };
    tracing::info!(file = %path.display(), "the configuration file is watched");
    let mut known = text(&path).await;
    loop {
        changed.notified().await;
        settled(&changed).await;
        // Between the two renames of an editor there is no file: the second is another change.
        let Some(now) = text(&path).await else { continue };
        if known.as_ref() != Some(&now) {
            known = Some(now);
            reload(&reloader).await;
        }
    }
}

/// Waits until nothing changes any more.
async fn settled(changed: &Notify) {
    let latest = Instant::now() + PATIENCE;
    loop {
        let quiet = (Instant::now() + QUIET).min(latest);
        if timeout_at(quiet, changed.notified()).await.is_err() {
            return;
        }
        if Instant::now() >= latest {
            sleep_until(latest).await;
            return;
        }
    }
}

async fn text(path: &Path) -> Option<Vec<u8>> {
    tokio::fs::read(path).await.ok()
}

/// Watches the directory and not the file: an editor puts another file in its place, and so does `CONFIG REWRITE`.
fn watcher(path: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let target = std::fs::canonicalize(path).map_err(notify::Error::io)?;
    let names: Vec<OsString> =
        [path, &target].iter().filter_map(|path| path.file_name()).map(Into::into).collect();
    let concerns = move |event: &Event| {
        let by_name = |path: &PathBuf| {
            path.file_name().is_some_and(|name| {
                // Kubernetes changes a mounted file by a link beside it, `..data`.
                names.iter().any(|own| own == name) || name.as_encoded_bytes().starts_with(b"..")
            })
        };
        // Reading the file is an event too.
        !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(by_name)
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // After an error (events were lost, mostly) it is looked at.
        if event.is_err() || event.is_ok_and(|event| concerns(&event)) {
            changed.notify_one();
        }
    })?;
    let mut directories: Vec<&Path> = [path, &target].iter().filter_map(|path| path.parent()).collect();
    directories.dedup();
    for directory in directories {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
