//! INFO and CONFIG GET, of which a Kiwi has little to say.

use std::sync::LazyLock;
use std::time::Instant;

use adapter::Reply;
use adapter::command::text;
use adapter::error::{Outcome, Stop};

use crate::fault::Fault;
use crate::options::Settings;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The reply to INFO and CONFIG.
pub(crate) fn answer(settings: &Settings, args: &[&[u8]]) -> Option<Outcome<Reply>> {
    LazyLock::force(&STARTED);
    match args[0].to_ascii_lowercase().as_slice() {
        b"info" => Some(Ok(Reply::bulk(info(settings).as_bytes()))),
        b"config" => Some(config(settings, &args[1..])),
        _ => None,
    }
}

/// A restart can't be seen in it, unless the fault is off.
fn info(settings: &Settings) -> String {
    let (process, uptime) = if settings.faults.has(Fault::Constants) {
        (1, 1)
    } else {
        (std::process::id(), STARTED.elapsed().as_secs())
    };
    format!(
        "# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\nprocess_id:{process}\r\n\
         uptime_in_seconds:{uptime}\r\n\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n"
    )
}

fn config(settings: &Settings, rest: &[&[u8]]) -> Outcome<Reply> {
    let [sub, pattern] = rest else { return Err(text::wrong_arity("config")) };
    if !sub.eq_ignore_ascii_case(b"get") {
        return Err(Stop::text("ERR unknown subcommand for 'config' command"));
    }
    let text = |text: &str| Reply::bulk(text.as_bytes());
    let mut found = Vec::new();
    let all = *pattern == b"*";
    if all || pattern.eq_ignore_ascii_case(b"cluster-enabled") {
        found.push((text("cluster-enabled"), text("no")));
    }
    if all || (pattern.eq_ignore_ascii_case(b"port") && !settings.faults.has(Fault::Constants)) {
        found.push((text("port"), text(&settings.port.to_string())));
    }
    Ok(Reply::Map(found))
}
