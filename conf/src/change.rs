//! How one configuration becomes another while the node runs: what can be put in force is, the rest waits for a
//! restart.

use crate::config::ClusterConfig;
use crate::options::{ConfigOption, OPTIONS};

/// What two configurations differ in.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What was put in force, as `raft.keep_entries: 20000 -> 10`.
    pub made: Vec<String>,
    /// What was not, as `listen.resp (it is bound when the node starts)`.
    pub refused: Vec<String>,
}

/// Takes over from `wanted` what can be changed while the node runs.
pub fn take_over(config: &mut ClusterConfig, wanted: &ClusterConfig) -> Changes {
    let mut changes = Changes::default();
    for option in OPTIONS {
        let text = (option.get)(wanted);
        if text == (option.get)(config) {
            continue;
        }
        if !option.live {
            changes.refused.push(format!("{} (it {})", option.name(), option.fixed_because()));
            continue;
        }
        let before = option.shown(config);
        match (option.set)(config, &text) {
            Ok(()) => changes.made.push(describe(option, &before, config)),
            // What an option writes it reads: a test says so.
            Err(wanted) => changes.refused.push(format!("{} (it must be {wanted})", option.name())),
        }
    }
    changes
}

fn describe(option: &ConfigOption, before: &str, config: &ClusterConfig) -> String {
    if option.secret {
        return option.name();
    }
    format!("{}: {before} -> {}", option.name(), option.shown(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_live_is_taken_over_and_the_rest_is_named_with_the_reason() {
        let mut wanted = ClusterConfig::default();
        wanted.raft.keep_entries = 7;
        wanted.listen.password = "hunter2".to_owned();
        wanted.node.id = 9;
        let mut config = ClusterConfig::default();
        let changes = take_over(&mut config, &wanted);
        assert_eq!(changes.made, ["listen.password", "raft.keep_entries: 20000 -> 7"]);
        assert_eq!(changes.refused, ["node.id (it says who the node is)"]);
        assert_eq!((config.raft.keep_entries, &*config.listen.password, config.node.id), (7, "hunter2", 0));
    }
}
