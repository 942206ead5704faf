//! Where the members are reached, kept true.
//!
//! The membership says for every member where the other nodes and where clients reach it. A member that finds itself
//! described otherwise than it describes itself tells the leader, which commits the change. So every node knows all
//! addresses, and an address that has changed is followed: its node comes up, finds the others where they were, and
//! tells. What it may change is its own description: nobody gains or loses a vote by it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Member, spawn};
use crate::network::message::Announced;
use crate::network::pool::CallError;
use crate::network::wire::Malformed;
use crate::network::{path, wire};
use crate::proposer::Route;
use crate::types::{NodeId, Peer};

/// How often a member looks at how it is described, besides whenever something about the cluster has changed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The first and the longest wait before it tells again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// How long one node has to answer, besides the time that a change may take to be committed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest `host:port`: a name of 255 bytes, in brackets, and a port.
const MAX_ADDRESS_BYTES: usize = 263;

/// Why nobody could be told where this node is.
#[derive(Debug, thiserror::Error)]
enum AnnounceError {
    #[error("there is nobody to tell")]
    NobodyToTell,
    #[error("node {0} is no member any more")]
    NoMember(NodeId),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Where this node tells the others it is.
pub(super) fn own_place(config: &conf::ClusterConfig) -> Peer {
    let reachable = |address: String| {
        // What listens on every address is reached under none that it knows of.
        let is_unspecified = address.parse().is_ok_and(|at: std::net::SocketAddr| at.ip().is_unspecified());
        if is_unspecified { String::new() } else { address }
    };
    Peer {
        raft: reachable(config.advertised_raft()),
        resp: reachable(config.advertised_resp()),
        ..Peer::default()
    }
}

impl Member {
    /// Tells the leader where this member is, whenever the membership says otherwise. For ever.
    pub(super) async fn keep_announced(member: Weak<Self>) {
        let (mut pause, longest) = PAUSE;
        // One for all rounds: what a copy has seen is its own.
        let Some(mut leadership) = member.upgrade().map(|this| this.leadership.clone()) else { return };
        loop {
            let Some(this) = member.upgrade() else { return };
            if this.is_announced() {
                pause = PAUSE.0;
                drop(this);
                tokio::select! {
                    goes_on = leadership.changed() => if !goes_on { return },
                    () = sleep(LOOK_AGAIN) => {}
                }
                continue;
            }
            match this.announce().await {
                Ok(Announced::Committed) => {}
                Ok(Announced::LedBy(_)) => tracing::debug!("no leader yet to tell where this node is"),
                Ok(Announced::Refused(reason)) => {
                    tracing::info!(reason, "the leader does not take this node's addresses yet");
                }
                Err(error) => tracing::debug!(%error, "the leader cannot be told where this node is"),
            }
            drop(this);
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Whether the membership says of this member what it says itself; of somebody who is no member nothing is said.
    fn is_announced(&self) -> bool {
        let Some(known) = self.leadership.place(self.id) else { return true };
        known == self.own_place_beside(&known)
    }

    /// What this member says of itself. What it does not know stays as it is.
    fn own_place_beside(&self, known: &Peer) -> Peer {
        let own = own_place(&self.config.load());
        let or = |own: String, known: &str| if own.is_empty() { known.to_owned() } else { own };
        let (raft, resp) = (or(own.raft, &known.raft), or(own.resp, &known.resp));
        Peer { raft, resp, target: known.target, data: Some(self.data) }
    }

    async fn announce(&self) -> Result<Announced, AnnounceError> {
        let Some(known) = self.leadership.place(self.id) else { return Ok(Announced::Committed) };
        let place = self.own_place_beside(&known);
        let ask = match self.leadership.route() {
            Route::Here => return Ok(self.set_place(self.id, place).await),
            Route::To(leader) => vec![leader],
            // A node whose address has changed may be one that no leader reaches: it asks who leads.
            Route::Nowhere => self.leadership.others(),
        };
        let mut last = Err(AnnounceError::NobodyToTell);
        for node in ask {
            last = self.announce_to(node, &place).await;
            if let Ok(Announced::LedBy(Some(leader))) = last
                && leader != node
                && leader != self.id
            {
                last = self.announce_to(leader, &place).await;
            }
            if !matches!(last, Err(_) | Ok(Announced::LedBy(_))) {
                break;
            }
        }
        last
    }

    async fn announce_to(&self, node: NodeId, place: &Peer) -> Result<Announced, AnnounceError> {
        let pool = self.leadership.peer(node).ok_or(AnnounceError::NoMember(node))?;
        let deadline = Instant::now() + self.config.load().raft.request_timeout + ANSWER_TIMEOUT;
        Ok(wire::decode(&pool.call(path::ANNOUNCE, wire::encode(place), deadline).await?)?)
    }

    /// What another member says of itself.
    pub(super) async fn place_announced(&self, node: NodeId, place: Peer) -> Announced {
        match self.leadership.route() {
            Route::Here => {}
            Route::To(leader) => return Announced::LedBy(Some(leader)),
            Route::Nowhere => return Announced::LedBy(None),
        }
        for address in [&place.raft, &place.resp] {
            let is_unknown = address.is_empty() && *address == place.resp;
            if address.len() > MAX_ADDRESS_BYTES || !(is_unknown || conf::value::host_port(address).is_ok()) {
                return Announced::Refused(format!("{address:?} is no address"));
            }
        }
        self.set_place(node, place).await
    }

    async fn set_place(&self, node: NodeId, place: Peer) -> Announced {
        match self.manager.set_place(node, place).await {
            Ok(()) => Announced::Committed,
            Err(error) => Announced::Refused(error.to_string()),
        }
    }

    pub(super) fn spawn_announcer(self: &Arc<Self>) {
        let announcer = spawn(Self::keep_announced(Arc::downgrade(self)));
        self.tasks().push(announcer);
    }
}
