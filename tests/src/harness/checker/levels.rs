//! What each level of reads promises, by arithmetic on a counter.
//!
//! A writer increments a counter, so its values say how old a read is. At `linearizable` and `lease` a read is not
//! below what was acknowledged before it began, at `bounded` not below what was acknowledged the bound before, at
//! `session` not below what the session has written or read. At every level it is not above what was asked for by
//! then: nobody reads what nobody wrote.

use std::collections::HashMap;
use std::time::Duration;

use super::Verdict;
use crate::harness::history::Operation;

/// How recent a read is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// As new as the moment it is asked.
    Linearizable,
    /// The same, by clocks that run alike.
    Lease,
    /// Not older than this.
    Bounded(Duration),
    /// Not older than what this session has seen.
    Session,
    /// Whatever its age.
    Eventual,
}

/// What a client of this workload asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// INCR.
    Incr,
    /// GET at a level.
    Read(Level),
}

/// A call and its end. A session is a client.
pub type LevelOperation = Operation<Call, i64>;

/// Checks every read.
pub fn check(history: &[LevelOperation]) -> Verdict {
    let mut keys: HashMap<&str, Vec<&LevelOperation>> = HashMap::new();
    for operation in history {
        keys.entry(&operation.key).or_default().push(operation);
    }
    let check_key = |operations: Vec<&LevelOperation>| {
        let counter = Counter::new(&operations);
        operations.iter().try_for_each(|operation| counter.check(operation))?;
        sessions(&operations)
    };
    keys.into_values().try_for_each(check_key).into()
}

/// What is known of the counter at each moment.
struct Counter {
    /// When which value, or a higher one, was acknowledged.
    acknowledged: Vec<(Duration, i64)>,
    /// When increments were sent that may have been done.
    sent: Vec<Duration>,
}

impl Counter {
    fn new(operations: &[&LevelOperation]) -> Self {
        let writes = || operations.iter().filter(|operation| operation.call == Call::Incr);
        let mut acknowledged: Vec<(Duration, i64)> =
            writes().filter_map(|write| Some((write.completed, *write.reply()?))).collect();
        acknowledged.sort_unstable();
        let mut highest = 0;
        for (_, value) in &mut acknowledged {
            highest = highest.max(*value);
            *value = highest;
        }
        let mut sent: Vec<Duration> =
            writes().filter(|write| write.may_be_done()).map(|write| write.invoked).collect();
        sent.sort_unstable();
        Self { acknowledged, sent }
    }

    /// The highest value that was acknowledged before a moment.
    fn least(&self, at: Duration) -> i64 {
        let count = self.acknowledged.partition_point(|(completed, _)| *completed < at);
        count.checked_sub(1).map_or(0, |last| self.acknowledged[last].1)
    }

    /// The highest value that there may have been at a moment.
    fn most(&self, at: Duration) -> i64 {
        self.sent.partition_point(|invoked| *invoked <= at) as i64
    }

    fn check(&self, operation: &LevelOperation) -> Result<(), String> {
        let (Call::Read(level), Some(value)) = (operation.call, operation.reply()) else { return Ok(()) };
        let least = match level {
            Level::Linearizable | Level::Lease => self.least(operation.invoked),
            Level::Bounded(bound) => self.least(operation.invoked.saturating_sub(bound)),
            Level::Session | Level::Eventual => 0,
        };
        let most = self.most(operation.completed);
        if (least..=most).contains(value) {
            return Ok(());
        }
        Err(format!("a read may answer {least} to {most}:\n  {}", operation.line()))
    }
}

/// A session reads nothing older than what it has read or written.
fn sessions(operations: &[&LevelOperation]) -> Result<(), String> {
    let mut by_client: HashMap<u32, Vec<&LevelOperation>> = HashMap::new();
    for operation in operations {
        by_client.entry(operation.client).or_default().push(operation);
    }
    for operations in by_client.values_mut() {
        operations.sort_by_key(|operation| operation.invoked);
        let mut seen = 0;
        for operation in operations {
            let Some(value) = operation.reply() else { continue };
            let is_session = operation.call == Call::Read(Level::Session);
            if is_session && *value < seen {
                return Err(format!("the session has seen {seen}:\n  {}", operation.line()));
            }
            if is_session || operation.call == Call::Incr {
                seen = seen.max(*value);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::history::Outcome;

    fn op(client: u32, from: u64, to: u64, call: Call, outcome: Outcome<i64>) -> LevelOperation {
        let (invoked, completed) = (Duration::from_millis(from), Duration::from_millis(to));
        Operation { client, node: 0, key: "k".to_owned(), call, invoked, completed, outcome }
    }

    fn read(level: Level, from: u64, value: i64) -> LevelOperation {
        op(2, from, from + 1, Call::Read(level), Outcome::Ok(value))
    }

    /// Three increments, acknowledged at 10, 110 and 210; a fourth of unknown outcome, sent at 300.
    fn with(reads: &[LevelOperation]) -> Verdict {
        let incr = |from, value| op(1, from, from + 10, Call::Incr, Outcome::Ok(value));
        let mut history = vec![incr(0, 1), incr(100, 2), incr(200, 3)];
        history.push(op(1, 300, 310, Call::Incr, Outcome::Unknown));
        history.push(op(1, 320, 330, Call::Incr, Outcome::Fail));
        history.extend_from_slice(reads);
        check(&history)
    }

    fn holds(level: Level, from: u64, value: i64) -> bool {
        with(&[read(level, from, value)]) == Verdict::Holds
    }

    #[test]
    fn reads_that_must_be_new_are_not_below_what_was_acknowledged_before() {
        for level in [Level::Linearizable, Level::Lease] {
            assert!(holds(level, 150, 2));
            assert!(!holds(level, 150, 1));
            assert!(!holds(level, 150, 3));
            // Beside the increment: before it or behind it.
            assert!(holds(level, 205, 2) && holds(level, 205, 3) && !holds(level, 205, 1));
        }
    }

    #[test]
    fn bounded_reads_are_not_below_what_was_acknowledged_the_bound_before() {
        let level = Level::Bounded(Duration::from_millis(100));
        assert!(holds(level, 205, 1));
        assert!(!holds(level, 215, 1));
        assert!(holds(level, 215, 2));
    }

    #[test]
    fn nobody_reads_what_nobody_wrote() {
        assert!(holds(Level::Eventual, 400, 0));
        assert!(holds(Level::Eventual, 400, 4));
        assert!(!holds(Level::Eventual, 400, 5));
        assert!(!holds(Level::Eventual, 250, 4));
    }

    #[test]
    fn a_session_does_not_go_back() {
        let session = |from, value| read(Level::Session, from, value);
        assert_eq!(with(&[session(350, 1), session(360, 1), session(370, 3)]), Verdict::Holds);
        assert_ne!(with(&[session(350, 3), session(360, 2)]), Verdict::Holds);
        let own = op(2, 340, 350, Call::Incr, Outcome::Ok(5));
        assert_eq!(with(&[own.clone(), session(360, 5)]), Verdict::Holds);
        assert_ne!(with(&[own, session(360, 4)]), Verdict::Holds);
    }
}
