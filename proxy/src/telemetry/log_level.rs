//! What is logged: a level, or levels by target, changeable while the process runs.
//!
//! A target is a module's path, and what begins with it: `raft=warn` is about the crates `raft` and `raft_proxy`,
//! `raft::node=warn` about one module. There is one log in a process, and so one set of levels.

use std::sync::{Mutex, OnceLock, PoisonError};

use conf::expected::Expected;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::{Handle, Layer};

/// What levels must be.
const WANTED: &str = "error, warn, info or off, also by target as in info,openraft=warn";

/// The levels in force, and the way to change them.
struct Levels {
    text: Mutex<String>,
    handle: Handle<Targets, Registry>,
}

static LEVELS: OnceLock<Levels> = OnceLock::new();

/// The levels in force, as they were given; empty as long as nothing is logged.
pub fn get() -> String {
    LEVELS
        .get()
        .map_or_else(String::new, |levels| levels.text.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Puts other levels in force. Where nothing is logged they are only checked.
pub fn set(text: &str) -> Result<(), Expected> {
    let targets = parse(text)?;
    let Some(levels) = LEVELS.get() else { return Ok(()) };
    // Held until both are changed, so that two who change them do not leave the text of one and the levels of another.
    let mut known = levels.text.lock().unwrap_or_else(PoisonError::into_inner);
    levels.handle.reload(targets).map_err(|error| Expected::from(format!("changeable ({error})")))?;
    text.clone_into(&mut known);
    Ok(())
}

/// Whether these are levels.
pub fn check(text: &str) -> Result<(), Expected> {
    parse(text).map(drop)
}

/// The filter in front of the log, with these levels.
pub(super) fn filter(text: &str) -> Result<Layer<Targets, Registry>, Expected> {
    let (filter, handle) = Layer::new(parse(text)?);
    // Where a log has been started already, starting another fails, and this filter is used by nobody.
    let _ = LEVELS.set(Levels { text: Mutex::new(text.to_owned()), handle });
    Ok(filter)
}

fn parse(text: &str) -> Result<Targets, Expected> {
    let mut targets = Targets::new();
    let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let mut none = true;
    for directive in directives {
        none = false;
        targets = match directive.split_once('=') {
            Some((target, name)) => targets.with_target(target.trim(), level(name.trim())?),
            None => targets.with_default(level(directive)?),
        };
    }
    if none { Err(wanted()) } else { Ok(targets) }
}

fn level(name: &str) -> Result<LevelFilter, Expected> {
    // An empty one would be read as `error`.
    let level: LevelFilter = if name.is_empty() { None } else { name.parse().ok() }.ok_or_else(wanted)?;
    if level > STATIC_MAX_LEVEL {
        let below = format!("{WANTED}; what is below {STATIC_MAX_LEVEL} is compiled out of this program");
        return Err(below.into());
    }
    Ok(level)
}

fn wanted() -> Expected {
    WANTED.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_read_for_all_and_by_target() {
        let targets = parse("warn, openraft=error,raft::node=info").unwrap();
        assert!(targets.would_enable("adapter", &Level::WARN));
        assert!(!targets.would_enable("adapter", &Level::INFO));
        assert!(!targets.would_enable("openraft::core", &Level::WARN));
        assert!(targets.would_enable("raft::node::upkeep", &Level::INFO));
    }

    #[test]
    fn what_is_not_a_level_is_refused_and_not_taken_for_a_target() {
        for bad in ["", " , ", "inof", "info,raft=loud", "raft=", "info;warn"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_level_that_is_compiled_out_is_refused() {
        let allowed = STATIC_MAX_LEVEL >= LevelFilter::TRACE;
        assert_eq!(parse("trace").is_ok(), allowed);
        assert_eq!(parse("info,raft=trace").is_ok(), allowed);
    }
}
