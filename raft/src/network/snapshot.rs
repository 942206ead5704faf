//! A snapshot's way from file to file, in bounded memory.
//!
//! ```text
//! request := length u32 | head (postcard) | the file, as many bytes as the head says
//! answer  := 0x00 * n | 0x01 | SnapshotResponse (postcard)
//! ```
//! Installing may take long after the last byte has arrived: until it is done the receiver sends a zero byte every
//! second. So both ways, ten seconds without a byte mean that the other side is gone. The stream in the file has
//! checksums of its own; whoever installs it verifies them.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use openraft::raft::SnapshotResponse;
use openraft::{Snapshot, SnapshotMeta};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::body::Outgoing;
use super::pool::{CallError, Pool};
use super::{path, wire};
use crate::TypeConfig;
use crate::types::{NodeId, Peer, Raft, SnapshotFile, Vote};

/// A transfer on which nothing has moved for this long is given up.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// How often a receiver shows that it is still installing.
const SIGN_OF_LIFE_INTERVAL: Duration = Duration::from_secs(1);
const CHUNK_BYTES: usize = 256 * 1024;
const MAX_HEAD_BYTES: usize = 1 << 20;
const BUSY: u8 = 0;
const DONE: u8 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    vote: Vote,
    meta: SnapshotMeta<NodeId, Peer>,
    bytes: u64,
}

/// When something moved last.
#[derive(Clone)]
struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns once nothing has moved for [`STALLED_AFTER`].
    async fn stalled(&self) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + STALLED_AFTER;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// Sends a snapshot and waits until the peer has installed it.
pub(crate) async fn send(
    pool: &Pool,
    vote: Vote,
    snapshot: Snapshot<TypeConfig>,
) -> Result<SnapshotResponse<NodeId>, CallError> {
    let progress = Progress::new();
    tokio::select! {
        answer = exchange(pool, vote, &snapshot, &progress) => answer,
        () = progress.stalled() => Err(pool.lost("the snapshot's transfer has stalled")),
    }
}

async fn exchange(
    pool: &Pool,
    vote: Vote,
    snapshot: &Snapshot<TypeConfig>,
    progress: &Progress,
) -> Result<SnapshotResponse<NodeId>, CallError> {
    let file = File::open(&snapshot.snapshot.path).await.map_err(|error| pool.lost(error))?;
    let bytes = file.metadata().await.map_err(|error| pool.lost(error))?.len();
    let head = wire::encode(&Head { vote, meta: snapshot.meta.clone(), bytes });
    let mut first = BytesMut::with_capacity(4 + head.len());
    first.put_u32_le(head.len() as u32);
    first.put_slice(&head);
    let length = first.len() as u64 + bytes;

    let (chunks, source) = mpsc::channel(2);
    let body = Outgoing::Stream { source, length: Some(length) };
    let call = pool.send(path::SNAPSHOT, body);
    tokio::pin!(call);
    let pump = pump(file, first.freeze(), chunks, progress);
    tokio::pin!(pump);
    let mut pumping = true;
    let (response, _connection) = loop {
        tokio::select! {
            response = &mut call => break response?,
            pumped = &mut pump, if pumping => {
                pumped.map_err(|error| pool.lost(error))?;
                pumping = false;
            }
        }
    };
    let status = response.status();
    let answer = read_answer(response.into_body(), progress).await.map_err(|error| pool.lost(error))?;
    let answer = pool.judge(status, answer)?;
    wire::decode(&answer).map_err(|error| pool.lost(error))
}

/// Moves the file into the request's body. Ends early if the receiver no longer wants it.
async fn pump(
    mut file: File,
    first: Bytes,
    chunks: mpsc::Sender<Bytes>,
    progress: &Progress,
) -> std::io::Result<()> {
    let mut next = first;
    while !next.is_empty() && chunks.send(next).await.is_ok() {
        progress.note();
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        file.read_buf(&mut buffer).await?;
        next = buffer.freeze();
    }
    Ok(())
}

async fn read_answer(mut body: Incoming, progress: &Progress) -> Result<Bytes, hyper::Error> {
    let mut answer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        progress.note();
        let Ok(data) = frame?.into_data() else { continue };
        let signs = if answer.is_empty() { data.iter().take_while(|byte| **byte == BUSY).count() } else { 0 };
        if answer.len() + data.len() <= MAX_HEAD_BYTES {
            answer.put_slice(&data[signs..]);
        }
    }
    if answer.first() == Some(&DONE) {
        answer.advance(1);
    }
    Ok(answer.freeze())
}

