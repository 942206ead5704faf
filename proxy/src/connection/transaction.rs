//! `MULTI` to `EXEC`: what is queued, and how it runs.
//!
//! The commands for the storage, reads among them, are one proposal: they are in one log entry, next to each other, and
//! nobody sees a part of what they do. Where all of them read, they read one view at the connection's level, and the log has
//! no entry of them. What the proxy answers itself runs behind them; none of it looks at data. An error
//! of a command undoes nothing, as in Redis. If the outcome of the proposal is unknown, `EXEC` says so.
//!
//! `WATCH` notes the revisions of keys as this node has them, at the connection's level. What the client reads from here
//! on is not older. `EXEC` compares them where its commands take effect: in the log, or in the view that it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use adapter::command::revision;
use adapter::error::Outcome;
use adapter::{CommandBuffer, Reply, Stop};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::closed::Closed;
use super::group::Removal;
use super::state::Connection;
use crate::lookup::{Found, named};
use crate::resp_error::RespError;
use crate::session::watched_bytes;
use crate::transaction::{Queued, Transaction};

const NESTED: Reply = Reply::error("ERR MULTI calls can not be nested");
const WATCH_INSIDE: Reply = Reply::error("ERR WATCH inside MULTI is not allowed");
const TOO_MANY_WATCHED: Reply = Reply::error("ERR the watched keys are larger than query_buffer_bytes");
const NOT_ALLOWED: Reply = Reply::error("ERR Command not allowed inside a transaction");
const ABORTED: Reply = Reply::error("EXECABORT Transaction discarded because of previous errors.");
const TOO_LARGE: Reply = Reply::error("ERR the transaction is larger than query_buffer_bytes");

