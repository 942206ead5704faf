//! Linearizability of registers, one for each key.
//!
//! The search is Wing and Gong's, with Lowe's memory of what was tried: it puts one call after the other in an order
//! that keeps real time, follows the register's value, and goes back where a reply does not fit. What was put in
//! order and the value then reached are remembered, so that no such pair is explored twice. (G. Lowe, "Testing for
//! linearizability", 2017, section 3.)
//!
//! A call of unknown outcome may be put anywhere behind its beginning, or nowhere.

use std::collections::{BTreeMap, HashSet};

use super::Verdict;
use crate::harness::history::{Operation, Outcome};

/// What can be asked of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// GET
    Get,
    /// SET
    Set(i64),
    /// SET with NX
    SetNx(i64),
    /// GETSET
    GetSet(i64),
    /// GETDEL
    GetDel,
    /// INCR
    Incr,
    /// DEL
    Del,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To SET: OK.
    Done,
    /// To GET, GETSET, GETDEL: the value before.
    Value(Option<i64>),
    /// To SET with NX and to DEL: whether anything was done.
    Flag(bool),
    /// To INCR: the value behind it.
    Number(i64),
}

/// A call and its end.
pub type RegisterOperation = Operation<Call, Reply>;

/// A register's value.
type State = Option<i64>;

impl Call {
    /// The value behind this call, and its reply.
    pub fn apply(&self, state: State) -> (State, Reply) {
        match self {
            Self::Get => (state, Reply::Value(state)),
            Self::Set(value) => (Some(*value), Reply::Done),
            Self::SetNx(value) => (state.or(Some(*value)), Reply::Flag(state.is_none())),
            Self::GetSet(value) => (Some(*value), Reply::Value(state)),
            Self::GetDel => (None, Reply::Value(state)),
            Self::Incr => {
                let next = state.unwrap_or(0) + 1;
                (Some(next), Reply::Number(next))
            }
            Self::Del => (None, Reply::Flag(state.is_some())),
        }
    }
}

/// Checks every key by itself. At most `budget` places of the search are visited for each.
pub fn check(history: &[RegisterOperation], budget: usize) -> Verdict {
    let mut keys: BTreeMap<&str, Vec<&RegisterOperation>> = BTreeMap::new();
    for operation in history {
        // What was not done says nothing, and a read without an answer neither.
        let says_nothing = operation.call == Call::Get && operation.outcome == Outcome::Unknown;
        if operation.may_be_done() && !says_nothing {
            keys.entry(&operation.key).or_default().push(operation);
        }
    }
    let mut undecided = Verdict::Holds;
    for (key, operations) in keys {
        match Search::new(&operations).run(budget) {
            Found::Order => {}
            Found::None { told } => return Verdict::Broken(format!("{key} is not linearizable: {told}")),
            Found::OutOfBudget => {
                undecided = Verdict::Unknown(format!(
                    "{key}: {} calls, not decided in {budget} steps",
                    operations.len()
                ));
            }
        }
    }
    undecided
}

enum Found {
    Order,
    None { told: String },
    OutOfBudget,
}

/// One side of a call, in a list that is linked both ways, so that a call can be taken out and put back.
struct Event {
    operation: usize,
    is_call: bool,
    /// The other side.
    other: usize,
    next: usize,
    previous: usize,
}

/// The list's head, which is no event.
const HEAD: usize = 0;

struct Search<'a> {
    operations: &'a [&'a RegisterOperation],
    /// By time; event 0 is the head.
    events: Vec<Event>,
    /// For a call without outcome: an earlier one that is the same, which can as well come first.
    twin: Vec<Option<usize>>,
    /// What is in order so far: a bit for each call.
    placed: Vec<u64>,
    state: State,
    /// The order so far: the calls' events, with the values before them.
    order: Vec<(usize, State)>,
    /// Calls with a reply that are not in order yet.
    left: usize,
    seen: HashSet<(Vec<u64>, State)>,
    /// The longest order so far, with what could not be put behind it.
    longest: (Vec<usize>, Option<usize>),
}

