//! Deadlines: EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT, TTL, PTTL, EXPIRETIME, PEXPIRETIME, PERSIST.

use crate::command::Call;
use crate::command::arg::is;
use crate::error::{Outcome, Stop};
use crate::keyspace::{Keyspace, KeyspaceMut, Meta};
use crate::reply::Reply;

const NX_WITH_OTHERS: Stop =
    Stop::text("ERR NX and XX, GT or LT options at the same time are not compatible");
const GT_WITH_LT: Stop = Stop::text("ERR GT and LT options at the same time are not compatible");

/// What PTTL and its like answer for a key without a deadline, and for no key.
const NO_DEADLINE: Reply = Reply::Integer(-1);
const NO_KEY: Reply = Reply::Integer(-2);

/// How a command writes a time.
#[derive(Clone, Copy)]
struct Form {
    /// The command's name, for its error.
    name: &'static str,
    /// Milliseconds per unit.
    unit: i64,
    /// Whether the time counts from now, and not from 1970.
    relative: bool,
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub(super) fn expire(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    set(keyspace, call, Form { name: "expire", unit: 1000, relative: true })
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpire(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    set(keyspace, call, Form { name: "pexpire", unit: 1, relative: true })
}

/// `EXPIREAT key unix-time-seconds [NX | XX | GT | LT]`
pub(super) fn expireat(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    set(keyspace, call, Form { name: "expireat", unit: 1000, relative: false })
}

/// `PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpireat(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    set(keyspace, call, Form { name: "pexpireat", unit: 1, relative: false })
}

fn set(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>, form: Form) -> Outcome<Reply> {
    let condition = Condition::parse(call.from(3))?;
    let now = keyspace.now_ms();
    let deadline = form.deadline(call.int(2)?, now)?;
    let Some(meta) = keyspace.meta(call.key())? else { return Ok(Reply::Integer(0)) };
    if !condition.allows(meta.deadline, deadline) {
        return Ok(Reply::Integer(0));
    }
    match u64::try_from(deadline) {
        Ok(future) if future > now => keyspace.set_deadline(call.key(), Some(future))?,
        _ => {
            keyspace.remove(call.key())?;
        }
    }
    Ok(Reply::Integer(1))
}

impl Form {
    /// The deadline that a number means, Unix milliseconds, which may be before 1970.
    fn deadline(self, number: i64, now: u64) -> Outcome<i64> {
        let base = if self.relative { i64::try_from(now).ok() } else { Some(0) };
        number
            .checked_mul(self.unit)
            .zip(base)
            .and_then(|(time, base)| time.checked_add(base))
            .ok_or_else(|| Stop::say(format!("ERR invalid expire time in '{}' command", self.name)))
    }
}

/// When a new deadline is wanted.
#[derive(Clone, Copy, Default)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn parse(words: &[&[u8]]) -> Outcome<Self> {
        let mut condition = Self::default();
        for word in words {
            let flag = match word {
                word if is(word, "nx") => &mut condition.nx,
                word if is(word, "xx") => &mut condition.xx,
                word if is(word, "gt") => &mut condition.gt,
                word if is(word, "lt") => &mut condition.lt,
                _ => return Err(unsupported(word)),
            };
            *flag = true;
        }
        if condition.nx && (condition.xx || condition.gt || condition.lt) {
            return Err(NX_WITH_OTHERS);
        }
        if condition.gt && condition.lt {
            return Err(GT_WITH_LT);
        }
        Ok(condition)
    }

    /// A key without a deadline lives for ever: longer than any other.
    fn allows(self, current: Option<u64>, wanted: i64) -> bool {
        let wanted = i128::from(wanted);
        let current = current.map(i128::from);
        !(self.nx && current.is_some()
            || self.xx && current.is_none()
            || self.gt && current.is_none_or(|current| wanted <= current)
            || self.lt && current.is_some_and(|current| wanted >= current))
    }
}

fn unsupported(option: &[u8]) -> Stop {
    let shown = String::from_utf8_lossy(option).replace(['\r', '\n'], " ");
    Stop::say(format!("ERR Unsupported option {shown}"))
}

/// `PERSIST key`
pub(super) fn persist(keyspace: &mut dyn KeyspaceMut, call: &Call<'_>) -> Outcome<Reply> {
    let meta = keyspace.meta(call.key())?;
    if meta.and_then(|meta| meta.deadline).is_none() {
        return Ok(Reply::Integer(0));
    }
    keyspace.set_deadline(call.key(), None)?;
    Ok(Reply::Integer(1))
}

/// `TTL key`
pub(super) fn ttl(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let now = keyspace.now_ms();
    answer(keyspace, call, |deadline| to_seconds(deadline.saturating_sub(now)))
}

/// `PTTL key`
pub(super) fn pttl(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    let now = keyspace.now_ms();
    answer(keyspace, call, |deadline| deadline.saturating_sub(now))
}

/// `EXPIRETIME key`
pub(super) fn expiretime(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    answer(keyspace, call, to_seconds)
}

/// `PEXPIRETIME key`
pub(super) fn pexpiretime(keyspace: &dyn Keyspace, call: &Call<'_>) -> Outcome<Reply> {
    answer(keyspace, call, |deadline| deadline)
}

fn answer(keyspace: &dyn Keyspace, call: &Call<'_>, number: impl FnOnce(u64) -> u64) -> Outcome<Reply> {
    Ok(match keyspace.meta(call.key())? {
        None => NO_KEY,
        Some(Meta { deadline: None, .. }) => NO_DEADLINE,
        Some(Meta { deadline: Some(deadline), .. }) => Reply::count(number(deadline)),
    })
}

/// Seconds, rounded to the nearest as Redis does.
fn to_seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}