/// Commands that cannot be queued: they belong to the connection's own reads.
const UNQUEUED: &[&str] = &["raft.read"];

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Takes a command behind `MULTI`.
    pub(super) async fn queue(&mut self, admitted: Outcome<Found>, args: &[&[u8]]) -> Result<(), Closed> {
        let found = match admitted {
            Ok(found) => found,
            Err(stop) => return self.refuse_call(args, stop).await,
        };
        self.counted.last = Some((found.spec, found.parent));
        match (found.parent, found.spec.name) {
            (None, "exec") => self.exec(found).await,
            (None, "discard") => {
                self.session.transaction = None;
                self.session.watched.clear();
                self.count(found);
                self.put(&Reply::OK).await
            }
            (None, "multi") => self.put(&NESTED).await,
            (None, "watch") => self.put(&WATCH_INSIDE).await,
            (None, "quit" | "reset") => self.run_front(found, args).await,
            (None, name) if UNQUEUED.contains(&name) => self.refuse(&NOT_ALLOWED).await,
            _ => {
                let most = self.shared.config.load().limits.query_buffer_bytes;
                let Some(transaction) = &mut self.session.transaction else { return Ok(()) };
                let size: usize = args.iter().map(|arg| arg.len()).sum();
                if transaction.bytes().saturating_add(size) > most {
                    return self.refuse(&TOO_LARGE).await;
                }
                transaction.push(found, args);
                self.put(&Reply::status("QUEUED")).await
            }
        }
    }

    /// Answers why a call was refused. A refused `EXEC` ends the transaction, and says so also where there is none.
    pub(super) async fn refuse_call(&mut self, args: &[&[u8]], stop: Stop) -> Result<(), Closed> {
        let named = named(args);
        self.counted.last = named.map(|found| (found.spec, found.parent));
        match (named, Reply::from_stop(stop)) {
            (Some(Found { parent: None, spec }), Reply::Error(text)) if spec.name == "exec" => {
                self.session.transaction = None;
                self.session.watched.clear();
                let why = text.strip_prefix("ERR ").unwrap_or(&text);
                let text = format!("EXECABORT Transaction discarded because of: {why}");
                self.put(&Reply::Error(text.into())).await
            }
            (_, reply) => self.refuse(&reply).await,
        }
    }

    /// Answers why a command was not queued; `EXEC` runs nothing then.
    pub(super) async fn refuse(&mut self, why: &Reply) -> Result<(), Closed> {
        if let Some(transaction) = &mut self.session.transaction {
            transaction.is_refused = true;
        }
        self.put(why).await
    }

    async fn exec(&mut self, exec: Found) -> Result<(), Closed> {
        let Some(transaction) = self.session.transaction.take() else { return Ok(()) };
        let watched = std::mem::take(&mut self.session.watched);
        let Transaction { data, reads, queued, is_refused, .. } = *transaction;
        if is_refused {
            return self.put(&ABORTED).await;
        }
        for command in &queued {
            if let Queued::Data(found) = command {
                self.count(*found);
            }
        }
        self.count(exec);
        self.show_command();
        let began = Instant::now();
        let answered = match reads {
            Some(calls) => {
                let answered = self.read_watched(calls, &watched).await;
                self.shared.stats.read(began.elapsed());
                answered
            }
            None => {
                let answered = self.propose_watched(data, &watched).await;
                self.shared.stats.wrote(began.elapsed());
                answered
            }
        };
        self.count_group(began.elapsed());
        let mut answered = match answered {
            Ok(Some(replies)) => replies.into_iter(),
            Ok(None) => return self.put(&Reply::NullArray).await,
            Err(reply) => return self.put(&reply).await,
        };
        let mut replies = Vec::with_capacity(queued.len());
        for command in queued {
            let reply = match command {
                Queued::Data(_) => answered.next(),
                Queued::Front(found, args) => {
                    let args: Vec<&[u8]> = args.iter().map(|arg| &arg[..]).collect();
                    self.ask_front(found, &args).await
                }
            };
            replies.push(reply.unwrap_or(Reply::Null));
        }
        self.put(&Reply::Array(replies)).await
    }

    /// `WATCH`: the revision of each key, unless it is watched already.
    pub(super) async fn watch(&mut self, found: Found, args: &[&[u8]]) -> Result<(), Closed> {
        self.count(found);
        self.show_command();
        let began = Instant::now();
        let reply = match self.note_revisions(&args[1..]).await {
            Ok(()) => Reply::OK,
            Err(reply) => reply,
        };
        self.count_group(began.elapsed());
        self.put(&reply).await
    }

    async fn note_revisions(&mut self, keys: &[&[u8]]) -> Result<(), Reply> {
        if !self.shared.keeps_revisions() {
            return Err(Reply::from_stop(revision::NONE_KEPT));
        }
        let watched = &self.session.watched;
        let unwatched = keys.iter().filter(|key| !watched.contains_key(**key));
        let new: BTreeSet<Bytes> = unwatched.map(|key| Bytes::copy_from_slice(key)).collect();
        if new.is_empty() {
            return Ok(());
        }
        if watched_bytes(watched.keys().chain(&new)) > self.shared.config.load().limits.query_buffer_bytes {
            return Err(TOO_MANY_WATCHED);
        }
        let mut answered = self.read_together(vec![revisions_call(new.iter())]).await?;
        let revisions = last_revisions(&mut answered)?;
        self.session.watched.extend(new.into_iter().zip(revisions));
        Ok(())
    }

    /// Has commands done if what was watched has not changed; none if it has.
    async fn propose_watched(
        &mut self,
        data: CommandBuffer,
        watched: &BTreeMap<Bytes, u64>,
    ) -> Result<Option<Vec<Reply>>, Reply> {
        if watched.is_empty() {
            return self.propose(data).await.map(Some);
        }
        let guarded = revision::exec_after_watch(watched, &data).map_err(Reply::from_stop)?;
        match self.propose(guarded).await?.pop() {
            Some(Reply::Array(replies)) => Ok(Some(replies)),
            Some(reply @ Reply::Error(_)) => Err(reply),
            _ => Ok(None),
        }
    }

    /// The replies to reads of one view, if what was watched has not changed in it; none if it has.
    async fn read_watched(
        &mut self,
        mut calls: Vec<Vec<Bytes>>,
        watched: &BTreeMap<Bytes, u64>,
    ) -> Result<Option<Vec<Reply>>, Reply> {
        if calls.is_empty() && watched.is_empty() {
            return Ok(Some(Vec::new()));
        }
        if !watched.is_empty() {
            calls.push(revisions_call(watched.keys()));
        }
        let mut replies = self.read_together(calls).await?;
        let holds = watched.is_empty() || last_revisions(&mut replies)?.iter().eq(watched.values());
        Ok(holds.then_some(replies))
    }

    /// The replies to reads of one view, or the one that answers all of them.
    async fn read_together(&mut self, calls: Vec<Vec<Bytes>>) -> Result<Vec<Reply>, Reply> {
        let (consistency, shared) = (self.session.consistency, Arc::clone(&self.shared));
        let handle = &shared.handle;
        self.barrier(consistency).await.map_err(|error| error.reply())?;
        let mut outcomes = handle.adapter().read_together(calls.clone(), handle.now_ms()).await;
        let due: Vec<Bytes> =
            outcomes.iter_mut().flat_map(|outcome| std::mem::take(&mut outcome.expired)).collect();
        if consistency.removes_what_is_due() && !due.is_empty() {
            match self.expire(&due).await {
                Removal::Failed(error) => return Err(error),
                Removal::Done | Removal::None => outcomes = handle.adapter().read_together(calls, 0).await,
            }
        }
        // They have seen no more than this.
        self.session.saw(handle.seen_upto());
        Ok(outcomes.into_iter().map(|outcome| outcome.reply).collect())
    }
}

fn revisions_call<'a>(keys: impl Iterator<Item = &'a Bytes>) -> Vec<Bytes> {
    [Bytes::from_static(b"RAFT.REVISION")].into_iter().chain(keys.cloned()).collect()
}

/// Takes the last reply, which answers [`revisions_call`]: the revisions, or the error.
fn last_revisions(replies: &mut Vec<Reply>) -> Result<Vec<u64>, Reply> {
    let revisions = match replies.pop() {
        Some(Reply::Array(revisions)) => revisions,
        Some(error) => return Err(error),
        None => Vec::new(),
    };
    let number = |reply| match reply {
        Reply::Integer(revision) => u64::try_from(revision).unwrap_or_default(),
        _ => 0,
    };
    Ok(revisions.into_iter().map(number).collect())
}
