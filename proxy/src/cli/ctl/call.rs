//! One call of `ctl`: where it goes, what it sends, and how the reply is shown.

use std::time::Duration;

use clap::ArgMatches;
use redis_protocol::resp2::types::BytesFrame;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::failure::Failure;

/// One call of `ctl`.
pub(super) struct Call<'a> {
    pub(super) args: &'a ArgMatches,
    pub(super) address: &'a str,
    pub(super) password: Option<&'a str>,
    pub(super) patience: Duration,
}

impl Call<'_> {
    /// A connection to the node.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::connect(self.address, self.password, self.patience)
    }

    /// Sends one command.
    pub(super) fn ask(&self, command: &[&str]) -> Result<BytesFrame, Failure> {
        self.client()?.call(command)
    }

    /// Sends one command that changes something, and says what was done.
    pub(super) fn change(&self, command: &[&str], done: impl std::fmt::Display) -> Result<(), Failure> {
        let reply = self.ask(command)?;
        self.show(&done.to_string(), json!({ "done": done.to_string(), "reply": plain(&reply) }))
    }

    /// As [`Self::change`], with FORCE where that is asked for.
    pub(super) fn change_by_force(
        &self,
        command: &[&str],
        done: impl std::fmt::Display,
    ) -> Result<(), Failure> {
        self.change(&self.forced(command), done)
    }

    /// The command, with FORCE where that is asked for.
    pub(super) fn forced<'a>(&self, command: &[&'a str]) -> Vec<&'a str> {
        let force: &[&str] = if self.args.get_flag("force") { &["FORCE"] } else { &[] };
        [command, force].concat()
    }

    /// Prints a line, or JSON.
    pub(super) fn show(&self, line: &str, value: Value) -> Result<(), Failure> {
        if self.args.get_flag("json") { print_json(&value) } else { print_line(line) }
    }

    /// An argument; empty if it is not given.
    pub(super) fn text(&self, name: &str) -> &str {
        self.args.get_one::<String>(name).map_or("", String::as_str)
    }

    /// The node that the subcommand is about; empty for none.
    pub(super) fn id(&self) -> String {
        // Not every subcommand has this argument.
        self.args.try_get_one::<u64>("id").ok().flatten().map(u64::to_string).unwrap_or_default()
    }
}

/// A reply as JSON.
pub(super) fn plain(frame: &BytesFrame) -> Value {
    match frame {
        BytesFrame::SimpleString(bytes) | BytesFrame::BulkString(bytes) => {
            String::from_utf8_lossy(bytes).into_owned().into()
        }
        BytesFrame::Error(text) => text.to_string().into(),
        BytesFrame::Integer(number) => (*number).into(),
        BytesFrame::Array(items) => items.iter().map(plain).collect::<Vec<_>>().into(),
        BytesFrame::Null => Value::Null,
    }
}

/// Prints JSON.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::because("cannot write JSON"))?;
    println!("{text}");
    Ok(())
}

fn print_line(line: &str) -> Result<(), Failure> {
    println!("{line}");
    Ok(())
}
