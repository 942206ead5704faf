//! Where a client's commands go on a node that does not lead: on to the leader, or back to the client with the leader's
//! address.
//!
//! A redirect is for clients that know clusters, names the slot of the command's first key, and is given only while
//! it is beyond doubt who leads. In doubt, as during an election, the command waits here and is passed on to whoever
//! leads in the end: the client sees latency instead of an address at which nobody answers. Commands without a key
//! are never redirected; a client would not know to which slot they belong.

use adapter::command::{Handler, slot};
use adapter::{Reply, Spec};
use conf::Routing;
use raft::handle::Lead;

use super::state::Connection;

impl<S> Connection<S> {
    /// The redirect that answers a command, if its client is to send it elsewhere.
    pub(super) fn redirect(&self, spec: &Spec, args: &[&[u8]]) -> Option<Reply> {
        let applies = match self.shared.config.load().cluster.routing {
            Routing::Forward => false,
            Routing::Redirect => true,
            Routing::Auto => self.session.cluster_aware,
        };
        let is_routed = match spec.handler {
            Handler::Write(_) | Handler::Nested(_) => true,
            Handler::Read(_) => !self.session.reads_here(),
            Handler::Front => spec.name == "watch" && !self.session.reads_here(),
        };
        if !applies || !is_routed {
            return None;
        }
        let Lead::At(leader) = self.shared.handle.lead() else { return None };
        let key = args[*spec.key_indices(args).first()?];
        Some(moved(slot::of(key), &leader))
    }
}

/// `MOVED slot host:port`. Redis writes IPv6 addresses without brackets; clients cut at the last colon.
fn moved(slot: u16, leader: &str) -> Reply {
    Reply::Error(format!("MOVED {slot} {}", leader.replace(['[', ']'], "")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_reads_as_redis_writes_it() {
        assert_eq!(moved(7, "node1.example:6400"), Reply::error("MOVED 7 node1.example:6400"));
        assert_eq!(moved(16383, "[::1]:6400"), Reply::error("MOVED 16383 ::1:6400"));
    }
}
