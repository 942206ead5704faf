//! A writer that counts, and readers at every level on every node.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::{PAUSE, Remembered};
use crate::differential::resp::Frame;
use crate::harness::checker::levels::{Call, Level, LevelOperation};
use crate::harness::client::{Answer, Client, Shared, remember};

/// The levels, and how RAFT.CONSISTENCY takes them.
pub const LEVELS: [(Level, &str); 5] = [
    (Level::Linearizable, "linearizable"),
    (Level::Lease, "lease"),
    (Level::Bounded(Duration::from_millis(300)), "bounded 300"),
    (Level::Session, "session"),
    (Level::Eventual, "eventual"),
];

/// Reads on one node before a reader goes to the next.
const STAYS: u32 = 40;

fn key(shared: &Shared) -> String {
    format!("clock{}", shared.round)
}

fn value(frame: &Frame) -> Option<i64> {
    match frame {
        Frame::Null => Some(0),
        Frame::Integer(value) => Some(*value),
        Frame::Bulk(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

/// The writer.
pub(super) fn write(shared: &Arc<Shared>, number: u32) -> Remembered<LevelOperation> {
    let mut client = Client::new(shared, number, None);
    let (key, mut history) = (key(shared), Vec::new());
    while shared.goes_on() {
        if let Some(told) = client.call(&["INCR", &key]) {
            history.push(remember(number, key.clone(), Call::Incr, told, value)?);
        }
        sleep(PAUSE);
    }
    Ok(history)
}

/// A reader; its number says at which level.
pub(super) fn read(shared: &Arc<Shared>, number: u32) -> Remembered<LevelOperation> {
    let (level, name) = LEVELS[number as usize % LEVELS.len()];
    let mut client = Client::new(shared, number, Some(&format!("RAFT.CONSISTENCY {name}")));
    let (key, mut history) = (key(shared), Vec::new());
    let mut session = Session::default();
    while shared.goes_on() {
        if level == Level::Session && !session.arrive(&mut client) {
            continue;
        }
        for _ in 0..STAYS {
            let Some(told) = client.call(&["GET", &key]) else { break };
            let was_lost = !matches!(told.answer, Answer::Reply(_));
            history.push(remember(number, key.clone(), Call::Read(level), told, value)?);
            if was_lost || !shared.goes_on() {
                break;
            }
            if level == Level::Session && !session.note(&mut client) {
                // What was read last is not in the token: a session's promise ends with its connection.
                history.pop();
                break;
            }
            sleep(PAUSE);
        }
        client.leave();
    }
    Ok(history)
}

/// A session that goes from node to node with its token.
#[derive(Default)]
struct Session {
    token: i64,
}

impl Session {
    /// Waits on a new node for what the session has seen; whether it is there.
    fn arrive(&self, client: &mut Client) -> bool {
        let told = client.call(&["RAFT.WAIT", &self.token.to_string(), "500"]);
        let is_there = matches!(told, Some(told) if matches!(told.answer, Answer::Reply(Frame::Status(_))));
        if !is_there {
            client.leave();
        }
        is_there
    }

    /// Takes the token behind a read; whether it could.
    fn note(&mut self, client: &mut Client) -> bool {
        let told = client.call(&["RAFT.TOKEN"]);
        let token = told.and_then(|told| match told.answer {
            Answer::Reply(frame) => frame.integer(),
            Answer::Refused(_) | Answer::Lost(_) => None,
        });
        token.inspect(|token| self.token = *token).is_some()
    }
}
