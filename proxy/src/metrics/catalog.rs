//! Every metric there is, declared once: from this table come the help texts, the buckets and `docs/metrics.md`.

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// It only grows while the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A distribution, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
    /// Where it is found.
    pub scope: Scope,
    /// What has never been counted is not shown.
    pub sparse: bool,
}

/// Where a metric is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On every node.
    Every,
    /// On the nodes of a cluster.
    Cluster,
    /// Where the storage is a Kiwi.
    Kiwi,
}

/// From 50 µs to 10 s: what a request may take.
pub const LATENCY: &[f64] = &[
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];
/// From 10 ms to an hour: what a snapshot may take.
const LONG: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0];

const fn every(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { name, kind, labels: &[], help, scope: Scope::Every, sparse: false }
}

const fn cluster(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { scope: Scope::Cluster, ..every(name, kind, help) }
}

const fn kiwi(name: &'static str, kind: Kind, help: &'static str) -> Metric {
    Metric { scope: Scope::Kiwi, ..every(name, kind, help) }
}

impl Metric {
    const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// Shown only once it was counted.
    const fn sparse(self) -> Self {
        Self { sparse: true, ..self }
    }
}

use Kind::{Counter, Gauge, Histogram};

/// All of them.
pub static CATALOG: &[Metric] = &[
    every("raft_proxy_build_info", Gauge, "1; the label says which version this is.").by(&["version"]),
    // Consensus
    cluster("raft_proxy_has_leader", Gauge, "1 if this node knows a leader."),
    cluster("raft_proxy_is_leader", Gauge, "1 if this node leads."),
    cluster("raft_proxy_has_quorum", Gauge, "1 if this node and the voters that answer it are a majority."),
    cluster("raft_proxy_leader_changes_seen_total", Counter, "How often this node has seen another leader than before."),
    cluster("raft_proxy_term", Gauge, "The current term."),
    cluster("raft_proxy_members", Gauge, "Members by how they are; see docs/operations.md for the states.").by(&["state"]),
    cluster("raft_proxy_proposals_committed_total", Counter, "The index of the last entry known to be committed."),
    cluster("raft_proxy_proposals_applied_total", Counter, "The index of the last entry that the storage has applied."),
    cluster("raft_proxy_proposals_pending", Gauge, "Groups of writes that are proposed and not yet answered."),
    cluster("raft_proxy_proposals_pending_bytes", Gauge, "Their bytes; bounded by limits.max_inflight_bytes."),
    cluster("raft_proxy_proposals_failed_total", Counter, "Groups of writes that were answered with CLUSTERDOWN, BUSY, NOCLUSTER or TIMEOUT."),
    cluster("raft_proxy_read_index_rounds_total", Counter, "Rounds in which this node, as leader, had a quorum confirm it; all waiting reads share one."),
    cluster("raft_proxy_read_index_failed_total", Counter, "Rounds without a quorum."),
    cluster("raft_proxy_read_index_duration_seconds", Histogram(LATENCY), "How long a round takes."),
    cluster("raft_proxy_replication_lag_entries", Gauge, "On the leader: entries that a member does not have yet. 0 elsewhere.").by(&["to"]),
    cluster("raft_proxy_clock_skew_seconds", Gauge, "How far a member's wall clock is ahead of the median of all members'.").by(&["member"]),
    cluster("raft_proxy_log_time_skew_seconds", Gauge, "How far the time in the log, which decides expiry, is ahead of that median."),
    // The log
    cluster("raft_proxy_append_log_duration_seconds", Histogram(LATENCY), "From an append to the log to its end, with the fsync."),
    cluster("raft_proxy_commit_log_duration_seconds", Histogram(LATENCY), "From an append to the moment when this node knows it to be committed."),
    cluster("raft_proxy_apply_log_duration_seconds", Histogram(LATENCY), "How long the storage takes to apply a run of entries."),
    cluster("raft_proxy_disk_wal_fsync_duration_seconds", Histogram(LATENCY), "How long a synced write of the log takes."),
    cluster("raft_proxy_log_last_index", Gauge, "The index of the last entry in the log."),
    cluster("raft_proxy_log_purged_index", Gauge, "The index up to which the log is given up."),
    cluster("raft_proxy_log_bytes", Gauge, "Bytes that the log has grown by since the last snapshot."),
    // Snapshots
    cluster("raft_proxy_snapshot_index", Gauge, "The index of the last entry in the newest snapshot."),
    cluster("raft_proxy_snapshot_bytes", Gauge, "The size of the snapshot that was made last.").sparse(),
    cluster("raft_proxy_snapshot_make_duration_seconds", Histogram(LONG), "How long it takes to make one.").sparse(),
    cluster("raft_proxy_snapshot_make_failures_total", Counter, "Snapshots that could not be made at once.").sparse(),
    cluster("raft_proxy_snapshot_install_duration_seconds", Histogram(LONG), "How long it takes to install one that was received.").sparse(),
    cluster("raft_proxy_snapshot_sent_total", Counter, "Snapshots that another member has installed.").sparse(),
    cluster("raft_proxy_snapshot_sent_bytes_total", Counter, "Their bytes, without those that a member had from an earlier try.").sparse(),
    cluster("raft_proxy_snapshot_received_total", Counter, "Snapshots that have arrived.").sparse(),
    cluster("raft_proxy_snapshot_received_bytes_total", Counter, "Their bytes, without those of an earlier try.").sparse(),
    // Between nodes
    cluster("raft_proxy_network_peer_round_trip_time_seconds", Histogram(LATENCY), "How long a member takes to answer the health monitor.").by(&["to"]).sparse(),
    cluster("raft_proxy_network_peer_sent_bytes_total", Counter, "Bytes of the bodies of requests to a member.").by(&["to"]),
    cluster("raft_proxy_network_peer_received_bytes_total", Counter, "Bytes of the bodies of requests and answers from a member.").by(&["from"]),
    cluster("raft_proxy_network_peer_sent_failures_total", Counter, "Requests to a member that brought no answer, or a refusal.").by(&["to"]),
    cluster("raft_proxy_network_peer_protocol_version", Gauge, "The version of the protocol between nodes that was agreed on with a member.").by(&["to"]).sparse(),
    cluster("raft_proxy_network_refused_connections_total", Counter, "Connections to the Raft port that were closed because their other end has not proved to be of this cluster, by the reason.").by(&["reason"]).sparse(),
    cluster("raft_proxy_network_link_up", Gauge, "1 if the first member reaches the second, as far as this node knows.").by(&["from", "to"]),
    // The storage
    every("raft_proxy_storage_up", Gauge, "1 if the storage can read and write."),
    every("raft_proxy_storage_bytes", Gauge, "Bytes that the data takes on disk, as far as the storage knows."),
    kiwi("raft_proxy_storage_connections_limit", Gauge, "Connections to the Kiwi at most."),
    kiwi("raft_proxy_storage_request_arguments_limit", Gauge, "Arguments of one request to the Kiwi at most."),
    kiwi("raft_proxy_storage_request_bytes_limit", Gauge, "Bytes of one request to the Kiwi at most."),
    kiwi("raft_proxy_storage_reply_bytes_limit", Gauge, "Bytes of one reply of the Kiwi at most."),
    kiwi("raft_proxy_storage_pending_changes", Gauge, "Changes that the Kiwi has not been given yet."),
    kiwi("raft_proxy_storage_pending_changes_limit", Gauge, "At so many, writes wait."),
    kiwi("raft_proxy_storage_flushes_total", Counter, "Batches of changes that the Kiwi was given."),
    kiwi("raft_proxy_storage_refilling", Gauge, "1 while the Kiwi is given all data again."),
    kiwi("raft_proxy_storage_rebuilding", Gauge, "1 while the node is rebuilt because the Kiwi has lost data."),
    kiwi("raft_proxy_storage_cache_hits_total", Counter, "Values that were found in memory."),
    kiwi("raft_proxy_storage_cache_misses_total", Counter, "Values that the Kiwi was asked for."),
    kiwi("raft_proxy_storage_cache_bytes", Gauge, "Memory of values."),
    kiwi("raft_proxy_storage_cache_bytes_limit", Gauge, "storage.cache_size."),
    kiwi("raft_proxy_storage_index_bytes", Gauge, "Bytes of the index beside the Kiwi on disk."),
    // Clients
    every("raft_proxy_connected_clients", Gauge, "Client connections."),
    every("raft_proxy_connections_total", Counter, "Client connections that were accepted."),
    every("raft_proxy_rejected_connections_total", Counter, "Client connections that were turned away because there were too many."),
    every("raft_proxy_connections_turned_away_total", Counter, "Connections that got no place on a port, or lost it: full, address (one address had too many), silent (it had shown nothing when another one needed its place), unproven (it did not prove in time who it is).").by(&["port", "reason"]).sparse(),
    every("raft_proxy_client_memory_bytes", Gauge, "Memory of requests and unsent replies of all clients."),
    every("raft_proxy_client_memory_limit_bytes", Gauge, "limits.max_client_memory in bytes; 0 for no bound."),
    every("raft_proxy_evicted_clients_total", Counter, "Clients that were closed because all together held more than limits.max_client_memory."),
    every("raft_proxy_protocol_errors_total", Counter, "Connections that were closed because they broke the protocol."),
    every("raft_proxy_input_bytes_total", Counter, "Bytes of commands that came in."),
    every("raft_proxy_output_bytes_total", Counter, "Bytes of replies that went out."),
    every("raft_proxy_commands_total", Counter, "Commands by name.").by(&["cmd"]).sparse(),
    every("raft_proxy_command_duration_seconds", Histogram(LATENCY), "How long commands took, by name. Commands that follow each other in a pipeline and are done together have the time of all.").by(&["cmd"]).sparse(),
    every("raft_proxy_error_replies_total", Counter, "Error replies by their first word; OTHER for words of no known kind.").by(&["kind"]).sparse(),
    every("raft_proxy_write_duration_seconds", Histogram(LATENCY), "How long a group of writes of one pipeline took, with the reads in its log entry, up to its replies."),
    every("raft_proxy_read_duration_seconds", Histogram(LATENCY), "How long a group of reads of one pipeline took, with its read barrier."),
    // The process
    every("process_start_time_seconds", Gauge, "When the process was started, Unix time."),
    every("process_resident_memory_bytes", Gauge, "Memory that the process has."),
    every("process_open_fds", Gauge, "Open files and connections."),
];

