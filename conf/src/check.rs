//! What must hold between options, and what is allowed and dangerous all the same. Single values are checked where they
//! are read.

use std::collections::HashSet;
use std::net::SocketAddr;

use crate::config::ClusterConfig;
use crate::error::ConfigError;
use crate::loaded::Loaded;

/// The most members that a cluster may have.
const MAX_MEMBERS: usize = 15;
/// Secrets that stand in the examples: whoever has read them knows them.
const PLACEHOLDERS: [&str; 2] = ["replace-me", "the-same-text-on-all-nodes"];

/// Checks a configuration as a whole; the first thing that is wrong is the error.
pub fn check(loaded: &Loaded) -> Result<(), ConfigError> {
    timing(loaded)?;
    addresses(loaded)?;
    placeholders(loaded)?;
    if loaded.config.cluster.enabled { membership(loaded) } else { Ok(()) }
}

/// What is allowed, and lets somebody in whom the operator may not have thought of: a sentence for each.
pub fn dangers(config: &ClusterConfig) -> Vec<String> {
    let (listen, cluster) = (&config.listen, &config.cluster);
    let mut found = Vec::new();
    let doors = [("listen.resp", Some(listen.resp)), ("listen.http", listen.http)];
    let open: Vec<String> = doors
        .into_iter()
        .filter_map(|(name, address)| address.filter(|a| is_open(*a)).map(|a| format!("{name} ({a})")))
        .collect();
    if listen.password.is_empty() && !open.is_empty() {
        let open = open.join(" and ");
        found.push(if listen.protected_mode {
            format!(
                "no password is set, so clients of other machines are refused at {open} (protected mode): set \
                 listen.password, or listen on 127.0.0.1"
            )
        } else {
            format!(
                "no password is set and protected mode is off: anybody who reaches {open} can read, change and delete \
                 all data; set listen.password"
            )
        });
    }
    if cluster.enabled && cluster.secret.is_empty() && is_open(listen.raft) {
        found.push(format!(
            "cluster.secret is empty: anybody who reaches listen.raft ({}) can pass for a member, and read and change \
             all data; set cluster.secret, or listen on 127.0.0.1",
            listen.raft
        ));
    }
    found
}

