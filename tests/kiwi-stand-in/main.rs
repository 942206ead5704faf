//! `kiwi-stand-in`: a small server that answers as a stand-alone Kiwi does, faults included, for tests that have no
//! Kiwi at hand.
//!
//! What a command does comes from the product's own `adapter` crate, in memory. This adds what a Kiwi does otherwise.
//! Each fault is a switch: [`fault::Fault`] is the list, `--help` shows it, `--without` turns some off.
//!
//! | module | what it says |
//! |---|---|
//! | [`options`] | the command line and the configuration file |
//! | [`fault`] | the faults |
//! | [`server`] | listens, and starts everything else |
//! | [`connection`] | one client: one command at a time, replies that are cut |
//! | [`request`] | which requests are too long |
//! | [`session`] | PING, AUTH, HELLO, CLIENT: what does not touch the storage |
//! | [`batcher`] | storage commands wait for each other and run in any order |
//! | [`refused`] | writes that were refused and run nevertheless |
//! | [`execute`] | one storage command, from its name to its reply |
//! | [`surface`] | which commands there are, and with how many arguments |
//! | [`constants`] | INFO and CONFIG GET |
//! | [`bend`] | the commands that answer or do something else than in Redis |
//! | [`slot`] | which keys may stand in one command |
//! | [`lossy`] | what becomes of bytes that are not UTF-8 |
//! | [`store`] | the data, and what a client command did to it |
//! | [`journal`] | the file that the data comes back from, and power cuts |

mod batcher;
mod bend;
mod connection;
mod constants;
mod execute;
mod fault;
mod journal;
mod lossy;
mod options;
mod refused;
mod request;
mod server;
mod session;
mod slot;
mod store;
mod surface;

use std::process::ExitCode;

use crate::options::Settings;

fn main() -> ExitCode {
    match Settings::read().and_then(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kiwi-stand-in: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start(settings: Settings) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| format!("no threads: {error}"))?.block_on(server::run(settings))
}