/// A metric by its name.
pub fn find(name: &str) -> Option<&'static Metric> {
    CATALOG.iter().find(|metric| metric.name == name)
}

/// The buckets of a histogram.
pub fn bounds(name: &str) -> &'static [f64] {
    match find(name).map(|metric| metric.kind) {
        Some(Histogram(bounds)) => bounds,
        _ => LATENCY,
    }
}

/// `docs/metrics.md`'s table.
pub fn table() -> String {
    let mut text = String::from("| metric | type | labels | says | where |\n|---|---|---|---|---|\n");
    for metric in CATALOG {
        let kind = match metric.kind {
            Counter => "counter",
            Gauge => "gauge",
            Histogram(_) => "histogram",
        };
        let place = match metric.scope {
            Scope::Every => "every node",
            Scope::Cluster => "in a cluster",
            Scope::Kiwi => "with a Kiwi",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let row =
            format!("| `{}` | {kind} | {} | {} | {place} |\n", metric.name, labels.join(", "), metric.help);
        text.push_str(&row);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_prometheus() {
        for metric in CATALOG {
            let name = metric.name;
            assert_eq!(name.ends_with("_total"), metric.kind == Counter, "{name}");
            assert!(name.starts_with("raft_proxy_") || name.starts_with("process_"), "{name}");
            if let Histogram(bounds) = metric.kind {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(bounds.is_sorted(), "{name}");
            }
            assert_eq!(CATALOG.iter().filter(|other| other.name == name).count(), 1, "{name}");
        }
    }

    #[test]
    fn the_page_has_exactly_the_metrics_of_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page.contains(&table()),
            "docs/metrics.md must contain this table; `raft-proxy config metrics` prints it\n{}",
            table()
        );
    }
}
