//! Who is reached where.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::Instant;

use super::credentials::Credentials;
use super::pool::{CallError, Pool};
use super::traffic::Traffic;
use crate::discovery::NodeDiscovery;
use crate::types::NodeId;

/// The connections to all peers. Cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    credentials: Credentials,
    /// Where this node's configuration says they are.
    configured: HashMap<NodeId, String>,
    pools: RwLock<HashMap<NodeId, Arc<Pool>>>,
    traffic: RwLock<HashMap<NodeId, Arc<Traffic>>>,
}

impl Peers {
    /// `configured` is where this node's configuration says that the members are.
    pub(crate) fn new(credentials: Credentials, configured: HashMap<NodeId, String>) -> Self {
        let (pools, traffic) = (RwLock::default(), RwLock::default());
        Self(Arc::new(Inner { credentials, configured, pools, traffic }))
    }

    /// The connections to `node`, which is at `address` (`host:port`). An address that has changed starts anew.
    pub(crate) fn at(&self, node: NodeId, address: &str) -> Arc<Pool> {
        if let Some(pool) = self.find(node).filter(|pool| pool.address() == address) {
            return pool;
        }
        let place = NodeDiscovery::new(address.to_owned(), self.0.configured.get(&node).cloned());
        let pool = Arc::new(Pool::new(node, place, self.0.credentials.clone(), self.traffic(node)));
        let mut pools = self.0.pools.write().unwrap_or_else(PoisonError::into_inner);
        pools.insert(node, Arc::clone(&pool));
        pool
    }

    /// Whether a node is at `address` that is `node`, or could become it. Nothing else is said to whoever is there.
    pub(crate) async fn probe(
        &self,
        node: NodeId,
        address: &str,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let place = NodeDiscovery::new(address.to_owned(), None);
        let traffic = Arc::new(Traffic::uncounted());
        Pool::new(node, place, self.0.credentials.clone(), traffic).probe(deadline).await
    }

    fn find(&self, node: NodeId) -> Option<Arc<Pool>> {
        self.0.pools.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// What goes to `node` and comes from it. Only for nodes that have proved that they are of this cluster, or that
    /// this node looks for itself.
    pub(crate) fn traffic(&self, node: NodeId) -> Arc<Traffic> {
        let known = self.0.traffic.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned();
        known.unwrap_or_else(|| {
            let mut traffic = self.0.traffic.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(traffic.entry(node).or_insert_with(|| Arc::new(Traffic::new(node))))
        })
    }
}
