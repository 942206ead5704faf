//! From one version of the program to the next, node by node under load, and one step back.
//!
//! The version before is played by the program itself: with `SPEAK_CLUSTER_VERSION` it knows the forms up to that
//! version only.

use redis::Value;
use tests::ask::{ask, text_of, wait_for};
use tests::cluster::Cluster;
use tests::engine::{self, Engine};
use tests::ledger::Ledgers;

/// The version that the nodes come from, and the one that they go to.
const BEFORE: u16 = 1;
const NEWEST: u16 = 3;

fn versions(cluster: &Cluster, index: usize) -> Option<(u16, u16)> {
    let status = cluster.status(index)?;
    Some((status.cluster_version, status.newest_version))
}

fn finalize(cluster: &Cluster, index: usize) -> Result<Value, String> {
    ask(&mut cluster.connect(index), "RAFT.CLUSTER VERSION FINALIZE").map_err(|error| text_of(&error))
}

/// Ends a node as an operator does, and starts the program of another version in its place.
fn replace_program(cluster: &mut Cluster, index: usize, speaks: Option<u16>) {
    cluster.stop(index);
    cluster.nodes[index].speaks = speaks;
    cluster.launch(index);
    cluster.leader();
}

#[test]
fn a_cluster_is_upgraded_node_by_node_under_load_and_goes_one_step_back_until_it_is_finalized() {
    engine::on_each(upgrade);
}

fn upgrade(engine: Engine) {
    let mut cluster = Cluster::prepare(&[engine; 3], &[("raft.snapshot_log_bytes", "1MiB")]);
    for node in &mut cluster.nodes {
        node.speaks = Some(BEFORE);
    }
    cluster.launch_all();
    let writers = Ledgers::start(6, &cluster.ports());
    writers.wait_for(200);
    assert_eq!(versions(&cluster, 0), Some((BEFORE, BEFORE)));

    // Node by node. While one is left that does not know the next version, the cluster cannot go there.
    for index in 0..3 {
        replace_program(&mut cluster, index, None);
        writers.wait_for(200);
        if index < 2 {
            let leader = cluster.leader();
            let answer = finalize(&cluster, index);
            if cluster.nodes[leader].speaks.is_some() {
                assert_eq!(
                    answer,
                    Ok(Value::SimpleString("OK 1".to_owned())),
                    "there is nothing newer to it"
                );
            } else {
                let error = answer.unwrap_err();
                assert!(error.contains("knows versions up to 1, not 3: upgrade it first"), "{error}");
            }
        }
        assert_eq!(versions(&cluster, index), Some((BEFORE, NEWEST)));
    }

    // One step back, with what was written meanwhile, and forward again.
    replace_program(&mut cluster, 1, Some(BEFORE));
    writers.wait_for(200);
    assert_eq!(versions(&cluster, 1), Some((BEFORE, BEFORE)));
    replace_program(&mut cluster, 1, None);
    writers.wait_for(200);

    // What needs the new version says so, and nothing is kept of it.
    for line in ["WATCH key", "RAFT.IF key 0 SET key value"] {
        let refused =
            ask::<Value>(&mut cluster.connect(0), line).map_err(|error| text_of(&error)).unwrap_err();
        assert!(refused.contains("keeps no revisions of keys yet"), "{refused}");
    }

    assert_eq!(finalize(&cluster, 0), Ok(Value::SimpleString("OK 3".to_owned())));
    for index in 0..3 {
        wait_for("the new version on all nodes", || versions(&cluster, index) == Some((NEWEST, NEWEST)));
    }
    assert_eq!(
        finalize(&cluster, 2),
        Ok(Value::SimpleString("OK 3".to_owned())),
        "a second time changes nothing"
    );
    writers.wait_for(200);

    // Now there is no way back, and what is said names the cause; nothing is lost by having tried.
    cluster.stop(1);
    cluster.nodes[1].speaks = Some(BEFORE);
    cluster.launch(1);
    let code = cluster.wait_for_end(1);
    let log = cluster.log(1);
    let refusal = "the cluster has been finalized at version 3, and this program knows versions up to 1";
    assert!(code.is_some_and(|code| code != 0) && log.contains(refusal), "{code:?}\n{log}");
    cluster.nodes[1].speaks = None;
    cluster.launch(1);
    cluster.leader();
    writers.wait_for(200);

    let ledger = writers.finish();
    for index in 0..3 {
        ledger.check(&mut cluster.connect(index));
    }
    cluster.settle();
    cluster.assert_equal_digests();
}

#[test]
fn a_new_cluster_begins_at_the_newest_version_and_lets_no_older_program_in() {
    let mut cluster = Cluster::start(&[Engine::Embedded; 3]);
    cluster.wait_for_newest_version();
    assert_eq!(versions(&cluster, 2), Some((NEWEST, NEWEST)));
    let told: String = ask(&mut cluster.connect(1), "INFO raft").unwrap();
    assert!(told.contains("raft_cluster_version:3\r\nraft_newest_version:3\r\n"), "{told}");

    let old = cluster.add(Engine::Embedded);
    cluster.nodes[old].speaks = Some(BEFORE);
    cluster.launch(old);
    let seed = format!("RAFT.CLUSTER JOIN 127.0.0.1:{}", cluster.nodes[0].raft_port);
    let refused = ask::<Value>(&mut cluster.connect(old), &seed).map_err(|error| text_of(&error));
    let refused = refused.unwrap_err();
    assert!(refused.contains("this cluster's version is 3"), "{refused}");
    assert_eq!(cluster.members(0).unwrap().len(), 3);
}