impl<'a> Search<'a> {
    fn new(operations: &'a [&'a RegisterOperation]) -> Self {
        Self {
            operations,
            events: events(operations),
            twin: twins(operations),
            placed: vec![0; operations.len().div_ceil(64)],
            state: None,
            order: Vec::new(),
            left: operations.iter().filter(|operation| operation.reply().is_some()).count(),
            seen: HashSet::new(),
            longest: (Vec::new(), None),
        }
    }

    fn run(mut self, budget: usize) -> Found {
        let mut event = self.events[HEAD].next;
        while self.left > 0 {
            if self.seen.len() > budget {
                return Found::OutOfBudget;
            }
            if self.events[event].is_call {
                event = if self.place(event) { self.events[HEAD].next } else { self.events[event].next };
                continue;
            }
            // This one has ended and must be in order before: something before it was wrong.
            self.note(event);
            let Some((last, state)) = self.order.pop() else { return Found::None { told: self.told() } };
            self.take_back(last, state);
            event = self.events[last].next;
        }
        Found::Order
    }

    /// Puts a call behind the order so far, if its reply fits there and that was not tried before.
    fn place(&mut self, event: usize) -> bool {
        let number = self.events[event].operation;
        let operation = self.operations[number];
        let (after, reply) = operation.call.apply(self.state);
        match operation.reply() {
            Some(told) if *told != reply => return false,
            Some(_) => {}
            // One that changes nothing here may as well come never; one of two that are the same comes first.
            None if after == self.state => return false,
            None if self.twin[number].is_some_and(|twin| !self.is_placed(twin)) => return false,
            None => {}
        }
        self.placed[number / 64] |= 1 << (number % 64);
        if !self.seen.insert((self.placed.clone(), after)) {
            self.placed[number / 64] &= !(1 << (number % 64));
            return false;
        }
        self.order.push((event, self.state));
        self.state = after;
        self.left -= usize::from(operation.reply().is_some());
        self.unlink(self.events[event].other);
        self.unlink(event);
        true
    }

    fn take_back(&mut self, event: usize, state: State) {
        let number = self.events[event].operation;
        self.relink(event);
        self.relink(self.events[event].other);
        self.placed[number / 64] &= !(1 << (number % 64));
        self.state = state;
        self.left += usize::from(self.operations[number].reply().is_some());
    }

    fn is_placed(&self, number: usize) -> bool {
        self.placed[number / 64] & (1 << (number % 64)) != 0
    }

    fn unlink(&mut self, event: usize) {
        let (previous, next) = (self.events[event].previous, self.events[event].next);
        self.events[previous].next = next;
        self.events[next].previous = previous;
    }

    fn relink(&mut self, event: usize) {
        let (previous, next) = (self.events[event].previous, self.events[event].next);
        self.events[previous].next = event;
        self.events[next].previous = event;
    }

    fn note(&mut self, end: usize) {
        if self.longest.1.is_none() || self.order.len() > self.longest.0.len() {
            let order = self.order.iter().map(|(event, _)| self.events[*event].operation).collect();
            self.longest = (order, Some(self.events[end].operation));
        }
    }

    /// The end of the longest order, and what does not fit behind it.
    fn told(&self) -> String {
        let (order, stuck) = &self.longest;
        let state = order.iter().fold(None, |state, number| self.operations[*number].call.apply(state).0);
        let mut told = format!("{} calls can be put in order, up to", order.len());
        for number in order.iter().skip(order.len().saturating_sub(6)) {
            told += &format!("\n  {}", self.operations[*number].line());
        }
        told += &format!("\nwhere the value is {state:?}; nothing then explains");
        stuck.iter().for_each(|number| told += &format!("\n  {}", self.operations[*number].line()));
        let end = stuck.map(|number| self.operations[number].completed);
        let beside = (0..self.operations.len()).filter(|number| {
            let began = self.operations[*number].invoked;
            !order.contains(number) && Some(*number) != *stuck && end.is_some_and(|end| began <= end)
        });
        let beside: Vec<usize> = beside.collect();
        if !beside.is_empty() {
            told += "\nnot placed, and begun before its end:";
        }
        beside.iter().take(12).for_each(|n| told += &format!("\n  {}", self.operations[*n].line()));
        told
    }
}

/// The beginnings and ends of calls in the order of time. At the same instant all begin before any ends: then more
/// orders are allowed. Without an outcome a call ends behind everything.
fn events(operations: &[&RegisterOperation]) -> Vec<Event> {
    let mut sides: Vec<(bool, std::time::Duration, bool, usize)> = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        sides.push((false, operation.invoked, false, number));
        sides.push((operation.reply().is_none(), operation.completed, true, number));
    }
    sides.sort_unstable();
    let mut events =
        vec![Event { operation: usize::MAX, is_call: false, other: HEAD, next: 1, previous: sides.len() }];
    let mut begun = vec![HEAD; operations.len()];
    for (place, (_, _, is_end, operation)) in sides.iter().enumerate() {
        let at = place + 1;
        let next = if at == sides.len() { HEAD } else { at + 1 };
        events.push(Event {
            operation: *operation,
            is_call: !is_end,
            other: begun[*operation],
            next,
            previous: place,
        });
        if *is_end {
            let beginning = begun[*operation];
            events[beginning].other = at;
        }
        begun[*operation] = at;
    }
    events
}

