//! The error texts that Redis's users know, word for word.

use crate::error::Stop;

/// A command of one type met a key of another.
pub const WRONG_TYPE: Stop = Stop::text("WRONGTYPE Operation against a key holding the wrong kind of value");
/// Options do not fit together.
pub const SYNTAX: Stop = Stop::text("ERR syntax error");
/// Not a 64-bit integer.
pub const NOT_INTEGER: Stop = Stop::text("ERR value is not an integer or out of range");
/// Not a number.
pub const NOT_FLOAT: Stop = Stop::text("ERR value is not a valid float");
/// A key that must exist does not.
pub const NO_SUCH_KEY: Stop = Stop::text("ERR no such key");
/// An index past the end.
pub const INDEX_OUT_OF_RANGE: Stop = Stop::text("ERR index out of range");
/// A string would grow past 512 MiB.
pub const STRING_TOO_LONG: Stop = Stop::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
/// A sum that no integer holds.
pub const OVERFLOW: Stop = Stop::text("ERR increment or decrement would overflow");

/// A sum that no finite number holds.
pub const NAN_OR_INFINITY: Stop = Stop::text("ERR increment would produce NaN or Infinity");

/// How much of the arguments the error for an unknown command repeats, in bytes.
const SHOWN: usize = 128;

/// No such command.
pub fn unknown_command(args: &[&[u8]]) -> Stop {
    let (name, rest) = args.split_first().map_or((&b""[..], args), |(name, rest)| (*name, rest));
    let mut text = format!("ERR unknown command '{}', with args beginning with: ", beginning(name, SHOWN));
    let mut used = 0;
    for arg in rest {
        if used >= SHOWN {
            break;
        }
        let piece = format!("'{}' ", beginning(arg, SHOWN - used));
        used += piece.len();
        text.push_str(&piece);
    }
    Stop::say(one_line(text))
}

/// No such subcommand.
pub fn unknown_subcommand(command: &str, sub: &[u8]) -> Stop {
    Stop::say(one_line(format!(
        "ERR unknown subcommand '{}'. Try {} HELP.",
        beginning(sub, SHOWN),
        command.to_ascii_uppercase()
    )))
}

/// The number of arguments is wrong. `name` is `get` or `object|encoding`.
pub fn wrong_arity(name: &str) -> Stop {
    Stop::say(format!("ERR wrong number of arguments for '{name}' command"))
}

/// What a client has sent, as far as an error repeats it.
pub fn shown(bytes: &[u8]) -> String {
    one_line(beginning(bytes, SHOWN))
}

fn beginning(bytes: &[u8], most: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned()
}

/// An error is one line on the wire: line breaks become spaces, as in Redis.
fn one_line(text: String) -> String {
    text.replace(['\r', '\n'], " ")
}
