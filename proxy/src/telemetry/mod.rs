//! What the process tells of itself while it runs: its log.
//!
//! | module | what it says |
//! |---|---|
//! | [`log_level`] | what is logged, changeable at any time |
//! | [`log_writer`] | the thread that writes, so that nobody who logs waits |
//! | [`repeated`] | what others say again and again is written a few times |
//! | [`rotation`] | a log file that is bounded |
//!
//! There is one log in a process, and so it is the one thing here that is global.

pub mod log_level;
mod log_writer;
mod repeated;
mod rotation;

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use conf::{ConfigError, Loaded, Log, LogFormat};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use log_writer::{LogWriter, Sink};
use repeated::Repeated;
use rotation::{Bounds, LogFile};

/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Starts logging for the whole process, as the configuration says.
pub fn start(loaded: &Loaded) -> Result<(), ConfigError> {
    let log = &loaded.config.log;
    let filter = log_level::filter(&log.level);
    let filter = filter
        .map_err(|wanted| loaded.error("log.level", format!("must be {wanted}, not {:?}", log.level)))?;
    let (sink, colour) = match &log.file {
        None => (Sink::Stderr, std::io::stderr().is_terminal()),
        Some(path) => {
            let file = LogFile::open(path);
            let file =
                file.map_err(|error| loaded.error("log.file", format!("{}: {error}", path.display())))?;
            (Sink::File(file), false)
        }
    };
    let to_file = matches!(sink, Sink::File(_));
    let cannot = |error: String| loaded.error("log.file", format!("cannot start logging: {error}"));
    let writer = LogWriter::start(sink, bounds(log)).map_err(|error| cannot(error.to_string()))?;
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(writer.clone());
    let lines: Box<dyn Layer<_> + Send + Sync> = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = Registry::default().with(filter).with(Repeated::default()).with(lines).try_init();
    started.map_err(|error| cannot(error.to_string()))?;
    // It was the first: otherwise the subscriber would have been refused.
    let _ = WRITER.set(writer);
    if to_file {
        log_panics();
    }
    Ok(())
}

/// Puts in force what of `[log]` can be changed while the process runs, but for the levels.
pub fn apply(log: &Log) {
    if let Some(writer) = WRITER.get() {
        writer.bound(bounds(log));
    }
}

/// Goes on in the log file that has the name now.
pub fn reopen() {
    if let Some(writer) = WRITER.get() {
        writer.reopen();
    }
}

/// Waits until what was logged is written.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST_LINES);
    }
}

fn bounds(log: &Log) -> Bounds {
    Bounds { max_bytes: log.max_file_bytes, max_files: log.max_files }
}

/// A panic ends the process; with a log file, standard error may be nowhere.
fn log_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "the process ends: a bug");
        print(panic);
    }));
}
