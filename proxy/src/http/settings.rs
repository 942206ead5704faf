//! `/config` and `/log-level`.

use adapter::Adapter;
use conf::options::{OPTIONS, SECTIONS};
use serde_json::{Map, Value};

use super::Http;
use super::answer::{Answer, Failure};

/// What stands in the place of a secret that is set.
const HIDDEN: &str = "(secret)";

/// `/config`: an object for each section of `cluster.conf`, with every option as it would be written there.
pub(super) fn config<A: Adapter>(http: &Http<A>) -> Result<Answer, Failure> {
    let (mut sections, config) = (Map::new(), http.config.load());
    for (section, _) in SECTIONS {
        let options = OPTIONS.iter().filter(|option| option.section == *section);
        let values = options.map(|option| {
            let value = (option.get)(&config);
            let shown = if option.secret && !value.is_empty() { HIDDEN.to_owned() } else { value };
            (option.key.to_owned(), Value::String(shown))
        });
        sections.insert((*section).to_owned(), Value::Object(values.collect()));
    }
    Answer::json(&sections)
}
