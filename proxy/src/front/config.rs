//! CONFIG: the parameters that Redis's clients and tools ask for, and the few that can be set while running.

use adapter::command::{arg, glob, text};
use adapter::error::Outcome;
use adapter::{Adapter, Reply, Stop};
use bytes::Bytes;

use super::{Context, help, parameters};

/// Runs a subcommand.
pub(super) fn run<A: Adapter>(context: &mut Context<'_, A>, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    match name {
        "get" => Ok(get(context, &args[2..])),
        "set" => set(context, &args[2..]),
        "resetstat" => {
            context.shared.stats.reset();
            Ok(Reply::OK)
        }
        "help" => Ok(help::reply(help::CONFIG)),
        _ => Err(text::unknown_subcommand("config", args[1])),
    }
}

/// `CONFIG GET pattern [pattern ...]`: each parameter once.
fn get<A: Adapter>(context: &Context<'_, A>, patterns: &[&[u8]]) -> Reply {
    let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
    let values = parameters::all(&context.shared.config, &context.shared.settings.load());
    let chosen = values
        .into_iter()
        .filter(|(name, _)| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
    let bulk = |name: &'static str| Reply::Bulk(Bytes::from_static(name.as_bytes()));
    Reply::Map(chosen.map(|(name, value)| (bulk(name), Reply::Bulk(value))).collect())
}

/// `CONFIG SET parameter value [parameter value ...]`: all of them or none.
fn set<A: Adapter>(context: &mut Context<'_, A>, pairs: &[&[u8]]) -> Outcome<Reply> {
    if !pairs.len().is_multiple_of(2) {
        return Err(text::SYNTAX);
    }
    let settings = &context.shared.settings;
    let mut values = (**settings.load()).clone();
    let known = parameters::all(&context.shared.config, &values);
    let mut seen: Vec<&str> = Vec::new();
    for pair in pairs.chunks(2) {
        let Some((name, _)) = known.iter().find(|(name, _)| arg::is(pair[0], name)) else {
            let given = String::from_utf8_lossy(pair[0]);
            return Err(Stop::say(format!(
                "ERR Unknown option or number of arguments for CONFIG SET - '{given}'"
            )));
        };
        if seen.contains(name) {
            return Err(failed(name, "duplicate parameter"));
        }
        seen.push(name);
        parameters::set(&mut values, name, pair[1]).map_err(|reason| failed(name, &reason))?;
    }
    settings.store(values);
    Ok(Reply::OK)
}

fn failed(name: &str, reason: &str) -> Stop {
    Stop::say(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
}
