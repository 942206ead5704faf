//! How many connections each member has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::types::NodeId;

/// Connections of one member; it uses about ten, and more while much is forwarded.
const MAX_PER_MEMBER: usize = 256;
/// Connections of all nodes together that are let in first.
const MAX_JOINING: usize = 32;
/// Connections altogether, whatever ids are named: those who name them have the secret.
const MAX_ALL: usize = 4096;

/// Counts the connections that are served; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Slots(Arc<Mutex<HashMap<Option<NodeId>, usize>>>);

/// The place of one connection. It is free when this is dropped.
pub(super) struct Slot {
    slots: Slots,
    of: Option<NodeId>,
}

impl Slots {
    /// A place for a connection of a member, or of a node that is none yet; none if it has as many as it may.
    pub(super) fn take(&self, of: Option<NodeId>) -> Option<Slot> {
        let most = if of.is_some() { MAX_PER_MEMBER } else { MAX_JOINING };
        let mut counts = self.counts();
        let all: usize = counts.values().sum();
        let own = counts.get(&of).copied().unwrap_or(0);
        if own >= most || all >= MAX_ALL {
            return None;
        }
        counts.insert(of, own + 1);
        Some(Slot { slots: self.clone(), of })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Option<NodeId>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.slots.counts();
        match counts.get_mut(&self.of) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.of)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_cannot_take_another_ones_places_nor_can_those_who_are_none() {
        let slots = Slots::default();
        let mut held: Vec<Slot> = std::iter::from_fn(|| slots.take(Some(1))).collect();
        assert_eq!(held.len(), MAX_PER_MEMBER);
        let joining: Vec<Slot> = std::iter::from_fn(|| slots.take(None)).collect();
        assert_eq!(joining.len(), MAX_JOINING);
        assert!(slots.take(Some(2)).is_some());
        held.pop();
        assert!(slots.take(Some(1)).is_some());
        drop((held, joining));
        assert!(slots.counts().is_empty());
    }
}
