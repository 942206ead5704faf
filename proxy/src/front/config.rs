//! CONFIG: every option in force, and the change of what can be changed while the node runs.

use std::sync::Arc;

use adapter::command::{glob, text};
use adapter::error::Outcome;
use adapter::{Reply, Stop};
use conf::options::ConfigOption;

use super::context::Context;
use super::help;
use super::parameters::{self, Meaning};

/// Runs a subcommand.
pub(super) async fn run(context: &Context<'_>, name: &str, args: &[&[u8]]) -> Outcome<Reply> {
    match name {
        "get" => Ok(get(context, &args[2..])),
        "set" => set(context, &args[2..]),
        "rewrite" => rewrite(context).await,
        "resetstat" => {
            context.shared.stats.reset();
            context.shared.clients.memory.reset_evicted();
            Ok(Reply::OK)
        }
        "help" => Ok(help::reply(help::CONFIG)),
        _ => Err(text::unknown_subcommand("config", args[1])),
    }
}

/// `CONFIG GET pattern [pattern ...]`: each parameter once.
fn get(context: &Context<'_>, patterns: &[&[u8]]) -> Reply {
    let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
    let chosen = parameters::all(&context.shared.config.load())
        .into_iter()
        .filter(|(name, _)| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
    Reply::Map(
        chosen
            .map(|(name, value)| (Reply::Bulk(name.into_owned().into()), Reply::Bulk(value.into())))
            .collect(),
    )
}

/// `CONFIG SET parameter value [parameter value ...]`: all of them or none.
fn set(context: &Context<'_>, pairs: &[&[u8]]) -> Outcome<Reply> {
    if !pairs.len().is_multiple_of(2) {
        return Err(text::SYNTAX);
    }
    let mut values: Vec<(&'static ConfigOption, String)> = Vec::new();
    for pair in pairs.chunks(2) {
        let name = String::from_utf8_lossy(pair[0]).to_ascii_lowercase();
        let (option, value) = match parameters::meaning(pair[0], pair[1]) {
            Ok(Meaning::Option(option, value)) => (option, value),
            Ok(Meaning::Fixed) => return Err(failed(&name, "can't set immutable config")),
            Ok(Meaning::Unknown) => {
                return Err(Stop::say(format!(
                    "ERR Unknown option or number of arguments for CONFIG SET - '{}'",
                    plain(&String::from_utf8_lossy(pair[0]))
                )));
            }
            Err(reason) => return Err(failed(&name, &reason)),
        };
        if values.iter().any(|(other, _)| std::ptr::eq(*other, option)) {
            return Err(failed(&name, "duplicate parameter"));
        }
        values.push((option, value));
    }
    context.shared.reloader.set(&values).map_err(|refused| {
        let name =
            pairs.get(refused.which * 2).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
        failed(&name.unwrap_or_default(), &refused.reason)
    })?;
    Ok(Reply::OK)
}

/// `CONFIG REWRITE`: what was set is written into the file.
async fn rewrite(context: &Context<'_>) -> Outcome<Reply> {
    let reloader = Arc::clone(&context.shared.reloader);
    let rewritten = tokio::task::spawn_blocking(move || reloader.rewrite()).await;
    let rewritten = rewritten.map_err(|error| Stop::say(format!("ERR Rewriting config file: {error}")))?;
    rewritten.map_err(|error| Stop::say(format!("ERR {}", plain(&error.to_string()))))?;
    Ok(Reply::OK)
}

fn failed(name: &str, reason: &str) -> Stop {
    Stop::say(format!(
        "ERR CONFIG SET failed (possibly related to argument '{}') - {}",
        plain(name),
        plain(reason)
    ))
}

/// An error reply is one line.
fn plain(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
