//! What clients are told of the cluster at once: who leads and who can be reached, as it is now.
//!
//! A follower believes in a leader that has died until its election timer ends. A client that asks where to go in
//! that time must not be sent to the dead one again and again. So a node that is asked for the cluster's map asks all
//! members, briefly, and what it learns counts against a leader from which nothing has come since. A leader that is
//! in doubt is not named: commands are taken on here, and go to whoever leads in the end.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::Member;
use crate::handle::Lead;
use crate::proposer::Route;
use crate::status::MemberStatus;

/// How long a member has to answer.
const GLANCE_TIMEOUT: Duration = Duration::from_millis(250);
/// A look at the cluster is good for this long: a thousand clients that ask at once are answered by one.
const GLANCE_AGE: Duration = Duration::from_millis(100);
/// A leader shows itself this often, in heartbeats, or is in doubt.
const HEARTBEATS: u32 = 2;

impl Member {
    /// How all members are, as far as they say so within a moment.
    pub(super) async fn glance_around(&self) -> Vec<MemberStatus> {
        let mut seen = self.cluster_map.seen.lock().await;
        if let Some((at, members)) = &*seen
            && at.elapsed() < GLANCE_AGE
        {
            return members.clone();
        }
        let began = std::time::Instant::now();
        let members = self.ask_members(GLANCE_TIMEOUT).await;
        if let Route::To(leader) = self.leadership.route()
            && members.iter().any(|member| member.id == leader && member.node.is_none())
        {
            *self.cluster_map.doubted.lock().unwrap_or_else(PoisonError::into_inner) = Some((leader, began));
        }
        *seen = Some((Instant::now(), members.clone()));
        members
    }

    /// Who leads, if that is beyond doubt.
    pub(super) fn sure_lead(&self) -> Lead {
        let leader = match self.leadership.route() {
            Route::Here => return Lead::Here,
            Route::Nowhere => return Lead::Unsure,
            Route::To(leader) => leader,
        };
        let heard = self.elections.last_heard();
        let doubted = *self.cluster_map.doubted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_sure = heard.is_some_and(|heard| {
            heard.elapsed() <= self.config.load().raft.heartbeat_interval * HEARTBEATS
                && doubted.is_none_or(|(who, when)| who != leader || when < heard)
        });
        match self.leadership.place(leader) {
            Some(place) if is_sure && !place.resp.is_empty() => Lead::At(place.resp),
            _ => Lead::Unsure,
        }
    }
}
