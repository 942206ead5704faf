//! The write-behind worker: the thread that flushes changes to Kiwi.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, RwLock, watch};

use super::InlineLimits;
use super::error::FlushError;
use crate::embedded::EmbeddedAdapter;
use crate::embedded::db::store::Store;
use crate::embedded::offload::worker_state::WorkerState;
use crate::error::StorageError;
use crate::kiwi::client::{Client, RequestError};
use crate::kiwi::compatibility;
use crate::kiwi::connection_state::{ConnectionState, LossReport};
use crate::kiwi::ownership::{self, Ownership};
use crate::kiwi::snapshot_gate::SnapshotGate;
use crate::kiwi::value_cache::ValueCache;

/// The first and the longest delay before reconnecting.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How often a closed snapshot gate is checked.
const GATE_CHECK: Duration = Duration::from_millis(50);
/// How often ownership is verified while idle.
const IDLE_CHECK: Duration = Duration::from_secs(1);

/// The state of the thread.
pub(crate) struct Worker {
    pub(crate) client: Arc<Client>,
    pub(crate) index: Arc<EmbeddedAdapter>,
    pub(crate) cache: Arc<ValueCache>,
    pub(crate) connection: watch::Sender<ConnectionState>,
    pub(crate) lists: Arc<RwLock<()>>,
    /// Notified of every commit.
    pub(crate) work: Arc<Notify>,
    pub(crate) stopping: Arc<AtomicBool>,
    /// A flush is in progress.
    pub(crate) busy: Arc<AtomicBool>,
    pub(crate) gate: SnapshotGate,
    pub(crate) losses: LossReport,
    /// The time after which Kiwi has given up an unanswered request.
    pub(crate) settle_time: Duration,
    pub(crate) inline: InlineLimits,
    pub(crate) runtime: Handle,
}

impl Worker {
    /// Runs until told to stop.
    pub(crate) fn run(self) {
        let (mut backoff, most) = BACKOFF;
        // An earlier process may have left requests in flight.
        let mut unsettled = match self.index.store().worker_state() {
            Ok(WorkerState { in_flight: false, .. }) => None,
            _ => Some(Instant::now()),
        };
        while !self.is_stopping() {
            match self.connect_and_flush(&mut unsettled) {
                Ok(()) => return,
                Err(error) => {
                    match &error {
                        // Kiwi's process is gone, and its requests with it.
                        FlushError::Request(RequestError::NotListening { .. }) => unsettled = None,
                        FlushError::Request(failure) if failure.is_unsettled() => {
                            unsettled = Some(Instant::now());
                        }
                        _ => {}
                    }
                    self.report(&error);
                }
            }
            self.client.reset();
            if self.connection.borrow().trouble().is_some() {
                self.sleep(backoff);
                backoff = (backoff * 2).min(most);
            } else {
                backoff = BACKOFF.0;
            }
        }
    }

