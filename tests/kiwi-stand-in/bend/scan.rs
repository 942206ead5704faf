//! SCAN's cursors: sequence numbers in a memory of bounded size. None survives a restart.

use std::collections::VecDeque;

use adapter::Reply;
use adapter::error::{Outcome, Stop};
use bytes::Bytes;

use crate::store::Store;

/// How many cursors are remembered.
const REMEMBERED: usize = 5000;
const INVALID: Stop = Stop::text("ERR invalid cursor");

/// The cursors that have been given out and not forgotten.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    /// The real cursors, oldest first.
    real: VecDeque<Bytes>,
    /// The number of cursors that are forgotten. The oldest that is not has the next number.
    forgotten: usize,
}

impl Cursors {
    fn remember(&mut self, cursor: Bytes) -> usize {
        self.real.push_back(cursor);
        if self.real.len() > REMEMBERED {
            self.real.pop_front();
            self.forgotten += 1;
        }
        self.forgotten + self.real.len()
    }

    fn find(&self, number: &[u8]) -> Option<Bytes> {
        let number: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
        self.real.get(number.checked_sub(self.forgotten + 1)?).cloned()
    }
}

/// Goes on from a cursor that is remembered, and gives out another.
pub(super) fn scan(store: &mut Store, args: &[&[u8]]) -> Outcome<Reply> {
    let from = match args[1] {
        b"0" => Bytes::from_static(b"0"),
        number => store.cursors.find(number).ok_or(INVALID)?,
    };
    let mut real = args.to_vec();
    real[1] = &from;
    let reply = store.run(&real)?;
    let Reply::Array(mut parts) = reply else { return Ok(reply) };
    if let Some(Reply::Bulk(cursor)) = parts.first_mut()
        && &cursor[..] != b"0"
    {
        *cursor = store.cursors.remember(cursor.clone()).to_string().into();
    }
    Ok(Reply::Array(parts))
}
