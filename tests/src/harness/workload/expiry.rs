//! Clients that set keys with a time to live, and look whether they live that long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rand::Rng;

use super::{PAUSE, Remembered, lots};
use crate::differential::resp::Frame;
use crate::harness::checker::expiry::{Call, ExpiryOperation};
use crate::harness::client::{Client, Shared, remember};

/// Keys that are looked for at the same time.
const WATCHED: usize = 12;

/// A client of keys that expire.
pub(super) fn run(shared: &Arc<Shared>, number: u32) -> Remembered<ExpiryOperation> {
    let mut client = Client::new(shared, number, None);
    let mut lots = lots(shared.seed, number);
    let (mut history, mut watched) = (Vec::new(), VecDeque::new());
    for step in 0u32.. {
        if !shared.goes_on() {
            break;
        }
        let sets = lots.random_range(0..4) == 0;
        let (ttl, lot) = (lots.random_range(200..1500), lots.random_range(0..WATCHED));
        let told = if sets || watched.is_empty() {
            let key = format!("e{}:{number}:{step}", shared.round);
            let told = client.call(&["SET", &key, "v", "PX", &ttl.to_string()]);
            watched.push_back(key.clone());
            if watched.len() > WATCHED {
                watched.pop_front();
            }
            told.map(|told| (key, Call::Set(Duration::from_millis(ttl)), told))
        } else {
            let key: String = watched[lot % watched.len()].clone();
            let told = client.call(&["EXISTS", &key]);
            told.map(|told| (key, Call::Exists, told))
        };
        if let Some((key, call, told)) = told {
            history.push(remember(number, key, call, told, reply)?);
        }
        sleep(PAUSE);
    }
    Ok(history)
}

fn reply(frame: &Frame) -> Option<i64> {
    match frame {
        Frame::Status(text) if text == "OK" => Some(1),
        Frame::Integer(count) => Some(*count),
        _ => None,
    }
}
