//! HTTP on real processes: probes, the cluster's state, metrics under load, and everything that is asked wrongly.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use raft_proxy::metrics::catalog::{CATALOG, Kind, Scope};
use serde_json::json;
use tests::cluster::{Cluster, PATIENCE, SECRET};
use tests::engine::Engine;
use tests::history::Writers;
use tests::http::{self, Answer};

fn start(engines: &[Engine], settings: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::prepare(engines, settings).with_http();
    cluster.launch_all();
    cluster
}

fn wait_until_ready(cluster: &Cluster, index: usize) {
    let deadline = Instant::now() + PATIENCE;
    while !http::try_get(cluster.http(index), "/readyz").is_ok_and(|answer| answer.status == 200) {
        assert!(Instant::now() < deadline, "{}", cluster.log(index));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn lines(answer: &Answer) -> Vec<&str> {
    answer.body.lines().collect()
}

#[test]
fn probes_tell_a_node_that_serves_from_one_without_a_majority() {
    let mut cluster = start(&[Engine::Embedded; 3], &[]);
    for index in 0..3 {
        let ready = http::get(cluster.http(index), "/readyz?timeout=20s");
        assert_eq!((ready.status, &*ready.body), (200, "ok\n"), "{ready:?}");
        let verbose = http::get(cluster.http(index), "/readyz?verbose");
        let checks = ["started", "leader", "linearizable_read", "storage", "applied_lag", "loading"];
        let mut expected: Vec<String> = checks.iter().map(|check| format!("[+]{check} ok")).collect();
        expected.push("readyz check passed".to_owned());
        assert_eq!((verbose.status, lines(&verbose)), (200, expected.iter().map(|line| &**line).collect()));
    }
    let live = http::get(cluster.http(0), "/livez?verbose");
    assert_eq!((live.status, &*live.body), (200, "[+]process ok\nlivez check passed\n"));

    cluster.kill(0);
    cluster.kill(1);
    let deadline = Instant::now() + PATIENCE;
    let unready = loop {
        let answer = http::get(cluster.http(2), "/readyz");
        if answer.status == 503 {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    };
    assert!(lines(&unready).contains(&"[+]storage ok"), "{unready:?}");
    let failed = |line: &&&str| line.starts_with("[-]linearizable_read failed: ");
    assert_eq!(lines(&unready).iter().filter(failed).count(), 1, "{unready:?}");
    assert_eq!(lines(&unready).last(), Some(&"readyz check failed"));
    assert_eq!(http::get(cluster.http(2), "/livez").status, 200);
    // Who asks only for what still works is told so.
    let partly = http::get(cluster.http(2), "/readyz?exclude=leader&exclude=linearizable_read");
    assert_eq!(partly.status, 200, "{partly:?}");
    // Waiting for it ends when it is ready, and not before.
    let address = cluster.http(2).to_owned();
    let waiting = std::thread::spawn(move || http::get(&address, "/readyz?timeout=30s"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished());
    cluster.launch(0);
    assert_eq!(waiting.join().unwrap().status, 200);
}

#[test]
fn a_node_that_waits_for_the_others_lives_and_is_not_ready() {
    let mut cluster = Cluster::prepare(&[Engine::Embedded; 3], &[]).with_http();
    cluster.launch(0);
    let deadline = Instant::now() + PATIENCE;
    while http::try_get(cluster.http(0), "/livez").is_err() {
        assert!(Instant::now() < deadline, "{}", cluster.log(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(http::get(cluster.http(0), "/livez").status, 200);
    let ready = http::get(cluster.http(0), "/readyz");
    assert_eq!((ready.status, lines(&ready)[0]), (503, "[-]started failed: it waits for the other members"));
    let status = http::get(cluster.http(0), "/cluster/status");
    assert_eq!((status.status, status.json()["error"].is_string()), (503, true));
    assert_eq!(http::get(cluster.http(0), "/metrics").status, 200);
    assert_eq!(http::get(cluster.http(0), "/config").status, 200);
}

#[test]
fn the_state_of_the_cluster_is_told_as_json() {
    let cluster = start(&[Engine::Embedded; 3], &[]);
    let leader = cluster.leader();
    let status = http::get(cluster.http(1), "/cluster/status");
    assert_eq!(status.header("content-type"), Some("application/json"));
    let status = status.json();
    assert_eq!(status["leader"], json!(leader + 1));
    assert_eq!((&status["members"], &status["voters"]), (&json!(3), &json!(3)));
    assert_eq!(status["node"]["id"], json!(2));
    assert_eq!(status["cluster_id"].as_str().unwrap().len(), 32);
    let members = http::get(cluster.http(1), "/cluster/members").json();
    let members = members["members"].as_array().unwrap();
    assert_eq!(members.len(), 3);
    for (member, node) in members.iter().zip(&cluster.nodes) {
        assert_eq!(member["id"], json!(node.id));
        assert_eq!(member["voter"], json!(true));
        assert_eq!(member["node"]["resp"], json!(format!("127.0.0.1:{}", node.port)));
    }
    let roles = members.iter().filter(|member| member["node"]["role"] == json!("leader")).count();
    assert_eq!(roles, 1);
    let index = http::get(cluster.http(0), "/").json();
    assert!(index["endpoints"].as_array().unwrap().len() >= 8, "{index}");
}

#[test]
fn what_is_asked_wrongly_is_answered_with_what_is_wrong() {
    let cluster = start(&[Engine::Embedded], &[]);
    let address = cluster.http(0);
    for (method, path, status, error) in [
        ("GET", "/nothing", 404, "there is nothing at /nothing"),
        ("GET", "/metrics/x", 404, "there is nothing at /metrics/x"),
        ("POST", "/livez", 405, "/livez allows GET, not POST"),
        ("DELETE", "/readyz", 405, "/readyz allows GET, not DELETE"),
        ("PUT", "/cluster/status", 405, "/cluster/status allows GET, not PUT"),
        ("PUT", "/cluster/health", 405, "/cluster/health allows GET, not PUT"),
        ("PATCH", "/cluster/members", 405, "/cluster/members allows GET, POST, DELETE, not PATCH"),
        ("POST", "/log-level", 405, "/log-level allows GET, PUT, not POST"),
        ("POST", "/cluster/members", 400, "the body is not what it must be"),
        ("POST", "/cluster/members?id=3", 400, "/cluster/members has no argument \\\"id\\\"; it has none"),
        ("GET", "/cluster/members?id=3", 400, "/cluster/members has no argument"),
        ("DELETE", "/cluster/members", 400, "id must be the number of a member"),
        ("DELETE", "/cluster/members?id=x", 400, "id must be the number of a member"),
        ("DELETE", "/cluster/members?id=9", 404, "ERR node id does not exist"),
        ("DELETE", "/cluster/members?id=1", 409, "ERR "),
        ("PUT", "/log-level", 400, "the body is not what it must be"),
        ("POST", "/metrics", 405, "/metrics allows GET, not POST"),
        ("POST", "/config", 405, "/config allows GET, not POST"),
        ("GET", "/readyz?timeout=soon", 400, "timeout must be a duration such as"),
        ("GET", "/readyz?timeout=1h", 400, "from 0s to 10m"),
        ("GET", "/readyz?verbose=perhaps", 400, "verbose must be true or false"),
        ("GET", "/readyz?exclude=weather", 400, "there is no check \\\"weather\\\""),
        (
            "GET",
            "/readyz?verbos",
            400,
            "/readyz has no argument \\\"verbos\\\"; it has verbose, timeout, exclude",
        ),
        ("GET", "/livez?timeout=1s", 400, "/livez has no argument"),
        ("GET", "/metrics?x=%zz", 400, "not percent-encoded"),
        ("GET", "/cluster/status?x", 400, "it has none"),
    ] {
        let answer = http::call(address, method, path, &[], "");
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(answer.body.contains(error), "{method} {path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
        assert!(answer.json()["error"].is_string());
        assert_eq!(answer.header("allow").is_some(), status == 405, "{method} {path}: {answer:?}");
    }
    let long = "x".repeat(65 * 1024);
    let answer = http::call(address, "GET", "/livez", &[], &long);
    assert_eq!((answer.status, answer.json()["error"].is_string()), (413, true));
    let head = http::call(address, "HEAD", "/livez", &[], "");
    assert_eq!((head.status, &*head.body), (200, ""));
    // With a slash at the end as without.
    assert_eq!(http::get(address, "/livez/").status, 200);
}

#[test]
fn members_and_what_is_logged_are_changed_by_who_may() {
    let settings = [("listen.password", "pw")];
    let mut cluster = Cluster::prepare(&[Engine::Embedded; 2], &settings);
    let new = cluster.add(Engine::Embedded);
    let mut cluster = cluster.with_http();
    (0..3).for_each(|index| cluster.launch(index));
    (0..2).for_each(|index| wait_until_ready(&cluster, index));
    let address = cluster.http(0);
    let token = [("Authorization", "Bearer pw")];
    let raft = format!("127.0.0.1:{}", cluster.nodes[new].raft_port);
    let body = json!({ "id": 3, "raft": raft }).to_string();
    for headers in [&[][..], &[("Authorization", "Bearer wrong")]] {
        let refused = http::call(address, "POST", "/cluster/members", headers, &body);
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    for (body, error) in [
        (json!({ "id": 3 }), "missing field `raft`"),
        (json!({ "raft": "nowhere" }), "raft must be a host and a port"),
        (json!({ "raft": raft, "voter": true }), "unknown field `voter`"),
    ] {
        let refused = http::call(address, "POST", "/cluster/members", &token, &body.to_string());
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(refused.body.contains(error), "{refused:?}");
    }
    let added = http::call(address, "POST", "/cluster/members", &token, &body);
    assert_eq!((added.status, &added.json()["id"]), (200, &json!(3)), "{added:?}");
    // Once more is the same; somebody else cannot have the id.
    assert_eq!(http::call(address, "POST", "/cluster/members", &token, &body).status, 200);
    let other = json!({ "id": 3, "raft": "127.0.0.1:1" }).to_string();
    let used = http::call(address, "POST", "/cluster/members", &token, &other);
    assert_eq!(used.status, 409, "{used:?}");
    let ids = |index: usize| -> Vec<u64> {
        let members = http::get(cluster.http(index), "/cluster/members").json();
        members["members"].as_array().unwrap().iter().map(|member| member["id"].as_u64().unwrap()).collect()
    };
    assert_eq!(ids(1), [1, 2, 3]);
    // It has not come: it can be called off.
    let removed = http::call(address, "DELETE", "/cluster/members?id=3", &token, "");
    assert_eq!((removed.status, &removed.json()["id"]), (200, &json!(3)), "{removed:?}");
    assert_eq!(http::call(address, "DELETE", "/cluster/members?id=3", &token, "").status, 404);

    let level = |body: &str| http::call(address, "PUT", "/log-level", &token, body);
    let changed = level(r#"{"level": "info,raft=warn"}"#);
    assert_eq!((changed.status, &changed.json()["level"]), (200, &json!("info,raft=warn")), "{changed:?}");
    assert_eq!(http::get(address, "/log-level").json(), json!({ "level": "info,raft=warn" }));
    let wrong = level(r#"{"level": "raft=loud"}"#);
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert_eq!(http::call(address, "PUT", "/log-level", &[], "{}").status, 401);
}

#[test]
fn no_secret_is_shown() {
    let settings = [("listen.password", "a-password-of-the-tests"), ("raft.keep_entries", "77")];
    let mut cluster = Cluster::prepare(&[Engine::Embedded], &settings).with_http();
    cluster.launch(0);
    wait_until_ready(&cluster, 0);
    let config = http::get(cluster.http(0), "/config");
    let shown = config.json();
    assert_eq!(shown["listen"]["password"], json!("(secret)"));
    assert_eq!(shown["cluster"]["secret"], json!("(secret)"));
    assert_eq!(shown["storage"]["password"], json!(""));
    assert_eq!(shown["raft"]["keep_entries"], json!("77"));
    for path in ["/config", "/metrics", "/cluster/status", "/cluster/members", "/cluster/health", "/"] {
        let answer = http::get(cluster.http(0), path);
        assert!(!answer.body.contains(SECRET) && !answer.body.contains("a-password"), "{path}");
    }
}

#[test]
fn connections_without_a_request_make_room_for_one_with_a_request() {
    let cluster = start(&[Engine::Embedded], &[]);
    let address = cluster.http(0);
    let idle: Vec<TcpStream> = (0..256).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert_eq!(http::get(address, "/livez").status, 200);
    let mut oldest = &idle[0];
    oldest.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(oldest.read(&mut [0; 1]), Ok(0) | Err(_)), "it was not closed");
    drop(idle);
    assert_eq!(http::get(address, "/livez").status, 200);
}

/// What a scrape says: the types by name, and the values by name and labels.
struct Scrape {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(address: &str) -> Self {
        let answer = http::get(address, "/metrics");
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let (mut types, mut values) = (BTreeMap::new(), BTreeMap::new());
        for line in answer.body.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(values.insert(series.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        Self { types, values }
    }

    fn value(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or_else(|| panic!("{series} is missing: {:#?}", self.values))
    }
}

#[test]
fn every_metric_of_the_table_is_there_with_its_type_and_no_other() {
    for engine in [Engine::Embedded, Engine::StandIn] {
        check_catalog(engine);
    }
}

fn check_catalog(engine: Engine) {
    let settings = [("raft.snapshot_log_bytes", "64KiB"), ("raft.keep_entries", "0")];
    let mut cluster = start(&[engine; 3], &settings);
    let leader = cluster.leader();
    // A snapshot is made, sent and installed; a command fails; a read is confirmed.
    let away = (leader + 1) % 3;
    let before = cluster.status(away).unwrap().applied;
    cluster.kill(away);
    let mut client = cluster.connect(leader);
    let deadline = Instant::now() + PATIENCE;
    while cluster.status(leader).unwrap().purged <= before {
        let () = redis::cmd("SET").arg("k").arg("v".repeat(16 * 1024)).query(&mut client).unwrap();
        assert!(Instant::now() < deadline, "the log is not purged");
    }
    cluster.launch(away);
    cluster.leader();
    while cluster.status(away).unwrap().snapshot <= before {
        assert!(Instant::now() < deadline, "it did not come by snapshot\n{}", cluster.log(away));
        std::thread::sleep(Duration::from_millis(20));
    }
    let wrong: redis::RedisResult<()> = redis::cmd("LPUSH").arg("k").arg("x").query(&mut client);
    assert!(wrong.is_err());
    let _: String = redis::cmd("GET").arg("k").query(&mut client).unwrap();
    let scrapes = [leader, away].map(|index| Scrape::of(cluster.http(index)));
    let found = |name: &str| scrapes.iter().find_map(|scrape| scrape.types.get(name));
    for metric in CATALOG {
        if metric.scope == Scope::Kiwi && !engine.is_kiwi() {
            continue;
        }
        // Nothing fails here, and no stranger calls.
        let uncounted = [
            "raft_proxy_snapshot_make_failures_total",
            "raft_proxy_network_refused_connections_total",
            "raft_proxy_connections_turned_away_total",
        ];
        if uncounted.contains(&metric.name) {
            continue;
        }
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        assert_eq!(found(metric.name).map(|kind| &**kind), Some(kind), "{} on {engine}", metric.name);
        for scrape in &scrapes {
            let prefix = format!("{}{{", metric.name);
            for series in scrape.values.keys().filter(|series| series.starts_with(&prefix)) {
                for label in metric.labels {
                    assert!(series.contains(&format!("{label}=\"")), "{series} lacks {label}");
                }
            }
        }
    }
    for scrape in &scrapes {
        for name in scrape.types.keys() {
            assert!(CATALOG.iter().any(|metric| metric.name == *name), "{name} is not in the table");
        }
    }
}

#[test]
fn metrics_move_under_load() {
    let mut cluster = start(&[Engine::Embedded; 3], &[]);
    let leader = cluster.leader();
    let follower = (leader + 1) % 3;
    let before = [leader, follower].map(|index| Scrape::of(cluster.http(index)));
    let mut client = cluster.connect(follower);
    for key in 0..50 {
        let () = redis::cmd("SET").arg(key).arg("v").query(&mut client).unwrap();
        let _: String = redis::cmd("GET").arg(key).query(&mut client).unwrap();
    }
    let mut pipeline = redis::pipe();
    for key in 0..100 {
        pipeline.cmd("INCR").arg(format!("n:{key}"));
    }
    let _: Vec<i64> = pipeline.query(&mut client).unwrap();
    let wrong: redis::RedisResult<()> = redis::cmd("LPUSH").arg("0").arg("x").query(&mut client);
    assert!(wrong.is_err());
    let unknown: redis::RedisResult<()> = redis::cmd("NOSUCHCOMMAND").query(&mut client);
    assert!(unknown.is_err());
    let after = [leader, follower].map(|index| Scrape::of(cluster.http(index)));
    // A series that is not there yet has counted nothing.
    let moved = |at: usize, series: &str| {
        after[at].value(series) - before[at].values.get(series).copied().unwrap_or(0.0)
    };
    let exactly = |series: &str, by: f64| assert_eq!(moved(1, series), by, "{series}");
    exactly("raft_proxy_commands_total{cmd=\"set\"}", 50.0);
    exactly("raft_proxy_commands_total{cmd=\"get\"}", 50.0);
    exactly("raft_proxy_commands_total{cmd=\"incr\"}", 100.0);
    exactly("raft_proxy_command_duration_seconds_count{cmd=\"set\"}", 50.0);
    exactly("raft_proxy_command_duration_seconds_count{cmd=\"incr\"}", 100.0);
    exactly("raft_proxy_command_duration_seconds_bucket{cmd=\"incr\",le=\"+Inf\"}", 100.0);
    exactly("raft_proxy_error_replies_total{kind=\"WRONGTYPE\"}", 1.0);
    exactly("raft_proxy_error_replies_total{kind=\"ERR\"}", 1.0);
    // 50 SET, the pipeline, LPUSH.
    exactly("raft_proxy_write_duration_seconds_count", 52.0);
    exactly("raft_proxy_read_duration_seconds_count", 50.0);
    let grows = |at: usize, series: &str| assert!(moved(at, series) > 0.0, "{series} stands still");
    for at in [0, 1] {
        for series in [
            "raft_proxy_proposals_committed_total",
            "raft_proxy_proposals_applied_total",
            "raft_proxy_append_log_duration_seconds_count",
            "raft_proxy_commit_log_duration_seconds_count",
            "raft_proxy_apply_log_duration_seconds_count",
            "raft_proxy_disk_wal_fsync_duration_seconds_count",
            "raft_proxy_disk_wal_fsync_duration_seconds_sum",
        ] {
            grows(at, series);
        }
    }
    grows(0, "raft_proxy_read_index_rounds_total");
    grows(0, "raft_proxy_read_index_duration_seconds_count");
    grows(1, "raft_proxy_input_bytes_total");
    grows(1, "raft_proxy_output_bytes_total");
    let (leader_id, follower_id) = (leader + 1, follower + 1);
    grows(0, &format!("raft_proxy_network_peer_sent_bytes_total{{to=\"{follower_id}\"}}"));
    grows(0, &format!("raft_proxy_network_peer_received_bytes_total{{from=\"{follower_id}\"}}"));
    grows(1, &format!("raft_proxy_network_peer_received_bytes_total{{from=\"{leader_id}\"}}"));
    let states = [("raft_proxy_has_leader", [1.0, 1.0]), ("raft_proxy_is_leader", [1.0, 0.0])];
    for (series, values) in states {
        assert_eq!(after.each_ref().map(|scrape| scrape.value(series)), values, "{series}");
    }
    let applied = after[1].value("raft_proxy_proposals_applied_total");
    assert!(applied <= cluster.status(follower).unwrap().applied as f64);

    // Without a majority, writes fail, and a quorum is missing.
    cluster.kill(leader);
    cluster.kill((leader + 2) % 3);
    let failed: redis::RedisResult<()> = redis::cmd("SET").arg("k").arg("v").query(&mut client);
    assert!(failed.is_err());
    let alone = Scrape::of(cluster.http(follower));
    let failures = |scrape: &Scrape| scrape.values.get("raft_proxy_proposals_failed_total").copied();
    assert!(failures(&alone) > failures(&after[1]).or(Some(0.0)), "{failed:?}");
    let told: f64 = ["CLUSTERDOWN", "TIMEOUT"]
        .iter()
        .filter_map(|kind| alone.values.get(&format!("raft_proxy_error_replies_total{{kind=\"{kind}\"}}")))
        .sum();
    assert!(told >= 1.0);
    let deadline = Instant::now() + PATIENCE;
    while Scrape::of(cluster.http(follower)).value("raft_proxy_has_quorum") != 0.0 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_line_in_the_log_says_how_fast_the_node_is() {
    let settings = [("log.performance_interval", "1s"), ("log.format", "json")];
    let cluster = start(&[Engine::Embedded; 3], &settings);
    let leader = cluster.leader();
    let writers = Writers::start(4, cluster.ports());
    writers.wait_for(500);
    std::thread::sleep(Duration::from_millis(2500));
    writers.finish();
    let log = cluster.log(leader);
    let lines: Vec<serde_json::Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told: Vec<_> = lines.iter().filter(|line| line["message"] == json!("performance")).collect();
    assert!(told.len() >= 2, "{log}");
    let busy = told.iter().find(|line| line["ops_per_second"].as_f64() > Some(0.0));
    let busy = busy.unwrap_or_else(|| panic!("{told:#?}"));
    for field in ["write_p50_ms", "write_p99_ms", "fsync_p50_ms", "fsync_p99_ms", "applied", "term"] {
        assert!(busy[field].as_f64() > Some(0.0), "{field}: {busy:#?}");
    }
    assert!(busy["write_p50_ms"].as_f64() <= busy["write_p99_ms"].as_f64());
    assert!(busy["lag"].is_u64() && busy["node"] == json!(leader + 1));
}
