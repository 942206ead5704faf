//! The lock under which runs become visible.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

/// Runs become visible under this lock.
#[derive(Default)]
pub(crate) struct CommitLock(RwLock<()>);

/// Held by whoever commits. What only the holder may do takes this as proof.
pub(crate) struct CommitGuard<'s> {
    _guard: RwLockWriteGuard<'s, ()>,
}

/// Held by readers: no run becomes visible meanwhile, so several look-ups see one state. Not for long.
pub(crate) struct CommitPin<'s> {
    _guard: RwLockReadGuard<'s, ()>,
}

impl CommitLock {
    /// Waits for all readers.
    pub(crate) fn lock(&self) -> CommitGuard<'_> {
        CommitGuard { _guard: self.0.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Waits for a run that is just becoming visible.
    pub(crate) fn pin(&self) -> CommitPin<'_> {
        CommitPin { _guard: self.0.read().unwrap_or_else(PoisonError::into_inner) }
    }

    /// None if a run is just becoming visible.
    pub(crate) fn try_pin(&self) -> Option<CommitPin<'_>> {
        match self.0.try_read() {
            Ok(guard) => Some(CommitPin { _guard: guard }),
            Err(TryLockError::Poisoned(poisoned)) => Some(CommitPin { _guard: poisoned.into_inner() }),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
