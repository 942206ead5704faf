//! Request and reply sizes that Kiwi handles safely.

/// Upper bounds on the arguments of a multi-value request and on their bytes: Kiwi closes the connection when the
/// product of the two gets too large, in the order of 10^9.
pub(crate) const SAFE_ARGS: usize = 2_000;
pub(crate) const SAFE_BYTES: usize = 256 * 1024;
/// Bytes of values to ask for in one reply. Kiwi drops what does not fit into the socket buffer at once: a few MB
/// on the loopback interface, less than 80 KB on any other.
pub(crate) const SAFE_REPLY_LOCAL: usize = 512 * 1024;
pub(crate) const SAFE_REPLY: usize = 48 * 1024;
