//! What becomes of a batch, and of the wait for it.

mod removed;
mod waiting;
