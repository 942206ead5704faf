//! A pipeline: the commands that have arrived, cut into groups and run in order.
//!
//! Writes that follow each other are one proposal; reads of one level that follow each other wait for one read
//! barrier; what the proxy answers itself stands alone. A group begins when the one before it is answered, so a read
//! sees the writes before it, and replies are in the order of the requests.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use adapter::command::{self, Flags, Handler, revision};
use adapter::error::Outcome;
use adapter::{CommandBuffer, ReadOutcome, Reply, Spec};
use bytes::Bytes;
use conf::Consistency;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::closed::Closed;
use super::state::Connection;
use crate::front::{self, consistency::leveled};
use crate::lookup::{Found, find};
use crate::resp::Requests;
use crate::resp_error::RespError;

/// Bytes at which a group of writes is closed, so that a pipeline of large values is not in memory twice.
const WRITE_GROUP_BYTES: usize = 1024 * 1024;

/// Reads that are begun at once, where reads wait.
const READS_AT_ONCE: usize = 64;

/// The command that names the level of the command in it.
const READ: &str = "raft.read";

/// The command that notes revisions of keys.
const WATCH: &str = "watch";

/// A key of ours, on every storage alike.
const RESERVED_KEY: adapter::Stop =
    adapter::Stop::text("ERR keys that begin with '__raft_proxy__:' are reserved");

/// Commands that follow each other and can run together.
enum Group {
    Empty,
    Writes(CommandBuffer),
    Reads(Reads),
}

/// Reads of one level.
struct Reads {
    consistency: Consistency,
    calls: Vec<ReadCall>,
}

/// Where a reading command stands in the pipeline.
#[derive(Clone, Copy)]
struct ReadCall {
    /// The index of the request.
    request: usize,
    /// The arguments of the request before the command: what names the level.
    before: usize,
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
    /// Runs all commands of a pipeline.
    pub(super) async fn run_pipeline(&mut self, requests: &Requests) -> Result<(), Closed> {
        let mut args: Vec<&[u8]> = Vec::with_capacity(8);
        let mut group = Group::Empty;
        for index in 0..requests.len() {
            args.clear();
            args.extend(requests.args(index));
            let admitted = admit(&args, |flags| self.refused(flags));
            if let Ok(found) = &admitted
                && self.slot.is_reserved()
                && !front::is_administrative(found)
            {
                self.run_group(&mut group, requests).await?;
                return Err(Closed::TooMany);
            }
            if let Ok(found) = &admitted
                && let Some(moved) = self.redirect(found.spec, &args)
            {
                let last = Some((found.spec, found.parent));
                self.run_group(&mut group, requests).await?;
                self.counted.last = last;
                self.refuse(&moved).await?;
                self.session.next_command();
                continue;
            }
            match admitted {
                Err(_) if is_http(args[0]) => return Err(Closed::Http),
                // `MULTI` has ended the group before it.
                admitted if self.session.transaction.is_some() => self.queue(admitted, &args).await?,
                Ok(
                    found @ Found {
                        spec: Spec { handler: Handler::Write(_) | Handler::Nested(_), .. }, ..
                    },
                ) => {
                    if !matches!(group, Group::Writes(_)) {
                        self.run_group(&mut group, requests).await?;
                        group = Group::Writes(CommandBuffer::default());
                    }
                    self.count(found);
                    let Group::Writes(writes) = &mut group else { continue };
                    writes.push(&args);
                    if self.session.skip || writes.bytes().len() >= WRITE_GROUP_BYTES {
                        self.run_group(&mut group, requests).await?;
                    }
                }
                Ok(found @ Found { spec: Spec { handler: Handler::Read(_), .. }, .. }) => {
                    let call = ReadCall { request: index, before: 0 };
                    self.add_read(&mut group, found, call, self.session.consistency, requests).await?;
                }
                Ok(found) if found.spec.name == READ => match leveled(&args) {
                    Ok((consistency, before)) => {
                        let call = ReadCall { request: index, before };
                        self.add_read(&mut group, found, call, consistency, requests).await?;
                    }
                    Err(stop) => {
                        self.run_group(&mut group, requests).await?;
                        self.put(&Reply::from_stop(stop)).await?;
                    }
                },
                Ok(found) if found.spec.name == WATCH => {
                    self.run_group(&mut group, requests).await?;
                    self.watch(found, &args).await?;
                }
                Ok(found) => {
                    self.run_group(&mut group, requests).await?;
                    self.run_front(found, &args).await?;
                }
                Err(stop) => {
                    self.run_group(&mut group, requests).await?;
                    self.refuse_call(&args, stop).await?;
                }
            }
            self.session.next_command();
            if self.session.closing {
                break;
            }
        }
        self.run_group(&mut group, requests).await
    }

