//! Metrics for Prometheus.
//!
//! | module | what it says |
//! |---|---|
//! | [`catalog`] | every metric there is |
//! | [`registry`] | the numbers |
//! | [`histogram`] | one distribution |
//! | [`text`] | all of it in Prometheus's text format |
//! | [`performance`] | the line in the log that says how fast the node is |
//!
//! Whoever counts something uses the macros of the `metrics` crate; what is a state rather than a count is looked up
//! when somebody asks ([`publish`]).

pub mod catalog;
pub mod histogram;
pub mod performance;
pub mod registry;
pub mod text;

use std::sync::Arc;

use adapter::clock::unix_time;
use adapter::{Fact, FactValue};
use raft::Handle;

pub use registry::Registry;

/// Begins to record. What has taken a counter before goes on counting nothing, so this comes first. Only the first
/// call in a process counts; the others' registries stay empty.
pub fn install() -> Arc<Registry> {
    let registry = Arc::new(Registry::default());
    if metrics::set_global_recorder(Arc::clone(&registry)).is_err() {
        tracing::debug!("metrics are recorded already");
    }
    metrics::gauge!("raft_proxy_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    metrics::gauge!("process_start_time_seconds").set(unix_time().as_secs_f64());
    registry
}

/// Sets what is looked up rather than counted.
pub fn publish(node: &Handle) {
    node.publish_metrics();
    let storage = node.adapter().health();
    metrics::gauge!("raft_proxy_storage_up").set(u8::from(storage.ok));
    metrics::gauge!("raft_proxy_storage_bytes").set(storage.bytes as f64);
    publish_facts(node.adapter().facts());
    publish_process();
}

/// Publishes what there is to know of a storage as `raft_proxy_storage_<name>`, as far as it is a number.
fn publish_facts(facts: Vec<Fact>) {
    for Fact { name, value } in facts {
        match value {
            FactValue::Text(_) => {}
            FactValue::Count(count) => {
                metrics::counter!(format!("raft_proxy_storage_{name}_total")).absolute(count);
            }
            FactValue::Level(level) => {
                metrics::gauge!(format!("raft_proxy_storage_{name}")).set(level as f64);
            }
        }
    }
}

/// What the kernel says of the process, as far as it does.
fn publish_process() {
    metrics::gauge!("process_resident_memory_bytes").set(resident_bytes() as f64);
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(open.count() as f64);
    }
}

/// The memory that the process has; 0 where the kernel does not say.
pub fn resident_bytes() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib =
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
