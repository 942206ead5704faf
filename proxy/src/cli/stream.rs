//! A snapshot file, read to its end and checked, with a progress bar where there is a terminal.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use adapter::snapshot::{Survey, survey};
use indicatif::{ProgressBar, ProgressStyle};

use super::failure::Failure;

/// Bytes that are read from the file at once.
const BUFFER: usize = 256 * 1024;

/// A bar for bytes; none is drawn where standard error is no terminal. Without a length it only counts.
pub(super) fn bar(what: &'static str, length: Option<u64>) -> ProgressBar {
    let (bar, form) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{msg} [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{msg} {spinner} {bytes}, {bytes_per_sec}"),
    };
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar.with_message(what)
}

/// A whole and undamaged snapshot file: what it holds, and how long it is. Anything else is an error that says what
/// is wrong and where.
pub(super) fn check(path: &Path, what: &'static str) -> Result<(Survey, u64), Failure> {
    let named = || path.display();
    let file = File::open(path).map_err(Failure::because(named()))?;
    let length = file.metadata().map_err(Failure::because(named()))?.len();
    let bar = bar(what, Some(length));
    let found = survey(bar.wrap_read(BufReader::with_capacity(BUFFER, file)));
    let at = bar.position();
    bar.finish_and_clear();
    match found {
        Ok(survey) => Ok((survey, length)),
        Err(error) => Err(Failure::Failed(format!("{}: {error}, at byte {at} of {length}", path.display()))),
    }
}
