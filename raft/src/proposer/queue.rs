//! Groups of commands that wait to be proposed, bounded by bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use adapter::CommandBuffer;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::committed::Committed;
use crate::error::ProposeError;

const QUEUED: u8 = 0;
const TAKEN: u8 = 1;
const CANCELLED: u8 = 2;

/// Whether a group is still in the queue, agreed between who waits for it and who takes it.
pub(super) struct State(AtomicU8);

impl State {
    /// Takes the group out of the queue for good; false if it has been handed over.
    pub(super) fn cancel(&self) -> bool {
        self.move_to(CANCELLED) || self.0.load(Ordering::Acquire) == CANCELLED
    }

    fn take(&self) -> bool {
        self.move_to(TAKEN)
    }

    fn give_back(&self) {
        self.0.store(QUEUED, Ordering::Release);
    }

    fn move_to(&self, to: u8) -> bool {
        self.0.compare_exchange(QUEUED, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// One submitter's commands.
pub(super) struct Group {
    pub(super) commands: CommandBuffer,
    pub(super) deadline: Instant,
    pub(super) may_forward: bool,
    state: Arc<State>,
    reply: oneshot::Sender<Result<Committed, ProposeError>>,
    _reserved: Reserved,
}

impl Group {
    /// Bytes of its commands.
    pub(super) fn size(&self) -> usize {
        self.commands.bytes().len()
    }

    pub(super) fn answer(self, answer: Result<Committed, ProposeError>) {
        // Who no longer waits needs no answer.
        let _ = self.reply.send(answer);
    }

    /// It was taken and is not done: from here on whoever waits for it may give it up again.
    pub(super) fn is_not_done(&self) {
        self.state.give_back();
    }

    /// Whether somebody still waits for it. A node that has forwarded it may have closed its connection.
    fn is_wanted(&self, now: Instant) -> bool {
        self.deadline > now && !self.reply.is_closed()
    }

    /// It is not done, and will not be.
    fn drop_unwanted(self) {
        self.state.cancel();
        self.answer(Err(ProposeError::NoLeader));
    }
}

/// Bytes of the bound, given back when the group is answered.
struct Reserved {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Groups that are not answered yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) groups: usize,
    pub(crate) bytes: usize,
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// There may be enough, or less is enough now.
    changed: Notify,
    in_flight: Arc<AtomicUsize>,
}

/// Groups that wait, the cancelled ones among them.
#[derive(Default)]
struct Waiting {
    groups: VecDeque<Group>,
    /// Of their commands.
    bytes: usize,
    /// Somebody waits for so many.
    wanted: usize,
}

impl Waiting {
    fn push_back(&mut self, group: Group) {
        self.bytes += group.size();
        self.groups.push_back(group);
    }

    fn push_front(&mut self, group: Group) {
        self.bytes += group.size();
        self.groups.push_front(group);
    }

    fn pop_front(&mut self) -> Option<Group> {
        let group = self.groups.pop_front()?;
        self.bytes -= group.size();
        Some(group)
    }

    /// Whether there is something, and so much of it as is wanted.
    fn is_enough(&self) -> bool {
        !self.groups.is_empty() && self.bytes >= self.wanted
    }
}

impl Queue {
    /// Adds a group; none if there are `max_in_flight` bytes of groups already.
    pub(super) fn push(
        &self,
        commands: CommandBuffer,
        deadline: Instant,
        may_forward: bool,
        reply: oneshot::Sender<Result<Committed, ProposeError>>,
        max_in_flight: usize,
    ) -> Option<Arc<State>> {
        let reserved = self.reserve(commands.bytes().len(), max_in_flight)?;
        let state = Arc::new(State(AtomicU8::new(QUEUED)));
        let group =
            Group { commands, deadline, may_forward, state: Arc::clone(&state), reply, _reserved: reserved };
        let is_enough = {
            let mut waiting = self.lock();
            waiting.push_back(group);
            waiting.is_enough()
        };
        // Not for each that comes meanwhile.
        if is_enough {
            self.changed.notify_one();
        }
        Some(state)
    }

    /// Puts groups of which [`Group::is_not_done`] was told to the front again.
    pub(super) fn put_back(&self, groups: Vec<Group>) {
        let mut waiting = self.lock();
        for group in groups.into_iter().rev() {
            waiting.push_front(group);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// Takes groups from the front until a bound is met; one at least, whatever its size. Those that
    /// nobody waits for any more are dropped: they must not take effect later.
    pub(super) fn take(&self, max_bytes: usize, max_commands: usize) -> Vec<Group> {
        let now = Instant::now();
        let mut waiting = self.lock();
        let (mut bytes, mut commands, mut taken) = (0, 0, Vec::new());
        while let Some(group) = waiting.groups.front() {
            bytes += group.size();
            commands += group.commands.count() as usize;
            if !taken.is_empty() && (bytes > max_bytes || commands > max_commands) {
                break;
            }
            let Some(group) = waiting.pop_front() else { break };
            if group.is_wanted(now) && group.state.take() {
                taken.push(group);
            } else {
                bytes -= group.size();
                commands -= group.commands.count() as usize;
                group.drop_unwanted();
            }
        }
        taken
    }

    /// Takes the groups that may not be forwarded, and drops those that nobody waits for any more.
    pub(super) fn take_stranded(&self) -> Vec<Group> {
        let now = Instant::now();
        let mut waiting = self.lock();
        let (mut stranded, mut rest) = (Vec::new(), Waiting::default());
        while let Some(group) = waiting.pop_front() {
            if !group.is_wanted(now) || group.state.0.load(Ordering::Acquire) == CANCELLED {
                group.drop_unwanted();
            } else if group.may_forward {
                rest.push_back(group);
            } else if group.state.take() {
                stranded.push(group);
            }
        }
        *waiting = rest;
        stranded
    }

    /// Returns when there is something to take.
    pub(super) async fn not_empty(&self) {
        self.has(|| 0).await;
    }

    /// Returns when there is something to take, of so many bytes at least. How many may become less: see
    /// [`Queue::look_again`].
    pub(super) async fn has(&self, bytes: impl Fn() -> usize) {
        loop {
            {
                let mut waiting = self.lock();
                waiting.wanted = bytes();
                if waiting.is_enough() {
                    return;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Has whoever waits in [`Queue::has`] ask again how many bytes are enough.
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Bytes of groups that are not answered yet.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// What is not answered yet.
    pub(super) fn pending(&self) -> Pending {
        // Each group that is not answered holds one reference to the total.
        let groups = Arc::strong_count(&self.in_flight) - 1;
        Pending { groups, bytes: self.bytes_in_flight() }
    }

    /// A group that is larger than the bound passes when it is alone.
    fn reserve(&self, bytes: usize, most: usize) -> Option<Reserved> {
        let fits = |used: usize| (used == 0 || used + bytes <= most).then_some(used + bytes);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        Some(Reserved { bytes, total: Arc::clone(&self.in_flight) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
