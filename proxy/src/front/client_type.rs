//! The types of client that Redis knows, as CLIENT LIST and CLIENT KILL choose by them.

use adapter::Stop;
use adapter::command::arg;
use adapter::error::Outcome;

/// The types of client that Redis knows. Here all are normal.
const TYPES: [&str; 5] = ["normal", "master", "replica", "slave", "pubsub"];

/// The type of client that `name` names; whether connections here are of it.
pub(super) fn is_our_type(name: &[u8]) -> Outcome<bool> {
    if TYPES.iter().any(|known| arg::is(name, known)) {
        return Ok(arg::is(name, "normal"));
    }
    Err(Stop::say(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(name))))
}
