//! What is answered without the storage, and so without waiting for a batch: PING, AUTH, HELLO, CLIENT.

use adapter::Reply;
use adapter::command::text::wrong_arity;
use bytes::Bytes;
use raft_proxy::resp::Protocol;

use crate::fault::Fault;
use crate::lossy;
use crate::options::Settings;
use crate::surface;

const NO_AUTH: Reply = Reply::error("NOAUTH Authentication required.");
const WRONG_PASSWORD: Reply = Reply::error("WRONGPASS invalid username-password pair or user is disabled.");
const NO_PASSWORD: Reply = Reply::error("ERR AUTH called without any password configured");
const NO_HELLO_PASSWORD: Reply = Reply::error("ERR HELLO AUTH called without any password configured");
const NO_HELLO: Reply = Reply::error(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> \
     option can be used to authenticate the client and select the RESP protocol version at the same time",
);
const NO_USERS: Reply = Reply::error("ERR ACL authentication is not supported");
const NO_SUCH_PROTOCOL: Reply = Reply::error("NOPROTO unsupported protocol version");
const SYNTAX: Reply = Reply::error("ERR syntax error");

/// What is known of one client.
#[derive(Debug)]
pub(crate) struct Session {
    id: i64,
    password: Option<String>,
    authenticated: bool,
    protocol: Protocol,
    name: Bytes,
    /// Whether [`Fault::Handshake`] is on.
    as_kiwi: bool,
    /// Whether [`Fault::LossyReplies`] is on.
    lossy: bool,
}

impl Session {
    /// A client that has said nothing yet.
    pub(crate) fn new(id: i64, settings: &Settings) -> Self {
        Self {
            id,
            password: settings.password.clone(),
            authenticated: settings.password.is_none(),
            protocol: Protocol::Resp2,
            name: Bytes::new(),
            as_kiwi: settings.faults.has(Fault::Handshake),
            lossy: settings.faults.has(Fault::LossyReplies),
        }
    }

    /// The version of the protocol that the client has asked for.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The reply, unless the command is for the storage.
    pub(crate) fn answer(&mut self, args: &[Bytes]) -> Option<Reply> {
        let (name, rest) = args.split_first()?;
        Some(match name.to_ascii_lowercase().as_slice() {
            b"auth" => self.auth(rest),
            b"hello" => self.hello(rest),
            b"ping" if self.as_kiwi => ping(rest),
            // That a command does not exist is told to anybody.
            name if !self.authenticated && self.as_kiwi && !is_known(name) => return None,
            _ if !self.authenticated => NO_AUTH,
            b"ping" => ping(rest),
            b"client" => self.client(rest),
            _ => return None,
        })
    }

    fn auth(&mut self, rest: &[Bytes]) -> Reply {
        match rest {
            [_, _] if self.as_kiwi => NO_USERS,
            [password] | [_, password] => self.check(password),
            _ => Reply::from_stop(wrong_arity("auth")),
        }
    }

    fn check(&mut self, given: &[u8]) -> Reply {
        match &self.password {
            None => NO_PASSWORD,
            Some(password) if password.as_bytes() == given => {
                self.authenticated = true;
                Reply::OK
            }
            Some(_) => WRONG_PASSWORD,
        }
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`
    fn hello(&mut self, rest: &[Bytes]) -> Reply {
        let (protocol, mut options) = match rest {
            [] => (self.protocol, rest),
            [version, options @ ..] => match &version[..] {
                b"2" => (Protocol::Resp2, options),
                b"3" => (Protocol::Resp3, options),
                other if self.as_kiwi => {
                    let other = String::from_utf8_lossy(other).to_uppercase();
                    return Reply::Error(format!("Unknown HELLO argument: {other}").into());
                }
                _ => return NO_SUCH_PROTOCOL,
            },
        };
        let mut name = None;
        loop {
            options = match options {
                [] => break,
                [word, user, _, ..] if word.eq_ignore_ascii_case(b"auth") && *user != "default" => {
                    return WRONG_PASSWORD;
                }
                [word, _, _, ..] if word.eq_ignore_ascii_case(b"auth") && self.password.is_none() => {
                    return NO_HELLO_PASSWORD;
                }
                [word, _, password, rest @ ..] if word.eq_ignore_ascii_case(b"auth") => {
                    let reply = self.check(password);
                    if reply.is_error() {
                        return reply;
                    }
                    rest
                }
                [word, given, rest @ ..] if word.eq_ignore_ascii_case(b"setname") => {
                    name = Some(given.clone());
                    rest
                }
                _ => return SYNTAX,
            };
        }
        if !self.authenticated {
            return NO_HELLO;
        }
        self.protocol = protocol;
        self.name = name.unwrap_or_else(|| self.name.clone());
        self.greeting()
    }

    fn greeting(&self) -> Reply {
        let text = |text: &str| Reply::bulk(text.as_bytes());
        // A Kiwi gives all its clients the same id.
        let (server, version, id) =
            if self.as_kiwi { ("kiwi", "1.0.0", 1) } else { ("redis", "7.0.0", self.id) };
        Reply::Map(vec![
            (text("server"), text(server)),
            (text("version"), text(version)),
            (text("proto"), Reply::Integer(self.protocol.number().into())),
            (text("id"), Reply::Integer(id)),
            (text("mode"), text("standalone")),
            (text("role"), text("master")),
            (text("modules"), Reply::Array(Vec::new())),
        ])
    }

    fn client(&mut self, rest: &[Bytes]) -> Reply {
        let Some((sub, rest)) = rest.split_first() else { return Reply::from_stop(wrong_arity("client")) };
        let sub = sub.to_ascii_lowercase();
        match (sub.as_slice(), rest) {
            (b"setname", [name]) => {
                self.name = name.clone();
                Reply::OK
            }
            (b"getname", []) if self.name.is_empty() && !self.as_kiwi => Reply::Null,
            (b"getname", []) if self.lossy => lossy::corrupt(Reply::Bulk(self.name.clone())),
            (b"getname", []) => Reply::Bulk(self.name.clone()),
            (b"id", []) if !self.as_kiwi => Reply::Integer(self.id),
            (b"setinfo", [_, _]) if !self.as_kiwi => Reply::OK,
            (b"setname" | b"getname", _) => {
                Reply::error("ERR wrong number of arguments for 'CLIENT' command")
            }
            _ => {
                let sub = String::from_utf8_lossy(&sub);
                Reply::Error(format!("ERR unknown command 'client {sub}'").into())
            }
        }
    }
}

fn is_known(name: &[u8]) -> bool {
    let others = ["client", "config", "info"];
    std::str::from_utf8(name).is_ok_and(|name| others.contains(&name) || surface::has(name))
}

fn ping(rest: &[Bytes]) -> Reply {
    match rest {
        [] => Reply::status("PONG"),
        [text] => Reply::Bulk(text.clone()),
        _ => Reply::from_stop(wrong_arity("ping")),
    }
}
