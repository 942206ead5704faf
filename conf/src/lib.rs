//! What an operator can set: `cluster.conf`, environment, flags; their defaults, ranges and checks.
//!
//! | module | what it says |
//! |---|---|
//! | [`member`], [`memory_bound`], [`consistency`] | values that are more than a number or a text |
//! | [`config`] | the finished configuration that the rest of the system is given |
//! | [`options`] | every option, declared once: unit, default, range, one sentence |
//! | [`value`], [`expected`] | how the text of a value is read and written, and why one is refused |
//! | [`mod@load`] | the three sources in their order of strength |
//! | [`loaded`], [`origin`] | what they have given, and where each value came from |
//! | [`error`], [`suggestion`] | what is wrong with it, and where; what a misspelt name may have meant |
//! | [`check`] | what must hold between options, and what is dangerous |
//! | [`mod@reference`] | the reference page, made from the table |
//! | [`variables`] | environment variables that look like options and are none |
//! | [`live`] | the configuration in force, which can change while the node runs |
//! | [`change`] | how one configuration becomes another meanwhile |
//! | [`mod@rewrite`] | values written into a `cluster.conf` that keeps its comments |
//!
//! Nothing here opens a socket or writes a file.

pub mod change;
pub mod check;
pub mod config;
pub mod consistency;
pub mod error;
pub mod expected;
pub mod live;
pub mod load;
pub mod loaded;
pub mod member;
pub mod memory_bound;
pub mod options;
pub mod origin;
pub mod reference;
pub mod rewrite;
mod suggestion;
pub mod value;
pub mod variables;

pub use config::*;
pub use consistency::Consistency;
pub use error::ConfigError;
pub use live::Live;
pub use load::load;
pub use loaded::Loaded;
