//! Lists, sets and counters: what was acknowledged is there exactly once, what was refused is not there, and what is
//! unknown is there at most once.
//!
//! Every element is added by one client, once; so a search is not needed.

use std::collections::{BTreeMap, HashMap};

use super::Verdict;
use crate::harness::history::{Operation, Outcome};

/// What is asked of a collection. Each key is one kind's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// RPUSH of an element; answers the length.
    Push(String),
    /// SADD of a member; answers 1.
    Add(String),
    /// SREM of a member that this client has added; answers 1.
    Remove(String),
    /// INCR; answers the value.
    Incr,
}

/// A call and its end.
pub type CollectionOperation = Operation<Call, i64>;

/// What a key holds when all clients have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A list's elements.
    List(Vec<String>),
    /// A set's members.
    Set(Vec<String>),
    /// A counter's value.
    Counter(i64),
}

/// Checks what each key holds against all that was done to it. `held` has every key of the history.
pub fn check(history: &[CollectionOperation], held: &BTreeMap<String, Held>) -> Verdict {
    let mut keys: BTreeMap<&str, Vec<&CollectionOperation>> = BTreeMap::new();
    for operation in history {
        keys.entry(&operation.key).or_default().push(operation);
    }
    for (key, operations) in keys {
        let checked = match held.get(key) {
            None => Err("nobody has read it".to_owned()),
            Some(Held::List(elements)) => list(&operations, elements),
            Some(Held::Set(members)) => set(&operations, members),
            Some(Held::Counter(value)) => counter(&operations, *value),
        };
        if let Err(why) = checked {
            return Verdict::Broken(format!("{key}: {why}"));
        }
    }
    Verdict::Holds
}

fn list(operations: &[&CollectionOperation], elements: &[String]) -> Result<(), String> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (place, element) in elements.iter().enumerate() {
        if let Some(other) = places.insert(element, place) {
            return Err(format!("{element} is there twice, at {other} and {place}"));
        }
    }
    let mut pushed = 0;
    for operation in operations {
        let Call::Push(element) = &operation.call else { return Err(no_such(operation)) };
        let place = places.get(element.as_str());
        pushed += usize::from(place.is_some());
        match (&operation.outcome, place) {
            (Outcome::Ok(length), Some(place)) if *length == *place as i64 + 1 => {}
            (Outcome::Ok(length), Some(place)) => {
                return Err(format!("stands at {place}, not at {}: {}", length - 1, operation.line()));
            }
            (Outcome::Ok(_), None) => return Err(lost(operation)),
            (Outcome::Fail, Some(_)) => return Err(refused_and_done(operation)),
            (Outcome::Fail, None) | (Outcome::Unknown, _) => {}
        }
    }
    if pushed != elements.len() {
        return Err(format!("{} elements, of which {pushed} were pushed by anybody", elements.len()));
    }
    in_real_time(operations)
}

fn set(operations: &[&CollectionOperation], members: &[String]) -> Result<(), String> {
    // What was done to each member, in the order in which its client did it.
    let mut done: BTreeMap<&str, Vec<&CollectionOperation>> = BTreeMap::new();
    for operation in operations {
        match &operation.call {
            Call::Add(member) | Call::Remove(member) => done.entry(member).or_default().push(operation),
            _ => return Err(no_such(operation)),
        }
    }
    if let Some(foreign) = members.iter().find(|member| !done.contains_key(member.as_str())) {
        return Err(format!("{foreign} is there and was added by nobody"));
    }
    let here: std::collections::HashSet<&str> = members.iter().map(String::as_str).collect();
    for (member, operations) in done {
        let is_here = here.contains(member);
        let possible = possible_ends(&operations)?;
        if !possible[usize::from(is_here)] {
            let lines: Vec<String> = operations.iter().map(|operation| operation.line()).collect();
            let is = if is_here { "is there" } else { "is not there" };
            return Err(format!("{member} {is} after\n  {}", lines.join("\n  ")));
        }
    }
    Ok(())
}

