//! The levels of consistency on three real nodes: what must be fresh is fresh, and what cannot be is refused, while
//! nodes are cut off, paused, killed and stopped.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redis::{Connection, RedisResult};
use tests::ask::words;
use tests::cluster::{Cluster, PATIENCE};
use tests::engine::{self, ALL_ON_KIWI, Engine};
use tests::promises::{LEVELS, Promises};

/// Lease reads, and refusals that a test does not wait five seconds for.
const SETTINGS: [(&str, &str); 2] = [("raft.lease_reads", "true"), ("raft.request_timeout", "1s")];

fn start(engine: Engine) -> Cluster {
    Cluster::start_linked(&[engine; 3], &[&SETTINGS[..], &ALL_ON_KIWI].concat())
}

/// What a command of words answers.
fn ask(connection: &mut Connection, line: &str) -> RedisResult<String> {
    words(line).query(connection)
}

/// What a row of a table expects.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// This value.
    Is(&'static str),
    /// An error with one of these codes.
    Refused(&'static [&'static str]),
}

use Expected::{Is, Refused};

/// What a node without a majority says to whoever needs one.
const NO_QUORUM: Expected = Refused(&["TIMEOUT", "CLUSTERDOWN"]);
const STALE: Expected = Refused(&["STALE"]);

fn check(connection: &mut Connection, table: &[(&str, Expected)], whose: &str) {
    for (line, expected) in table {
        let answer = ask(connection, line);
        let is_right = match (expected, &answer) {
            (Is(value), Ok(answer)) => answer == value,
            (Refused(codes), Err(error)) => error.code().is_some_and(|code| codes.contains(&code)),
            (Is(_), Err(_)) | (Refused(_), Ok(_)) => false,
        };
        assert!(is_right, "{whose}: {line}: {answer:?}, not {expected:?}");
    }
}

/// On a node that has seen `before` and cannot reach a majority, while the others have gone on to `after`.
const CUT_OFF: [(&str, Expected); 6] = [
    ("RAFT.READ linearizable GET k", NO_QUORUM),
    ("RAFT.READ lease GET k", NO_QUORUM),
    ("RAFT.READ session GET k", Is("before")),
    ("RAFT.READ bounded MAXLAG 300 GET k", STALE),
    ("RAFT.READ bounded MAXLAG 600000 GET k", Is("before")),
    ("RAFT.READ eventual GET k", Is("before")),
];

/// On a node that is with the majority, behind a session's token.
const TOGETHER: [(&str, Expected); 4] = [
    ("RAFT.READ linearizable GET k", Is("after")),
    ("RAFT.READ lease GET k", Is("after")),
    ("RAFT.READ session GET k", Is("after")),
    ("RAFT.READ bounded MAXLAG 300 GET k", Is("after")),
];

#[test]
fn a_node_that_is_cut_off_refuses_what_may_be_old_and_the_others_answer_what_is_new() {
    engine::on_each(|engine| {
        for cut in ["leader", "follower"] {
            cut_off(engine, cut);
        }
    });
}

fn cut_off(engine: Engine, cut: &str) {
    let cluster = start(engine);
    let leader = cluster.leader();
    let alone = if cut == "leader" { leader } else { (leader + 1) % 3 };
    let mut at: Vec<Connection> = (0..3).map(|index| cluster.connect(index)).collect();
    set(&mut at[leader], "before");
    for connection in &mut at {
        assert_eq!(ask(connection, "GET k").unwrap(), "before");
    }
    cluster.isolate(alone);
    let other = (alone + 1) % 3;
    set(&mut at[other], "after");
    let token = ask(&mut at[other], "RAFT.TOKEN").unwrap();
    // Older than every bound in the table, and than every lease.
    sleep(Duration::from_millis(1000));

    check(&mut at[alone], &CUT_OFF, &format!("the {cut}, alone"));
    let wait = format!("RAFT.WAIT {token} 200");
    let late = [(wait.as_str(), Refused(&["TIMEOUT"])), ("RAFT.READ session GET k", Refused(&["TIMEOUT"]))];
    check(&mut at[alone], &late, &format!("the {cut}, alone, with a token"));
    for index in (0..3).filter(|index| *index != alone) {
        check(&mut at[index], &[(wait.as_str(), Is("OK"))], "with the majority");
        check(&mut at[index], &TOGETHER, "with the majority");
    }

    cluster.mend_all();
    cluster.leader();
    let wait = format!("RAFT.WAIT {token} 10000");
    check(&mut at[alone], &[(wait.as_str(), Is("OK"))], "back again");
    check(&mut at[alone], &TOGETHER, "back again");
}

