//! The Raft port's door: who has not proved yet that it is of this cluster, and who has.
//!
//! Whoever connects is a stranger until its [`handshake`] is done. Strangers have few places and little time, and a
//! new one is never turned away for want of a place: it takes that of the oldest stranger of the address that has the
//! most of them, one that has said nothing if there is one. So those who hold connections without a word stand in
//! each other's way and in nobody else's, and a member, whose proof takes two round trips, comes through. A member's
//! connections are counted by its id, apart from all others'. Who gives a wrong proof is shut out at once, and its
//! address is answered later and later for a while.
//!
//! | module | what it says |
//! |---|---|
//! | [`strangers`] | whose turn it is to go |
//! | [`slots`] | how many connections each member has |
//! | [`refusals`] | who has given a wrong proof lately; the count and the log of who was refused |

mod refusals;
mod slots;
mod strangers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use self::refusals::{Refusals, Why};
use self::slots::{Slot, Slots};
use self::strangers::{Block, Strangers};
use super::credentials::{Credentials, Verdict};
use super::handshake::{self, HandshakeError};
use super::version::Version;
use crate::listener::Acceptor;
use crate::types::NodeId;

/// How long a stranger has for its whole proof.
const PROOF_TIMEOUT: Duration = Duration::from_secs(2);

/// Who is at the other end of a connection, as it has proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its id.
    pub(crate) node: NodeId,
    /// It is of no cluster: it may ask to be let in, and nothing else.
    pub(crate) joins: bool,
    /// What is spoken on the connection.
    pub(crate) version: Version,
}

/// A stranger that has proved who it is.
struct Passed {
    stream: TcpStream,
    caller: Caller,
    slot: Slot,
}

/// How a stranger ended.
type Ended = Result<Passed, Why>;

/// Serves every caller that has proved itself, until it is dropped; the connections end with it.
pub(crate) async fn run<F, S>(credentials: Credentials, listener: TcpListener, serve: F)
where
    F: Fn(TcpStream, Caller) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let acceptor = Acceptor::new("raft", listener);
    let mut door = Door {
        credentials,
        slots: Slots::default(),
        waiting: Strangers::default(),
        refusals: Refusals::default(),
    };
    let (mut proving, mut serving) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            (stream, address) = acceptor.accept() => door.admit(stream, address, &mut proving),
            Some(ended) = proving.join_next_with_id() => {
                if let Some(Passed { stream, caller, slot }) = door.ended(ended) {
                    let served = serve(stream, caller);
                    serving.spawn(async move {
                        served.await;
                        drop(slot);
                    });
                }
            }
            Some(_) = serving.join_next() => {}
        }
    }
}

struct Door {
    credentials: Credentials,
    slots: Slots,
    waiting: Strangers,
    refusals: Refusals,
}

impl Door {
    fn admit(&mut self, stream: TcpStream, address: SocketAddr, proving: &mut JoinSet<Ended>) {
        let block = Block::of(address.ip());
        if let Some(gone) = self.waiting.make_room(block) {
            self.refusals.refused(gone, Why::Crowded);
        }
        let (greeted, delay) = (Arc::<AtomicBool>::default(), self.refusals.delay(block));
        let proof = prove(stream, self.credentials.clone(), self.slots.clone(), Arc::clone(&greeted), delay);
        let task =
            proving.spawn(async move { timeout(PROOF_TIMEOUT, proof).await.unwrap_or(Err(Why::Silent)) });
        self.waiting.add(task, address, greeted);
    }

    /// One that is none of the waiting ones any more has made room for another, and was counted then.
    fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), JoinError>) -> Option<Passed> {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => (error.id(), None),
        };
        let address = self.waiting.remove(id)?;
        match ended? {
            Ok(passed) => Some(passed),
            Err(why) => {
                self.refusals.refused(address, why);
                None
            }
        }
    }
}

async fn prove(
    mut stream: TcpStream,
    me: Credentials,
    slots: Slots,
    greeted: Arc<AtomicBool>,
    delay: Duration,
) -> Ended {
    let failed = |_| Why::Closed;
    stream.set_nodelay(true).map_err(failed)?;
    sleep(delay).await;
    let proven = handshake::answer(&mut stream, &me, || greeted.store(true, Ordering::Relaxed)).await;
    let proven = proven.map_err(|error| why(&error))?;
    let claim = &proven.claim;
    let (verdict, slot) = match me.judge(claim) {
        Verdict::Welcome => {
            let slot = slots.take(if claim.is_without_cluster() { None } else { Some(claim.node) });
            (if slot.is_some() { Verdict::Welcome } else { Verdict::Full }, slot)
        }
        other => (other, None),
    };
    proven.welcome(&mut stream, &me, verdict).await.map_err(|error| why(&error))?;
    let caller = Caller { node: claim.node, joins: claim.is_without_cluster(), version: proven.version };
    match slot {
        Some(slot) => Ok(Passed { stream, caller, slot }),
        None => Err(Why::Verdict(verdict)),
    }
}

fn why(error: &HandshakeError) -> Why {
    match error {
        HandshakeError::NotANode(_) | HandshakeError::Malformed => Why::NotANode,
        HandshakeError::NoCommonVersion { theirs, .. } => Why::Version(*theirs),
        HandshakeError::Secret => Why::Secret,
        HandshakeError::Closed { silent: true } | HandshakeError::Connection(_) => Why::Closed,
        HandshakeError::Closed { silent: false } => Why::GaveUp,
    }
}
