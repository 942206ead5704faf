//! A change from any node to the leader, and the wait for its end.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::change::{Change, ChangeError, View};
use crate::leadership::{Leadership, Patience};
use crate::network::pool::CallError;
use crate::network::{path, wire};
use crate::proposer::Route;
use crate::types::NodeId;

/// How long the end of a change is waited for; it goes on after that.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);
/// The wait before something is asked again.
const PAUSE: Duration = Duration::from_millis(25);
/// How long the leader has to say how a change stands.
const VIEW_TIMEOUT: Duration = Duration::from_secs(1);

/// Asks whoever leads, for as long as `timeout`. `here` asks this node itself.
pub(crate) async fn at_leader<Q, T, F>(
    leadership: &Leadership,
    timeout: Duration,
    (path, question): (&'static str, &Q),
    here: impl Fn() -> F,
) -> Result<T, ChangeError>
where
    Q: Serialize,
    T: DeserializeOwned,
    F: Future<Output = Result<T, ChangeError>>,
{
    let deadline = Instant::now() + timeout;
    let mut uncertain = false;
    loop {
        let answer = match leadership.route() {
            Route::Here => here().await,
            Route::To(leader) => match leadership.deadline(leader, deadline).await {
                Some(until) => {
                    let question = (path, wire::encode(&(until, question)));
                    // It has to begin before the deadline, and has as long as the whole of it may take.
                    let answer = leadership.ask(leader, question, deadline + timeout, Patience::LONG).await;
                    uncertain |= matches!(answer, Err(CallError::Lost { .. }));
                    match answer {
                        Ok(answer) => wire::decode(&answer).unwrap_or(Err(ChangeError::Unknown)),
                        Err(_) => Err(ChangeError::NoLeader),
                    }
                }
                None => Err(ChangeError::NoLeader),
            },
            Route::Nowhere => Err(ChangeError::NoLeader),
        };
        if let (Err(ChangeError::NoLeader), Route::To(leader)) = (&answer, leadership.route()) {
            leadership.forget_clock(leader);
        }
        match answer {
            Err(ChangeError::NoLeader) if Instant::now() < deadline => sleep(PAUSE).await,
            Err(ChangeError::NoLeader) if uncertain => return Err(ChangeError::Unknown),
            // It was there when it was asked for first.
            Err(ChangeError::NoSuchNode) if uncertain => return Err(ChangeError::Unknown),
            other => return other,
        }
    }
}

/// Waits until a change that was taken on has ended.
pub(crate) async fn ended(
    leadership: &Leadership,
    change: &Change,
    id: NodeId,
    here: impl Fn() -> Option<View>,
) -> Result<(), ChangeError> {
    let deadline = Instant::now() + CHANGE_TIMEOUT;
    let mut what = "nobody leads".to_owned();
    loop {
        let view = match leadership.route() {
            Route::Here => here(),
            Route::To(leader) => match leadership.peer(leader) {
                Some(pool) => {
                    let answer = pool.call(path::MEMBERSHIP, Vec::new(), Instant::now() + VIEW_TIMEOUT).await;
                    answer.ok().and_then(|answer| wire::decode::<Option<View>>(&answer).ok()).flatten()
                }
                None => None,
            },
            Route::Nowhere => None,
        };
        if let Some(view) = view {
            if is_so(change, id, &view) {
                return Ok(());
            }
            what = view.pending.unwrap_or_else(|| "it was called off".to_owned());
        }
        if Instant::now() >= deadline {
            return Err(ChangeError::GoesOn(what));
        }
        sleep(PAUSE).await;
    }
}

fn is_so(change: &Change, id: NodeId, view: &View) -> bool {
    let (member, voter) = (view.members.contains(&id), view.voters.contains(&id));
    match change {
        Change::Add { .. } => member,
        Change::Remove { .. } => !member,
        Change::Replace { old, .. } => voter && !view.members.contains(old),
        Change::Promote { .. } => voter && view.pending.is_none(),
        Change::Demote { .. } => member && !voter,
    }
}
