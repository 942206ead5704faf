//! Environment variables that begin as those of options do and are none: a misspelt one would silently be no setting at
//! all, as a misspelt key of the file would be.

use crate::error::ConfigError;
use crate::options::OPTIONS;
use crate::origin::Origin;
use crate::suggestion::unknown;

/// How the names of all variables begin.
const PREFIX: &str = "RAFT_PROXY_";
/// Variables that are no options: the file, and the binary that the tests run.
const OTHERS: [&str; 2] = ["RAFT_PROXY_CONFIG", "RAFT_PROXY_BIN"];

/// Refuses a variable that begins as ours do and is unknown. `names` are those of the environment.
pub fn check(names: impl IntoIterator<Item = String>) -> Result<(), ConfigError> {
    let options: Vec<String> = OPTIONS.iter().map(|option| option.variable()).collect();
    let mut strange: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with(PREFIX) && !is_of_a_service(name))
        .filter(|name| !options.contains(name) && !OTHERS.contains(&name.as_str()))
        .collect();
    // The environment has no order: the same one is named each time.
    strange.sort();
    let Some(name) = strange.into_iter().next() else { return Ok(()) };
    let known = options.iter().map(String::as_str).chain(OTHERS);
    let reason = unknown("option", &name, known);
    Err(ConfigError::at(&Origin::Variable(name), reason))
}

/// Kubernetes tells every container of every service, in the form of Docker's links: of one that is named `raft-proxy`,
/// or `raft-proxy-metrics`, the variables begin as ours do. None of our options ends as these do.
fn is_of_a_service(name: &str) -> bool {
    let is_port = |rest: &str| {
        let (number, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && ["TCP", "UDP", "SCTP"].iter().any(|known| protocol.starts_with(known))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.split("_PORT_").skip(1).any(is_port)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn error_of(names: &[&str]) -> String {
        check(names.iter().map(|name| (*name).to_owned())).unwrap_err().to_string()
    }

    #[test]
    fn a_misspelt_variable_is_named_with_what_it_resembles() {
        assert_eq!(
            error_of(&["PATH", "RAFT_PROXY_NODE_ID", "RAFT_PROXY_CLUSTER_SECRETS"]),
            "environment variable RAFT_PROXY_CLUSTER_SECRETS: unknown option \"RAFT_PROXY_CLUSTER_SECRETS\"; did you mean \
             \"RAFT_PROXY_CLUSTER_SECRET\"?"
        );
        assert!(error_of(&["RAFT_PROXY_NONSENSE_OF_SOME_KIND"]).contains("config reference"));
    }

    #[test]
    fn the_variables_of_options_and_of_services_are_taken() {
        let all = OPTIONS.iter().map(|option| option.variable());
        assert_eq!(check(all), Ok(()));
        assert!(OPTIONS.iter().all(|option| !is_of_a_service(&option.variable())));
        let services = [
            "RAFT_PROXY_CONFIG",
            "RAFT_PROXY_SERVICE_HOST",
            "RAFT_PROXY_SERVICE_PORT",
            "RAFT_PROXY_SERVICE_PORT_RESP",
            "RAFT_PROXY_PORT",
            "RAFT_PROXY_PORT_6400_TCP",
            "RAFT_PROXY_PORT_6400_TCP_ADDR",
            "RAFT_PROXY_METRICS_SERVICE_HOST",
            "RAFT_PROXY_METRICS_PORT_9640_TCP_PROTO",
            "HOME",
        ];
        assert_eq!(check(services.map(str::to_owned)), Ok(()));
    }
}
