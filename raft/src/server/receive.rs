//! A snapshot that arrives, one at a time. How it is sent, and why so, is in [`crate::network::snapshot`].

use std::io::SeekFrom;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use openraft::Snapshot;
use openraft::raft::SnapshotResponse;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep, timeout};

use super::inbound::Inbound;
use crate::logger::RaftLogger;
use crate::network::body::Outgoing;
use crate::network::snapshot::form::{
    BUSY, DONE, Head, MAX_HEAD_BYTES, SIGN_OF_LIFE_INTERVAL, STALLED_AFTER,
};
use crate::network::wire;
use crate::types::{LogId, NodeId, SnapshotFile};

/// What has arrived of a snapshot goes when nobody has gone on with it for this long.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// Why a snapshot was not received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error(transparent)]
    Malformed(#[from] wire::Malformed),
    #[error("another snapshot is arriving")]
    Busy,
    #[error("the snapshot cannot be written: {0}")]
    File(#[from] std::io::Error),
    #[error("the snapshot ends after {have} of {expected} bytes")]
    Short { have: u64, expected: u64 },
    #[error("{have} bytes of this snapshot are here, and it is sent from {from} on")]
    OtherOffset { have: u64, from: u64 },
    #[error("the snapshot's transfer has stalled")]
    Stalled,
    #[error("the connection failed: {0}")]
    Connection(#[from] hyper::Error),
    #[error("this node is stopping: {0}")]
    Stopping(String),
}

/// One file of one sender.
#[derive(PartialEq)]
struct Identity {
    sender: NodeId,
    last_log_id: Option<LogId>,
    snapshot_id: String,
    bytes: u64,
    seal: u32,
}

impl Identity {
    fn of(sender: NodeId, head: &Head) -> Self {
        Self {
            sender,
            last_log_id: head.meta.last_log_id,
            snapshot_id: head.meta.snapshot_id.clone(),
            bytes: head.bytes,
            seal: head.seal,
        }
    }
}

/// What has arrived of a snapshot.
struct Partial {
    identity: Identity,
    file: Box<SnapshotFile>,
    /// Bytes that are in the file.
    have: u64,
    moved: Instant,
}

/// The snapshot that is arriving, or has begun to.
#[derive(Default)]
pub(crate) struct Receiving(Mutex<Option<Partial>>);

impl Receiving {
    /// Answers how much has arrived of the snapshot that `request` describes.
    pub(crate) fn offset(&self, sender: NodeId, request: &[u8]) -> Result<Outgoing, ReceiveError> {
        let head: Head = wire::decode(request)?;
        let partial = self.0.try_lock().map_err(|_| ReceiveError::Busy)?;
        Ok(wire::encode(&have(&partial, &Identity::of(sender, &head))).into())
    }

    /// Writes a snapshot from a request's body to a file and has it installed. The answer is the response's body,
    /// which ends when the installation does, and whether this node still takes the sender for its leader.
    pub(crate) async fn receive(
        &self,
        sender: NodeId,
        node: &Arc<dyn Inbound>,
        mut body: Incoming,
    ) -> Result<(Outgoing, bool), ReceiveError> {
        let current = node.vote();
        let mut partial = self.0.try_lock().map_err(|_| ReceiveError::Busy)?;
        let (head, rest) = read_head(&mut body).await?;
        if head.vote < current {
            return Ok((finished(&SnapshotResponse::new(current)), false));
        }
        if head.meta.last_log_id.is_some_and(|last| last.leader_id > head.vote.leader_id) {
            return Err(wire::Malformed("a snapshot that is newer than its vote".to_owned()).into());
        }
        let identity = Identity::of(sender, &head);
        let have = have(&partial, &identity);
        if head.from != 0 && head.from != have {
            return Err(ReceiveError::OtherOffset { have, from: head.from });
        }
        if head.from == 0 {
            // What there was of another one goes first: there may not be room for both.
            *partial = None;
            let file = node.raft().begin_receiving_snapshot().await;
            let file = file.map_err(|error| ReceiveError::Stopping(error.to_string()))?;
            *partial = Some(Partial { identity, file, have: 0, moved: Instant::now() });
        } else {
            let (bytes, from) = (head.bytes, head.from);
            tracing::info!(snapshot = %head.meta.snapshot_id, from, bytes, "a snapshot's transfer goes on");
        }
        if let Some(partial) = partial.as_mut() {
            partial.write(rest, &mut body).await?;
        }
        let Some(Partial { file, .. }) = partial.take() else { return Err(ReceiveError::Busy) };
        metrics::counter!("raft_proxy_snapshot_received_total").increment(1);
        metrics::counter!("raft_proxy_snapshot_received_bytes_total").increment(head.bytes - head.from);
        RaftLogger::of(node.raft()).snapshot_received(head.meta.last_log_id, head.bytes);
        // Another leader may have been heard of while it arrived.
        let is_led = head.vote >= node.vote();
        Ok((install(Arc::clone(node), head, file), is_led))
    }

    /// Removes what nobody goes on with. For ever.
    pub(crate) async fn forget(&self) -> std::convert::Infallible {
        loop {
            sleep(KEPT_FOR / 10).await;
            if let Ok(mut partial) = self.0.try_lock()
                && partial.as_ref().is_some_and(|partial| partial.moved.elapsed() > KEPT_FOR)
            {
                *partial = None;
            }
        }
    }
}

fn have(partial: &Option<Partial>, identity: &Identity) -> u64 {
    partial.as_ref().filter(|partial| partial.identity == *identity).map_or(0, |partial| partial.have)
}

impl Partial {
    /// Writes all that is still to come. What is written stays if that breaks off, or if this is dropped.
    async fn write(&mut self, rest: Bytes, body: &mut Incoming) -> Result<(), ReceiveError> {
        let expected = self.identity.bytes;
        let mut file = File::options().write(true).open(&self.file.path).await?;
        // A write that was under way when its transfer broke off may have got further than was counted. It has
        // written what will be written there again.
        file.seek(SeekFrom::Start(self.have)).await?;
        let mut next = Some(rest);
        while let Some(data) = next {
            let have = self.have + data.len() as u64;
            if have > expected {
                return Err(wire::Malformed("a snapshot longer than its head says".to_owned()).into());
            }
            file.write_all(&data).await?;
            file.flush().await?;
            (self.have, self.moved) = (have, Instant::now());
            next = next_chunk(body).await?;
        }
        if self.have != expected {
            return Err(ReceiveError::Short { have: self.have, expected });
        }
        file.sync_all().await?;
        Ok(())
    }
}

/// Has a file kept and installed, and answers with signs of life until that is done.
fn install(node: Arc<dyn Inbound>, head: Head, file: Box<SnapshotFile>) -> Outgoing {
    let (signs, source) = mpsc::channel(1);
    tokio::spawn(async move {
        let install = async {
            let snapshot = node.keep_snapshot(file).await.map_err(|error| error.to_string())?;
            let snapshot = Snapshot { meta: head.meta, snapshot };
            let installed = node.raft().install_full_snapshot(head.vote, snapshot).await;
            installed.map_err(|error| error.to_string())
        };
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
            Err(error) => tracing::error!(error, "a snapshot could not be installed"),
        }
    });
    Outgoing::Stream { source, length: None }
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
