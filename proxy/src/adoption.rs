//! `RAFT.CLUSTER INIT ADOPT`: the data that a lone storage already has becomes the cluster's.
//!
//! It goes through the log, so it is the same on every node ([`adapter::command::adoption`]): begin, loads, end; then
//! this node's storage is handed over to be filled anew, and the data is opened to clients. What has begun goes on in
//! the background when the client that asked for it goes away; when the node is started again it begins anew by
//! itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use adapter::clock::unix_ms;
use adapter::command::adoption::{self, Op, State};
use adapter::{CommandBuffer, ImportError, ImportSource, Reply};
use bytes::Bytes;
use conf::Consistency;
use raft::{Handle, ProposeError, ReadError};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::resp_error::RespError;

/// A load is proposed at this many bytes.
const LOAD_BYTES: usize = 512 * 1024;
/// Pieces that are read ahead.
const PIECES: usize = 16;
/// The wait before something is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How often progress is logged.
const NEWS: Duration = Duration::from_secs(5);
/// A token is below 2^48.
const TOKEN_BITS: u32 = 48;

/// Why the data is not adopted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AdoptionError {
    /// Whoever did it is gone.
    #[error("it was broken off")]
    BrokenOff,
    /// There is nothing to give up.
    #[error("no data is being adopted")]
    NotBegun,
    /// Storages of this kind have no data of their own.
    #[error("this node's storage is of kind {0}: there is nothing to adopt")]
    NothingToAdopt(String),
    /// Somebody gave it up.
    #[error("it was given up")]
    GivenUp,
    /// The storage cannot be read, or not be handed over.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The cluster takes no writes from this node.
    #[error("{}", .0.text())]
    Propose(ProposeError),
    /// The state of the adoption cannot be read.
    #[error("{}", .0.text())]
    Read(ReadError),
    /// What the command was answered.
    #[error("{0}")]
    Command(String),
}

/// How it ended.
type End = Result<(), AdoptionError>;

/// The adoption that runs on this node, if there is one.
#[derive(Default)]
pub struct Adoption(Mutex<Option<watch::Receiver<Option<End>>>>);

impl Adoption {
    /// Begins, or joins what runs; waits for the end.
    pub async fn run(&self, handle: &Handle) -> End {
        let mut running = {
            let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &*running {
                Some(known) if known.borrow().is_none() => known.clone(),
                _ => running.insert(start(handle.clone())).clone(),
            }
        };
        match running.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ok(())),
            Err(_) => Err(AdoptionError::BrokenOff),
        }
    }

    /// Gives up what this or another node has begun.
    pub async fn abort(&self, handle: &Handle) -> End {
        let state = state(handle).await?.ok_or(AdoptionError::NotBegun)?;
        propose(handle, || adoption::abort(state.token)).await
    }
}

fn start(handle: Handle) -> watch::Receiver<Option<End>> {
    let (ended, end) = watch::channel(None);
    tokio::spawn(async move {
        let result = adopt(&handle).await;
        match &result {
            Ok(()) => tracing::info!("the storage's data is adopted"),
            Err(error) => tracing::error!(%error, "the storage's data is not adopted"),
        }
        ended.send_replace(Some(result));
    });
    end
}

/// Goes on with what this node had begun before it was started anew.
pub(crate) async fn resume(adoption: Arc<Adoption>, handle: Handle) {
    if handle.adapter().import_source().is_none() {
        return;
    }
    let begun = loop {
        match state(&handle).await {
            Ok(state) => break state.is_some_and(|state| state.node == handle.status().id),
            Err(_) => sleep(RETRY).await,
        }
    };
    if begun {
        tracing::info!("the adoption of the storage's data goes on");
        // It has been logged.
        let _ = adoption.run(&handle).await;
    }
}

async fn adopt(handle: &Handle) -> End {
    let status = handle.status();
    let nothing = || AdoptionError::NothingToAdopt(status.storage_kind.clone());
    let source = handle.adapter().import_source().ok_or_else(nothing)?;
    let begun = state(handle).await?;
    let token = match begun {
        Some(State { node, token, complete: true, .. }) if node == status.id => token,
        _ => bring_in(handle, &*source, status.id).await?,
    };
    // What has been committed need not be applied here yet.
    loop {
        match state(handle).await {
            Ok(Some(state)) if state.token == token && state.complete => break,
            Ok(_) => return Err(AdoptionError::GivenUp),
            Err(error) => tracing::warn!(%error, "adopting waits for the cluster"),
        }
        sleep(RETRY).await;
    }
    hand_over(&*source).await?;
    propose(handle, || adoption::open(token)).await?;
    handle.make_snapshot().await;
    Ok(())
}