/// Whether a member may be absent and may be present, after these calls of one client. An unknown one may be done at
/// any time from then on.
fn possible_ends(operations: &[&CollectionOperation]) -> Result<[bool; 2], String> {
    let mut operations = operations.to_vec();
    operations.sort_by_key(|operation| operation.invoked);
    let mut may_be = [true, false];
    // What may yet come of an unknown one: to be absent, or present.
    let mut pending = [false; 2];
    for operation in operations {
        let adds = matches!(operation.call, Call::Add(_));
        let to = usize::from(adds);
        match &operation.outcome {
            Outcome::Ok(1) if may_be[1 - to] => {
                may_be = [!adds, adds];
                // A pending one may come behind it.
                may_be[1 - to] |= pending[1 - to];
            }
            Outcome::Ok(0) if may_be[to] => {
                may_be = [!adds, adds];
                may_be[1 - to] |= pending[1 - to];
            }
            Outcome::Ok(_) => return Err(format!("no such reply is possible: {}", operation.line())),
            Outcome::Fail => {}
            Outcome::Unknown => {
                pending[to] = true;
                may_be[to] = true;
            }
        }
    }
    Ok(may_be)
}

fn counter(operations: &[&CollectionOperation], value: i64) -> Result<(), String> {
    let mut answers: Vec<i64> = Vec::new();
    let mut unknown = 0;
    for operation in operations {
        if operation.call != Call::Incr {
            return Err(no_such(operation));
        }
        match &operation.outcome {
            Outcome::Ok(answer) => answers.push(*answer),
            Outcome::Unknown => unknown += 1,
            Outcome::Fail => {}
        }
    }
    let acknowledged = answers.len() as i64;
    if !(acknowledged..=acknowledged + unknown).contains(&value) {
        return Err(format!("is {value} after {acknowledged} acknowledged and {unknown} unknown increments"));
    }
    answers.sort_unstable();
    if let Some(pair) = answers.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("two increments were answered {}", pair[0]));
    }
    if let Some(last) = answers.last().filter(|last| **last > value) {
        return Err(format!("is {value}, and an increment was answered {last}"));
    }
    in_real_time(operations)
}

/// Replies that grow must grow with time: what began after another had ended was answered more.
fn in_real_time(operations: &[&CollectionOperation]) -> Result<(), String> {
    let mut answered: Vec<_> =
        operations.iter().filter_map(|operation| Some((*operation.reply()?, *operation))).collect();
    answered.sort_by_key(|(answer, _)| *answer);
    // Going up by answers, nothing may have ended before a smaller one had begun.
    let mut latest_beginning: Option<&CollectionOperation> = None;
    for (_, operation) in answered {
        if let Some(earlier) = latest_beginning.filter(|earlier| operation.completed < earlier.invoked) {
            return Err(format!("answers go back in time:\n  {}\n  {}", operation.line(), earlier.line()));
        }
        if latest_beginning.is_none_or(|latest| operation.invoked > latest.invoked) {
            latest_beginning = Some(operation);
        }
    }
    Ok(())
}

fn lost(operation: &CollectionOperation) -> String {
    format!("was acknowledged and is gone: {}", operation.line())
}

fn refused_and_done(operation: &CollectionOperation) -> String {
    format!("was refused and is done: {}", operation.line())
}

