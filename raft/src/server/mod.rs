//! The service of a node for its peers, over the Raft port: what a peer may ask of this node.
//!
//! | module | what it says |
//! |---|---|
//! | this one | the listener, and which path goes where |
//! | [`inbound`] | what the server asks of the node behind it |
//! | [`receive`] | a snapshot that arrives |
//!
//! | path | answers |
//! |---|---|
//! | `/raft/append`, `/raft/vote`, `/raft/snapshot` | the RPCs of Raft, handed to openraft |
//! | `/raft/pre-vote` | whether this node would vote for the sender; changes nothing |
//! | `/raft/snapshot/offset` | how much of a snapshot that broke off is here |
//! | `/raft/give-way` | one byte: 1 if this node has given way to the vote in the body, which ends the lease of its leader |
//! | `/raft/elect` | nothing; this node stands for election, as asked by the leader that gives up the vote in the body |
//! | `/raft/confirm` | one byte: 1 if the vote in the body is this node's present vote; never waits for openraft |
//! | `/forward/propose` | a reply list or an error for each group of commands, and what this node's clock shows |
//! | `/forward/read-index` | the leader's read index, confirmed by a quorum or, if that is enough, by its lease |
//! | `/forward/replicated` | how many others have a log entry, once they are enough or it has taken too long |
//! | `/health` | what this node knows of all links; the body is what the sender knows of them |
//! | `/raft/announce` | whether the membership says now where the sender is, which the body says, or who leads |
//! | `/membership/join` | the cluster's id and members, for a node that it lets in; the only path for a caller without a cluster |
//! | `/membership/change`, `/membership/transfer` | the id of the node concerned, from the leader; not after the deadline in the body |
//! | `/membership/finalize` | the cluster version, from the leader, which raises it if all members know a newer one |
//! | `/membership` | how the leader sees the members |
//! | `/status` | how the node is, and how much of the asker's log it knows of |
//! | `/introduction` | how the node is and what it knows of the asker, for one that starts; also while it waits to take part |

pub(crate) mod inbound;
mod receive;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use openraft::raft::{AppendEntriesResponse, VoteRequest};
use tokio::net::{TcpListener, TcpStream};

use self::inbound::Inbound;
use self::receive::{ReceiveError, Receiving};
use crate::elections::Elections;
use crate::logger::RaftLogger;
use crate::membership::change::{Change, ChangeError};
use crate::network::body::Outgoing;
use crate::network::credentials::Credentials;
use crate::network::gate::{self, Caller};
use crate::network::message::{self, Introduction, PreVote};
use crate::network::path;
use crate::network::pool::{BodyError, MAX_IDLE_AGE, read_body};
use crate::network::wire::{self, Malformed};
use crate::remote_clock::Reading;
use crate::types::{NodeId, Peer};

/// A request's head must be here in this time, and a connection may be idle as long.
const HEADER_TIMEOUT: Duration = MAX_IDLE_AGE.saturating_mul(2);
/// The longest body of a request that carries no entries and no commands.
const SMALL_BODY_BYTES: usize = 64 * 1024;

/// A listener that answers 503 until there is a node behind it.
pub(crate) struct Server {
    credentials: Credentials,
    max_body_bytes: usize,
    receiving: Receiving,
    elections: Arc<Elections>,
    node: OnceLock<Arc<dyn Inbound>>,
    /// What is said to one that starts while there is no node.
    introduction: OnceLock<Introduction>,
}

/// An answer other than success.
struct Failure(StatusCode, String);

impl Server {
    /// `max_body_bytes` bounds requests that carry entries or commands.
    pub(crate) fn new(
        credentials: Credentials,
        max_body_bytes: usize,
        elections: Arc<Elections>,
    ) -> Arc<Self> {
        Arc::new(Self {
            credentials,
            max_body_bytes,
            receiving: Receiving::default(),
            elections,
            node: OnceLock::new(),
            introduction: OnceLock::new(),
        })
    }

    /// Puts the node behind the listener. Only the first one counts.
    pub(crate) fn open(&self, node: Arc<dyn Inbound>) {
        let _ = self.node.set(node);
    }

    /// Has the server say this of its node to others that start, while it is not behind the listener. Only the first
    /// one counts.
    pub(crate) fn introduce(&self, introduction: Introduction) {
        let _ = self.introduction.set(introduction);
    }

    /// Serves until it is dropped; the connections end with it.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        let serve = |stream, caller| Arc::clone(&self).serve(stream, caller);
        tokio::select! {
            () = gate::run(self.credentials.clone(), listener, serve) => {}
            never = self.receiving.forget() => match never {},
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, caller: Caller) {
        let service = service_fn(|request| self.answer(caller, request));
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        // A connection that breaks is its peer's to notice: each request has its own error there.
        drop(served.await);
    }

