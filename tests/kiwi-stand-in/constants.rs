//! INFO and CONFIG, of which a Kiwi has little to say, and the one thing that tells its modes apart.

use std::sync::LazyLock;
use std::time::Instant;

use adapter::Reply;
use adapter::command::text;
use adapter::error::{Outcome, Stop};

use crate::fault::Fault;
use crate::options::Settings;

/// The port that a Kiwi names, whatever it listens on.
const PORT: u16 = 7379;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The reply to INFO, CONFIG and VCARD.
pub(crate) fn answer(settings: &Settings, args: &[&[u8]]) -> Option<Outcome<Reply>> {
    LazyLock::force(&STARTED);
    match args[0].to_ascii_lowercase().as_slice() {
        b"info" => Some(Ok(Reply::bulk(info(settings, args.len() > 1).as_bytes()))),
        b"config" => Some(config(settings, &args[1..])),
        // There are no vectors here. In its Raft mode a Kiwi answers an error.
        b"vcard" if args.len() == 2 => Some(Ok(Reply::Integer(0))),
        _ => None,
    }
}

/// A restart can't be seen in it, unless the fault is off. Any section's name brings a few lines of the first.
fn info(settings: &Settings, section: bool) -> String {
    let constant = settings.faults.has(Fault::Constants);
    if constant && section {
        return "# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n".to_owned();
    }
    let (process, port, uptime) = if constant {
        (1, PORT, 1)
    } else {
        (std::process::id(), settings.port, STARTED.elapsed().as_secs())
    };
    format!(
        "# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\nos:Windows\r\nprocess_id:{process}\r\n\
         tcp_port:{port}\r\nuptime_in_seconds:{uptime}\r\n\r\n\
         # Cluster\r\ncluster_enabled:0\r\ncluster_state:disabled\r\n"
    )
}

fn config(settings: &Settings, rest: &[&[u8]]) -> Outcome<Reply> {
    let Some((sub, rest)) = rest.split_first() else { return Err(text::wrong_arity("config")) };
    match (sub.to_ascii_lowercase().as_slice(), rest) {
        (b"get", [pattern]) => Ok(get(settings, pattern)),
        (b"get", _) => Err(text::wrong_arity("config get")),
        (b"set", _) => Err(Stop::text("ERR runtime configuration changes not supported")),
        (other, _) => {
            Err(Stop::say(format!("ERR unknown CONFIG subcommand '{}'", String::from_utf8_lossy(other))))
        }
    }
}

fn get(settings: &Settings, pattern: &[u8]) -> Reply {
    let text = |text: &str| Reply::bulk(text.as_bytes());
    let (all, constant) = (pattern == b"*", settings.faults.has(Fault::Constants));
    let mut found = Vec::new();
    if all || pattern.eq_ignore_ascii_case(b"cluster-enabled") {
        found.push((text("cluster-enabled"), text("no")));
    }
    if all || (pattern.eq_ignore_ascii_case(b"port") && !constant) {
        let port = if constant { PORT } else { settings.port };
        found.push((text("port"), text(&port.to_string())));
    }
    Reply::Map(found)
}
