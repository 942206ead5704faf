//! A pipeline: the commands that have arrived, cut into groups and run in order.
//!
//! Writes, the short reads between them and the reads of one level behind them are one [`Group`]; what the proxy
//! answers itself stands alone. A group begins when the one before it is answered, so a read sees the writes before
//! it, and replies are in the order of the requests.

use std::time::Instant;

use adapter::command::{Flags, Handler, revision};
use adapter::error::Outcome;
use adapter::{Reply, Spec};
use tokio::io::{AsyncRead, AsyncWrite};

use super::closed::Closed;
use super::group::{Group, ReadCall};
use super::riding::Rides;
use super::state::Connection;
use crate::front;
use crate::front::consistency::{Leveled, leveled};
use crate::lookup::{Found, find};
use crate::resp::Requests;

/// The command that names the level of the command in it.
const READ: &str = "raft.read";

/// The command that notes revisions of keys.
const WATCH: &str = "watch";

/// A key of ours, on every storage alike.
const RESERVED_KEY: adapter::Stop =
    adapter::Stop::text("ERR keys that begin with '__raft_proxy__:' are reserved");

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    /// Runs all commands of a pipeline.
    pub(super) async fn run_pipeline(&mut self, requests: &Requests) -> Result<(), Closed> {
        let mut args: Vec<&[u8]> = Vec::with_capacity(8);
        let mut group = Group::default();
        self.committed = None;
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
                Ok(found) if found.spec.handler.may_write() => {
                    self.add_write(&mut group, found, &args, requests).await?;
                }
                Ok(found @ Found { spec: Spec { handler: Handler::Read(_), .. }, .. }) => {
                    let call = ReadCall { found, rides: Rides::of(found.spec), request: index, before: 0 };
                    self.add_read(&mut group, call, self.session.consistency, requests).await?;
                }
                Ok(found) if found.spec.name == READ => match leveled(&args) {
                    Ok(Leveled { consistency, before, spec }) => {
                        let call = ReadCall { found, rides: Rides::of(spec), request: index, before };
                        self.add_read(&mut group, call, consistency, requests).await?;
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
fn admit(args: &[&[u8]], refused: impl FnOnce(Flags) -> Option<&'static str>) -> Outcome<Found> {
    let found = find(args)?;
    if let Some(text) = refused(found.spec.flags) {
        return Err(adapter::Stop::text(text));
    }
    if !found.spec.handler.may_write() {
        return Ok(found);
    }
    if matches!(found.spec.handler, Handler::Nested(_)) {
        revision::check_if(args)?;
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
