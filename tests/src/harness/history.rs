//! Calls of clients: what was asked of which node, when, and how it ended.

use std::fmt::Debug;
use std::io::{self, Write};
use std::time::Duration;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<R> {
    /// It was answered.
    Ok(R),
    /// It was surely not done, and never will be.
    Fail,
    /// Nobody knows: it may have been done, or be done later, at most once.
    Unknown,
}

/// One call of one client. Times count from the beginning of the run.
#[derive(Clone, Debug)]
pub struct Operation<C, R> {
    /// Who called. A client makes one call at a time.
    pub client: u32,
    /// The node that was asked: its slot.
    pub node: usize,
    /// The key.
    pub key: String,
    /// What was asked.
    pub call: C,
    /// Before the request was sent.
    pub invoked: Duration,
    /// After the reply had come, or when it was given up.
    pub completed: Duration,
    /// How it ended.
    pub outcome: Outcome<R>,
}

impl<C, R> Operation<C, R> {
    /// The reply, if there was one.
    pub fn reply(&self) -> Option<&R> {
        match &self.outcome {
            Outcome::Ok(reply) => Some(reply),
            Outcome::Fail | Outcome::Unknown => None,
        }
    }

    /// Whether it may have had an effect.
    pub fn may_be_done(&self) -> bool {
        !matches!(self.outcome, Outcome::Fail)
    }
}

impl<C: Debug, R: Debug> Operation<C, R> {
    /// One line for people.
    pub fn line(&self) -> String {
        format!(
            "{:>12.6} {:>12.6} client {:<4} node {} {} {:?} -> {:?}",
            self.invoked.as_secs_f64(),
            self.completed.as_secs_f64(),
            self.client,
            self.node + 1,
            self.key,
            self.call,
            self.outcome
        )
    }
}

/// Writes a history, one call a line, in the order in which they were made.
pub fn write<C: Debug, R: Debug>(history: &[Operation<C, R>], out: &mut impl Write) -> io::Result<()> {
    let mut operations: Vec<_> = history.iter().collect();
    operations.sort_by_key(|operation| operation.invoked);
    operations.iter().try_for_each(|operation| writeln!(out, "{}", operation.line()))
}

/// How many were answered, refused, and left without an answer.
pub fn count<C, R>(history: &[Operation<C, R>]) -> [usize; 3] {
    let mut counts = [0; 3];
    for operation in history {
        let place = match operation.outcome {
            Outcome::Ok(_) => 0,
            Outcome::Fail => 1,
            Outcome::Unknown => 2,
        };
        counts[place] += 1;
    }
    counts
}