/// Reads everything, and has it loaded. The token under which all of it has come.
async fn bring_in(handle: &Handle, source: &dyn ImportSource, node: u64) -> Result<u64, AdoptionError> {
    prepare(source).await?;
    let token = rand::random::<u64>() >> (u64::BITS - TOKEN_BITS);
    propose(handle, || adoption::begin(token, node)).await?;
    tracing::info!("the storage's data is being adopted");
    let (sender, pieces) = mpsc::channel(PIECES);
    let (read, loaded) = tokio::join!(source.read(sender), load(handle, token, pieces));
    // Whoever reads also fails when nobody takes any more.
    let loads = loaded?;
    let keys = read?;
    propose(handle, || adoption::end(token, loads)).await?;
    tracing::info!(keys, loads, "all of the storage's data is in the log");
    Ok(token)
}

/// The storage may be started at the same time as this node.
async fn prepare(source: &dyn ImportSource) -> Result<(), ImportError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match source.prepare().await {
            Err(ImportError::Unreachable(_)) if Instant::now() < deadline => sleep(RETRY).await,
            prepared => return prepared,
        }
    }
}

/// All data is the cluster's by now: nothing but the storage itself is waited for.
async fn hand_over(source: &dyn ImportSource) -> Result<(), ImportError> {
    loop {
        match source.hand_over().await {
            Err(error @ ImportError::Unreachable(_)) => {
                tracing::warn!(%error, "all data is in the log; its storage is waited for");
                sleep(NEWS).await;
            }
            handed => return handed,
        }
    }
}

/// Has pieces loaded, many at once. Answers in how many loads.
async fn load(handle: &Handle, token: u64, mut pieces: mpsc::Receiver<Op>) -> Result<u64, AdoptionError> {
    let (mut ops, mut bytes, mut number) = (Vec::new(), 0, 0);
    let mut news = Instant::now();
    loop {
        let piece = pieces.recv().await;
        let is_last = piece.is_none();
        if let Some(piece) = piece {
            bytes += piece.size();
            ops.push(piece);
        }
        if bytes >= LOAD_BYTES || (is_last && !ops.is_empty()) {
            propose(handle, || adoption::load(token, number, &ops)).await?;
            number += 1;
            ops.clear();
            bytes = 0;
        }
        if news.elapsed() >= NEWS {
            news = Instant::now();
            tracing::info!(progress = handle.adapter().health().detail, "adopting");
        }
        if is_last {
            return Ok(number);
        }
    }
}

/// Has a command applied for certain: one that may come twice.
async fn propose(handle: &Handle, command: impl Fn() -> CommandBuffer) -> End {
    loop {
        match handle.propose(command()).await {
            Ok(committed) => {
                return match committed.replies.into_iter().find(Reply::is_error) {
                    Some(Reply::Error(text)) => {
                        Err(AdoptionError::Command(text.strip_prefix("ERR ").unwrap_or(&text).to_owned()))
                    }
                    _ => Ok(()),
                };
            }
            Err(error @ (ProposeError::ShuttingDown | ProposeError::NoCluster | ProposeError::Joining)) => {
                return Err(AdoptionError::Propose(error));
            }
            Err(error @ (ProposeError::Unknown | ProposeError::NoLeader | ProposeError::Busy)) => {
                tracing::debug!(%error, "adopting waits for the cluster");
                sleep(RETRY).await;
            }
        }
    }
}

/// How an adoption stands, as of now.
async fn state(handle: &Handle) -> Result<Option<State>, AdoptionError> {
    handle.read_barrier(Consistency::Linearizable, 0).await.map_err(AdoptionError::Read)?;
    let outcome = handle.adapter().read(vec![Bytes::from_static(b"raft.adoption")], unix_ms()).await;
    match outcome.reply {
        Reply::Error(error) => Err(AdoptionError::Command(error.into_owned())),
        reply => Ok(State::from_reply(&reply)),
    }
}
