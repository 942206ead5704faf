//! Clients that add to lists, sets and counters, each element once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::sleep;

use rand::Rng;

use super::{PAUSE, Remembered, lots};
use crate::differential::resp::Frame;
use crate::harness::checker::collections::{Call, CollectionOperation, Held};
use crate::harness::client::{Client, Shared, remember};

/// Collections of each kind.
const EACH: u32 = 2;

/// A client of collections.
pub(super) fn run(shared: &Arc<Shared>, number: u32) -> Remembered<CollectionOperation> {
    let mut client = Client::new(shared, number, None);
    let mut lots = lots(shared.seed, number);
    let (mut history, mut added) = (Vec::new(), Vec::new());
    for step in 0u32.. {
        let (kind, which) = (lots.random_range(0..4), lots.random_range(0..EACH));
        let element = format!("{number}:{step}");
        let (name, call) = match kind {
            0 => ("list", Call::Push(element)),
            1 => ("counter", Call::Incr),
            2 => ("set", Call::Add(element)),
            _ => ("set", Call::Remove(String::new())),
        };
        let mut key = format!("{name}{}:{which}", shared.round);
        let call = match (call, lots.random_range(0..=u32::MAX)) {
            (Call::Remove(_), _) if added.is_empty() => Call::Add(format!("{number}:{step}")),
            (Call::Remove(_), lot) => {
                // One that it has added, to whichever set.
                let (set, member): (String, String) = added.swap_remove(lot as usize % added.len());
                key = set;
                Call::Remove(member)
            }
            (call, _) => call,
        };
        let Some(operation) = ask_until(&mut client, &key, &call)? else { break };
        if let (Call::Add(member), Some(_)) = (&call, operation.reply()) {
            added.push((key.clone(), member.clone()));
        }
        history.push(operation);
        sleep(PAUSE);
    }
    Ok(history)
}

/// One call, once somebody can be asked; none if the clients are to end.
fn ask_until(client: &mut Client, key: &str, call: &Call) -> Result<Option<CollectionOperation>, String> {
    while client.shared.goes_on() {
        let told = match call {
            Call::Push(element) => client.call(&["RPUSH", key, element]),
            Call::Add(member) => client.call(&["SADD", key, member]),
            Call::Remove(member) => client.call(&["SREM", key, member]),
            Call::Incr => client.call(&["INCR", key]),
        };
        if let Some(told) = told {
            let number = client.number;
            return remember(number, key.to_owned(), call.clone(), told, Frame::integer).map(Some);
        }
    }
    Ok(None)
}

/// The keys of a history, and what asks for everything that each holds.
pub fn reads(history: &[CollectionOperation]) -> BTreeMap<String, Vec<&'static str>> {
    let keys: BTreeSet<&str> = history.iter().map(|operation| operation.key.as_str()).collect();
    let command = |key: &str| match key.as_bytes().first() {
        Some(b'l') => vec!["LRANGE", "0", "-1"],
        Some(b's') => vec!["SMEMBERS"],
        _ => vec!["GET"],
    };
    keys.into_iter().map(|key| (key.to_owned(), command(key))).collect()
}

/// What a key holds, from the answer to its command.
pub fn held(command: &str, frame: &Frame) -> Option<Held> {
    let text = |frame: &Frame| Some(String::from_utf8_lossy(frame.bytes()?).into_owned());
    let texts = |frame: &Frame| frame.items().into_iter().map(text).collect::<Option<Vec<_>>>();
    match (command, frame) {
        ("GET", Frame::Null) => Some(Held::Counter(0)),
        ("GET", frame) => Some(Held::Counter(text(frame)?.parse().ok()?)),
        ("LRANGE", frame) => Some(Held::List(texts(frame)?)),
        (_, frame) => Some(Held::Set(texts(frame)?)),
    }
}