    async fn answer(
        &self,
        caller: Caller,
        request: Request<Incoming>,
    ) -> Result<Response<Outgoing>, Infallible> {
        let answer = if caller.joins == (request.uri().path() == path::JOIN) {
            self.route(caller, request).await
        } else {
            let reason = "who belongs to no cluster may ask to be let in, and nobody else";
            Err(Failure(StatusCode::FORBIDDEN, reason.to_owned()))
        };
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(Failure(status, reason)) => (status, Bytes::from(reason).into()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        Ok(response)
    }

    async fn route(&self, caller: Caller, request: Request<Incoming>) -> Result<Outgoing, Failure> {
        if request.method() != Method::POST {
            return Err(Failure(StatusCode::METHOD_NOT_ALLOWED, "only POST is served".to_owned()));
        }
        let Some(node) = self.node.get() else {
            if let Some(introduction) =
                self.introduction.get().filter(|_| request.uri().path() == path::INTRODUCTION)
            {
                return Ok(wire::encode(introduction).into());
            }
            return Err(Failure(StatusCode::SERVICE_UNAVAILABLE, "this node is starting".to_owned()));
        };
        let (head, body) = request.into_parts();
        let sender = caller.node;
        if !caller.joins {
            node.traffic(sender).received(body.size_hint().lower());
        }
        let small = |body| read_body(body, SMALL_BODY_BYTES);
        match head.uri.path() {
            path::APPEND => {
                let append =
                    wire::decode_append(caller.version, read_body(body, self.max_body_bytes).await?)?;
                let (leader, taking) = (append.rpc.vote, self.elections.taking());
                let answer = node.raft().append_entries(append.rpc).await.map_err(stopping)?;
                if matches!(answer, AppendEntriesResponse::Conflict) {
                    node.check_log(leader, append.matched).map_err(stopping)?;
                }
                let promise = match answer {
                    AppendEntriesResponse::HigherVote(_) => Duration::ZERO,
                    _ => self.elections.leader_heard(&taking),
                };
                Ok(wire::encode_appended(&answer, promise).into())
            }
            path::VOTE => {
                let rpc: VoteRequest<NodeId> = wire::decode(&small(body).await?)?;
                let (candidate, its_log) = (rpc.vote, rpc.last_log_id);
                let answer = node.raft().vote(rpc.clone()).await.map_err(stopping)?;
                RaftLogger::of(node.raft()).voted(&rpc, &answer);
                if !answer.vote_granted && answer.last_log_id > its_log {
                    self.elections.lesser_candidate(candidate);
                }
                Ok(wire::encode(&answer).into())
            }
            path::PRE_VOTE => {
                let question: PreVote = wire::decode(&small(body).await?)?;
                Ok(wire::encode(&node.pre_vote(sender, &question)).into())
            }
            path::CONFIRM => {
                let vote = wire::decode_vote(small(body).await?)?;
                Ok(Bytes::from_static(if node.vote() == vote { &[1] } else { &[0] }).into())
            }
            path::SNAPSHOT => {
                let (answer, is_led) = self.receiving.receive(sender, node, body).await?;
                if is_led {
                    // While it arrived, nothing else did.
                    self.elections.leader_heard(&self.elections.taking());
                }
                Ok(answer)
            }
            path::SNAPSHOT_OFFSET => Ok(self.receiving.offset(sender, &small(body).await?)?),
            path::PROPOSE => {
                let groups = wire::decode_groups(&read_body(body, self.max_body_bytes).await?)?;
                Ok(wire::encode(&node.propose(groups).await).into())
            }
            path::READ_INDEX => {
                let by_lease = small(body).await?[..] == [message::BY_LEASE];
                Ok(wire::encode(&node.read_index(by_lease).await).into())
            }
            path::REPLICATED => {
                let question = wire::decode(&small(body).await?)?;
                Ok(wire::encode(&node.replicated(question).await).into())
            }
            path::GIVE_WAY => {
                let (gives_up, vote) = wire::decode(&small(body).await?)?;
                let given = self.elections.give_way(node.raft(), || node.vote(), gives_up, vote).await;
                Ok(Bytes::from_static(if given.map_err(stopping)? { &[1] } else { &[0] }).into())
            }
            path::ELECT => {
                let gives_up = wire::decode_vote(small(body).await?)?;
                let before = Instant::now();
                let stood = self.elections.take_over(node.raft(), before, node.vote(), gives_up).await;
                stood.map_err(stopping)?;
                Ok(Bytes::new().into())
            }
            path::HEALTH => Ok(node.health().answer(sender, &small(body).await?)?.into()),
            path::ANNOUNCE => {
                let place: Peer = wire::decode(&small(body).await?)?;
                Ok(wire::encode(&node.announced(sender, place).await).into())
            }
            path::JOIN => Ok(wire::encode(&node.join(wire::decode(&small(body).await?)?).await).into()),
            path::CHANGE => {
                let (deadline, change): (Reading, Change) = wire::decode(&small(body).await?)?;
                let made =
                    if is_over(deadline) { Err(ChangeError::NoLeader) } else { node.change(change).await };
                Ok(wire::encode(&made).into())
            }
            path::TRANSFER => {
                let (deadline, target) = wire::decode(&small(body).await?)?;
                let made =
                    if is_over(deadline) { Err(ChangeError::NoLeader) } else { node.transfer(target).await };
                Ok(wire::encode(&made).into())
            }
            path::FINALIZE => Ok(wire::encode(&node.finalize_version().await).into()),
            path::MEMBERSHIP => Ok(wire::encode(&node.view()).into()),
            path::INTRODUCTION => Ok(wire::encode(&node.introduction(sender)).into()),
            path::STATUS => Ok(wire::encode(&node.report(sender)).into()),
            other => Err(Failure(StatusCode::NOT_FOUND, format!("there is nothing at {other}"))),
        }
    }
}

/// Whether the sender has given up what it asked for, or has asked a process that was here before.
fn is_over(deadline: Reading) -> bool {
    deadline.left().is_none()
}

/// openraft's core has ended; what became of the request is not known.
fn stopping(error: impl std::fmt::Display) -> Failure {
    Failure(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Connection(_) => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

impl From<ReceiveError> for Failure {
    fn from(error: ReceiveError) -> Self {
        let status = match error {
            ReceiveError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            _ => {
                tracing::warn!(%error, "a snapshot was not received");
                StatusCode::BAD_REQUEST
            }
        };
        Self(status, error.to_string())
    }
}
