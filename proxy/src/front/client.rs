//! CLIENT: what a connection says of itself and sees of others.

use std::sync::atomic::Ordering;

use adapter::command::arg;
use adapter::command::text::SYNTAX;
use adapter::error::Outcome;
use adapter::{Reply, Stop};
use bytes::Bytes;

use super::client_type::is_our_type;
use super::context::Context;
use super::{client_kill, help};

/// Runs a subcommand.
pub(super) fn run(context: &mut Context<'_>, name: &str, args: &[&[u8]]) -> Outcome<Option<Reply>> {
    let reply = match name {
        "reply" => return reply(context, args[2]),
        "getname" => {
            let name = context.client.shown().name.clone();
            Reply::bulk_or_null((!name.is_empty()).then_some(name))
        }
        "help" => help::reply(help::CLIENT),
        "id" => Reply::count(context.client.id),
        "info" => Reply::Verbatim((context.client.line() + "\n").into()),
        "kill" => client_kill::kill(context, args)?,
        "list" => list(context, args)?,
        "no-evict" => {
            context.client.usage.no_evict.store(on_or_off(args[2])?, Ordering::Relaxed);
            Reply::OK
        }
        "no-touch" => {
            context.client.shown().no_touch = on_or_off(args[2])?;
            Reply::OK
        }
        "setinfo" => set_info(context, args)?,
        "setname" => {
            let name = checked_name(args[2])?;
            context.client.shown().name = name;
            Reply::OK
        }
        _ => return Err(adapter::command::text::unknown_subcommand("client", args[1])),
    };
    Ok(Some(reply))
}

/// A name for a connection: printable, without blanks, because it stands in `CLIENT LIST` as it is.
pub(super) fn checked_name(name: &[u8]) -> Outcome<Bytes> {
    if is_plain(name) {
        Ok(Bytes::copy_from_slice(name))
    } else {
        Err(Stop::text("ERR Client names cannot contain spaces, newlines or special characters."))
    }
}

fn is_plain(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

fn on_or_off(word: &[u8]) -> Outcome<bool> {
    match word {
        word if arg::is(word, "on") => Ok(true),
        word if arg::is(word, "off") => Ok(false),
        _ => Err(SYNTAX),
    }
}

/// `CLIENT REPLY ON|OFF|SKIP`; only ON is answered.
fn reply(context: &mut Context<'_>, mode: &[u8]) -> Outcome<Option<Reply>> {
    let session = &mut context.session;
    if arg::is(mode, "on") {
        (session.muted, session.skip) = (false, false);
        return Ok(Some(Reply::OK));
    }
    if arg::is(mode, "off") {
        session.muted = true;
    } else if arg::is(mode, "skip") {
        session.skip_next = !session.muted;
    } else {
        return Err(SYNTAX);
    }
    Ok(None)
}

/// `CLIENT SETINFO LIB-NAME|LIB-VER value`
fn set_info(context: &Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let (option, value) = (args[2], args[3]);
    let mut shown = context.client.shown();
    let (slot, name) = if arg::is(option, "lib-name") {
        (&mut shown.lib_name, "lib-name")
    } else if arg::is(option, "lib-ver") {
        (&mut shown.lib_ver, "lib-ver")
    } else {
        return Err(Stop::say(format!("ERR Unrecognized option '{}'", String::from_utf8_lossy(option))));
    };
    if !is_plain(value) {
        return Err(Stop::say(format!("ERR {name} cannot contain spaces, newlines or special characters.")));
    }
    *slot = Bytes::copy_from_slice(value);
    Ok(Reply::OK)
}

/// `CLIENT LIST [TYPE type] [ID id [id ...]]`
fn list(context: &Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let all = context.shared.clients.all();
    let chosen: Vec<_> = match &args[2..] {
        [] => all,
        [option, name] if arg::is(option, "type") => {
            if is_our_type(name)? {
                all
            } else {
                Vec::new()
            }
        }
        [option, ids @ ..] if arg::is(option, "id") && !ids.is_empty() => {
            let ids: Option<Vec<u64>> = ids
                .iter()
                .map(|id| arg::parse_i64(id).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0))
                .collect();
            let ids = ids.ok_or(Stop::text("ERR Invalid client ID"))?;
            all.into_iter().filter(|client| ids.contains(&client.id)).collect()
        }
        _ => return Err(SYNTAX),
    };
    let text: String = chosen.iter().map(|client| client.line() + "\n").collect();
    Ok(Reply::Verbatim(text.into()))
}
