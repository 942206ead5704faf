//! Log lines: level, form and place as the configuration says.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::sync::Mutex;

use conf::{Loaded, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::Failure;

/// Starts logging for the whole process.
pub(super) fn start(loaded: &Loaded) -> Result<(), Failure> {
    let log = &loaded.config.log;
    let filter = EnvFilter::try_new(&log.level).map_err(|error| loaded.error("log.level", error))?;
    let (writer, colour) = match &log.file {
        None => (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal()),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file =
                file.map_err(|error| loaded.error("log.file", format!("{}: {error}", path.display())))?;
            (BoxMakeWriter::new(Mutex::new(file)), false)
        }
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(writer);
    let started = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(Failure::because("cannot start logging"))
}
