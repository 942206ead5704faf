//! A member's numbers, for operators. What happens often is counted where it happens; the rest is looked up here when
//! somebody asks. The names are those of etcd and TiKV, where they have one.

use super::Member;
use crate::health::{LinkState, MemberState};
use crate::types::NodeId;

impl Member {
    pub(super) fn set_metrics(&self) {
        let gauge = |name: &'static str, value: f64| metrics::gauge!(name).set(value);
        let count = |name: &'static str, value: u64| metrics::counter!(name).absolute(value);
        let flag = |name: &'static str, value: bool| gauge(name, f64::from(u8::from(value)));
        let status = self.node_status();
        flag("raft_proxy_has_leader", status.leader.is_some());
        flag("raft_proxy_is_leader", status.leader == Some(self.id));
        count("raft_proxy_leader_changes_seen_total", self.leader_changes.count());
        gauge("raft_proxy_term", status.term as f64);
        count("raft_proxy_proposals_committed_total", self.log.committed().map_or(0, |last| last.index));
        count("raft_proxy_proposals_applied_total", status.applied);
        gauge("raft_proxy_log_last_index", status.last_log as f64);
        gauge("raft_proxy_log_purged_index", status.purged as f64);
        gauge("raft_proxy_snapshot_index", status.snapshot as f64);
        gauge("raft_proxy_log_bytes", self.log.log_bytes() as f64);
        // Counted where it happens, which may be never.
        metrics::counter!("raft_proxy_proposals_failed_total").increment(0);
        let pending = self.proposer.pending();
        gauge("raft_proxy_proposals_pending", pending.groups as f64);
        gauge("raft_proxy_proposals_pending_bytes", pending.bytes as f64);
        self.set_health_metrics();
    }

    fn set_health_metrics(&self) {
        let view = self.health.view();
        metrics::gauge!("raft_proxy_has_quorum").set(u8::from(view.quorum));
        for link in &view.links {
            let works = matches!(link.state, LinkState::Up | LinkState::Slow | LinkState::OneWay);
            let ends = [("from", link.from.to_string()), ("to", link.to.to_string())];
            metrics::gauge!("raft_proxy_network_link_up", &ends).set(u8::from(works));
        }
        for state in MemberState::ALL {
            let members = view.members.iter().filter(|member| member.state == state).count();
            metrics::gauge!("raft_proxy_members", "state" => state.name()).set(members as f64);
        }
        for member in &view.members {
            if let Some(skew) = member.clock_skew_ms {
                let member = member.id.to_string();
                metrics::gauge!("raft_proxy_clock_skew_seconds", "member" => member)
                    .set(skew as f64 / 1000.0);
            }
        }
        metrics::gauge!("raft_proxy_log_time_skew_seconds")
            .set(view.log_time_skew_ms.unwrap_or_default() as f64 / 1000.0);
        let others = view.members.iter().map(|member| member.id).filter(|id| *id != self.id);
        self.set_replication_metrics(others);
    }

    /// How far the others' logs are, as far as the leader knows.
    fn set_replication_metrics(&self, others: impl Iterator<Item = NodeId>) {
        let metrics = self.raft.metrics();
        let (replication, last) = {
            let metrics = metrics.borrow();
            (metrics.replication.clone(), metrics.last_log_index.unwrap_or(0))
        };
        for id in others {
            let matched = replication.as_ref().map(|known| known.get(&id).copied().flatten());
            let lag = matched.map_or(0, |matched| last.saturating_sub(matched.map_or(0, |at| at.index)));
            metrics::gauge!("raft_proxy_replication_lag_entries", "to" => id.to_string()).set(lag as f64);
        }
    }
}
