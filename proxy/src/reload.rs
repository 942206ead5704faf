//! Changing the configuration while the node runs: `CONFIG SET`, SIGHUP, a watched file, and `CONFIG REWRITE`.
//!
//! The running parts read what is in force from one place ([`Live`]). A *reload* puts in force what the sources say;
//! what `CONFIG SET` has changed since, and `CONFIG REWRITE` has not written, is undone by it. So after a reload a
//! node runs as it would after a restart, but for the options that need one.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use adapter::durable_file;
use conf::change::Changes;
use conf::check::check;
use conf::expected::Expected;
use conf::options::ConfigOption;
use conf::{ClusterConfig, Live, Loaded};

use crate::descriptors::Descriptors;
use crate::sources::{SourceError, Sources, read};
use crate::telemetry::{self, log_level};

/// Why a value was not changed; nothing was.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which of the given values, from 0 on.
    pub which: usize,
    /// The reason, in Redis's words where it has some.
    pub reason: String,
}

/// Why the file was not rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// There is none.
    #[error("The server is running without a config file")]
    NoFile,
    /// Its text cannot be changed.
    #[error("Rewriting config file: {0}")]
    Text(#[from] conf::rewrite::RewriteError),
    /// It cannot be read.
    #[error("Rewriting config file: {0}")]
    Read(#[from] SourceError),
    /// It cannot be written.
    #[error("Rewriting config file: {0}")]
    Write(#[from] io::Error),
}

/// See the module.
#[derive(Debug)]
pub struct Reloader {
    live: Live,
    sources: Sources,
    /// What was asked for, and where each value came from. Who changes it changes `live` while the lock is held.
    loaded: Mutex<Loaded>,
    /// What the process may have: `live` asks for no more.
    descriptors: Option<Descriptors>,
}

impl Reloader {
    /// Changes `live`, which holds what was loaded from these sources.
    pub fn new(live: Live, loaded: Loaded, sources: Sources) -> Self {
        Self { live, sources, loaded: Mutex::new(loaded), descriptors: None }
    }

    /// For a process that may have so many descriptors: what is in force is what was loaded, as far as it may be.
    pub fn within(descriptors: Descriptors, loaded: Loaded, sources: Sources) -> Self {
        let mut config = loaded.config.clone();
        descriptors.lower(&mut config);
        Self { descriptors: Some(descriptors), ..Self::new(Live::new(config), loaded, sources) }
    }

    /// For a configuration that came from no file.
    pub fn without_sources(config: &ClusterConfig) -> Self {
        Self::new(config.into(), config.clone().into(), Sources::default())
    }

    /// What is in force.
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The file that the configuration came from.
    pub fn file(&self) -> Option<&Path> {
        self.sources.file.as_deref()
    }

    /// Changes values, all of them or none.
    pub fn set(&self, values: &[(&ConfigOption, String)]) -> Result<(), Refused> {
        let mut loaded = self.lock();
        let mut next = loaded.clone();
        for (which, (option, text)) in values.iter().enumerate() {
            let refused = |reason: String| Refused { which, reason };
            if !option.live {
                return Err(refused("can't set immutable config".to_owned()));
            }
            let must_be = |wanted: Expected| refused(format!("must be {wanted}"));
            if option.name() == "log.level" {
                log_level::check(text).map_err(must_be)?;
            }
            next.change(option, text).map_err(must_be)?;
            let most = self.descriptors.map_or(usize::MAX, |descriptors| descriptors.clients);
            if option.name() == "limits.max_clients" && next.config.limits.max_clients > most {
                return Err(refused(format!(
                    "The operating system is not able to handle the specified number of clients, try with {most}"
                )));
            }
        }
        // One that came from no file need not be complete.
        if check(&loaded).is_ok() {
            let last = values.len().saturating_sub(1);
            check(&next).map_err(|error| Refused { which: last, reason: error.to_string() })?;
        }
        let shown: Vec<String> = values
            .iter()
            .map(|(option, _)| format!("{} = {}", option.name(), option.shown(&next.config)))
            .collect();
        self.put_in_force(&mut loaded, next);
        tracing::info!(options = shown.join(", "), "the configuration was changed");
        Ok(())
    }

    /// Reads the sources again and puts in force what can be. A source that is wrong changes nothing.
    pub fn reload(&self) -> Result<Changes, SourceError> {
        let mut loaded = self.lock();
        let newer = self.sources.load().inspect_err(|error| {
            tracing::error!(%error, "the configuration was not reloaded: the node goes on with what it has");
        })?;
        let mut next = loaded.clone();
        let changes = next.reload(newer);
        self.put_in_force(&mut loaded, next);
        tracing::info!(changes = changes.made.join(", "), "the configuration was reloaded");
        if !changes.refused.is_empty() {
            tracing::warn!(options = changes.refused.join(", "), "these changes need a restart of the node");
        }
        Ok(changes)
    }

    /// Writes what `CONFIG SET` has changed into the file. Everything else in it stays as it is, also what was edited
    /// and not loaded yet.
    pub fn rewrite(&self) -> Result<(), RewriteError> {
        let mut loaded = self.lock();
        let path = self.sources.file.as_ref().ok_or(RewriteError::NoFile)?;
        let changed = loaded.changed();
        if changed.is_empty() {
            return Ok(());
        }
        let text = conf::rewrite::rewrite(&read(path)?, &loaded.config, &changed)?;
        replace(path, text.as_bytes())?;
        let names: Vec<String> = changed.iter().map(|option| option.name()).collect();
        tracing::info!(options = names.join(", "), file = %path.display(), "the configuration file was rewritten");
        loaded.written(path);
        if let Ok(at_start) = self.sources.load() {
            let stronger: Vec<String> = changed
                .iter()
                .filter(|option| (option.get)(&at_start.config) != (option.get)(&loaded.config))
                .map(|option| format!("{} ({})", option.name(), at_start.origin(&option.name())))
                .collect();
            if !stronger.is_empty() {
                tracing::warn!(
                    options = stronger.join(", "),
                    "what is in the file is overridden at the next start"
                );
            }
        }
        Ok(())
    }

    fn put_in_force(&self, loaded: &mut Loaded, next: Loaded) {
        let log = &next.config.log;
        if let Err(wanted) = log_level::set(&log.level) {
            tracing::error!(%wanted, "log.level was not changed");
        }
        telemetry::apply(log);
        let mut config = next.config.clone();
        if let Some(descriptors) = &self.descriptors {
            descriptors.lower(&mut config);
            if loaded.config.limits.max_clients != next.config.limits.max_clients {
                descriptors.tell(&next.config);
            }
        }
        self.live.store(config);
        *loaded = next;
    }

    fn lock(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces a file: after a crash there is the old one or the new one. A link stays one; rights and owner stay too.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path: PathBuf = fs::canonicalize(path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let before = fs::metadata(&path)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(before.permissions())?;
    keep_owner(file.as_file(), &before)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    durable_file::sync_directory(directory)
}

/// Only root can give files away; where others rewrite somebody's file, it becomes theirs.
fn keep_owner(file: &File, before: &Metadata) -> io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    match std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid())) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use conf::options::by_name;

    use super::*;

    fn from_file(path: &Path, text: &str) -> Reloader {
        fs::write(path, text).unwrap();
        let sources = Sources { file: Some(path.to_owned()), flags: Vec::new() };
        let loaded = sources.load().unwrap();
        Reloader::new(Live::new(loaded.config.clone()), loaded, sources)
    }

    fn set(reloader: &Reloader, values: &[(&str, &str)]) -> Result<(), Refused> {
        let values: Vec<_> =
            values.iter().map(|(name, text)| (by_name(name).unwrap(), (*text).to_owned())).collect();
        reloader.set(&values)
    }

    #[test]
    fn all_values_are_set_or_none() {
        let reloader = Reloader::without_sources(&ClusterConfig::default());
        let keep = || reloader.live().load().raft.keep_entries;
        set(&reloader, &[("raft.keep_entries", "5"), ("limits.max_args", "100")]).unwrap();
        assert_eq!(keep(), 5);
        for (name, text, reason) in [
            ("node.id", "2", "can't set immutable config"),
            ("limits.max_args", "1", "must be a whole number from 16 to 1048576"),
            (
                "log.level",
                "loud",
                "must be error, warn, info or off, also by target as in info,openraft=warn",
            ),
        ] {
            let refused = set(&reloader, &[("raft.keep_entries", "6"), (name, text)]).unwrap_err();
            assert_eq!(refused, Refused { which: 1, reason: reason.to_owned() });
            assert_eq!(keep(), 5);
        }
    }

    #[test]
    fn a_reload_puts_in_force_what_the_file_says_and_a_wrong_file_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.conf");
        let text = "[cluster]\nenabled = false\n[raft]\nkeep_entries = 1\n";
        let reloader = from_file(&path, text);
        let keep = || reloader.live().load().raft.keep_entries;
        set(&reloader, &[("raft.keep_entries", "7")]).unwrap();
        fs::write(&path, "[raft]\nkeep_entries = many\n").unwrap();
        assert!(reloader.reload().is_err());
        assert_eq!(keep(), 7);
        fs::write(&path, text.replace('1', "2") + "[node]\nid = 5\n").unwrap();
        let changes = reloader.reload().unwrap();
        assert_eq!(changes.made, ["raft.keep_entries: 7 -> 2"]);
        assert_eq!(changes.refused, ["node.id (it says who the node is)"]);
        assert_eq!((keep(), reloader.live().load().node.id), (2, 0));
    }

    #[test]
    fn a_rewrite_keeps_comments_rights_and_links_and_writes_only_what_was_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("real.conf");
        let link = directory.path().join("cluster.conf");
        symlink(&path, &link).unwrap();
        let reloader = from_file(&link, "# ours\n[cluster]\nenabled = false # alone\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        reloader.rewrite().unwrap();
        set(&reloader, &[("raft.keep_entries", "7")]).unwrap();
        reloader.rewrite().unwrap();
        let wanted = "# ours\n[cluster]\nenabled = false # alone\n\n[raft]\nkeep_entries = 7\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), wanted);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(reloader.reload().unwrap().made.is_empty());
    }

    #[test]
    fn without_a_file_there_is_nothing_to_rewrite() {
        let reloader = Reloader::without_sources(&ClusterConfig::default());
        let error = reloader.rewrite().unwrap_err().to_string();
        assert_eq!(error, "The server is running without a config file");
    }
}