fn twins(operations: &[&RegisterOperation]) -> Vec<Option<usize>> {
    let mut numbers: Vec<usize> = (0..operations.len()).collect();
    numbers.sort_by_key(|number| operations[*number].invoked);
    let mut twins = vec![None; operations.len()];
    for (place, number) in numbers.iter().enumerate() {
        let operation = operations[*number];
        if operation.reply().is_none() {
            let before = numbers[..place].iter().rev();
            twins[*number] = before.copied().find(|other| {
                operations[*other].reply().is_none() && operations[*other].call == operation.call
            });
        }
    }
    twins
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const BUDGET: usize = 1_000_000;

    /// A call from one millisecond to another.
    fn op(client: u32, from: u64, to: u64, call: Call, outcome: Outcome<Reply>) -> RegisterOperation {
        let (invoked, completed) = (Duration::from_millis(from), Duration::from_millis(to));
        Operation { client, node: 0, key: "k".to_owned(), call, invoked, completed, outcome }
    }

    fn value(value: i64) -> Outcome<Reply> {
        Outcome::Ok(Reply::Value(Some(value)))
    }

    const NIL: Outcome<Reply> = Outcome::Ok(Reply::Value(None));
    const DONE: Outcome<Reply> = Outcome::Ok(Reply::Done);

    fn holds(history: &[RegisterOperation]) -> bool {
        match check(history, BUDGET) {
            Verdict::Holds => true,
            Verdict::Broken(_) => false,
            Verdict::Unknown(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_read_of_what_was_written_before_holds_and_a_stale_one_does_not() {
        let write = |v, from, to| op(1, from, to, Call::Set(v), DONE);
        assert!(holds(&[write(1, 0, 1), write(2, 2, 3), op(2, 4, 5, Call::Get, value(2))]));
        assert!(!holds(&[write(1, 0, 1), write(2, 2, 3), op(2, 4, 5, Call::Get, value(1))]));
        // Beside the second write either is right.
        for seen in [1, 2] {
            assert!(holds(&[write(1, 0, 1), write(2, 2, 5), op(2, 3, 4, Call::Get, value(seen))]));
        }
        assert!(!holds(&[write(1, 0, 1), write(2, 2, 5), op(2, 3, 4, Call::Get, NIL)]));
    }

    #[test]
    fn two_reads_beside_a_write_may_not_go_back() {
        let write = op(1, 0, 9, Call::Set(1), DONE);
        let old_then_new = [write.clone(), op(2, 1, 2, Call::Get, NIL), op(3, 3, 4, Call::Get, value(1))];
        let new_then_old = [write, op(2, 1, 2, Call::Get, value(1)), op(3, 3, 4, Call::Get, NIL)];
        assert!(holds(&old_then_new));
        assert!(!holds(&new_then_old));
    }

    #[test]
    fn an_acknowledged_write_that_is_gone_is_found() {
        assert!(!holds(&[op(1, 0, 1, Call::Set(7), DONE), op(2, 2, 3, Call::Get, NIL)]));
        let set_nx = |won| op(2, 2, 3, Call::SetNx(8), Outcome::Ok(Reply::Flag(won)));
        assert!(!holds(&[op(1, 0, 1, Call::Set(7), DONE), set_nx(true)]));
        assert!(holds(&[op(1, 0, 1, Call::Set(7), DONE), set_nx(false)]));
        assert!(!holds(&[op(1, 0, 1, Call::Set(7), DONE), op(2, 2, 3, Call::GetSet(8), NIL)]));
    }

    #[test]
    fn an_increment_that_is_done_twice_or_not_at_all_is_found() {
        let incr =
            |client, from, to, answer| op(client, from, to, Call::Incr, Outcome::Ok(Reply::Number(answer)));
        assert!(holds(&[incr(1, 0, 3, 2), incr(2, 1, 2, 1)]));
        assert!(!holds(&[incr(1, 0, 1, 1), incr(2, 2, 3, 3)]));
        assert!(!holds(&[incr(1, 0, 3, 1), incr(2, 1, 2, 1)]));
        assert!(!holds(&[incr(1, 0, 1, 2), incr(2, 2, 3, 1)]));
    }

    #[test]
    fn a_write_of_unknown_outcome_is_done_once_at_any_time_or_never() {
        let unknown = op(1, 0, 1, Call::Incr, Outcome::Unknown);
        let get = |from, seen| op(2, from, from + 1, Call::Get, seen);
        // Never, at once, and late.
        assert!(holds(&[unknown.clone(), get(5, NIL)]));
        assert!(holds(&[unknown.clone(), get(5, value(1))]));
        assert!(holds(&[unknown.clone(), get(5, NIL), get(7, value(1))]));
        // Not twice, not undone, and not before it was sent.
        assert!(!holds(&[unknown.clone(), get(5, value(2))]));
        assert!(!holds(&[unknown.clone(), get(5, value(1)), get(7, NIL)]));
        let later = op(1, 20, 21, Call::Incr, Outcome::Unknown);
        assert!(!holds(&[later, get(5, value(1))]));
    }

    #[test]
    fn a_write_that_was_refused_must_not_be_seen() {
        let refused = op(1, 0, 1, Call::Set(7), Outcome::Fail);
        assert!(!holds(&[refused.clone(), op(2, 2, 3, Call::Get, value(7))]));
        assert!(holds(&[refused, op(2, 2, 3, Call::Get, NIL)]));
    }

    #[test]
    fn the_same_writes_of_unknown_outcome_may_each_be_done() {
        let unknown = |at| op(at as u32, at, at + 1, Call::Incr, Outcome::Unknown);
        let mut history: Vec<_> = (0..20).map(unknown).collect();
        history.push(op(99, 50, 51, Call::Get, value(20)));
        assert!(holds(&history));
        history.push(op(99, 52, 53, Call::Get, value(21)));
        assert!(!holds(&history));
    }

    /// A register that is linearizable by construction: each call takes effect at an instant between its ends.
    fn simulate(seed: u64, calls: usize, clients: u32) -> Vec<RegisterOperation> {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut free: Vec<u64> = vec![0; clients as usize];
        let mut planned: Vec<(u64, RegisterOperation)> = (0..calls)
            .map(|number| {
                let client = rng.random_range(0..clients);
                let from = free[client as usize] + rng.random_range(0..4);
                let to = from + rng.random_range(1..20);
                free[client as usize] = to + 1;
                let call = random_call(&mut rng, number as i64);
                (rng.random_range(from..=to), op(client, from, to, call, Outcome::Fail))
            })
            .collect();
        planned.sort_by_key(|(instant, operation)| (*instant, operation.client));
        let mut state = None;
        for (_, operation) in &mut planned {
            let lot = rng.random_range(0..20);
            if lot == 0 {
                // Refused, and not done.
                continue;
            }
            let (after, reply) = operation.call.apply(state);
            operation.outcome = if lot == 1 { Outcome::Unknown } else { Outcome::Ok(reply) };
            // Without an outcome it may not have been done either.
            if lot != 1 || rng.random_bool(0.5) {
                state = after;
            }
        }
        planned.into_iter().map(|(_, operation)| operation).collect()
    }

    fn random_call(rng: &mut StdRng, number: i64) -> Call {
        match rng.random_range(0..10) {
            0..4 => Call::Get,
            4 | 5 => Call::Set(number * 1000),
            6 => Call::SetNx(number * 1000),
            7 => Call::GetSet(number * 1000),
            8 => Call::Incr,
            _ if number % 2 == 0 => Call::Del,
            _ => Call::GetDel,
        }
    }

    #[test]
    fn histories_of_a_linearizable_register_hold() {
        for seed in 0..300 {
            let history = simulate(seed, 200, 6);
            if let Verdict::Broken(why) | Verdict::Unknown(why) = check(&history, BUDGET) {
                panic!("seed {seed}: {why}");
            }
        }
    }

    #[test]
    fn a_history_in_which_one_read_is_made_stale_is_found_out() {
        let (mut changed, mut found) = (0, 0);
        for seed in 0..300 {
            let mut history = simulate(seed, 200, 6);
            // A read that answers what the register held long before.
            let reads: Vec<usize> = (0..history.len())
                .filter(|n| history[*n].call == Call::Get && history[*n].reply().is_some())
                .collect();
            let (early, late) = (reads[reads.len() / 4], reads[reads.len() - 1]);
            let old = history[early].outcome.clone();
            if old == history[late].outcome || old == NIL {
                continue;
            }
            changed += 1;
            history[late].outcome = old;
            found += usize::from(matches!(check(&history, BUDGET), Verdict::Broken(_)));
        }
        // Nothing writes the same value twice, but a write without outcome may be done as late as that.
        assert!(changed > 100, "{changed}");
        assert!(found * 10 >= changed * 9, "{found} of {changed}");
    }

    #[test]
    fn what_is_not_decided_within_the_budget_is_unknown_and_no_pass() {
        let history = simulate(1, 200, 6);
        assert!(matches!(check(&history, 10), Verdict::Unknown(_)));
        assert!(check(&history, 10).into_result().is_err());
    }
}
