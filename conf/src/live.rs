//! The configuration in force, shared by all running parts, which read it anew each time that they need it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::config::ClusterConfig;

/// Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct Live(Arc<ArcSwap<ClusterConfig>>);

impl Live {
    /// Begins with a checked configuration.
    pub fn new(config: ClusterConfig) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// What is in force now. A few nanoseconds; not to be kept.
    pub fn load(&self) -> Guard<Arc<ClusterConfig>> {
        self.0.load()
    }

    /// Puts another one in force. Only options that are [live](crate::options::ConfigOption::live) may differ.
    pub fn store(&self, config: ClusterConfig) {
        self.0.store(Arc::new(config));
    }
}

impl From<&ClusterConfig> for Live {
    fn from(config: &ClusterConfig) -> Self {
        Self::new(config.clone())
    }
}
