//! Clients that read and change the same few registers, through all nodes.

use std::sync::Arc;
use std::thread::sleep;

use rand::Rng;
use rand::rngs::StdRng;

use super::{PAUSE, Remembered, lots};
use crate::differential::resp::Frame;
use crate::harness::checker::register::{Call, RegisterOperation, Reply};
use crate::harness::client::{Client, Shared, remember};

/// Registers that are in use at the same time.
const HOT: u64 = 3;
/// Calls of a client after which it turns to other registers, so that no history of one becomes too long to judge.
const CALLS: u64 = 60;

/// What a client asks by turns, without end.
pub struct Asks {
    lots: StdRng,
    client: u32,
    round: usize,
    number: u64,
}

impl Asks {
    /// Drawn from the round's seed.
    pub fn new(seed: u64, round: usize, client: u32) -> Self {
        Self { lots: lots(seed, client), client, round, number: 0 }
    }
}

impl Iterator for Asks {
    type Item = (String, Call);

    fn next(&mut self) -> Option<Self::Item> {
        let register = self.number / CALLS * HOT + self.lots.random_range(0..HOT);
        self.number += 1;
        // A value that nobody else writes, with room for increments.
        let value = (i64::from(self.client) * 1_000_000 + self.number as i64) * 1000;
        let call = match self.lots.random_range(0..20) {
            0..8 => Call::Get,
            8..11 => Call::Set(value),
            11 | 12 => Call::SetNx(value),
            13 | 14 => Call::GetSet(value),
            15 | 16 => Call::Incr,
            17 | 18 => Call::Del,
            _ => Call::GetDel,
        };
        Some((format!("r{}:{register}", self.round), call))
    }
}

/// A client of registers.
pub(super) fn run(shared: &Arc<Shared>, number: u32) -> Remembered<RegisterOperation> {
    let mut client = Client::new(shared, number, shared.greeting);
    let mut history = Vec::new();
    for (key, call) in Asks::new(shared.seed, shared.round, number) {
        // An answer is waited for once there is somebody to ask: the row of calls does not depend on who is there.
        while shared.goes_on() {
            if let Some(operation) = ask(&mut client, &key, &call)? {
                history.push(operation);
                break;
            }
        }
        if !shared.goes_on() {
            break;
        }
        sleep(PAUSE);
    }
    Ok(history)
}

/// One call; none if nobody could be connected to.
pub fn ask(client: &mut Client, key: &str, call: &Call) -> Result<Option<RegisterOperation>, String> {
    let value;
    let mut args = vec![word(call), key];
    if let Call::Set(number) | Call::SetNx(number) | Call::GetSet(number) = call {
        value = number.to_string();
        args.push(&value);
    }
    let told = client.call(&args);
    let number = client.number;
    told.map(|told| remember(number, key.to_owned(), call.clone(), told, |frame| reply(call, frame)))
        .transpose()
}

fn word(call: &Call) -> &'static str {
    match call {
        Call::Get => "GET",
        Call::Set(_) => "SET",
        Call::SetNx(_) => "SETNX",
        Call::GetSet(_) => "GETSET",
        Call::GetDel => "GETDEL",
        Call::Incr => "INCR",
        Call::Del => "DEL",
    }
}

fn reply(call: &Call, frame: &Frame) -> Option<Reply> {
    match (call, frame) {
        (Call::Set(_), Frame::Status(text)) if text == "OK" => Some(Reply::Done),
        (Call::Get | Call::GetSet(_) | Call::GetDel, Frame::Null) => Some(Reply::Value(None)),
        (Call::Get | Call::GetSet(_) | Call::GetDel, Frame::Bulk(bytes)) => {
            Some(Reply::Value(Some(std::str::from_utf8(bytes).ok()?.parse().ok()?)))
        }
        (Call::SetNx(_) | Call::Del, Frame::Integer(done @ (0 | 1))) => Some(Reply::Flag(*done == 1)),
        (Call::Incr, Frame::Integer(value)) => Some(Reply::Number(*value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_calls_and_another_one_others() {
        let calls = |seed, client| Asks::new(seed, 3, client).take(500).collect::<Vec<_>>();
        assert_eq!(calls(7, 1), calls(7, 1));
        assert_ne!(calls(7, 1), calls(8, 1));
        assert_ne!(calls(7, 1), calls(7, 2));
    }
}
