//! HELLO, AUTH, RESET: who the client is and which protocol it speaks.

use std::sync::atomic::Ordering;

use adapter::command::arg;
use adapter::command::text::SYNTAX;
use adapter::error::Outcome;
use adapter::{Reply, Stop};
use bytes::Bytes;

use super::client;
use super::context::Context;
use crate::password;
use crate::resp::Protocol;
use crate::session::Session;

/// The Redis version that clients are told: the one whose commands and replies are followed.
pub(super) const REDIS_VERSION: &str = "7.2.0";

const NO_PASSWORD: Stop = Stop::text(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
     configuration is correct?",
);
const WRONG_PASSWORD: Stop = Stop::text("WRONGPASS invalid username-password pair or user is disabled.");
const HELLO_NEEDS_AUTH: Stop = Stop::text(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
     option can be used to authenticate the client and select the RESP protocol version at the same time",
);

/// `AUTH [username] password`
pub(super) fn auth(context: &mut Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    match args {
        [_, _] if context.shared.config.load().listen.password.is_empty() => Err(NO_PASSWORD),
        [_, password] => log_in(context, b"default", password),
        [_, user, password] => log_in(context, user, password),
        _ => Err(SYNTAX),
    }?;
    Ok(Reply::OK)
}

/// There is one user, `default`; without a password it takes any.
fn log_in(context: &mut Context<'_>, user: &[u8], password: &[u8]) -> Outcome<()> {
    let config = context.shared.config.load();
    let wanted = config.listen.password.as_bytes();
    if user != b"default" || !(wanted.is_empty() || password::is(wanted, password)) {
        return Err(WRONG_PASSWORD);
    }
    context.session.authenticated = true;
    Ok(())
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
pub(super) fn hello(context: &mut Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let protocol = match args.get(1) {
        None => None,
        Some(version) => Some(protocol(version)?),
    };
    let (mut login, mut name, mut rest) = (None, None, args.get(2..).unwrap_or_default());
    loop {
        rest = match rest {
            [] => break,
            [option, user, password, rest @ ..] if arg::is(option, "auth") => {
                login = Some((*user, *password));
                rest
            }
            [option, given, rest @ ..] if arg::is(option, "setname") => {
                name = Some(client::checked_name(given)?);
                rest
            }
            [option, ..] => {
                let option = String::from_utf8_lossy(option);
                return Err(Stop::say(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        };
    }
    if let Some((user, password)) = login {
        log_in(context, user, password)?;
    }
    if context.session.must_authenticate(&context.shared.config.load()) {
        return Err(HELLO_NEEDS_AUTH);
    }
    if let Some(name) = name {
        context.client.shown().name = name;
    }
    if let Some(protocol) = protocol {
        context.session.protocol = protocol;
        context.client.shown().protocol = protocol;
    }
    Ok(greeting(context))
}

fn protocol(version: &[u8]) -> Outcome<Protocol> {
    match arg::parse_i64(version) {
        Some(2) => Ok(Protocol::Resp2),
        Some(3) => Ok(Protocol::Resp3),
        Some(_) => Err(Stop::text("NOPROTO unsupported protocol version")),
        None => Err(Stop::text("ERR Protocol version is not an integer or out of range")),
    }
}

fn greeting(context: &Context<'_>) -> Reply {
    let text = |text: &'static str| Reply::Bulk(Bytes::from_static(text.as_bytes()));
    Reply::Map(vec![
        (text("server"), text("redis")),
        (text("version"), text(REDIS_VERSION)),
        (text("proto"), Reply::Integer(i64::from(context.session.protocol.number()))),
        (text("id"), Reply::count(context.client.id)),
        (text("mode"), text(context.shared.mode())),
        // Every node takes writes, so every node is what a client understands by a master.
        (text("role"), text("master")),
        (text("modules"), Reply::Array(Vec::new())),
    ])
}

/// `RESET`: as if the connection were new.
pub(super) fn reset(context: &mut Context<'_>) -> Reply {
    *context.session = Session::new(&context.shared.config.load());
    let mut shown = context.client.shown();
    shown.name = Bytes::new();
    shown.protocol = Protocol::Resp2;
    shown.no_touch = false;
    context.client.usage.no_evict.store(false, Ordering::Relaxed);
    Reply::status("RESET")
}
