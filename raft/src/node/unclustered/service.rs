//! What clients ask of the node: the member answers if there is one by now.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adapter::snapshot::Digest;
use adapter::{Adapter, CommandBuffer};
use conf::Consistency;

use super::Unclustered;
use crate::backup::{Backups, Begun, TakeError};
use crate::boxed::Boxed;
use crate::checkpoint::DigestError;
use crate::committed::Committed;
use crate::error::{ProposeError, ReadError};
use crate::handle::{Lead, Service};
use crate::health::HealthView;
use crate::membership::change::{Change, ChangeError};
use crate::status::{MemberStatus, NodeStatus};
use crate::types::NodeId;

impl Service for Unclustered {
    fn propose(&self, commands: CommandBuffer) -> Boxed<'_, Result<Committed, ProposeError>> {
        match self.member.get() {
            Some(member) => Service::propose(&**member, commands),
            None => Box::pin(async {
                match self.soon().await {
                    Some(member) => Service::propose(&**member, commands).await,
                    None => Err(self.absent()),
                }
            }),
        }
    }

    fn read_barrier(&self, consistency: Consistency, seen: u64) -> Boxed<'_, Result<(), ReadError>> {
        match self.member.get() {
            Some(member) => member.read_barrier(consistency, seen),
            None => Box::pin(async move {
                match self.soon().await {
                    Some(member) => member.read_barrier(consistency, seen).await,
                    None => Err(self.absent_read()),
                }
            }),
        }
    }

    fn seen_upto(&self) -> u64 {
        self.member.get().map_or(0, |member| member.seen_upto())
    }

    fn wait_applied(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        match self.member.get() {
            Some(member) => member.wait_applied(index, timeout),
            None => Box::pin(std::future::ready(index == 0)),
        }
    }

    fn wait_replicated(&self, index: u64, wanted: usize, timeout: Duration) -> Boxed<'_, usize> {
        match self.member.get() {
            Some(member) => member.wait_replicated(index, wanted, timeout),
            None => Box::pin(std::future::ready(0)),
        }
    }

    fn wait_synced(&self, index: u64, timeout: Duration) -> Boxed<'_, bool> {
        match self.member.get() {
            Some(member) => member.wait_synced(index, timeout),
            None => Box::pin(std::future::ready(index == 0)),
        }
    }

    fn now_ms(&self) -> u64 {
        self.member.get().map_or_else(|| self.adapter.applied().now_ms, |member| member.now_ms())
    }

    fn adapter(&self) -> &dyn Adapter {
        &*self.adapter
    }

    fn health_view(&self) -> HealthView {
        self.member.get().map_or_else(HealthView::default, |member| member.health_view())
    }

    fn publish_metrics(&self) {
        if let Some(member) = self.member.get() {
            member.publish_metrics();
        }
    }

    fn status(&self) -> NodeStatus {
        self.member.get().map_or_else(|| self.unclustered_status(), |member| member.status())
    }

    fn members(&self) -> Boxed<'_, Vec<MemberStatus>> {
        match self.member.get() {
            Some(member) => member.members(),
            None => {
                let node = self.unclustered_status();
                let raft = node.raft.clone();
                let me = MemberStatus {
                    id: node.id,
                    voter: self.arriving.is_some(),
                    raft,
                    resp: node.resp.clone(),
                    connected_ms: 0,
                    node: Some(node),
                };
                let mut all = self.arriving.as_ref().map_or_else(Vec::new, |arriving| arriving.known.clone());
                all.push(me);
                all.sort_by_key(|member| member.id);
                Box::pin(std::future::ready(all))
            }
        }
    }

    fn glance(&self) -> Boxed<'_, Vec<MemberStatus>> {
        match self.member.get() {
            Some(member) => member.glance(),
            None => self.members(),
        }
    }

    fn lead(&self) -> Lead {
        self.member.get().map_or(Lead::Unsure, |member| member.lead())
    }

    fn make_snapshot(&self) -> Boxed<'_, ()> {
        match self.member.get() {
            Some(member) => member.make_snapshot(),
            None => Box::pin(std::future::ready(())),
        }
    }

    fn digest_at(&self, index: u64) -> Boxed<'_, Result<Digest, DigestError>> {
        match self.member.get() {
            Some(member) => member.digest_at(index),
            None => Box::pin(async move {
                match self.soon().await {
                    Some(member) => member.digest_at(index).await,
                    None => Err(DigestError::Late { applied: 0, index }),
                }
            }),
        }
    }

    fn begin_backup(&self) -> Boxed<'_, Result<Begun, TakeError>> {
        match self.member.get() {
            Some(member) => member.begin_backup(),
            None => Box::pin(async {
                match self.soon().await {
                    Some(member) => member.begin_backup().await,
                    None => Err(self.absent_read().into()),
                }
            }),
        }
    }

    fn backups(&self) -> &Backups {
        self.member.get().map_or(&self.backups, |member| member.backups())
    }

    fn change_membership(&self, change: Change) -> Boxed<'_, Result<NodeId, ChangeError>> {
        match self.member.get() {
            Some(member) => member.change_membership(change),
            None => Box::pin(std::future::ready(Err(self.absent_change()))),
        }
    }

    fn transfer_leadership(&self, target: Option<NodeId>) -> Boxed<'_, Result<NodeId, ChangeError>> {
        match self.member.get() {
            Some(member) => member.transfer_leadership(target),
            None => Box::pin(std::future::ready(Err(self.absent_change()))),
        }
    }

    fn init_cluster(&self, id: Option<String>) -> Boxed<'_, Result<String, ChangeError>> {
        Box::pin(self.init(id))
    }

    fn join_cluster(&self, seeds: Vec<String>) -> Boxed<'_, Result<(), ChangeError>> {
        Box::pin(async move { self.join(&seeds).await })
    }

    fn finalize_version(&self) -> Boxed<'_, Result<u16, ChangeError>> {
        match self.member.get() {
            Some(member) => Service::finalize_version(&**member),
            None => Box::pin(std::future::ready(Err(self.absent_change()))),
        }
    }

    fn shutdown(&self) -> Boxed<'_, ()> {
        Box::pin(async {
            self.closed.store(true, Ordering::Release);
            self.seeking.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.closing.cancel();
            self.listener.close();
            if let Some(arriving) = &self.arriving {
                // It ends, and with it what it has opened.
                let _ = arriving.ended.clone().changed().await;
            }
            if let Some(member) = self.member.get() {
                return member.shutdown().await;
            }
            if let Err(error) = self.adapter.flush().await {
                tracing::error!(%error, "the storage could not be flushed");
            }
            self.adapter.close().await;
        })
    }
}
