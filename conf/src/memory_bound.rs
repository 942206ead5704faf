//! A bound on memory: none, bytes, or a part of what the process may have.

/// A bound on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryBound {
    /// None.
    Unbounded,
    /// Bytes.
    Bytes(u64),
    /// Percent of the memory that the process may have: the machine's, or its control group's if that is less.
    Percent(u32),
}
