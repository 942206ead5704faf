//! A group: commands of a pipeline that run together.
//!
//! Writes are one proposal, with the short reads between them ([`riding`]). Reads behind the last
//! write wait for one read barrier ([`Connection::barrier`]), and look at this node's storage.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use adapter::command;
use adapter::{CommandBuffer, ReadOutcome, Reply, Spec};
use bytes::Bytes;
use conf::Consistency;
use futures_util::{StreamExt, stream};
use raft::ReadError;
use tokio::io::{AsyncRead, AsyncWrite};

use super::closed::Closed;
use super::riding::{self, Rides};
use super::state::Connection;
use crate::lookup::Found;
use crate::resp::Requests;
use crate::resp_error::RespError;

/// Bytes at which what goes through the log is closed, so that a pipeline of large values is not in memory twice.
const ENTRY_BYTES: usize = 1024 * 1024;

/// Reads between two writes that ride at most. More cost the replicas more than another entry does.
const MOST_RIDING: usize = 64;

/// Reads that are begun at once, where reads wait.
const READS_AT_ONCE: usize = 64;

/// Commands that run together: what goes through the log, then reads of one level.
#[derive(Default)]
pub(super) struct Group {
    /// Writes, and the reads between them.
    entry: CommandBuffer,
    /// Bytes of the replies to the reads in it, about.
    reply_bytes: usize,
    /// A write in it may make a large value of few bytes.
    grows: bool,
    /// The reads behind it.
    reads: Vec<ReadCall>,
    /// Their level.
    consistency: Consistency,
}

impl Group {
    fn bytes(&self) -> usize {
        self.entry.bytes().len() + self.reply_bytes
    }

    fn push(&mut self, spec: &Spec, args: &[&[u8]]) {
        self.entry.push(args);
        self.grows |= riding::grows(spec);
    }

    /// Whether the reads may ride, as far as that can be told without a look at what they read.
    fn may_ride(&self) -> bool {
        !self.entry.is_empty()
            && self.reads.len() <= MOST_RIDING
            && self.consistency.is_linearizable()
            && (!self.grows || self.reads.iter().all(|call| call.rides.may_follow_growth()))
    }
}

/// Where a reading command stands in the pipeline.
#[derive(Clone, Copy)]
pub(super) struct ReadCall {
    /// What the client has called.
    pub(super) found: Found,
    /// How it may stand in a log entry.
    pub(super) rides: Rides,
    /// The index of the request.
    pub(super) request: usize,
    /// The arguments of the request before the command: what names the level.
    pub(super) before: usize,
}

impl ReadCall {
    fn args(self, requests: &Requests) -> Vec<Bytes> {
        let mut args = requests.shared_args(self.request);
        args.drain(..self.before);
        args
    }
}

/// How far the removal of due keys that a group of reads has met is. While it is done or was not needed, a read's
/// answer is what the log says; a read that met due keys which could not be removed answers why.
pub(super) enum Removal {
    /// No read has met one.
    None,
    /// The log has removed them. Reads go by the log's time from here on: it may have decided otherwise.
    Done,
    /// The log could not be written.
    Failed(Reply),
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Adds a write to the group, or to a new one if reads stand at the end of it that do not ride.
    pub(super) async fn add_write(
        &mut self,
        group: &mut Group,
        found: Found,
        args: &[&[u8]],
        requests: &Requests,
    ) -> Result<(), Closed> {
        if !group.reads.is_empty() {
            let bytes = args.iter().map(|arg| arg.len()).sum();
            if !self.ride(group, bytes, requests).await {
                self.run_group(group, requests).await?;
            }
        }
        self.count(found);
        group.push(found.spec, args);
        if self.session.skip || group.bytes() >= ENTRY_BYTES {
            self.run_group(group, requests).await?;
        }
        Ok(())
    }

    /// Adds a read to the group, if the reads in that are of this level, or to a new one.
    pub(super) async fn add_read(
        &mut self,
        group: &mut Group,
        call: ReadCall,
        consistency: Consistency,
        requests: &Requests,
    ) -> Result<(), Closed> {
        if !group.reads.is_empty() && group.consistency != consistency {
            self.run_group(group, requests).await?;
        }
        group.consistency = consistency;
        group.reads.push(call);
        if self.session.skip {
            self.run_group(group, requests).await?;
        }
        Ok(())
    }

    /// Puts the reads at the end of the group into its entry, if they may ride and there is room for them and the
    /// write behind them; whether it did. One that does not ride keeps those beside it from riding: they share a
    /// barrier.
    async fn ride(&mut self, group: &mut Group, write_bytes: usize, requests: &Requests) -> bool {
        let shared = Arc::clone(&self.shared);
        let adapter = shared.handle.adapter();
        // Where the storage waits for another process, an entry would wait for each value that is not in memory, and
        // with it everybody's entries behind it. There a connection waits for its own reads alone.
        if adapter.reads_wait() || !group.may_ride() {
            return false;
        }
        let (mut bytes, mut reply_bytes) = (group.bytes() + write_bytes, 0);
        let mut calls = Vec::with_capacity(group.reads.len());
        for call in &group.reads {
            let args = call.args(requests);
            let Some(reply) = call.rides.reply_bytes(adapter, &args).await else { return false };
            reply_bytes += reply;
            bytes += reply + args.iter().map(Bytes::len).sum::<usize>();
            if bytes >= ENTRY_BYTES {
                return false;
            }
            calls.push(args);
        }
        for (call, args) in std::mem::take(&mut group.reads).into_iter().zip(calls) {
            self.count(call.found);
            group.entry.push(&args.iter().map(|arg| &arg[..]).collect::<Vec<_>>());
        }
        group.reply_bytes += reply_bytes;
        true
    }

