//! A member of a cluster, put together.
//!
//! | module | what it says |
//! |---|---|
//! | [`unclustered`] | a node without a cluster, or on its way into it, until it is a member |
//! | [`enrollment`] | what a node has to do with a cluster when it starts |
//! | [`opening`] | its data, opened and found to belong together |
//! | [`bootstrap`] | how a node whose log is empty comes into its cluster |
//! | [`rejoin`] | what the others know of a node that comes back with its log |
//! | [`member`] | what a running member consists of, and what it does when it is asked |
//! | [`campaign`] | when it stands for election |
//! | [`reads`] | read barriers |
//! | [`events`] | what happens to it, as lines of the log |
//! | [`upkeep`] | what a member does by itself |
//! | [`cluster_map`] | the last look at the cluster, for clients |
//! | [`measures`] | numbers that are counted where they happen |
//! | [`error`] | why a node cannot start |
//!
//! A start goes down this table: [`Node::begin`] finds the node's [`enrollment`], an [`unclustered`] node opens
//! its data and asks the others, and then is a [`member`] for as long as it runs. The parts of a member know nothing of
//! each other but what [`member`] hands them.

mod bootstrap;
pub(crate) mod campaign;
mod cluster_map;
pub(crate) mod enrollment;
pub(crate) mod error;
mod events;
mod measures;
mod member;
mod opening;
mod reads;
mod rejoin;
mod unclustered;
pub(crate) mod upkeep;

use std::sync::Arc;

use adapter::Adapter;
use conf::Live;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

pub use self::enrollment::claim_data_dir;
pub use self::error::StartError;
use self::unclustered::Unclustered;
use crate::boxed::Boxed;
use crate::handle::Handle;

/// A member of a cluster.
pub struct Node;

impl Node {
    /// Starts a member on `adapter`, serving its peers on `raft_listener`. A node that has no data yet returns from
    /// here once all members are up, or a leader has answered it. Without members in the configuration and without an
    /// identity in the data directory the node belongs to no cluster, and waits to be the first of one or to join
    /// one.
    pub async fn start(
        config: impl Into<Live>,
        adapter: Arc<dyn Adapter>,
        raft_listener: TcpListener,
    ) -> Result<Handle, StartError> {
        let (handle, arrival) = Self::begin(config, adapter, raft_listener)?;
        arrival.await?;
        Ok(handle)
    }

    /// As [`Self::start`], and returns at once: clients can be told how the node is while it is on its way into its
    /// cluster. Must be called inside a tokio runtime.
    pub fn begin(
        config: impl Into<Live>,
        adapter: Arc<dyn Adapter>,
        raft_listener: TcpListener,
    ) -> Result<(Handle, Arrival), StartError> {
        let live = config.into();
        let enrolled = enrollment::find(&live.load())?;
        Ok(match enrolled {
            Some(enrollment) => {
                let (node, task) = Unclustered::arrive(live, enrollment, adapter, raft_listener);
                (Handle::new(node), Arrival(Some(task)))
            }
            None => (Handle::new(Unclustered::start(live, adapter, raft_listener)?), Arrival(None)),
        })
    }
}

/// The way of a node into its cluster: ends when it is there, or cannot get there. Dropped, it is given up.
pub struct Arrival(Option<AbortOnDropHandle<Result<(), StartError>>>);

impl IntoFuture for Arrival {
    type Output = Result<(), StartError>;
    type IntoFuture = Boxed<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Some(task) = self.0 else { return Ok(()) };
            task.await.unwrap_or_else(|error| Err(StartError::Raft(error.to_string())))
        })
    }
}