/// Why a snapshot was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error(transparent)]
    Malformed(#[from] wire::Malformed),
    #[error("the snapshot cannot be written: {0}")]
    File(#[from] std::io::Error),
    #[error("the snapshot ends after {have} of {expected} bytes")]
    Short { have: u64, expected: u64 },
    #[error("the snapshot's transfer has stalled")]
    Stalled,
    #[error("the connection failed: {0}")]
    Connection(#[from] hyper::Error),
    #[error("this node is stopping: {0}")]
    Stopping(String),
}

/// Writes a snapshot from a request's body to a file and has it installed. The answer is the response's body,
/// which ends when the installation does. `current` is the vote of this node.
pub(crate) async fn receive(
    raft: &Raft,
    current: Vote,
    mut body: Incoming,
) -> Result<Outgoing, ReceiveError> {
    let (head, rest) = read_head(&mut body).await?;
    if head.vote < current {
        return Ok(finished(&SnapshotResponse::new(current)));
    }
    let target = raft.begin_receiving_snapshot().await;
    let target = target.map_err(|error| ReceiveError::Stopping(error.to_string()))?;
    write_file(&target, rest, &mut body, head.bytes).await?;
    tracing::info!(snapshot = %head.meta.snapshot_id, bytes = head.bytes, "a snapshot has arrived");
    let (signs, source) = mpsc::channel(1);
    let raft = raft.clone();
    tokio::spawn(async move {
        let install = raft.install_full_snapshot(head.vote, Snapshot { meta: head.meta, snapshot: target });
        tokio::pin!(install);
        let installed = loop {
            match timeout(SIGN_OF_LIFE_INTERVAL, &mut install).await {
                Ok(installed) => break installed,
                // A sender that has gone does not stop the installation.
                Err(_) => drop(signs.try_send(Bytes::from_static(&[BUSY]))),
            }
        };
        match installed {
            Ok(response) => drop(signs.send(done(&response)).await),
            Err(error) => tracing::error!(%error, "a snapshot could not be installed"),
        }
    });
    Ok(Outgoing::Stream { source, length: None })
}

fn done(response: &SnapshotResponse<NodeId>) -> Bytes {
    let mut answer = vec![DONE];
    answer.extend(wire::encode(response));
    Bytes::from(answer)
}

fn finished(response: &SnapshotResponse<NodeId>) -> Outgoing {
    done(response).into()
}

async fn next_chunk(body: &mut Incoming) -> Result<Option<Bytes>, ReceiveError> {
    loop {
        match timeout(STALLED_AFTER, body.frame()).await.map_err(|_| ReceiveError::Stalled)? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads the head; answers with it what of the file came along.
async fn read_head(body: &mut Incoming) -> Result<(Head, Bytes), ReceiveError> {
    let mut start = BytesMut::new();
    loop {
        if let Some(length) = start.first_chunk::<4>() {
            let length = u32::from_le_bytes(*length) as usize;
            if length > MAX_HEAD_BYTES {
                return Err(wire::Malformed(format!("a snapshot's head of {length} bytes")).into());
            }
            if start.len() >= 4 + length {
                let head = wire::decode(&start[4..4 + length])?;
                start.advance(4 + length);
                return Ok((head, start.freeze()));
            }
        }
        match next_chunk(body).await? {
            Some(data) => start.extend_from_slice(&data),
            None => return Err(wire::Malformed("a snapshot without a head".to_owned()).into()),
        }
    }
}

async fn write_file(
    target: &SnapshotFile,
    rest: Bytes,
    body: &mut Incoming,
    expected: u64,
) -> Result<(), ReceiveError> {
    let mut file = File::create(&target.path).await?;
    let mut have = rest.len() as u64;
    file.write_all(&rest).await?;
    while let Some(data) = next_chunk(body).await? {
        have += data.len() as u64;
        if have > expected {
            return Err(wire::Malformed("a snapshot longer than its head says".to_owned()).into());
        }
        file.write_all(&data).await?;
    }
    if have != expected {
        return Err(ReceiveError::Short { have, expected });
    }
    file.sync_all().await?;
    Ok(())
}