/// Writes until it is acknowledged: there may be an election.
fn set(connection: &mut Connection, value: &str) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = ask(connection, &format!("SET k {value}")) {
        assert!(Instant::now() < deadline, "{error}");
    }
}

#[test]
fn a_node_that_was_paused_answers_nothing_old_when_it_wakes() {
    engine::on_each(|engine| {
        for paused in ["leader", "follower"] {
            pause(engine, paused);
        }
    });
}

fn pause(engine: Engine, paused: &str) {
    let cluster = start(engine);
    let leader = cluster.leader();
    let asleep = if paused == "leader" { leader } else { (leader + 1) % 3 };
    let mut at_asleep = cluster.connect(asleep);
    let mut at_other = cluster.connect((asleep + 1) % 3);
    set(&mut at_asleep, "before");
    for level in ["linearizable", "lease"] {
        assert_eq!(ask(&mut at_asleep, &format!("RAFT.READ {level} GET k")).unwrap(), "before");
    }
    cluster.signal(asleep, Signal::SIGSTOP);
    set(&mut at_other, "after");
    let token = ask(&mut at_other, "RAFT.TOKEN").unwrap();
    sleep(Duration::from_millis(400));
    cluster.signal(asleep, Signal::SIGCONT);
    // It may refuse for a while, but not answer what is old.
    let lines = [
        "RAFT.READ lease GET k",
        "RAFT.READ bounded MAXLAG 300 GET k",
        "RAFT.READ linearizable GET k",
        "RAFT.READ session GET k",
    ];
    assert_eq!(ask_until_served(&mut at_asleep, &format!("RAFT.WAIT {token} 1000")), "OK");
    for line in lines {
        assert_eq!(ask_until_served(&mut at_asleep, line), "after", "{line} on the {paused} that was paused");
    }
}

fn ask_until_served(connection: &mut Connection, line: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask(connection, line) {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < deadline, "{line}: {error}"),
        }
    }
}

#[test]
fn a_leader_answers_from_its_lease_without_the_others_until_the_lease_has_run_out() {
    engine::on_each(|engine| {
        // A lease of half of five seconds: also a busy machine gets an answer into it.
        let timing = [("raft.election_timeout_max", "5s"), ("raft.max_clock_drift", "50")];
        let settings = [&SETTINGS[..], &timing, &ALL_ON_KIWI].concat();
        let cluster = Cluster::start_linked(&[engine; 3], &settings);
        let leader = cluster.leader();
        let (mut by_lease, mut by_quorum) = (cluster.connect(leader), cluster.connect(leader));
        set(&mut by_lease, "before");
        cluster.isolate(leader);
        let began = Instant::now();
        check(&mut by_lease, &[("RAFT.READ lease GET k", Is("before"))], "inside the lease");
        check(&mut by_quorum, &[("RAFT.READ linearizable GET k", NO_QUORUM)], "inside the lease");
        check(&mut by_lease, &[("RAFT.READ lease GET k", Is("before"))], "inside the lease, still");
        sleep(Duration::from_millis(2600).saturating_sub(began.elapsed()));
        check(&mut by_lease, &[("RAFT.READ lease GET k", NO_QUORUM)], "behind the lease");
    });
}

#[test]
fn a_lease_read_needs_a_quorum_where_lease_reads_are_off() {
    engine::on_each(|engine| {
        let cluster = Cluster::start_linked(&[engine; 3], &[&SETTINGS[1..], &ALL_ON_KIWI].concat());
        let leader = cluster.leader();
        let mut at_leader = cluster.connect(leader);
        set(&mut at_leader, "before");
        assert_eq!(ask(&mut at_leader, "RAFT.READ lease GET k").unwrap(), "before");
        cluster.isolate(leader);
        check(&mut at_leader, &[("RAFT.READ lease GET k", NO_QUORUM)], "without a quorum");
    });
}

/// What happens to the leader, and how it ends.
#[derive(Clone, Copy, Debug)]
enum Fault {
    CutOff,
    Paused,
    Killed,
    Stopped,
}

#[test]
fn every_level_keeps_its_promise_on_every_node_while_leaders_are_cut_off_paused_killed_and_stopped() {
    engine::on_each(keep_promises);
}

