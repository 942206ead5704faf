//! Clients of other people's making: redis-cli, redis-py, redis-rs, redis-benchmark.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use redis::{Commands, RedisResult};
use tests::cluster::Cluster;
use tests::engine::{self, ALL_ON_KIWI, Engine};

fn tour(program: &str, script: &str, port: u16) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tours").join(script);
    let output = Command::new(program).arg(script).arg(port.to_string()).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("tour done"), "{program}: {said}");
}

#[test]
fn redis_cli_redis_py_and_redis_rs_do_a_tour_on_the_leader_and_on_a_follower() {
    engine::on_each(do_tours);
}

fn do_tours(engine: Engine) {
    let cluster = Cluster::start_with(&[engine; 3], &ALL_ON_KIWI);
    let leader = cluster.leader();
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    for index in [leader, (leader + 1) % 3] {
        let port = cluster.nodes[index].port;
        tour("bash", "tour.sh", port);
        tour(&python, "tour.py", port);
        redis_rs(&mut cluster.connect(index)).unwrap();
    }
    cluster.assert_equal_digests();
}

fn redis_rs(connection: &mut redis::Connection) -> RedisResult<()> {
    let () = redis::cmd("FLUSHALL").query(connection)?;
    let () = connection.set("k", 1)?;
    assert_eq!(connection.incr::<_, _, i64>("k", 2)?, 3);
    let () = connection.hset_multiple("h", &[("a", 1), ("b", 2)])?;
    assert_eq!(connection.hgetall::<_, HashMap<String, i64>>("h")?["b"], 2);
    let () = connection.zadd_multiple("z", &[(1.5, "x"), (2.5, "y")])?;
    assert_eq!(connection.zrange_withscores::<_, Vec<(String, f64)>>("z", 0, -1)?[1], ("y".to_owned(), 2.5));
    let (a, b): (i64, Vec<String>) = redis::pipe()
        .cmd("RPUSH")
        .arg("l")
        .arg("1")
        .arg("2")
        .cmd("LRANGE")
        .arg("l")
        .arg(0)
        .arg(-1)
        .query(connection)?;
    assert_eq!((a, b), (2, vec!["1".to_owned(), "2".to_owned()]));
    let mut keys: Vec<String> = connection.scan()?.collect::<RedisResult<_>>()?;
    keys.sort();
    assert_eq!(keys, ["h", "k", "l", "z"]);
    Ok(())
}

#[test]
fn redis_benchmark_runs_clean_on_the_leader_and_on_a_follower() {
    engine::on_each(run_redis_benchmark);
}

fn run_redis_benchmark(engine: Engine) {
    let cluster = Cluster::start(&[engine; 3]);
    let leader = cluster.leader();
    for index in [leader, (leader + 1) % 3] {
        let output = Command::new("redis-benchmark")
            .args(["-p", &cluster.nodes[index].port.to_string(), "-P", "16", "-n", "10000", "-q"])
            .args(["-t", "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange,mset"])
            .output()
            .unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        let lower = said.to_lowercase();
        assert!(!lower.contains("err") && !lower.contains("warning"), "{said}");
        // Every test prints its rate: 15 names, two of PING and four of LRANGE.
        assert!(said.matches("requests per second").count() >= 19, "{said}");
    }
    cluster.assert_equal_digests();
}
