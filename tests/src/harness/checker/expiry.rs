//! Keys live as long as they were told to: not shorter, and not longer.
//!
//! Every key is set once, with a time to live, and read by others. The time counts from when the write was ordered,
//! which is between its sending and its answer. `slack` is what clocks, elections and the machine may add or take.

use std::collections::HashMap;
use std::time::Duration;

use super::Verdict;
use crate::harness::history::{Operation, Outcome};

/// What a client of this workload asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// SET with PX.
    Set(Duration),
    /// EXISTS.
    Exists,
}

/// A call and its end; the reply is 1 if the key is there, or was set.
pub type ExpiryOperation = Operation<Call, i64>;

/// Checks every read.
pub fn check(history: &[ExpiryOperation], slack: Duration) -> Verdict {
    let mut set: HashMap<&str, (&ExpiryOperation, Duration)> = HashMap::new();
    for operation in history {
        if let Call::Set(ttl) = operation.call {
            set.insert(&operation.key, (operation, ttl));
        }
    }
    let mut reads = history.iter().filter(|operation| operation.call == Call::Exists);
    let check = |read: &ExpiryOperation| {
        let Some(is_there) = read.reply().map(|reply| *reply == 1) else { return Ok(()) };
        let Some((write, ttl)) = set.get(read.key.as_str()) else {
            return if is_there { Err(format!("was never set: {}", read.line())) } else { Ok(()) };
        };
        judge(write, *ttl, read, is_there, slack)
            .map_err(|why| format!("{why}\n  {}\n  {}", write.line(), read.line()))
    };
    reads.try_for_each(check).into()
}

fn judge(
    write: &ExpiryOperation,
    ttl: Duration,
    read: &ExpiryOperation,
    is_there: bool,
    slack: Duration,
) -> Result<(), String> {
    // Without an outcome it may have been ordered late, and may yet be.
    let lives_until = (write.outcome != Outcome::Unknown).then(|| write.completed + ttl + slack);
    let surely_here_until = (write.invoked + ttl).saturating_sub(slack);
    if is_there && write.outcome == Outcome::Fail {
        return Err("was refused and is there".to_owned());
    }
    if is_there && lives_until.is_some_and(|until| read.invoked > until) {
        return Err("is still there".to_owned());
    }
    let was_set = write.reply().is_some() && write.completed < read.invoked;
    if !is_there && was_set && read.completed < surely_here_until {
        return Err("is gone too early".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: Duration = Duration::from_millis(100);

    fn op(at: u64, call: Call, outcome: Outcome<i64>) -> ExpiryOperation {
        let (invoked, completed) = (Duration::from_millis(at), Duration::from_millis(at + 10));
        Operation { client: 1, node: 0, key: "k".to_owned(), call, invoked, completed, outcome }
    }

    fn holds(write: Outcome<i64>, at: u64, is_there: bool) -> bool {
        let set = op(0, Call::Set(Duration::from_millis(1000)), write);
        let read = op(at, Call::Exists, Outcome::Ok(i64::from(is_there)));
        check(&[set, read], SLACK) == Verdict::Holds
    }

    #[test]
    fn a_key_that_lives_too_long_or_too_short_is_found() {
        let done = Outcome::Ok(1);
        assert!(holds(done.clone(), 500, true) && !holds(done.clone(), 500, false));
        assert!(holds(done.clone(), 950, true) && holds(done.clone(), 950, false));
        assert!(holds(done.clone(), 1200, false) && !holds(done, 1200, true));
    }

    #[test]
    fn a_key_whose_write_has_no_outcome_may_live_later_and_a_refused_one_never() {
        assert!(holds(Outcome::Unknown, 500, false));
        assert!(holds(Outcome::Unknown, 5000, true));
        assert!(!holds(Outcome::Fail, 500, true));
        assert!(holds(Outcome::Fail, 500, false));
    }
}