    /// Runs what is in the group, and leaves it empty.
    pub(super) async fn run_group(&mut self, group: &mut Group, requests: &Requests) -> Result<(), Closed> {
        let Group { entry, reads, consistency, .. } = std::mem::take(group);
        if !entry.is_empty() {
            self.show_command();
            self.run_entry(entry).await?;
        }
        if !reads.is_empty() {
            for call in &reads {
                self.count(call.found);
            }
            self.show_command();
            self.run_reads(consistency, &reads, requests).await?;
        }
        Ok(())
    }

    async fn run_entry(&mut self, entry: CommandBuffer) -> Result<(), Closed> {
        let (count, began) = (entry.count() as usize, Instant::now());
        // A read that rides is answered as the writes around it are, also if their outcome is unknown: by a look at
        // the storage afterwards it could see those behind it.
        let replies = self.propose(entry).await.unwrap_or_else(|reply| vec![reply; count]);
        let took = began.elapsed();
        self.shared.stats.wrote(took);
        self.count_group(took);
        for reply in replies {
            self.put(&reply).await?;
        }
        Ok(())
    }

    /// Has commands done, next to each other; one reply for each, or the one that answers all of them.
    pub(super) async fn propose(&mut self, commands: CommandBuffer) -> Result<Vec<Reply>, Reply> {
        let count = commands.count() as usize;
        match self.shared.handle.propose(commands).await {
            Ok(committed) if committed.replies.len() == count => {
                self.session.wrote(committed.index);
                self.committed = Some(committed.index);
                Ok(committed.replies)
            }
            Ok(committed) => {
                let replies = committed.replies.len();
                tracing::error!(count, replies, "a group of commands got another number of replies");
                // What became of which cannot be told any more.
                Err(raft::ProposeError::Unknown.reply())
            }
            Err(error) => Err(error.reply()),
        }
    }

    /// Waits until a read of this node's storage keeps what the level promises.
    ///
    /// Behind a write of the same pipeline a linearizable read needs no round of its own, only that this node has
    /// applied that write. It had arrived, and so had begun, before anything of the pipeline was proposed. So
    /// whatever was answered or shown to anybody before it began was committed before that write, and stands before
    /// it in the log: a storage that has applied the write, on whichever node, has all of that. That the leader
    /// really led is shown by the commit. What the storage has beyond the write is committed too, and a read may see
    /// it: it is a state of the time between the beginning of the read and its reply.
    pub(super) async fn barrier(&self, consistency: Consistency) -> Result<(), ReadError> {
        let handle = &self.shared.handle;
        match self.committed {
            Some(index) if consistency.is_linearizable() => {
                handle.read_barrier(Consistency::Session, index).await
            }
            _ => handle.read_barrier(consistency, self.session.seen).await,
        }
    }

    async fn run_reads(
        &mut self,
        consistency: Consistency,
        calls: &[ReadCall],
        requests: &Requests,
    ) -> Result<(), Closed> {
        let began = Instant::now();
        if let Err(error) = self.barrier(consistency).await {
            let reply = error.reply();
            self.count_group(began.elapsed());
            for _ in calls {
                self.put(&reply).await?;
            }
            return Ok(());
        }
        let now_ms = self.shared.handle.now_ms();
        let mut removal = Removal::None;
        let shared = Arc::clone(&self.shared);
        let begin = |call: &ReadCall| shared.handle.adapter().read(call.args(requests), now_ms);
        let mut begun = pin!(stream::iter(calls).map(begin).buffered(READS_AT_ONCE));
        for (position, call) in calls.iter().enumerate() {
            let begun = if shared.handle.adapter().reads_wait() { begun.next().await } else { None };
            let mut outcome = match (begun, &removal) {
                (_, Removal::Done) => self.read(call.args(requests), 0).await,
                (Some(outcome), _) => outcome,
                (None, _) => self.read(call.args(requests), now_ms).await,
            };
            let removes = consistency.removes_what_is_due();
            if removes && !outcome.expired.is_empty() && matches!(removal, Removal::None) {
                let mut keys = std::mem::take(&mut outcome.expired);
                // One removal for all reads of the group, not one for each.
                for later in &calls[position + 1..] {
                    keys.extend(self.read(later.args(requests), now_ms).await.expired);
                }
                removal = self.expire(&keys).await;
                outcome = match &removal {
                    Removal::Done => self.read(call.args(requests), 0).await,
                    _ => ReadOutcome { expired: keys, ..outcome },
                };
            }
            match &removal {
                Removal::Failed(error) if !outcome.expired.is_empty() => {
                    let error = error.clone();
                    self.put(&error).await?;
                }
                _ => self.put(&outcome.reply).await?,
            }
        }
        // They have seen no more than this.
        self.session.saw(self.shared.handle.seen_upto());
        let took = began.elapsed();
        self.shared.stats.read(took);
        self.count_group(took);
        Ok(())
    }

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        self.shared.handle.adapter().read(args, now_ms).await
    }

    /// Has the log remove keys that are due, and waits until this node's storage has done so.
    pub(super) async fn expire(&self, keys: &[Bytes]) -> Removal {
        let index = match self.shared.handle.propose(command::expire_due(keys)).await {
            Ok(committed) => {
                if let Some(error) = committed.replies.into_iter().find(Reply::is_error) {
                    return Removal::Failed(error);
                }
                committed.index
            }
            Err(error) => return Removal::Failed(error.reply()),
        };
        // The leader has applied the removal; a follower may not have.
        match self.shared.handle.read_barrier(Consistency::Session, index).await {
            Ok(()) => Removal::Done,
            Err(error) => Removal::Failed(error.reply()),
        }
    }
}
