//! What the requests that run take.

use crate::resp::Requests;

/// The requests that run, as far as they take memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Running {
    pub(super) wire_bytes: usize,
    pub(super) arg_bytes: usize,
    pub(super) memory: usize,
}

impl From<&Requests> for Running {
    fn from(requests: &Requests) -> Self {
        Self { wire_bytes: requests.wire_bytes(), arg_bytes: requests.arg_bytes(), memory: requests.memory() }
    }
}
