//! `CLIENT KILL`, in its old form with an address and its new form with filters.

use adapter::command::arg;
use adapter::command::text::SYNTAX;
use adapter::error::Outcome;
use adapter::{Reply, Stop};

use super::client_type::is_our_type;
use super::context::Context;
use crate::clients::{Client, Directive};

/// What the connections to be closed have in common.
#[derive(Default)]
struct Filter {
    id: Option<u64>,
    address: Option<String>,
    local: Option<String>,
    /// False if a type was named that no connection here is of.
    ours: bool,
    skip_me: bool,
}

impl Filter {
    fn takes(&self, client: &Client, me: u64) -> bool {
        self.ours
            && !(self.skip_me && client.id == me)
            && self.id.is_none_or(|id| id == client.id)
            && self.address.as_ref().is_none_or(|address| *address == client.address.to_string())
            && self.local.as_ref().is_none_or(|local| *local == client.local.to_string())
    }
}

/// `CLIENT KILL ip:port` or `CLIENT KILL option value [option value ...]`
pub(super) fn kill(context: &mut Context<'_>, args: &[&[u8]]) -> Outcome<Reply> {
    let old_form = args.len() == 3;
    let filter = if old_form {
        Filter { address: Some(text(args[2])), ours: true, ..Filter::default() }
    } else {
        filter(&args[2..])?
    };
    let mut killed = 0;
    for client in context.shared.clients.all() {
        if !filter.takes(&client, context.client.id) {
            continue;
        }
        killed += 1;
        if client.id == context.client.id {
            // Its own connection still gets the reply.
            context.session.closing = true;
        } else {
            client.ask(Directive::Close);
        }
    }
    match (old_form, killed) {
        (true, 0) => Err(Stop::text("ERR No such client")),
        (true, _) => Ok(Reply::OK),
        (false, killed) => Ok(Reply::Integer(killed)),
    }
}

fn filter(options: &[&[u8]]) -> Outcome<Filter> {
    let mut filter = Filter { ours: true, skip_me: true, ..Filter::default() };
    for option in options.chunks(2) {
        let [name, value] = option else { return Err(SYNTAX) };
        if arg::is(name, "id") {
            let id = arg::parse_i64(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0);
            filter.id = Some(id.ok_or(Stop::text("ERR client-id should be greater than 0"))?);
        } else if arg::is(name, "type") {
            filter.ours &= is_our_type(value)?;
        } else if arg::is(name, "addr") {
            filter.address = Some(text(value));
        } else if arg::is(name, "laddr") {
            filter.local = Some(text(value));
        } else if arg::is(name, "user") {
            if *value != b"default" {
                return Err(Stop::say(format!("ERR No such user '{}'", text(value))));
            }
        } else if arg::is(name, "skipme") {
            filter.skip_me = match *value {
                word if arg::is(word, "yes") => true,
                word if arg::is(word, "no") => false,
                _ => return Err(SYNTAX),
            };
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(filter)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
