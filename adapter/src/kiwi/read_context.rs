//! The remote values available to a command while it runs, and a record of those it was missing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use bytes::Bytes;

use super::value_cache::ValueCache;
use crate::embedded::offload::remote::{ContentId, Readahead, RemoteValue, RemoteValues, ValueId};
use crate::embedded::offload::value_ref::ValuePointer;
use crate::error::{Outcome, Stop};

/// Missing values collected in a command's first attempt; each further attempt may collect four times as many.
const FIRST_MAX_NEEDS: usize = 64;
/// Upper bounds on the values, and their bytes, that one attempt collects before they are fetched.
const MAX_NEEDS: usize = 16 * 1024;
const MAX_BYTES: u64 = 32 << 20;
/// Scan steps spent looking for further missing values.
const MAX_STEPS: usize = 64 * 1024;

/// What a command, or a run of batches, reads remote values from across its attempts.
pub(super) struct ReadContext<'c> {
    cache: &'c ValueCache,
    fetched: HashMap<ValueId, (ValuePointer, Bytes)>,
    needs: RefCell<Vec<RemoteValue>>,
    contents: RefCell<Vec<ContentId>>,
    needed_bytes: Cell<u64>,
    steps: Cell<usize>,
    max_needs: usize,
}

impl<'c> ReadContext<'c> {
    pub(super) fn new(cache: &'c ValueCache) -> Self {
        Self {
            cache,
            fetched: HashMap::new(),
            needs: RefCell::default(),
            contents: RefCell::default(),
            needed_bytes: Cell::new(0),
            steps: Cell::new(0),
            max_needs: FIRST_MAX_NEEDS,
        }
    }

    /// Takes what the attempt was missing, and raises the limit for the next.
    pub(super) fn take_needs(&mut self) -> Vec<RemoteValue> {
        self.max_needs = (self.max_needs * 4).min(MAX_NEEDS);
        self.needed_bytes.set(0);
        self.steps.set(0);
        self.needs.take()
    }

    /// Takes the contents that the attempt needs in the store as a whole.
    pub(super) fn take_contents(&mut self) -> Vec<ContentId> {
        self.contents.take()
    }

    /// Starts at the highest limit: a run of many commands is missing much at once.
    pub(super) fn expect_many(&mut self) {
        self.max_needs = MAX_NEEDS;
    }

    pub(super) fn add(&mut self, (id, pointer): RemoteValue, value: Bytes) {
        self.fetched.insert(id, (pointer, value));
    }
}

impl RemoteValues for ReadContext<'_> {
    fn value(&self, id: ValueId, pointer: ValuePointer, _next: &Readahead<'_>) -> Outcome<Bytes> {
        if let Some((_, value)) = self.fetched.get(&id).filter(|(known, _)| *known == pointer) {
            return Ok(value.clone());
        }
        if let Some(value) = self.cache.get(&id, pointer) {
            return Ok(value);
        }
        self.needed_bytes.set(self.needed_bytes.get() + pointer.len);
        self.needs.borrow_mut().push((id, pointer));
        Err(Stop::Pending)
    }

    fn fetch_all(&self, content: ContentId) -> Stop {
        self.contents.borrow_mut().push(content);
        Stop::Pending
    }

    fn has_missing(&self) -> bool {
        !self.needs.borrow().is_empty() || !self.contents.borrow().is_empty()
    }

    fn keep_looking(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.steps.get() < MAX_STEPS
            && self.needed_bytes.get() < MAX_BYTES
            && self.needs.borrow().len() < self.max_needs
    }
}
