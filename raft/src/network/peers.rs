//! Who is reached where.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::credentials::Credentials;
use super::pool::Pool;
use crate::types::NodeId;

/// The connections to all peers. Cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    credentials: Credentials,
    pools: RwLock<HashMap<NodeId, Arc<Pool>>>,
}

impl Peers {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self(Arc::new(Inner { credentials, pools: RwLock::default() }))
    }

    /// The connections to `node`, which is at `address` (`host:port`). An address that has changed starts anew.
    pub(crate) fn at(&self, node: NodeId, address: &str) -> Arc<Pool> {
        if let Some(pool) = self.find(node).filter(|pool| pool.address() == address) {
            return pool;
        }
        let pool = Arc::new(Pool::new(node, address.to_owned(), self.0.credentials.clone()));
        let mut pools = self.0.pools.write().unwrap_or_else(PoisonError::into_inner);
        pools.insert(node, Arc::clone(&pool));
        pool
    }

    fn find(&self, node: NodeId) -> Option<Arc<Pool>> {
        self.0.pools.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }
}
