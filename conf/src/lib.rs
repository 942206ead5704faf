//! What an operator can set: `cluster.conf`, environment, flags; their defaults, ranges and checks.
//!
//! | module | what it says |
//! |---|---|
//! | [`consistency`] | how recent a read must be |
//! | [`config`] | the finished configuration that the rest of the system is given |
//! | [`options`] | every option, declared once: unit, default, range, one sentence |
//! | [`value`] | how the text of a value is read and written |
//! | [`mod@load`] | the three sources in their order of strength, and where each value came from |
//! | [`check`] | what must hold between options |
//! | [`mod@reference`] | the reference page, made from the table |
//!
//! Nothing here opens a socket or writes a file.

pub mod check;
pub mod config;
pub mod consistency;
pub mod load;
pub mod options;
pub mod reference;
pub mod value;

pub use config::*;
pub use consistency::Consistency;
pub use load::{ConfigError, Loaded, load};