fn no_such(operation: &CollectionOperation) -> String {
    format!("no such call belongs to this key: {}", operation.line())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn op(from: u64, call: Call, outcome: Outcome<i64>) -> CollectionOperation {
        let (invoked, completed) = (Duration::from_millis(from), Duration::from_millis(from + 1));
        Operation { client: 1, node: 0, key: "k".to_owned(), call, invoked, completed, outcome }
    }

    fn holds(history: &[CollectionOperation], held: Held) -> bool {
        let verdict = check(history, &BTreeMap::from([("k".to_owned(), held)]));
        assert!(!matches!(verdict, Verdict::Unknown(_)));
        verdict == Verdict::Holds
    }

    fn text(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_list_holds_what_was_acknowledged_once_and_in_its_place() {
        let push = |from, name: &str, outcome| op(from, Call::Push(name.to_owned()), outcome);
        let history = [
            push(0, "a", Outcome::Ok(1)),
            push(2, "b", Outcome::Unknown),
            push(4, "c", Outcome::Fail),
            push(6, "d", Outcome::Ok(2)),
        ];
        let list = |words: &[&str]| Held::List(text(words));
        assert!(holds(&history, list(&["a", "d"])));
        assert!(holds(&history, list(&["a", "d", "b"])));
        // Elsewhere than its reply said, lost, twice, refused, nobody's.
        assert!(!holds(&history, list(&["a", "b", "d"])));
        assert!(!holds(&history, list(&["a"])));
        assert!(!holds(&history, list(&["a", "d", "a"])));
        assert!(!holds(&history, list(&["a", "d", "c"])));
        assert!(!holds(&history, list(&["a", "d", "x"])));
    }

    #[test]
    fn replies_that_go_back_in_time_are_found() {
        let incr = |from, answer| op(from, Call::Incr, Outcome::Ok(answer));
        assert!(holds(&[incr(0, 1), incr(2, 2), incr(4, 3)], Held::Counter(3)));
        assert!(!holds(&[incr(0, 1), incr(2, 3), incr(4, 2)], Held::Counter(3)));
    }

    #[test]
    fn a_counter_counts_what_was_acknowledged_once() {
        let incr = |from, outcome| op(from, Call::Incr, outcome);
        let history = [incr(0, Outcome::Ok(1)), incr(2, Outcome::Unknown), incr(4, Outcome::Ok(2))];
        assert!(holds(&history, Held::Counter(2)));
        assert!(holds(&history, Held::Counter(3)));
        assert!(!holds(&history, Held::Counter(1)));
        assert!(!holds(&history, Held::Counter(4)));
        let doubled = [incr(0, Outcome::Ok(1)), incr(2, Outcome::Ok(1))];
        assert!(!holds(&doubled, Held::Counter(2)));
    }

    #[test]
    fn a_set_has_no_member_that_was_removed_and_every_one_that_was_added() {
        let add = |from, outcome| op(from, Call::Add("m".to_owned()), outcome);
        let remove = |from, outcome| op(from, Call::Remove("m".to_owned()), outcome);
        let (there, gone) = (Held::Set(text(&["m"])), Held::Set(text(&[])));
        let added = [add(0, Outcome::Ok(1))];
        assert!(holds(&added, there.clone()) && !holds(&added, gone.clone()));
        let removed = [add(0, Outcome::Ok(1)), remove(2, Outcome::Ok(1))];
        assert!(holds(&removed, gone.clone()) && !holds(&removed, there.clone()));
        let perhaps = [add(0, Outcome::Ok(1)), remove(2, Outcome::Unknown)];
        assert!(holds(&perhaps, gone.clone()) && holds(&perhaps, there.clone()));
        let refused = [add(0, Outcome::Ok(1)), remove(2, Outcome::Fail)];
        assert!(holds(&refused, there.clone()) && !holds(&refused, gone.clone()));
        // It was there, so a removal that found nothing is wrong; and nobody adds what is there.
        assert!(!holds(&[add(0, Outcome::Ok(1)), remove(2, Outcome::Ok(0))], there.clone()));
        assert!(!holds(&[add(0, Outcome::Ok(0))], there));
        assert!(!holds(&added, Held::Set(text(&["m", "x"]))));
        assert!(!holds(&[add(0, Outcome::Fail), remove(2, Outcome::Ok(1))], gone));
    }

    #[test]
    fn a_key_that_nobody_has_read_is_no_pass() {
        assert_ne!(check(&[op(0, Call::Incr, Outcome::Ok(1))], &BTreeMap::new()), Verdict::Holds);
    }
}
