//! `/livez` and `/readyz`, in the form that etcd and Kubernetes use: one line for each check with `?verbose`, or if one
//! failed.
//!
//! | check | passes if |
//! |---|---|
//! | `started` | the node is in its cluster, or waits in none for being told to form one or to join one |
//! | `leader` | it knows a leader |
//! | `linearizable_read` | the leader has a quorum behind it that confirms it now, and this node has applied what it must |
//! | `storage` | the storage can read and write |
//! | `applied_lag` | at most 1000 entries of the log are not applied yet |
//! | `loading` | no data is being adopted |

use std::sync::Arc;
use std::time::Duration;

use conf::Consistency;
use hyper::StatusCode;
use raft::ReadError;
use raft::status::Role;
use tokio::time::{Instant, sleep, timeout};

use super::answer::{Answer, Failure};
use super::call::Call;
use crate::front::is_loading;
use crate::resp_error::RespError;
use crate::shared::Shared;

/// How long one try of a linearizable read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// The wait before everything is checked again.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest `?timeout=`.
const LONGEST: Duration = Duration::from_secs(600);
/// Entries that may wait to be applied.
const MAX_LAG: u64 = 1000;
/// The names of the checks.
const CHECKS: [&str; 6] = ["started", "leader", "linearizable_read", "storage", "applied_lag", "loading"];

/// The outcome of one check.
struct Check {
    name: &'static str,
    failure: Option<String>,
}

/// `/livez`: who can answer this lives. A node whose consensus has failed ends its process by itself.
pub(super) fn live(call: &Call) -> Result<Answer, Failure> {
    let checks = [Check { name: "process", failure: None }];
    Ok(report("livez", &checks, call.switch("verbose")?))
}

/// `/readyz`: with `timeout`, waits up to this long until all checks pass.
pub(super) async fn ready(node: Option<&Arc<Shared>>, call: &Call) -> Result<Answer, Failure> {
    let verbose = call.switch("verbose")?;
    let patience = call.duration("timeout", LONGEST)?.unwrap_or_default();
    let excluded: Vec<&str> = call.all("exclude").collect();
    if let Some(unknown) = excluded.iter().find(|name| !CHECKS.contains(name)) {
        let reason = format!("there is no check {unknown:?}; there are {}", CHECKS.join(", "));
        return Err(Failure::bad(reason));
    }
    let deadline = Instant::now() + patience;
    loop {
        let mut checks = match node {
            Some(shared) => checks(shared, &excluded).await,
            None => vec![Check::new("started", Some("it waits for the other members".to_owned()))],
        };
        checks.retain(|check| !excluded.contains(&check.name));
        let is_ready = checks.iter().all(|check| check.failure.is_none());
        if is_ready || Instant::now() + PAUSE > deadline || node.is_none() {
            return Ok(report("readyz", &checks, verbose));
        }
        sleep(PAUSE).await;
    }
}

impl Check {
    fn new(name: &'static str, failure: Option<String>) -> Self {
        Self { name, failure }
    }
}

async fn checks(shared: &Shared, excluded: &[&str]) -> Vec<Check> {
    let status = shared.handle.status();
    let health = shared.handle.adapter().health();
    let read = if excluded.contains(&"linearizable_read") { Ok(()) } else { read(shared).await };
    let read = read.err().map(|error| error.text().into_owned());
    let has_leader = status.role == Role::Standalone || status.leader.is_some();
    let last = status.last_log;
    let lag = last.saturating_sub(status.applied);
    let unless = |fine: bool, why: &dyn Fn() -> String| (!fine).then(why);
    vec![
        Check::new("started", None),
        Check::new("leader", unless(has_leader, &|| "this node knows no leader".to_owned())),
        Check::new("linearizable_read", read),
        Check::new("storage", unless(health.ok, &|| health.detail.clone())),
        Check::new(
            "applied_lag",
            unless(lag <= MAX_LAG, &|| format!("{lag} entries up to {last} are not applied yet")),
        ),
        Check::new("loading", unless(!is_loading(shared).await, &|| "data is being adopted".to_owned())),
    ]
}

async fn read(shared: &Shared) -> Result<(), ReadError> {
    let barrier = shared.handle.read_barrier(Consistency::Linearizable, 0);
    timeout(READ_TIMEOUT, barrier).await.unwrap_or(Err(ReadError::NoQuorum))
}

fn report(probe: &str, checks: &[Check], verbose: bool) -> Answer {
    let passed = checks.iter().all(|check| check.failure.is_none());
    if passed && !verbose {
        return Answer::text(StatusCode::OK, "ok\n".to_owned());
    }
    let mut lines: Vec<String> = checks
        .iter()
        .map(|check| match &check.failure {
            None => format!("[+]{} ok", check.name),
            Some(why) => format!("[-]{} failed: {}", check.name, why.replace(['\r', '\n'], " ")),
        })
        .collect();
    lines.push(format!("{probe} check {}\n", if passed { "passed" } else { "failed" }));
    let status = if passed { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Answer::text(status, lines.join("\n"))
}
