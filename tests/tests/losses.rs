//! Kiwis that lose data behind their nodes' backs: the node finds out, and fills them again.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::ask::wait_for;
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::{self, ALL_ON_KIWI, Engine};
use tests::history::Writers;
use tests::kiwi::Kiwi;

/// A snapshot every few hundred entries.
const OFTEN: [(&str, &str); 2] = [("raft.snapshot_log_bytes", "64KiB"), ("raft.keep_entries", "10")];

/// What may happen to a Kiwi behind the back of its node.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Flushed,
    OneKeyRemoved,
    Wiped,
    OlderCopy,
    PowerCut,
}

/// Has it happen; the older copy is in `copy`.
fn inflict(loss: Loss, kiwi: &mut Kiwi, copy: &Path) {
    match loss {
        Loss::Flushed => redis::cmd("FLUSHALL").query(&mut kiwi.connect()).unwrap(),
        Loss::OneKeyRemoved => redis::cmd("DEL").arg("early").query(&mut kiwi.connect()).unwrap(),
        Loss::Wiped => {
            kiwi.kill();
            std::fs::remove_dir_all(kiwi.data_dir()).unwrap();
            kiwi.launch();
        }
        Loss::OlderCopy => {
            kiwi.kill();
            std::fs::remove_dir_all(kiwi.data_dir()).unwrap();
            copy_dir(copy, &kiwi.data_dir());
            kiwi.launch();
        }
        Loss::PowerCut => {
            kiwi.cut_power();
            kiwi.launch();
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

fn recovers_from(loss: Loss, engine: Engine, settings: &[(&str, &str)]) {
    let settings = [&ALL_ON_KIWI, settings].concat();
    let mut cluster = Cluster::start_with(&[engine; 3], &settings);
    let victim = (cluster.leader() + 1) % 3;
    let mut client = cluster.connect(victim);
    let () = redis::cmd("SET").arg("early").arg("value").query(&mut client).unwrap();
    cluster.settle();
    let copy = cluster.dir().join("copy");
    cluster.kiwi_mut(victim).kill();
    copy_dir(&cluster.kiwi(victim).data_dir(), &copy);
    cluster.kiwi_mut(victim).launch();
    cluster.settle();
    let flushes = |cluster: &Cluster| -> u64 { cluster.backend(victim, "flushes").parse().unwrap() };
    let before = flushes(&cluster);
    let writers = Writers::start(8, cluster.ports());
    writers.wait_for(200);
    for field in 0..200 {
        let name = format!("f{field}");
        let () = redis::cmd("HSET").arg("hash").arg(&name).arg(name.repeat(20)).query(&mut client).unwrap();
        let () = redis::cmd("RPUSH").arg("list").arg(name.repeat(10)).query(&mut client).unwrap();
    }
    // If the Kiwi was stopped in the middle of a flush, there is none for a while.
    wait_for("newer data is on the Kiwi", || flushes(&cluster) > before + 1);
    inflict(loss, cluster.kiwi_mut(victim), &copy);
    wait_until_rebuilt(&cluster, victim);
    writers.wait_for(100);
    let history = writers.finish();
    cluster.settle();
    history.check(&mut cluster.connect(victim));
    cluster.assert_equal_digests();
    let on_kiwi: Vec<String> =
        redis::cmd("LRANGE").arg("list").arg(0).arg(-1).query(&mut cluster.kiwi(victim).connect()).unwrap();
    assert_eq!(on_kiwi.len(), 200, "{loss:?}");
    assert!(on_kiwi.iter().enumerate().all(|(at, value)| *value == format!("f{at}").repeat(10)));
}

/// Meanwhile the node answers with the right value or with an error.
fn wait_until_rebuilt(cluster: &Cluster, victim: usize) {
    let mut client = cluster.connect(victim);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen: Result<Option<String>, _> = redis::cmd("GET").arg("early").query(&mut client);
        let is_right = seen.as_ref().map(|value| value.as_deref() == Some("value"));
        assert!(is_right.unwrap_or(true), "{seen:?}");
        if is_right == Ok(true) && cluster.log(victim).contains("the storage has been rebuilt") {
            return;
        }
        assert!(Instant::now() < deadline, "{seen:?}\n{}", cluster.log(victim));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_kiwi_that_was_flushed_is_filled_again() {
    engine::on_each_kiwi(|engine| recovers_from(Loss::Flushed, engine, &[]));
}

#[test]
fn a_kiwi_that_was_wiped_is_filled_from_snapshot_and_log() {
    engine::on_each_kiwi(|engine| recovers_from(Loss::Wiped, engine, &OFTEN));
}

#[test]
fn an_older_copy_of_a_kiwi_is_noticed_and_replaced() {
    engine::on_each_kiwi(|engine| recovers_from(Loss::OlderCopy, engine, &[]));
}

#[test]
fn a_value_that_somebody_has_removed_from_kiwi_is_noticed_by_its_reader() {
    engine::on_each_kiwi(|engine| recovers_from(Loss::OneKeyRemoved, engine, &OFTEN));
}

#[test]
fn a_kiwi_that_lost_its_tail_in_a_power_cut_is_filled_again() {
    // Only the stand-in can lose power.
    recovers_from(Loss::PowerCut, Engine::StandIn, &[]);
}

/// Writes that Kiwi refuses may be carried out later, on top of newer ones that it has acknowledged.
#[test]
fn what_kiwi_carries_out_late_never_lands_on_newer_data() {
    // Only the stand-in can be made to. It gives a refused write up after a second.
    let mut cluster = Cluster::prepare(&[Engine::StandIn], &ALL_ON_KIWI);
    cluster.kiwi_mut(0).options =
        ["--unavailable-for", "0.5", "--queued-for", "1"].map(str::to_owned).to_vec();
    cluster.nodes[0].set("storage.settle_time", "1500ms");
    cluster.launch_all();
    let mut client = cluster.connect(0);
    for round in 0..4 {
        let deadline = Instant::now() + Duration::from_millis(1500);
        let mut number = 0;
        while Instant::now() < deadline {
            number += 1;
            if number == 3 {
                cluster.kiwi(0).signal(Signal::SIGUSR2);
            }
            for key in 0..20 {
                let value = format!("{round}:{number}");
                let () = redis::cmd("SET").arg(format!("k{key}")).arg(value).query(&mut client).unwrap();
                let () = redis::cmd("RPUSH").arg("list").arg(number).query(&mut client).unwrap();
            }
        }
        cluster.settle();
        // Whatever was still to land has landed.
        std::thread::sleep(Duration::from_millis(1100));
        let mut plain = cluster.kiwi(0).connect();
        for key in 0..20 {
            let on_kiwi: String = redis::cmd("GET").arg(format!("k{key}")).query(&mut plain).unwrap();
            assert_eq!(on_kiwi, format!("{round}:{number}"), "k{key}");
        }
        let (there, here): (u64, u64) = (
            redis::cmd("LLEN").arg("list").query(&mut plain).unwrap(),
            redis::cmd("LLEN").arg("list").query(&mut client).unwrap(),
        );
        assert_eq!(there, here);
    }
    let log = cluster.log(0);
    assert!(log.contains("Storage unavailable"), "nothing was refused\n{log}");
    assert!(!log.contains("has been rebuilt"), "{log}");
}
