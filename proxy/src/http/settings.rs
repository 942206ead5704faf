//! `/config` and `/log-level`.

use conf::options::{OPTIONS, SECTIONS, by_name};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::{Answer, Failure};
use super::call::Call;
use super::state::State;
use crate::shared::Shared;

/// `/log-level`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogLevel {
    /// As `log.level`.
    level: String,
}

/// `/log-level`: what is logged.
pub(super) fn log_level(state: &State) -> Result<Answer, Failure> {
    Answer::json(&LogLevel { level: state.config.load().log.level.clone() })
}

/// `/log-level`: changes what is logged, until the configuration is read again.
pub(super) fn set_log_level(shared: &Shared, call: &Call) -> Result<Answer, Failure> {
    let LogLevel { level } = call.json()?;
    let option = by_name("log.level").ok_or_else(|| Failure::bad("there is no option log.level"))?;
    let changed = shared.reloader.set(&[(option, level.clone())]);
    changed.map_err(|refused| Failure::bad(format!("level {}", refused.reason)))?;
    Answer::json(&LogLevel { level })
}

/// `/config`: an object for each section of `cluster.conf`, with every option as it would be written there.
pub(super) fn config(state: &State) -> Result<Answer, Failure> {
    let (mut sections, config) = (Map::new(), state.config.load());
    for (section, _) in SECTIONS {
        let options = OPTIONS.iter().filter(|option| option.section == *section);
        let values = options.map(|option| (option.key.to_owned(), Value::String(option.shown(&config))));
        sections.insert((*section).to_owned(), Value::Object(values.collect()));
    }
    Answer::json(&sections)
}
