//! Carries what has changed over to Kiwi, wave by wave, behind the answers to clients.
//!
//! A wave: cut the store, which makes durable all that the wave is about; plan; send; mark; confirm. Whatever breaks on
//! the way, the journal still holds the wave's changes, and they are planned again from the store as it is by then.
//!
//! Kiwi may still carry out a request whose answer is lost, or answered by an error, and more than once. So after such a
//! request nothing is sent until that can no longer be: until nobody listens on Kiwi's port, which is the end of its
//! process, or until a time has passed after which Kiwi has given the request up (`storage.settle_time`). Then
//! everything of that wave is sent again. So no late effect lands on top of newer data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redis_protocol::resp2::types::BytesFrame;
use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock, watch};
use tokio::task::JoinSet;

use super::at_hand::ValueCache;
use super::client::{Client, Trouble};
use super::command::Request;
use super::link::{Link, Missed};
use super::marks::{self, Marks};
use super::plan::{Lengths, Plan, Planner, resolve};
use super::probe::{self, ProbeError};
use super::stream::Freezes;
use crate::embedded::EmbeddedAdapter;
use crate::embedded::behind::{Carrier, Cut, Placed, Refill};
use crate::embedded::journal::Parts;
use crate::embedded::store::Store;
use crate::error::StorageError;
use crate::keyspace::{Kind, Point, Step};
use crate::step;

/// The first and the last wait before Kiwi is tried again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How often a walk that holds everything back is looked at.
const HELD: Duration = Duration::from_millis(50);
/// How often the marks are looked at while nothing is to be carried over.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// Why a wave has not arrived.
#[derive(Clone, Debug, thiserror::Error)]
enum WaveError {
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error(transparent)]
    Store(#[from] StorageError),
    /// All that is to be done has to wait for a walk over what is there.
    #[error("a snapshot is being made")]
    Held,
    /// Kiwi does not have what it should have.
    #[error("{0}")]
    Lost(String),
    /// Kiwi must not be used.
    #[error("{0}")]
    Refused(String),
}

impl From<ProbeError> for WaveError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Trouble(trouble) => Self::Trouble(trouble),
            ProbeError::Unfit(reason) => Self::Refused(reason),
        }
    }
}

/// What the thread that carries works with.
pub(super) struct Hauler {
    pub(super) client: Arc<Client>,
    pub(super) index: Arc<EmbeddedAdapter>,
    pub(super) cache: Arc<ValueCache>,
    pub(super) link: watch::Sender<Link>,
    pub(super) lists: Arc<RwLock<()>>,
    /// Told of every commit.
    pub(super) work: Arc<Notify>,
    pub(super) stopping: Arc<AtomicBool>,
    /// A wave is on its way.
    pub(super) busy: Arc<AtomicBool>,
    pub(super) freezes: Freezes,
    pub(super) missed: Missed,
    /// Kiwi has given a request up after this time.
    pub(super) settle_time: Duration,
    pub(super) lengths: Lengths,
    pub(super) runtime: Handle,
}

impl Hauler {
    /// Works until it is told to stop.
    pub(super) fn run(self) {
        let (mut backoff, most) = BACKOFF;
        // A process before this one may have left requests behind.
        let mut unsettled = match self.index.store().carrier() {
            Ok(Carrier { in_flight: false, .. }) => None,
            _ => Some(Instant::now()),
        };
        while !self.is_stopping() {
            match self.haul(&mut unsettled) {
                Ok(()) => return,
                Err(error) => {
                    match &error {
                        // Its process has ended, and its requests with it.
                        WaveError::Trouble(Trouble::Nobody { .. }) => unsettled = None,
                        WaveError::Trouble(trouble) if trouble.is_unsettled() => {
                            unsettled = Some(Instant::now());
                        }
                        _ => {}
                    }
                    self.report(&error);
                }
            }
            self.client.reset();
            if self.link.borrow().check().is_err() {
                self.rest(backoff);
                backoff = (backoff * 2).min(most);
            } else {
                backoff = BACKOFF.0;
            }
        }
    }

