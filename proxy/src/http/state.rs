//! What the answers are made from.

use std::sync::{Arc, OnceLock};

use conf::Live;

use crate::metrics::Registry;
use crate::shared::Shared;

/// See the module.
pub(super) struct State {
    /// The configuration in force.
    pub(super) config: Live,
    /// What is measured.
    pub(super) registry: Arc<Registry>,
    /// The node, once there is one.
    pub(super) node: OnceLock<Arc<Shared>>,
}
