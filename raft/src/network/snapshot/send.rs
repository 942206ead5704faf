//! The sender.

use std::io::{self, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use openraft::Snapshot;
use openraft::raft::SnapshotResponse;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::super::body::Outgoing;
use super::super::pool::{CallError, Pool};
use super::super::{path, wire};
use super::form::{BUSY, CHUNK_BYTES, DONE, Head, MAX_HEAD_BYTES, STALLED_AFTER};
use crate::TypeConfig;
use crate::types::{NodeId, Vote};

/// How long the receiver may take to say how much it has.
const OFFSET_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes at either end of a file that its seal covers.
const SEALED_END: u64 = 64 * 1024;

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
    let lost = |error: io::Error| pool.lost(error);
    let mut file = File::open(&snapshot.snapshot.path).await.map_err(lost)?;
    let bytes = file.metadata().await.map_err(lost)?.len();
    let seal = seal(&mut file, bytes).await.map_err(lost)?;
    let mut head = Head { vote, meta: snapshot.meta.clone(), bytes, seal, from: 0 };
    head.from = ask_offset(pool, &head).await?;
    progress.note();
    file.seek(SeekFrom::Start(head.from)).await.map_err(lost)?;
    let encoded = wire::encode(&head);
    let mut first = BytesMut::with_capacity(4 + encoded.len());
    first.put_u32_le(encoded.len() as u32);
    first.put_slice(&encoded);
    let length = first.len() as u64 + bytes - head.from;

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
                pumped.map_err(lost)?;
                pumping = false;
            }
        }
    };
    let status = response.status();
    let answer = read_answer(response.into_body(), progress).await.map_err(|error| pool.lost(error))?;
    let answer = pool.judge(status, answer)?;
    metrics::counter!("raft_proxy_snapshot_sent_total").increment(1);
    metrics::counter!("raft_proxy_snapshot_sent_bytes_total").increment(bytes - head.from);
    wire::decode(&answer).map_err(|error| pool.lost(error))
}

/// How much of this file has arrived already.
async fn ask_offset(pool: &Pool, head: &Head) -> Result<u64, CallError> {
    let answer =
        pool.call(path::SNAPSHOT_OFFSET, wire::encode(head), Instant::now() + OFFSET_TIMEOUT).await?;
    let have: u64 = wire::decode(&answer).map_err(|error| pool.lost(error))?;
    Ok(if have <= head.bytes { have } else { 0 })
}

/// The checksum of the two ends of a file.
async fn seal(file: &mut File, bytes: u64) -> io::Result<u32> {
    let mut end = Vec::new();
    (&mut *file).take(SEALED_END).read_to_end(&mut end).await?;
    let first = crc32c::crc32c(&end);
    file.seek(SeekFrom::Start(bytes.saturating_sub(SEALED_END))).await?;
    end.clear();
    (&mut *file).take(SEALED_END).read_to_end(&mut end).await?;
    Ok(crc32c::crc32c_append(first, &end))
}

/// Moves the file into the request's body. Ends early if the receiver no longer wants it.
async fn pump(
    mut file: File,
    first: Bytes,
    chunks: mpsc::Sender<Bytes>,
    progress: &Progress,
) -> io::Result<()> {
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