/// Whether other machines may reach a listener.
fn is_open(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn placeholders(loaded: &Loaded) -> Result<(), ConfigError> {
    let config = &loaded.config;
    let secrets = [("cluster.secret", &config.cluster.secret), ("listen.password", &config.listen.password)];
    for (name, value) in secrets {
        if PLACEHOLDERS.iter().any(|placeholder| value.starts_with(placeholder)) {
            return Err(loaded.error(
                name,
                "is the placeholder of an example, which everybody knows; put one of your own in its place, such as \
                 `head -c 24 /dev/urandom | base64` makes",
            ));
        }
    }
    Ok(())
}

fn timing(loaded: &Loaded) -> Result<(), ConfigError> {
    let raft = &loaded.config.raft;
    if raft.election_timeout_min < raft.heartbeat_interval * 2 {
        return Err(loaded.error(
            "raft.election_timeout_min",
            "must be at least twice raft.heartbeat_interval, or followers depose healthy leaders",
        ));
    }
    if raft.election_timeout_max <= raft.election_timeout_min {
        return Err(loaded.error(
            "raft.election_timeout_max",
            "must be more than raft.election_timeout_min, or nodes stand for election at the same moment",
        ));
    }
    Ok(())
}

fn addresses(loaded: &Loaded) -> Result<(), ConfigError> {
    let listen = &loaded.config.listen;
    let same = |a: std::net::SocketAddr, b: std::net::SocketAddr| a == b && a.port() != 0;
    if loaded.config.cluster.enabled && same(listen.resp, listen.raft) {
        return Err(loaded.error("listen.raft", format!("{} is listen.resp as well", listen.raft)));
    }
    if let Some(http) = listen.http
        && (same(http, listen.resp) || same(http, listen.raft))
    {
        return Err(loaded.error("listen.http", format!("{http} is another listener's address as well")));
    }
    Ok(())
}

fn membership(loaded: &Loaded) -> Result<(), ConfigError> {
    let cluster = &loaded.config.cluster;
    if cluster.members.is_empty() {
        return alone(loaded);
    }
    if !cluster.join.is_empty() {
        return Err(
            loaded.error("cluster.join", "is for a node without cluster.members: those form a cluster")
        );
    }
    if cluster.members.len() > MAX_MEMBERS {
        return Err(loaded.error("cluster.members", format!("names more than {MAX_MEMBERS} members")));
    }
    let (mut ids, mut places) = (HashSet::new(), HashSet::new());
    for member in &cluster.members {
        if !ids.insert(member.id) {
            return Err(loaded.error("cluster.members", format!("names the node id {} twice", member.id)));
        }
        if !places.insert(&member.address) {
            return Err(
                loaded.error("cluster.members", format!("names the address {} twice", member.address))
            );
        }
    }
    match loaded.config.own_id() {
        0 => {
            return Err(loaded.error("node.id", "must be set: it says which of cluster.members this node is"));
        }
        id if !ids.contains(&id) => {
            return Err(loaded.error("node.id", format!("{id} is not among cluster.members")));
        }
        _ => {}
    }
    if cluster.members.len() > 1 && cluster.secret.is_empty() {
        return Err(loaded.error(
            "cluster.secret",
            "must be set, equal on all members: without it anybody who reaches listen.raft could write",
        ));
    }
    Ok(())
}

/// A node that forms no cluster by itself.
fn alone(loaded: &Loaded) -> Result<(), ConfigError> {
    let cluster = &loaded.config.cluster;
    if cluster.join.len() > MAX_MEMBERS {
        return Err(loaded.error("cluster.join", format!("names more than {MAX_MEMBERS} nodes")));
    }
    if !cluster.join.is_empty() && cluster.secret.is_empty() {
        return Err(loaded.error("cluster.secret", "must be set, and be that of the cluster, to join one"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::Path;

    use crate::config::Durability;
    use crate::load::load;

    const GOOD: &str = r#"
[node]
id = 2
[cluster]
secret = "0123456789abcdef"
members = ["1=a:16400", "2=b:16400", "3=c:16400"]
"#;

    fn error_of(text: &str) -> String {
        load(Some((Path::new("cluster.conf"), text)), |_| None, &[]).unwrap_err().to_string()
    }

    #[test]
    fn flags_are_stronger_than_the_environment_and_that_than_the_file() {
        let text =
            format!("{GOOD}[raft]\ndurability = \"os-cache\"\nkeep_entries = 1\nrequest_timeout = \"1s\"\n");
        let variable = |name: &str| match name {
            "RAFT_PROXY_RAFT_KEEP_ENTRIES" => Some("2".to_owned()),
            "RAFT_PROXY_RAFT_REQUEST_TIMEOUT" => Some("2s".to_owned()),
            _ => None,
        };
        let flags = [("raft.request_timeout".to_owned(), "3s".to_owned())];
        let loaded = load(Some((Path::new("cluster.conf"), &text)), variable, &flags).unwrap();
        assert_eq!(loaded.config.raft.durability, Durability::OsCache);
        assert_eq!(loaded.config.raft.keep_entries, 2);
        assert_eq!(loaded.config.raft.request_timeout.as_secs(), 3);
        assert_eq!(loaded.origin("raft.durability").to_string(), "cluster.conf:8");
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, wanted) in [
            (
                "[node]\nid = -1\n",
                "cluster.conf:2: node.id: must be a whole number from 0 to 9007199254740992, not \"-1\"",
            ),
            ("[node]\nidd = 1\n", "cluster.conf:2: node.idd: unknown key \"idd\"; did you mean \"id\"?"),
            ("\n[nodes]\n", "cluster.conf:2: unknown section \"nodes\"; did you mean \"node\"?"),
            ("id = 1\n", "cluster.conf:1: unknown section \"id\"; `raft-proxy config reference` lists all"),
            ("node = 1\n", "cluster.conf:1: node: must be a section: [node]"),
            (
                "[cluster]\nmembers = \"1=a:1\"\n",
                "cluster.conf:2: cluster.members: must be an array of strings",
            ),
        ] {
            assert_eq!(error_of(text), wanted);
        }
        assert!(error_of("[node]\nid = \n").starts_with("cluster.conf:2: "));
    }

    #[test]
    fn impossible_combinations_are_refused_where_they_were_written() {
        for (text, wanted) in [
            (GOOD.replace("3=c", "2=c"), "cluster.conf:6: cluster.members: names the node id 2 twice"),
            (GOOD.replace("3=c", "3=b"), "cluster.conf:6: cluster.members: names the address b:16400 twice"),
            (GOOD.replace("id = 2", "id = 4"), "cluster.conf:3: node.id: 4 is not among cluster.members"),
            (
                format!("{GOOD}[raft]\nheartbeat_interval = \"700ms\"\n"),
                "cluster.conf: raft.election_timeout_min: must be at least twice raft.heartbeat_interval, or followers depose healthy leaders",
            ),
            (
                format!("{GOOD}[listen]\nraft = \"127.0.0.1:6400\"\n"),
                "cluster.conf:8: listen.raft: 127.0.0.1:6400 is listen.resp as well",
            ),
        ] {
            assert_eq!(error_of(&text), wanted);
        }
    }

    #[test]
    fn a_secret_is_required_and_never_repeated() {
        let missing = GOOD.replace("secret = \"0123456789abcdef\"", "");
        assert!(error_of(&missing).contains("cluster.secret: must be set"));
        let short = GOOD.replace("0123456789abcdef", "hunter2");
        assert!(!error_of(&short).contains("hunter2"), "{}", error_of(&short));
    }

    #[test]
    fn a_node_without_members_may_wait_for_a_cluster_or_join_one() {
        let load = |text: &str| load(Some((Path::new("c"), text)), |_| None, &[]);
        assert!(load("[cluster]\n").unwrap().config.cluster.members.is_empty());
        let join = "[cluster]\njoin = [\"a:1\", \"b:2\"]\n";
        assert!(load(join).unwrap_err().to_string().contains("cluster.secret: must be set"));
        let with_secret = format!("{join}secret = \"0123456789abcdef\"\n");
        assert_eq!(load(&with_secret).unwrap().config.cluster.join, ["a:1", "b:2"]);
        let both = GOOD.replace("[cluster]", "[cluster]\njoin = [\"a:1\"]");
        assert!(error_of(&both).contains("cluster.join: is for a node without cluster.members"));
    }

    #[test]
    fn the_placeholders_of_the_examples_are_no_secrets() {
        let secret = GOOD.replace("0123456789abcdef", "replace-me-with-32-random-letters");
        let error = error_of(&secret);
        assert!(
            error.starts_with("cluster.conf:5: cluster.secret: is the placeholder of an example"),
            "{error}"
        );
        assert!(error.contains("head -c 24 /dev/urandom | base64"), "{error}");
        let password = format!("{GOOD}[listen]\npassword = \"replace-me-as-well\"\n");
        assert!(error_of(&password).starts_with("cluster.conf:8: listen.password: is the placeholder"));
    }

    #[test]
    fn listening_for_everybody_without_a_password_is_called_a_danger() {
        let dangers = |text: &str| {
            let loaded = load(Some((Path::new("c"), text)), |_| None, &[]).unwrap();
            super::dangers(&loaded.config)
        };
        assert!(dangers(GOOD).is_empty());
        let open = "[listen]\nresp = \"0.0.0.0:6400\"\nraft = \"0.0.0.0:16400\"\nhttp = \"[::]:9640\"\n";
        let found = dangers(open);
        assert_eq!(found.len(), 2, "{found:?}");
        let doors = "listen.resp (0.0.0.0:6400) and listen.http ([::]:9640)";
        assert!(found[0].contains(doors) && found[0].contains("refused"), "{found:?}");
        assert!(found[1].contains("cluster.secret is empty"), "{found:?}");
        let found = dangers(&format!("{open}protected_mode = false\n"));
        assert!(found[0].contains("anybody who reaches listen.resp"), "{found:?}");
        let safe = format!("{open}password = \"pw\"\n{}", &GOOD[1..]);
        assert!(dangers(&safe).is_empty(), "{:?}", dangers(&safe));
    }

    #[test]
    fn stand_alone_needs_nothing() {
        let loaded = load(Some((Path::new("c"), "[cluster]\nenabled = false\n")), |_| None, &[]).unwrap();
        assert!(!loaded.config.cluster.enabled);
    }
}
