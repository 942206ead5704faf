//! What clients ask of a member.

use std::time::Duration;

use adapter::snapshot::Digest;
use adapter::{Adapter, CommandBuffer, StorageError};
use bytes::Bytes;
use conf::Consistency;

use super::Member;
use crate::backup::{Backups, Begun, TakeError};
use crate::boxed::Boxed;
use crate::checkpoint::DigestError;
use crate::committed::Committed;
use crate::error::{ProposeError, ReadError};
use crate::handle::{Lead, Service};
use crate::health::HealthView;
use crate::membership::change::{Change, ChangeError};
use crate::node::reads::applied_index;
use crate::state_machine::Mark;
use crate::status::{MemberStatus, NodeStatus};
use crate::types::NodeId;

impl Service for Member {
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Committed, ProposeError>> {
        if self.elections.is_removed() {
            return Box::pin(std::future::ready(Err(ProposeError::NoCluster)));
        }
        Box::pin(self.proposer.propose(commands))
    }

    fn read_barrier(&self, consistency: Consistency, seen: u64) -> Boxed<'_, Result<(), ReadError>> {
        if self.elections.is_removed() && consistency != Consistency::Eventual {
            return Box::pin(std::future::ready(Err(ReadError::NoCluster)));
        }
        Box::pin(self.reads.barrier(consistency, seen))
    }

    fn seen_upto(&self) -> u64 {
        self.reads.seen_upto()
    }

    fn wait_applied(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        Box::pin(self.reads.wait_applied(index, timeout))
    }

    fn wait_replicated(&self, index: u64, wanted: usize, timeout: Duration) -> Boxed<'_, usize> {
        Box::pin(self.acknowledged(index, wanted, timeout))
    }

    fn wait_synced(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        Box::pin(self.synced(index, timeout))
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    fn status(&self) -> NodeStatus {
        self.node_status()
    }

    fn members(&self) -> Boxed<'_, Vec<MemberStatus>> {
        Box::pin(self.member_statuses())
    }

    fn health_view(&self) -> HealthView {
        self.health.view()
    }

    fn publish_metrics(&self) {
        self.set_metrics();
    }

    fn glance(&self) -> Boxed<'_, Vec<MemberStatus>> {
        Box::pin(self.glance_around())
    }

    fn lead(&self) -> Lead {
        self.sure_lead()
    }

    fn make_snapshot(&self) -> Boxed<'_, ()> {
        Box::pin(async {
            // It fails when the node ends.
            let _ = self.raft.trigger().snapshot().await;
        })
    }

    fn digest_at(&self, index: u64) -> Boxed<'_, Result<Digest, DigestError>> {
        Box::pin(self.checkpointer.digest_at(index, self.config.load().raft.request_timeout))
    }

    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>> {
        Box::pin(async {
            self.reads.barrier(Consistency::Linearizable, 0).await?;
            let applied = applied_index(&self.progress.borrow());
            let snapshot = self.checkpointer.snapshot().await?;
            if snapshot.applied().position.index < applied {
                return Err(TakeError::Behind);
            }
            let mark =
                Mark::of(&snapshot.applied().position).map_err(StorageError::engine("take a snapshot"))?;
            self.backups.begin(snapshot, mark.origin(Bytes::copy_from_slice(self.cluster_id.as_bytes())))
        })
    }

    fn backups(&self) -> &Backups {
        &self.backups
    }

    fn change_membership(&self, change: Change) -> Boxed<'_, Result<NodeId, ChangeError>> {
        Box::pin(self.change(change))
    }

    fn transfer_leadership(&self, target: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>> {
        Box::pin(self.transfer_to(target))
    }

    fn init_cluster(&self, _id: Option<String>) -> Boxed<'_, Result<String, ChangeError>> {
        Box::pin(std::future::ready(Err(ChangeError::AlreadyMember)))
    }

    fn join_cluster(&self, _seeds: Vec<String>) -> Boxed<'_, Result<(), ChangeError>> {
        Box::pin(std::future::ready(Err(ChangeError::AlreadyMember)))
    }

    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>> {
        Box::pin(self.finalize())
    }

    fn shutdown(&self) -> Boxed<'_, ()> {
        Box::pin(self.leave())
    }
}
