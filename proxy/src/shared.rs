//! What all connections of a server share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use conf::Live;
use raft::Handle;
use raft::status::{MemberStatus, Role};
use tokio::sync::Mutex;

use crate::adoption::Adoption;
use crate::clients::Clients;
use crate::reload::Reloader;
use crate::stats::Stats;

/// How old the members' state in `INFO raft` may be: asking them takes a round trip, or a second if one is down.
const MEMBERS_AGE: Duration = Duration::from_millis(500);

/// What all connections of a server share.
pub struct Shared {
    /// The way to the storage.
    pub handle: Handle,
    /// The configuration in force.
    pub config: Live,
    /// What changes it.
    pub reloader: Arc<Reloader>,
    /// The connections.
    pub clients: Clients,
    /// The counts.
    pub stats: Stats,
    /// The adoption of the storage's own data.
    pub adoption: Arc<Adoption>,
    /// When the server was started.
    pub started: Instant,
    /// 40 hexadecimal digits, other ones after every start.
    pub run_id: String,
    keeps_revisions: AtomicBool,
    members: Mutex<Option<(Instant, Vec<MemberStatus>)>>,
}

impl Shared {
    /// A server that has no connections yet.
    pub fn new(handle: Handle, reloader: Arc<Reloader>) -> Self {
        let run_id = format!(
            "{:016x}{:016x}{:08x}",
            rand::random::<u64>(),
            rand::random::<u64>(),
            rand::random::<u32>()
        );
        Self {
            handle,
            config: reloader.live().clone(),
            reloader,
            clients: Clients::default(),
            stats: Stats::new(),
            adoption: Arc::default(),
            started: Instant::now(),
            run_id,
            keeps_revisions: AtomicBool::new(false),
            members: Mutex::new(None),
        }
    }

    /// Whether this node is part of a cluster, or waits to be.
    pub fn is_clustered(&self) -> bool {
        self.config.load().cluster.enabled && self.handle.status().role != Role::Standalone
    }

    /// Whether keys have revisions. Once they have, they always will.
    pub fn keeps_revisions(&self) -> bool {
        if !self.keeps_revisions.load(Relaxed) {
            let status = self.handle.status();
            let keeps =
                status.role == Role::Standalone || status.cluster_version >= raft::version::WITH_REVISIONS;
            self.keeps_revisions.store(keeps, Relaxed);
        }
        self.keeps_revisions.load(Relaxed)
    }

    /// What a client of Redis calls the kind of server.
    pub fn mode(&self) -> &'static str {
        if self.is_clustered() { "cluster" } else { "standalone" }
    }

    /// How all members are, or were a moment ago.
    pub async fn members(&self) -> Vec<MemberStatus> {
        let mut known = self.members.lock().await;
        match &*known {
            Some((at, members)) if at.elapsed() < MEMBERS_AGE => members.clone(),
            _ => {
                let members = self.handle.members().await;
                *known = Some((Instant::now(), members.clone()));
                members
            }
        }
    }
}