fn keep_promises(engine: Engine) {
    let mut cluster = start(engine);
    let promises = Promises::start(cluster.ports());
    promises.wait_for(50);
    for fault in [Fault::CutOff, Fault::Paused, Fault::Killed, Fault::Stopped] {
        let leader = cluster.leader();
        println!("the leader, node {}, is {fault:?}", leader + 1);
        match fault {
            Fault::CutOff => cluster.isolate(leader),
            Fault::Paused => cluster.signal(leader, Signal::SIGSTOP),
            Fault::Killed => cluster.kill(leader),
            Fault::Stopped => cluster.stop(leader),
        }
        // The others go on, and the readers at this node meet what it has.
        promises.wait_for(100);
        sleep(Duration::from_millis(1500));
        match fault {
            Fault::CutOff => cluster.mend_all(),
            Fault::Paused => cluster.signal(leader, Signal::SIGCONT),
            Fault::Killed | Fault::Stopped => cluster.launch(leader),
        }
        cluster.leader();
        promises.wait_for(100);
    }
    let counts = promises.finish();
    println!("{counts:#?}");
    for level in LEVELS {
        for node in 0..3 {
            let count = counts[&(node, level)];
            assert!(count.served > 100, "{level} on node {}: {count:?}", node + 1);
        }
    }
    cluster.assert_equal_digests();
}

#[test]
fn wait_and_waitaof_answer_how_many_nodes_have_the_write() {
    engine::on_each(|engine| {
        let mut cluster = start(engine);
        let leader = cluster.leader();
        let (one, two) = ((leader + 1) % 3, (leader + 2) % 3);
        for index in [leader, one] {
            let mut connection = cluster.connect(index);
            set(&mut connection, "on-all");
            assert_eq!(wait(&mut connection, "WAIT 2 5000"), [2], "from node {}", index + 1);
            assert_eq!(wait(&mut connection, "WAITAOF 1 2 5000"), [1, 2], "from node {}", index + 1);
        }
        cluster.kill(two);
        for index in [leader, one] {
            let mut connection = cluster.connect(index);
            set(&mut connection, "on-two");
            let began = Instant::now();
            assert_eq!(wait(&mut connection, "WAIT 1 5000"), [1], "from node {}", index + 1);
            assert!(began.elapsed() < Duration::from_secs(2), "WAIT waits although there are enough");
            let began = Instant::now();
            assert_eq!(wait(&mut connection, "WAIT 2 300"), [1], "from node {}", index + 1);
            assert!(began.elapsed() >= Duration::from_millis(300), "WAIT does not wait");
            assert_eq!(wait(&mut connection, "WAITAOF 1 2 300"), [1, 1], "from node {}", index + 1);
        }
        // Alone, the last follower knows of itself.
        let mut connection = cluster.connect(one);
        set(&mut connection, "on-two-again");
        // The leader has answered; that the write is committed reaches this node with what it is sent next.
        let _: redis::Value = words("RAFT.READ session EXISTS on-two-again").query(&mut connection).unwrap();
        cluster.isolate(one);
        assert_eq!(wait(&mut connection, "WAITAOF 1 2 300"), [1, 1]);
        cluster.mend_all();
        cluster.launch(two);
        cluster.leader();
        assert_eq!(wait(&mut connection, "WAIT 2 10000"), [2]);
    });
}

fn wait(connection: &mut Connection, line: &str) -> Vec<i64> {
    match words(line).query(connection).unwrap() {
        redis::Value::Int(number) => vec![number],
        redis::Value::Array(numbers) => {
            numbers.into_iter().map(|number| redis::from_redis_value(number).unwrap()).collect()
        }
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn stand_alone_every_level_answers_what_was_written_and_nobody_else_has_it() {
    engine::on_each(|engine| {
        let mut cluster =
            Cluster::prepare(&[engine], &[&[("cluster.enabled", "false")][..], &ALL_ON_KIWI].concat());
        if let Some(kiwi) = cluster.nodes[0].kiwi.as_mut() {
            kiwi.launch();
        }
        cluster.launch(0);
        let (mut writer, mut reader) = (cluster.connect(0), cluster.connect(0));
        set(&mut writer, "after");
        let token = ask(&mut writer, "RAFT.TOKEN").unwrap();
        check(&mut reader, &[(&format!("RAFT.WAIT {token} 1000"), Is("OK"))], "alone");
        check(&mut reader, &TOGETHER, "alone");
        check(&mut reader, &[("RAFT.READ eventual GET k", Is("after"))], "alone");
        assert_eq!(wait(&mut writer, "WAIT 1 100"), [0]);
        assert_eq!(wait(&mut writer, "WAITAOF 1 0 1000"), [1, 0]);
    });
}