    fn report(&self, error: &WaveError) {
        let (next, message) = match error {
            WaveError::Lost(reason) => (Link::Lost(reason.clone()), "the storage has lost data"),
            WaveError::Refused(reason) => (Link::Refused(reason.clone()), "the storage must not be used"),
            error => (Link::Down(error.to_string()), "the storage cannot be used"),
        };
        let changed = self.link.send_if_modified(|link| {
            let changed = std::mem::discriminant(link) != std::mem::discriminant(&next);
            *link = next;
            changed
        });
        if changed {
            tracing::warn!(%error, message);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn rest(&self, time: Duration) {
        let notified = self.work.notified();
        // Whichever ends it is of no matter.
        let _ = self.runtime.block_on(async { tokio::time::timeout(time, notified).await });
    }

    /// Connects and carries over. Ends when it is told to, or with what is wrong.
    fn haul(&self, unsettled: &mut Option<Instant>) -> Result<(), WaveError> {
        self.recognize()?;
        let up = Link::Up(self.runtime.block_on(probe::probe(&self.client))?);
        if self.link.send_replace(up.clone()) != up {
            tracing::info!(address = self.client.address(), "the storage is connected");
        }
        let mut recognized = Instant::now();
        let mut held = None;
        loop {
            let store = self.index.store();
            if self.is_stopping() {
                return Ok(self.depart(&store, unsettled.is_some())?);
            }
            if let Some(reason) = self.missed.take() {
                return Err(self.lose(&store, reason));
            }
            if recognized.elapsed() >= IDLE_CHECK {
                self.recognize()?;
                recognized = Instant::now();
            }
            // Reading goes on meanwhile: what is read is what its stub says, or is not used.
            if let Some(left) = self.left_to_settle(unsettled) {
                self.rest(left.min(IDLE_CHECK));
            } else if held.is_some() && held == self.freezes.passed() {
                // Whatever is committed meanwhile.
                std::thread::sleep(HELD);
            } else if store.has_changes() || store.carrier()?.refill.is_some() {
                held = self.freezes.passed();
                match self.wave(&store) {
                    Err(WaveError::Held) => {}
                    wave => {
                        wave?;
                        held = None;
                    }
                }
            } else {
                self.rest(IDLE_CHECK);
            }
        }
    }

    /// How long an earlier request may still have an effect.
    fn left_to_settle(&self, unsettled: &mut Option<Instant>) -> Option<Duration> {
        let left = unsettled.as_ref()?.elapsed();
        let left = self.settle_time.checked_sub(left).filter(|left| !left.is_zero());
        if left.is_none() {
            *unsettled = None;
        }
        left
    }

    /// Leaves word that nothing is on its way.
    fn depart(&self, store: &Store, unsettled: bool) -> Result<(), StorageError> {
        let carrier = store.carrier()?;
        if !unsettled && carrier.in_flight {
            store.set_carrier(&Carrier { in_flight: false, ..carrier })?;
        }
        Ok(())
    }

    /// Makes sure that Kiwi is ours and has what it should have.
    fn recognize(&self) -> Result<(), WaveError> {
        let store = self.index.store();
        let mut carrier = store.carrier()?;
        if carrier.owner == 0 {
            carrier.owner = rand::random();
            store.set_carrier(&carrier)?;
        }
        self.runtime.block_on(probe::refuse_raft_mode(&self.client))?;
        let will_be_emptied = carrier.refill.as_ref().is_some_and(|refill| !refill.emptied);
        match self.runtime.block_on(marks::read(&self.client, &carrier))? {
            Marks::Foreign(reason) | Marks::Unmarked(reason) => {
                return Err(self.refuse(&store, will_be_emptied, reason));
            }
            _ if will_be_emptied => {}
            Marks::Ahead(reason) | Marks::Adopted(reason) => return Err(WaveError::Refused(reason)),
            Marks::Behind(reason) => return Err(self.lose(&store, reason)),
            Marks::Ours | Marks::Empty if carrier.lost => return Err(WaveError::Lost(self.was_emptied())),
            Marks::Ours => {}
            Marks::Empty => self.runtime.block_on(marks::set(&self.client, &carrier))?,
        }
        store.note_changes(true)?;
        Ok(())
    }

    fn was_emptied(&self) -> String {
        format!("{} was emptied, or holds none of this node's data any more", self.client.address())
    }

    /// Writes down that Kiwi has lost data. That is so until a snapshot is installed.
    fn lose(&self, store: &Store, reason: String) -> WaveError {
        let lost = store.carrier().and_then(|carrier| store.set_carrier(&Carrier { lost: true, ..carrier }));
        lost.map_or_else(WaveError::from, |()| WaveError::Lost(reason))
    }

    /// Until a person has changed something, changes of a storage that will be filled anew need not pile up.
    fn refuse(&self, store: &Store, will_be_emptied: bool, reason: String) -> WaveError {
        let noted = if will_be_emptied { store.note_changes(false) } else { Ok(()) };
        noted.map_or_else(WaveError::from, |()| WaveError::Refused(reason))
    }

    /// Carries over what has changed.
    fn wave(&self, store: &Arc<Store>) -> Result<(), WaveError> {
        let mut carrier = store.carrier()?;
        if !carrier.in_flight {
            carrier.in_flight = true;
            store.set_carrier(&carrier)?;
        }
        self.busy.store(true, Ordering::Release);
        let carried = store.cut().map_err(WaveError::from).and_then(|mut cut| {
            self.carry(store, &mut cut, &mut carrier).inspect_err(|_| store.give_back(&mut cut))
        });
        self.busy.store(false, Ordering::Release);
        carried
    }

    fn carry(&self, store: &Store, cut: &mut Cut<'_>, carrier: &mut Carrier) -> Result<(), WaveError> {
        let passed = self.freezes.passed();
        let cleared = cut.changes.cleared;
        if cleared || carrier.refill.as_ref().is_some_and(|refill| !refill.emptied) {
            if passed.is_some() {
                return Err(WaveError::Held);
            }
            if cleared {
                carrier.refill = None;
            }
            self.empty(store, carrier)?;
        }
        step::reached("wave-cut");
        let plan = self.plan(cut, carrier, passed)?;
        if plan.lanes.is_empty() && !plan.left.is_empty() {
            return Err(WaveError::Held);
        }
        if !plan.intents.is_empty() {
            store.set_placed(&plan.intents)?;
            store.sync()?;
        }
        step::reached("wave-planned");
        let has_lists = plan
            .placed
            .iter()
            .any(|(_, placed)| placed.as_ref().is_none_or(|placed| placed.kind == Kind::List));
        let lanes = plan.lanes;
        let lock = if has_lists { Some(self.runtime.block_on(self.lists.write())) } else { None };
        self.runtime.block_on(self.send(lanes))?;
        step::reached("wave-sent");
        carrier.wave += 1;
        if !self.runtime.block_on(marks::advance(&self.client, carrier))? {
            return Err(self.lose(store, self.was_emptied()));
        }
        step::reached("wave-marked");
        store.set_placed(&plan.placed)?;
        drop(lock);
        for ((place, stub), value) in plan.values {
            self.cache.put(place, stub, value);
        }
        Ok(self.index.confirm(store, cut, &plan.arrived, plan.left, carrier)?)
    }

    /// Removes everything on Kiwi.
    fn empty(&self, store: &Store, carrier: &mut Carrier) -> Result<(), WaveError> {
        self.runtime.block_on(self.client.call(Request::new(&[b"FLUSHALL"])))?;
        step::reached("kiwi-emptied");
        store.forget_placed()?;
        if let Some(refill) = &mut carrier.refill {
            refill.emptied = true;
        }
        self.runtime.block_on(marks::set(&self.client, carrier))?;
        store.set_carrier(carrier)?;
        Ok(())
    }

    fn plan(&self, cut: &Cut<'_>, carrier: &mut Carrier, passed: Option<Point>) -> Result<Plan, WaveError> {
        let is_held = |key: &[u8]| passed.is_some_and(|passed| Point::of(key) >= passed);
        let mut planner = Planner::new(cut, self.lengths);
        for (key, parts) in &cut.changes.keys {
            if planner.is_full() || is_held(key) {
                planner.leave(key, parts.clone());
            } else {
                planner.add(key, self.placed(cut, key)?, parts.clone())?;
            }
        }
        if let Some(Refill { emptied: true, from }) = carrier.refill.clone() {
            let mut next = None;
            let mut keys = Vec::new();
            cut.keys(&from, &mut |place, key| {
                // Enough for a wave; a long one is left for the next.
                if keys.len() >= 4096 {
                    next = Some(place.to_vec());
                    return Ok(Step::Break(()));
                }
                keys.push((place.to_vec(), key.to_vec()));
                Ok(Step::Continue(()))
            })?;
            for (place, key) in keys {
                if planner.is_full() || is_held(&key) {
                    next = Some(place);
                    break;
                }
                if !cut.changes.keys.contains_key(&key) {
                    planner.add(&key, self.placed(cut, &key)?, Parts::new())?;
                }
            }
            carrier.refill = next.map(|from| Refill { emptied: true, from });
        }
        Ok(planner.finish())
    }

    /// What Kiwi has of a key. Finds out what became of what was being done to a list.
    fn placed(&self, cut: &Cut<'_>, key: &[u8]) -> Result<Option<Placed>, WaveError> {
        let placed = match cut.placed(key)? {
            Some(placed) if placed.intent.is_some() => placed,
            settled => return Ok(settled),
        };
        let reply = self.runtime.block_on(self.client.call(Request::new(&[b"LLEN", key])))?;
        let found = if let BytesFrame::Integer(found) = reply { u64::try_from(found).ok() } else { None };
        let settled: Option<Placed> = found.and_then(|found| resolve(placed, found));
        let settled = settled.ok_or_else(|| {
            self.lose(cut.store(), format!("the list at key '{}' is not as it was left", key.escape_ascii()))
        })?;
        cut.store().set_placed(&[(key.to_vec(), Some(settled.clone()))])?;
        Ok(Some(settled))
    }

    /// Sends all lanes at once.
    async fn send(&self, lanes: Vec<Vec<Request>>) -> Result<(), Trouble> {
        let mut sending = JoinSet::new();
        for lane in lanes {
            let client = Arc::clone(&self.client);
            sending.spawn_on(async move { client.call_all(lane).await.map(drop) }, &self.runtime);
        }
        let mut result = Ok(());
        // All are waited for, so that nothing of this wave is sent when it has failed.
        while let Some(sent) = sending.join_next().await {
            let sent = sent.unwrap_or_else(|error| {
                Err(Trouble::Lost { address: self.client.address().to_owned(), reason: error.to_string() })
            });
            result = result.and(sent);
            step::reached("wave-sending");
        }
        result
    }
}
