//! What the differential test needs: a real Redis beside the storages of this project, and commands for both.
//!
//! | module | what it says |
//! |---|---|
//! | [`grammar`] | how the calls of every command look: the source of random calls |
//! | [`words`] | the words that calls are made of: keys, values, numbers, valid and invalid |
//! | [`resp`] | frames of both protocol versions, with nothing lost that a client could see |
//! | [`server`] | a `redis-server` process |
//! | [`storage`] | an adapter that is called like a server |
//! | [`compare`] | which replies are equal |
//! | [`content`] | all that a database holds |

pub mod compare;
pub mod content;
pub mod grammar;
pub mod resp;
pub mod server;
pub mod storage;
pub mod words;

/// A call: the command's name and its arguments.
pub type Call = Vec<Vec<u8>>;

/// A call made of texts.
pub fn call(args: &[&[u8]]) -> Call {
    args.iter().map(|arg| arg.to_vec()).collect()
}

/// A call for people to read, and to paste into `redis-cli`.
pub fn show(call: &[Vec<u8>]) -> String {
    call.iter().map(|arg| format!("\"{}\"", arg.escape_ascii())).collect::<Vec<_>>().join(" ")
}