    /// Adds a read to the group, if that is one of reads at this level, or to a new one.
    async fn add_read(
        &mut self,
        group: &mut Group,
        found: Found,
        call: ReadCall,
        consistency: Consistency,
        requests: &Requests,
    ) -> Result<(), Closed> {
        if !matches!(group, Group::Reads(reads) if reads.consistency == consistency) {
            self.run_group(group, requests).await?;
            let calls = Vec::with_capacity(requests.len() - call.request);
            *group = Group::Reads(Reads { consistency, calls });
        }
        self.count(found);
        if let Group::Reads(reads) = group {
            reads.calls.push(call);
        }
        if self.session.skip {
            self.run_group(group, requests).await?;
        }
        Ok(())
    }

    /// The error for a command that this connection may not call now.
    fn refused(&self, flags: Flags) -> Option<&'static str> {
        // Connections that have authenticated, which are nearly all, need no look at the settings.
        if self.session.authenticated || flags.has(Flags::NO_AUTH) {
            return None;
        }
        self.session
            .must_authenticate(&self.shared.config.load())
            .then_some("NOAUTH Authentication required.")
    }

    /// Has the proxy answer a command of its own.
    pub(super) async fn run_front(&mut self, found: Found, args: &[&[u8]]) -> Result<(), Closed> {
        match self.ask_front(found, args).await {
            Some(reply) => self.put(&reply).await,
            None => Ok(()),
        }
    }

    /// What the proxy answers to a command of its own; none for no reply.
    pub(super) async fn ask_front(&mut self, found: Found, args: &[&[u8]]) -> Option<Reply> {
        self.count(found);
        self.show_command();
        // It may be about to look at itself.
        self.count_memory(false);
        let began = Instant::now();
        let mut context =
            front::Context { shared: &self.shared, session: &mut self.session, client: &self.client };
        let answer = front::run(&mut context, found, args).await;
        self.count_group(began.elapsed());
        answer.unwrap_or_else(|stop| Some(Reply::from_stop(stop)))
    }

    async fn run_group(&mut self, group: &mut Group, requests: &Requests) -> Result<(), Closed> {
        if !matches!(group, Group::Empty) {
            self.show_command();
        }
        match std::mem::replace(group, Group::Empty) {
            Group::Empty => Ok(()),
            Group::Writes(writes) => self.run_writes(writes).await,
            Group::Reads(reads) => self.run_reads(&reads, requests).await,
        }
    }

    async fn run_writes(&mut self, writes: CommandBuffer) -> Result<(), Closed> {
        let (count, began) = (writes.count() as usize, Instant::now());
        let replies = self.propose(writes).await.unwrap_or_else(|reply| vec![reply; count]);
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

    async fn run_reads(&mut self, reads: &Reads, requests: &Requests) -> Result<(), Closed> {
        let began = Instant::now();
        let Reads { consistency, calls } = reads;
        if let Err(error) = self.shared.handle.read_barrier(*consistency, self.session.seen).await {
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

    /// Adds the reply to the command that runs, and waits for the client if it has too many unread ones.
    pub(super) async fn put(&mut self, reply: &Reply) -> Result<(), Closed> {
        if !self.session.answers() {
            return Ok(());
        }
        let most = self.shared.config.load().limits.reply_buffer_bytes;
        if !matches!(reply, Reply::Status(_) | Reply::Integer(_) | Reply::Null) {
            let size = reply.size();
            if size > most {
                return Err(Closed::LargeReply(size));
            }
            if self.output.len() + size > most {
                self.send_down_to(most - size).await?;
            }
        }
        self.answer(reply);
        if self.output.len() >= self.count_at {
            self.count_output().await?;
        }
        Ok(())
    }
}

/// Finds the command, and checks what can be checked without running it, in Redis's order.
fn admit(args: &[&[u8]], refused: impl Fn(Flags) -> Option<&'static str>) -> Outcome<Found> {
    let found = find(args)?;
    if let Some(text) = refused(found.spec.flags) {
        return Err(adapter::Stop::text(text));
    }
    if !found.spec.handler.may_write() {
        return Ok(found);
    }
    if matches!(found.spec.handler, Handler::Nested(_)) {
        let (inner, _) = revision::inner_of_if(args)?;
        if let Some(text) = refused(inner.flags) {
            return Err(adapter::Stop::text(text));
        }
    }
    if names_reserved_key(found.spec, args) { Err(RESERVED_KEY) } else { Ok(found) }
}

/// Whether a command would write under a name that storages keep for themselves.
fn names_reserved_key(spec: &Spec, args: &[&[u8]]) -> bool {
    let is_reserved = |arg: &&[u8]| arg.starts_with(adapter::RESERVED);
    // Which arguments are keys is looked at only where one of them could be such a key.
    args.iter().any(is_reserved) && spec.key_indices(args).into_iter().any(|index| is_reserved(&args[index]))
}

/// A browser that was led here: it would send commands of an attacker's choice in the body of its request.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}
