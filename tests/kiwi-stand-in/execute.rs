//! One storage command, from its name to its reply: is it there, may it have these arguments, what does it do, and
//! what becomes of the reply on its way.

use std::borrow::Cow;

use adapter::command::{self, Flags};
use adapter::error::{Outcome, Stop};
use adapter::{Reply, Spec};

use crate::bend;
use crate::constants;
use crate::fault::{Fault, Faults};
use crate::lossy;
use crate::options::Settings;
use crate::server;
use crate::slot;
use crate::store::Store;
use crate::surface;

/// Commands whose `WRONGTYPE` has no `ERR` before it.
#[rustfmt::skip]
const BARE: &[&str] = &[
    "append", "strlen", "getrange", "setrange", "setbit", "getbit", "bitcount", "bitpos", "bitop", "getset",
    "smismember", "zcount", "zlexcount", "zmscore",
];

/// Runs a command at this moment, and writes down what it did.
pub(crate) fn execute(store: &mut Store, settings: &Settings, args: &[&[u8]]) -> Reply {
    store.begin();
    let result = dispatch(store, settings, args);
    if let Err(error) = store.commit() {
        server::fail(&error);
    }
    let reply = result.unwrap_or_else(|stop| Reply::Error(worded(stop, &settings.faults, args)));
    if settings.faults.has(Fault::LossyReplies) && lossy::is_lossy(args[0]) {
        lossy::corrupt(reply)
    } else {
        reply
    }
}

fn dispatch(store: &mut Store, settings: &Settings, args: &[&[u8]]) -> Outcome<Reply> {
    let faults = &settings.faults;
    if let Some(reply) = constants::answer(settings, args) {
        return reply;
    }
    let spec = resolve(faults, args)?;
    if faults.has(Fault::NoOptions) {
        surface::check_exact_arity(spec.name, args)?;
    }
    let keys: Vec<&[u8]> = spec.key_indices(args).into_iter().map(|index| args[index]).collect();
    if faults.has(Fault::CrossSlot) {
        slot::check_slots(spec.name, &keys)?;
    }
    if faults.has(Fault::Instances) {
        slot::check_instances(spec.name, &keys, store.instances())?;
    }
    match bend::of(spec.name) {
        Some(bend) if bend.faults.iter().any(|fault| faults.has(*fault)) => (bend.run)(store, args),
        _ => store.run(args),
    }
}

/// The command that is called, with the number of its arguments checked.
fn resolve(faults: &Faults, args: &[&[u8]]) -> Outcome<&'static Spec> {
    let known = command::lookup(args[0]).filter(|spec| !spec.flags.has(Flags::INTERNAL));
    let Some(spec) = known.filter(|spec| !faults.has(Fault::Surface) || surface::has(spec.name)) else {
        return Err(unknown(faults, args));
    };
    command::resolve(args).map(|_| spec)
}

fn unknown(faults: &Faults, args: &[&[u8]]) -> Stop {
    if faults.has(Fault::ErrorTexts) {
        Stop::say(format!("ERR unknown command `{}`", String::from_utf8_lossy(args[0]).to_lowercase()))
    } else {
        command::text::unknown_command(args)
    }
}

/// The text of an error, as a Kiwi has it.
fn worded(stop: Stop, faults: &Faults, args: &[&[u8]]) -> Cow<'static, str> {
    let Reply::Error(text) = Reply::from_stop(stop) else { return "ERR".into() };
    if !faults.has(Fault::ErrorTexts) {
        return text;
    }
    let Some(spec) = command::lookup(args[0]) else { return text };
    if text.starts_with("WRONGTYPE") && !BARE.contains(&spec.name) {
        format!("ERR {text}").into()
    } else {
        text
    }
}
