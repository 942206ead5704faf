//! What must hold between options. Single values are checked where they are read.

use std::collections::HashSet;

use crate::load::{ConfigError, Loaded};

/// The most members that a cluster may have.
const MAX_MEMBERS: usize = 15;

/// Checks a configuration as a whole; the first thing that is wrong is the error.
pub fn check(loaded: &Loaded) -> Result<(), ConfigError> {
    timing(loaded)?;
    addresses(loaded)?;
    if loaded.config.cluster.enabled { membership(loaded) } else { Ok(()) }
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
    fn stand_alone_needs_nothing() {
        let loaded = load(Some((Path::new("c"), "[cluster]\nenabled = false\n")), |_| None, &[]).unwrap();
        assert!(!loaded.config.cluster.enabled);
    }
}
