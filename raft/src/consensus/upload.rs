//! What is too large for one entry, proposed in pieces.

use std::collections::VecDeque;
use std::sync::Arc;

use adapter::{Batch, CommandBuffer};
use tokio::sync::OwnedRwLockReadGuard;
use tokio::time::{Duration, sleep};

use super::RaftConsensus;
use crate::boxed::Boxed;
use crate::proposer::{Outcome, Route};
use crate::state_machine::Mark;
use crate::version;

/// Bytes of a piece of what is too large for one entry: so many are on every disk in a moment.
const PIECE: usize = 1 << 20;
/// Pieces that are proposed and not yet applied.
const PIECES_UNDER_WAY: usize = 4;

/// How often it is looked whether a transfer of leadership has ended.
const TRANSFER_PAUSE: Duration = Duration::from_millis(10);

impl RaftConsensus {
    /// Proposes what is too large for one entry: its pieces, a few at a time, and when all of them are applied the
    /// entry that has it take effect. Until that one is proposed it is not done, whatever becomes of the pieces.
    pub(super) async fn upload(&self, groups: &[CommandBuffer], patience: Duration) -> Outcome {
        let _turn = self.uploading.lock().await;
        let total = groups.iter().map(|group| group.bytes().len() as u64).sum();
        let count = groups.iter().map(CommandBuffer::count).sum();
        let (upload, mut offset, mut under_way) = (rand::random(), 0, VecDeque::new());
        let pieces = groups.iter().flat_map(|group| group.bytes().chunks(PIECE));
        for piece in pieces.map(Some).chain([None; PIECES_UNDER_WAY]) {
            if under_way.len() == PIECES_UNDER_WAY || piece.is_none() {
                let oldest: Option<Boxed<'_, Outcome>> = under_way.pop_front();
                let Some(oldest) = oldest else { continue };
                if !matches!(oldest.await, Outcome::Done(_)) {
                    drop(under_way);
                    return self.give_up(upload).await;
                }
            }
            if let Some(piece) = piece {
                let Some(held) = self.may_propose(&mut under_way).await else {
                    return self.give_up(upload).await;
                };
                let batch = Batch::piece(upload, total, offset, piece);
                offset += piece.len() as u64;
                let begun = self.begin(batch, Duration::ZERO).await;
                under_way.push_back(Box::pin(async move {
                    let outcome = begun.await;
                    drop(held);
                    outcome
                }));
            }
        }
        let Some(held) = self.may_propose(&mut under_way).await else {
            return self.give_up(upload).await;
        };
        let last = Batch::last(self.now_ms(), rand::random(), count, upload, total);
        let outcome = self.begin(last, patience).await.await;
        drop(held);
        match outcome {
            // Another has led meanwhile, and so the pieces were given up.
            Outcome::Done(done) if done.replies.is_empty() => Outcome::NotDone,
            outcome => outcome,
        }
    }

    /// Whether every member knows what pieces are.
    pub(super) fn may_upload(&self) -> bool {
        Mark::of(&self.means.adapter.applied().position)
            .is_ok_and(|mark| mark.version >= version::WITH_PIECES)
    }

    /// Has the nodes forget the pieces of an upload, unless they do so because another leads.
    async fn give_up(&self, upload: u64) -> Outcome {
        if self.leadership.route() == Route::Here {
            // Whatever it comes to, the next upload has the same effect.
            let _ = self.begin(Batch::last(0, 0, 0, upload, 0), Duration::ZERO).await.await;
        }
        Outcome::NotDone
    }

    /// What a piece is proposed under, once a transfer of leadership that may be under way has ended: nothing is
    /// proposed during one, and it begins when all that was proposed is answered. None if this node leads no more, or
    /// if a piece has failed.
    async fn may_propose(
        &self,
        under_way: &mut VecDeque<Boxed<'_, Outcome>>,
    ) -> Option<OwnedRwLockReadGuard<()>> {
        loop {
            if self.leadership.route() == Route::Here
                && let Ok(held) = Arc::clone(&self.pieces).try_read_owned()
                && self.leadership.route() == Route::Here
            {
                return Some(held);
            }
            while let Some(oldest) = under_way.pop_front() {
                if !matches!(oldest.await, Outcome::Done(_)) {
                    return None;
                }
            }
            if !self.leadership.metrics().state.is_leader() {
                return None;
            }
            sleep(TRANSFER_PAUSE).await;
        }
    }
}
