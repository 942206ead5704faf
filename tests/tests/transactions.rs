//! `MULTI` and `EXEC` on several nodes: whole, contiguous, done once, also when leaders are lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, Value};
use tests::ask::{self, ask, text_of};
use tests::cluster::Cluster;
use tests::engine::{self, Engine};
use tests::stops_all::StopsAll;

/// Transactions whose outcomes are known, and those whose outcomes are not.
#[derive(Default)]
struct Told {
    done: AtomicU64,
    unknown: AtomicU64,
}

fn begin(connection: &mut Connection, commands: &[&str]) -> redis::RedisResult<Value> {
    let mut pipe = redis::pipe();
    pipe.atomic();
    for command in commands {
        let mut words = command.split(' ');
        pipe.cmd(words.next().unwrap()).arg(words.collect::<Vec<_>>());
    }
    pipe.query(connection)
}

fn integers(value: &Value) -> Vec<i64> {
    let Value::Array(items) = value else { panic!("{value:?}") };
    let number = |item: &Value| match item {
        Value::Int(number) => *number,
        Value::BulkString(digits) => std::str::from_utf8(digits).unwrap().parse().unwrap(),
        Value::Nil => 0,
        other => panic!("{other:?}"),
    };
    items.iter().map(number).collect()
}

#[test]
fn a_transaction_is_whole_and_contiguous_on_every_node_and_done_once_when_leaders_are_killed() {
    engine::on_each(transfer);
}

fn transfer(engine: Engine) {
    let mut cluster = Cluster::start(&[engine; 3]);
    let (told, stop) = (Told::default(), AtomicBool::new(false));
    let ports: Vec<u16> = cluster.nodes.iter().map(|node| node.port).collect();
    let connect = |node: usize| ask::connect(ports[node % 3]);
    thread::scope(|scope| {
        // Also when this thread fails: the others are waited for.
        let _stops = StopsAll(&stop);
        for number in 0..6 {
            let (told, stop, connect) = (&told, &stop, &connect);
            scope.spawn(move || {
                let mut connection = connect(number);
                while !stop.load(Ordering::Relaxed) {
                    // What a transaction reads is what it and those before it have written.
                    let commands = ["INCR one", "GET two", "INCR two", "GET one"];
                    match begin(&mut connection, &commands) {
                        Ok(answer) => {
                            let [one, before, two, again] = integers(&answer)[..] else {
                                panic!("{answer:?}")
                            };
                            assert!(one == two && before == one - 1 && again == one, "{answer:?}");
                            told.done.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) if text_of(&error).starts_with("CLUSTERDOWN") => {}
                        Err(_) => {
                            told.unknown.fetch_add(1, Ordering::Relaxed);
                            connection = connect(number);
                        }
                    }
                }
            });
        }
        for number in 0..3 {
            let (stop, connect) = (&stop, &connect);
            scope.spawn(move || {
                let mut connection = connect(number);
                while !stop.load(Ordering::Relaxed) {
                    match begin(&mut connection, &["GET one", "GET two"]) {
                        Ok(answer) => {
                            let seen = integers(&answer);
                            assert_eq!(seen[0], seen[1], "half of a transaction was seen");
                        }
                        Err(_) => connection = connect(number),
                    }
                }
            });
        }
        for _ in 0..2 {
            let before = told.done.load(Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(30);
            while told.done.load(Ordering::Relaxed) < before + 200 {
                assert!(Instant::now() < deadline, "no transaction is done");
                thread::sleep(Duration::from_millis(5));
            }
            let leader = cluster.leader();
            cluster.kill(leader);
            cluster.leader();
            cluster.launch(leader);
        }
        cluster.leader();
    });
    cluster.settle();
    let (done, unknown) = (told.done.into_inner(), told.unknown.into_inner());
    let total = integers(&begin(&mut cluster.connect(0), &["GET one", "GET two"]).unwrap());
    assert_eq!(total[0], total[1]);
    let total = total[0] as u64;
    assert!((done..=done + unknown).contains(&total), "{total} of {done} done and {unknown} unknown");
    cluster.assert_equal_digests();
}

#[test]
fn a_transaction_of_which_a_command_was_refused_does_nothing_on_any_node() {
    let cluster = Cluster::start(&[Engine::Embedded; 3]);
    for node in 0..3 {
        let mut connection = cluster.connect(node);
        let queued = || Value::SimpleString("QUEUED".to_owned());
        let answers = [("MULTI", Value::Okay), ("SET refused 1", queued()), ("INCR counted", queued())];
        for (command, answer) in answers {
            assert_eq!(ask::<Value>(&mut connection, command).unwrap(), answer);
        }
        let said = text_of(&ask::<Value>(&mut connection, "RAFT.READ eventual GET refused").unwrap_err());
        assert!(said.contains("Command not allowed inside a transaction"), "{said}");
        let said = text_of(&ask::<Value>(&mut connection, "EXEC").unwrap_err());
        assert_eq!(said, "EXECABORT Transaction discarded because of previous errors.");
        assert_eq!(ask::<Value>(&mut connection, "EXISTS refused counted").unwrap(), Value::Int(0));
    }
}
