//! One flush: cut a batch, plan it, send it, advance the markers, confirm it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redis_protocol::resp2::types::BytesFrame;
use tokio::task::JoinSet;

use super::error::FlushError;
use super::plan::{Plan, Planner, resolve_pending_op};
use super::worker::Worker;
use crate::embedded::db::store::Store;
use crate::embedded::offload::dirty_log::DirtyParts;
use crate::embedded::offload::flush_batch::FlushBatch;
use crate::embedded::offload::placement::Placement;
use crate::embedded::offload::worker_state::{Refill, WorkerState};
use crate::failpoint;
use crate::keyspace::{Flow, Kind, Point};
use crate::kiwi::client::{Request, RequestError};
use crate::kiwi::ownership;

impl Worker {
    /// Flushes one batch.
    pub(super) fn flush(&self, store: &Arc<Store>) -> Result<(), FlushError> {
        let mut state = store.worker_state()?;
        if !state.in_flight {
            state.in_flight = true;
            store.set_worker_state(&state)?;
        }
        self.busy.store(true, Ordering::Release);
        let flushed = store.take_flush_batch().map_err(FlushError::from).and_then(|mut batch| {
            self.flush_batch(store, &mut batch, &mut state).inspect_err(|_| store.return_batch(&mut batch))
        });
        self.busy.store(false, Ordering::Release);
        flushed
    }

    fn flush_batch(
        &self,
        store: &Store,
        batch: &mut FlushBatch<'_>,
        state: &mut WorkerState,
    ) -> Result<(), FlushError> {
        let open_below = self.gate.open_below();
        let cleared = batch.dirty.cleared;
        if cleared || state.refill.as_ref().is_some_and(|refill| !refill.emptied) {
            if open_below.is_some() {
                return Err(FlushError::Gated);
            }
            if cleared {
                state.refill = None;
            }
            self.empty_kiwi(store, state)?;
        }
        failpoint::reached("flush-cut");
        let plan = self.plan(batch, state, open_below)?;
        if plan.pipelines.is_empty() && !plan.remaining.is_empty() {
            return Err(FlushError::Gated);
        }
        if !plan.pending_ops.is_empty() {
            store.set_placements(&plan.pending_ops)?;
            store.sync()?;
        }
        failpoint::reached("flush-planned");
        let has_lists = plan
            .placements
            .iter()
            .any(|(_, placement)| placement.as_ref().is_none_or(|placement| placement.kind == Kind::List));
        let pipelines = plan.pipelines;
        let lock = if has_lists { Some(self.runtime.block_on(self.lists.write())) } else { None };
        self.runtime.block_on(self.send_all(pipelines))?;
        failpoint::reached("flush-sent");
        state.sequence += 1;
        if !self.runtime.block_on(ownership::advance(&self.client, state))? {
            return Err(self.record_loss(store, self.emptied_reason()));
        }
        failpoint::reached("flush-marked");
        store.set_placements(&plan.placements)?;
        drop(lock);
        for ((id, pointer), value) in plan.values {
            self.cache.put(id, pointer, value);
        }
        Ok(self.index.confirm(store, batch, &plan.flushed, plan.remaining, state)?)
    }

    /// Empties Kiwi and marks it as this node's.
    fn empty_kiwi(&self, store: &Store, state: &mut WorkerState) -> Result<(), FlushError> {
        self.runtime.block_on(self.client.call(Request::new(&[b"FLUSHALL"])))?;
        failpoint::reached("kiwi-emptied");
        store.clear_placements()?;
        if let Some(refill) = &mut state.refill {
            refill.emptied = true;
        }
        self.runtime.block_on(ownership::set(&self.client, state))?;
        store.set_worker_state(state)?;
        Ok(())
    }

    fn plan(
        &self,
        batch: &FlushBatch<'_>,
        state: &mut WorkerState,
        open_below: Option<Point>,
    ) -> Result<Plan, FlushError> {
        let is_gated = |key: &[u8]| open_below.is_some_and(|open_below| Point::of(key) >= open_below);
        let mut planner = Planner::new(batch, self.inline);
        for (key, parts) in &batch.dirty.keys {
            if planner.is_full() || is_gated(key) {
                planner.defer(key, parts.clone());
            } else {
                planner.add(key, self.settled_placement(batch, key)?, parts.clone())?;
            }
        }
        if let Some(Refill { emptied: true, from }) = state.refill.clone() {
            let mut next = None;
            let mut keys = Vec::new();
            batch.keys(&from, &mut |place, key| {
                // Enough for one batch.
                if keys.len() >= 4096 {
                    next = Some(place.to_vec());
                    return Ok(Flow::Break(()));
                }
                keys.push((place.to_vec(), key.to_vec()));
                Ok(Flow::Continue(()))
            })?;
            for (place, key) in keys {
                if planner.is_full() || is_gated(&key) {
                    next = Some(place);
                    break;
                }
                if !batch.dirty.keys.contains_key(&key) {
                    planner.add(&key, self.settled_placement(batch, &key)?, DirtyParts::new())?;
                }
            }
            state.refill = next.map(|from| Refill { emptied: true, from });
        }
        Ok(planner.finish())
    }

    /// What Kiwi has of a key. A pending list operation is resolved first, by the list's length on Kiwi.
    fn settled_placement(&self, batch: &FlushBatch<'_>, key: &[u8]) -> Result<Option<Placement>, FlushError> {
        let placement = match batch.placement(key)? {
            Some(placement) if placement.pending_op.is_some() => placement,
            settled => return Ok(settled),
        };
        let reply = self.runtime.block_on(self.client.call(Request::new(&[b"LLEN", key])))?;
        let found = if let BytesFrame::Integer(found) = reply { u64::try_from(found).ok() } else { None };
        let settled: Option<Placement> = found.and_then(|found| resolve_pending_op(placement, found));
        let settled = settled.ok_or_else(|| {
            self.record_loss(
                batch.store(),
                format!("the list at key '{}' is not as it was left", key.escape_ascii()),
            )
        })?;
        batch.store().set_placements(&[(key.to_vec(), Some(settled.clone()))])?;
        Ok(Some(settled))
    }

    /// Sends all pipelines concurrently.
    async fn send_all(&self, pipelines: Vec<Vec<Request>>) -> Result<(), RequestError> {
        let mut sending = JoinSet::new();
        for pipeline in pipelines {
            let client = Arc::clone(&self.client);
            sending.spawn_on(async move { client.call_all(pipeline).await.map(drop) }, &self.runtime);
        }
        let mut result = Ok(());
        // Wait for all of them, so that nothing of this flush is still being sent after it has failed.
        while let Some(sent) = sending.join_next().await {
            let sent = sent.unwrap_or_else(|error| {
                Err(RequestError::NoAnswer {
                    address: self.client.address().to_owned(),
                    reason: error.to_string(),
                })
            });
            result = result.and(sent);
            failpoint::reached("flush-sending");
        }
        result
    }
}
