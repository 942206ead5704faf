//! What can be changed while the server runs, through `CONFIG SET`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use conf::{ClusterConfig, Consistency};

/// The values in force.
#[derive(Clone, Debug)]
pub struct Values {
    /// The password of the default user; empty for none.
    pub password: Bytes,
    /// The most client connections.
    pub max_clients: usize,
    /// How long a connection may be idle; zero for ever.
    pub idle_timeout: Duration,
    /// The longest argument, bytes.
    pub max_bulk_bytes: usize,
    /// The level of reads of connections that name none.
    pub consistency: Consistency,
}

/// The values in force, shared by all connections.
#[derive(Debug)]
pub struct Settings(ArcSwap<Values>);

impl Settings {
    /// Begins with what the configuration says.
    pub fn new(config: &ClusterConfig) -> Self {
        Self(ArcSwap::from_pointee(Values {
            password: Bytes::copy_from_slice(config.listen.password.as_bytes()),
            max_clients: config.limits.max_clients,
            idle_timeout: config.limits.idle_timeout,
            max_bulk_bytes: config.limits.max_bulk_bytes,
            consistency: config.default_consistency(),
        }))
    }

    /// The values now.
    pub fn load(&self) -> arc_swap::Guard<Arc<Values>> {
        self.0.load()
    }

    /// Puts other values in force.
    pub fn store(&self, values: Values) {
        self.0.store(Arc::new(values));
    }
}

impl Values {
    /// Whether `given` is the password, in a time that does not tell where the two differ.
    pub fn password_is(&self, given: &[u8]) -> bool {
        let length = self.password.len().max(given.len());
        let byte = |bytes: &[u8], index: usize| bytes.get(index).copied().unwrap_or(0);
        let difference = (0..length).fold(self.password.len() ^ given.len(), |difference, index| {
            std::hint::black_box(difference | usize::from(byte(&self.password, index) ^ byte(given, index)))
        });
        difference == 0
    }
}
