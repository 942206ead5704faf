//! INFO: the state of the server in sections, with Redis's names where Redis has them.

use std::fmt::{Display, Write as _};

use adapter::Reply;
use adapter::command::adoption::State;
use adapter::command::arg;
use bytes::Bytes;
use raft::status::Role;

use super::context::Context;
use super::handshake::REDIS_VERSION;
use super::info_raft;
use crate::metrics::resident_bytes;
use crate::shared::Shared;
use adapter::clock::unix_time;

/// The sections, in the order in which they are written.
const SECTIONS: [&str; 10] = [
    "server",
    "clients",
    "memory",
    "persistence",
    "stats",
    "replication",
    "cluster",
    "raft",
    "storage",
    "keyspace",
];

/// Writes `name:value` lines.
fn lines(text: &mut String, fields: &[(&str, &dyn Display)]) {
    for (name, value) in fields {
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}:{value}\r\n");
    }
}

/// `INFO [section [section ...]]`
pub(super) async fn info(context: &Context<'_>, asked: &[&[u8]]) -> Reply {
    let every = asked.is_empty()
        || asked.iter().any(|name| ["all", "default", "everything"].iter().any(|all| arg::is(name, all)));
    let mut text = String::with_capacity(2048);
    for section in SECTIONS {
        if !every && !asked.iter().any(|name| arg::is(name, section)) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        title(&mut text, section);
        write_section(context.shared, section, &mut text).await;
    }
    Reply::Verbatim(text.into())
}

fn title(text: &mut String, section: &str) {
    text.push_str("# ");
    text.push_str(&section[..1].to_ascii_uppercase());
    text.push_str(&section[1..]);
    text.push_str("\r\n");
}

async fn write_section(shared: &Shared, section: &str, text: &mut String) {
    match section {
        "server" => server(shared, text),
        "clients" => clients(shared, text),
        "memory" => memory(shared, text),
        "persistence" => lines(
            text,
            &[
                ("loading", &u8::from(is_starting(shared) || is_loading(shared).await)),
                ("rdb_bgsave_in_progress", &0),
                ("aof_enabled", &1),
                ("aof_last_write_status", &"ok"),
            ],
        ),
        "stats" => stats(shared, text),
        // Every node takes writes: to a client of Redis it is a master without replicas.
        "replication" => lines(text, &[("role", &"master"), ("connected_slaves", &0)]),
        "cluster" => lines(text, &[("cluster_enabled", &u8::from(shared.is_clustered()))]),
        "raft" => info_raft::write(shared, text).await,
        "storage" => storage(shared, text),
        _ => keyspace(shared, text).await,
    }
}

fn server(shared: &Shared, text: &mut String) {
    let (uptime, now) = (shared.started.elapsed().as_secs(), unix_time());
    let config_file =
        shared.reloader.file().map(std::path::absolute).and_then(Result::ok).unwrap_or_default();
    lines(
        text,
        &[
            ("redis_version", &REDIS_VERSION),
            ("redis_git_sha1", &"00000000"),
            ("redis_git_dirty", &0),
            ("redis_build_id", &0),
            ("redis_mode", &shared.mode()),
            ("raft_proxy_version", &env!("CARGO_PKG_VERSION")),
            ("os", &std::env::consts::OS),
            ("arch_bits", &usize::BITS),
            ("process_id", &std::process::id()),
            ("run_id", &shared.run_id),
            ("tcp_port", &shared.config.load().listen.resp.port()),
            ("server_time_usec", &now.as_micros()),
            ("uptime_in_seconds", &uptime),
            ("uptime_in_days", &(uptime / 86_400)),
            ("hz", &10),
            ("executable", &std::env::current_exe().unwrap_or_default().display()),
            ("config_file", &config_file.display()),
        ],
    );
}

fn clients(shared: &Shared, text: &mut String) {
    let (input, output) = shared.clients.largest_buffers();
    lines(
        text,
        &[
            ("connected_clients", &shared.clients.len()),
            ("cluster_connections", &0),
            ("maxclients", &shared.config.load().limits.max_clients),
            ("client_recent_max_input_buffer", &input),
            ("client_recent_max_output_buffer", &output),
            ("blocked_clients", &0),
            ("tracking_clients", &0),
        ],
    );
}

fn memory(shared: &Shared, text: &mut String) {
    let resident = resident_bytes();
    lines(
        text,
        &[
            ("used_memory", &resident),
            ("used_memory_human", &human(resident)),
            ("used_memory_rss", &resident),
            ("used_memory_rss_human", &human(resident)),
            ("maxmemory", &0),
            ("maxmemory_human", &"0B"),
            ("maxmemory_policy", &"noeviction"),
            ("mem_clients_normal", &shared.clients.memory.total()),
        ],
    );
}

fn stats(shared: &Shared, text: &mut String) {
    let stats = &shared.stats;
    lines(
        text,
        &[
            ("total_connections_received", &stats.connections.get()),
            ("total_commands_processed", &stats.commands.get()),
            ("total_net_input_bytes", &stats.input_bytes.get()),
            ("total_net_output_bytes", &stats.output_bytes.get()),
            ("rejected_connections", &stats.rejected.get()),
            ("evicted_clients", &shared.clients.memory.evicted()),
            ("total_error_replies", &stats.errors.get()),
            ("protocol_errors", &stats.protocol_errors.get()),
        ],
    );
}

fn storage(shared: &Shared, text: &mut String) {
    lines(text, &[("storage_kind", &shared.handle.status().storage_kind)]);
    for fact in shared.handle.adapter().facts() {
        // Writing to a string cannot fail.
        let _ = write!(text, "storage_{}:{}\r\n", fact.name, fact.value);
    }
}

/// Whether this node cannot serve yet: clients that look here before they send anything wait.
fn is_starting(shared: &Shared) -> bool {
    shared.handle.status().role == Role::Starting
}

/// Whether data is being adopted.
pub(crate) async fn is_loading(shared: &Shared) -> bool {
    let read = shared.handle.adapter().read(vec![Bytes::from_static(b"raft.adoption")], 0).await;
    State::from_reply(&read.reply).is_some()
}

/// Without a read barrier: INFO describes this node, also when it has no leader.
async fn keyspace(shared: &Shared, text: &mut String) {
    let read = shared.handle.adapter().read(vec![Bytes::from_static(b"raft.keyspace")], 0).await;
    let Reply::Array(counts) = read.reply else { return };
    if let [Reply::Integer(keys @ 1..), Reply::Integer(deadlines)] = counts[..] {
        let _ = write!(text, "db0:keys={keys},expires={deadlines},avg_ttl=0\r\n");
    }
}

/// Bytes for people, as Redis writes them: `1.37M`.
fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "K", "M", "G"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes}B") } else { format!("{value:.2}{unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.2}T")
}