    fn report(&self, error: &FlushError) {
        let (next, message) = match error {
            FlushError::Lost(reason) => (ConnectionState::Lost(reason.clone()), "the storage has lost data"),
            FlushError::Refused(reason) => {
                (ConnectionState::Refused(reason.clone()), "the storage must not be used")
            }
            error => (ConnectionState::Down(error.to_string()), "the storage cannot be used"),
        };
        let changed = self.connection.send_if_modified(|connection| {
            let changed = std::mem::discriminant(connection) != std::mem::discriminant(&next);
            *connection = next;
            changed
        });
        if changed {
            tracing::warn!(%error, message);
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn sleep(&self, time: Duration) {
        let notified = self.work.notified();
        // It does not matter which of the two ended the wait.
        let _ = self.runtime.block_on(async { tokio::time::timeout(time, notified).await });
    }

    /// Connects and keeps flushing. Returns when told to stop, or with the error.
    fn connect_and_flush(&self, unsettled: &mut Option<Instant>) -> Result<(), FlushError> {
        self.verify_ownership()?;
        let up = ConnectionState::Up(self.runtime.block_on(compatibility::probe(&self.client))?);
        if self.connection.send_replace(up.clone()) != up {
            tracing::info!(address = self.client.address(), "the storage is connected");
        }
        let mut verified_at = Instant::now();
        let mut gated_at = None;
        loop {
            let store = self.index.store();
            if self.is_stopping() {
                return Ok(self.record_settled(&store, unsettled.is_some())?);
            }
            if let Some(reason) = self.losses.take() {
                return Err(self.record_loss(&store, reason));
            }
            if verified_at.elapsed() >= IDLE_CHECK {
                self.verify_ownership()?;
                verified_at = Instant::now();
            }
            // Reads go on meanwhile: a value that does not match its pointer is not used.
            if let Some(left) = self.time_to_settle(unsettled) {
                self.sleep(left.min(IDLE_CHECK));
            } else if gated_at.is_some() && gated_at == self.gate.open_below() {
                // New commits do not open the gate.
                std::thread::sleep(GATE_CHECK);
            } else if store.has_dirty() || store.worker_state()?.refill.is_some() {
                gated_at = self.gate.open_below();
                match self.flush(&store) {
                    Err(FlushError::Gated) => {}
                    flushed => {
                        flushed?;
                        gated_at = None;
                    }
                }
            } else {
                self.sleep(IDLE_CHECK);
            }
        }
    }

    /// How long an earlier request may still take effect.
    fn time_to_settle(&self, unsettled: &mut Option<Instant>) -> Option<Duration> {
        let left = unsettled.as_ref()?.elapsed();
        let left = self.settle_time.checked_sub(left).filter(|left| !left.is_zero());
        if left.is_none() {
            *unsettled = None;
        }
        left
    }

    /// Records that no request is in flight.
    fn record_settled(&self, store: &Store, unsettled: bool) -> Result<(), StorageError> {
        let state = store.worker_state()?;
        if !unsettled && state.in_flight {
            store.set_worker_state(&WorkerState { in_flight: false, ..state })?;
        }
        Ok(())
    }

    /// Verifies that Kiwi is this node's and has lost nothing.
    fn verify_ownership(&self) -> Result<(), FlushError> {
        let store = self.index.store();
        let mut state = store.worker_state()?;
        if state.owner == 0 {
            state.owner = rand::random();
            store.set_worker_state(&state)?;
        }
        self.runtime.block_on(compatibility::refuse_raft_mode(&self.client))?;
        let will_be_emptied = state.refill.as_ref().is_some_and(|refill| !refill.emptied);
        match self.runtime.block_on(ownership::read(&self.client, &state))? {
            Ownership::Foreign(reason) | Ownership::Unmarked(reason) => {
                return Err(self.refuse(&store, will_be_emptied, reason));
            }
            Ownership::Empty if will_be_emptied => {
                self.runtime.block_on(ownership::claim(&self.client, &state))?;
            }
            _ if will_be_emptied => {}
            Ownership::Ahead(reason) | Ownership::Adopted(reason) => return Err(FlushError::Refused(reason)),
            Ownership::Behind(reason) => return Err(self.record_loss(&store, reason)),
            Ownership::Ours | Ownership::Empty if state.lost => {
                return Err(FlushError::Lost(self.emptied_reason()));
            }
            Ownership::Ours => {}
            Ownership::Empty if state.sequence > 0 => {
                return Err(self.record_loss(&store, self.emptied_reason()));
            }
            Ownership::Empty => self.runtime.block_on(ownership::set(&self.client, &state))?,
        }
        store.set_tracking(true)?;
        Ok(())
    }

    pub(super) fn emptied_reason(&self) -> String {
        format!("{} was emptied, or holds none of this node's data any more", self.client.address())
    }

    /// Records durably that Kiwi has lost data, until a snapshot is installed.
    pub(super) fn record_loss(&self, store: &Store, reason: String) -> FlushError {
        let lost = store
            .worker_state()
            .and_then(|state| store.set_worker_state(&WorkerState { lost: true, ..state }));
        lost.map_or_else(FlushError::from, |()| FlushError::Lost(reason))
    }

    /// Until an operator intervenes, changes for a Kiwi that will be refilled anyway need not pile up.
    fn refuse(&self, store: &Store, will_be_emptied: bool, reason: String) -> FlushError {
        let noted = if will_be_emptied { store.set_tracking(false) } else { Ok(()) };
        noted.map_or_else(FlushError::from, |()| FlushError::Refused(reason))
    }
}
