//! What an operator can set: `cluster.conf`, environment, flags; their defaults, ranges and checks.
//!
//! | module | what it says |
//! |---|---|
//! | [`consistency`] | how recent a read must be |
//! | [`config`] | the finished configuration that the rest of the system is given |
//! | [`options`] | every option, declared once: unit, default, range, one sentence |
//! | [`value`] | how the text of a value is read and written |
//! | [`mod@load`] | the three sources in their order of strength, and where each value came from |
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
pub mod live;
pub mod load;
pub mod options;
pub mod reference;
pub mod rewrite;
pub mod value;
pub mod variables;

pub use config::*;
pub use consistency::Consistency;
pub use live::Live;
pub use load::{ConfigError, Loaded, load};
