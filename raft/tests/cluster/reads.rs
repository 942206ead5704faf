//! Reads that meet storages which are not equally far.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use adapter::memory::MemoryAdapter;
use adapter::snapshot::Digest;
use adapter::{Adapter, Applied, Health, Position, ReadOutcome, Reply, Run, Snapshot, StorageError};
use async_trait::async_trait;
use bytes::Bytes;
use raft::Consistency;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::bench::{Cluster, commands, start_on, until};

/// A storage in memory that applies nothing while its gate is shut.
struct Gated {
    inner: MemoryAdapter,
    open: watch::Receiver<bool>,
}

#[async_trait]
impl Adapter for Gated {
    fn applied(&self) -> Applied {
        self.inner.applied()
    }

    async fn apply(&self, run: Run) -> Result<Vec<Vec<Reply>>, StorageError> {
        self.open.clone().wait_for(|open| *open).await.unwrap();
        self.inner.apply(run).await
    }

    async fn read(&self, args: Vec<Bytes>, now_ms: u64) -> ReadOutcome {
        self.inner.read(args, now_ms).await
    }

    async fn read_together(&self, calls: Vec<Vec<Bytes>>, now_ms: u64) -> Vec<ReadOutcome> {
        self.inner.read_together(calls, now_ms).await
    }

    async fn due_keys(&self, now_ms: u64, limit: usize) -> Result<Vec<Bytes>, StorageError> {
        self.inner.due_keys(now_ms, limit).await
    }

    async fn flush(&self) -> Result<Position, StorageError> {
        self.inner.flush().await
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot>, StorageError> {
        self.inner.snapshot()
    }

    async fn install(&self, stream: Box<dyn Read + Send>) -> Result<Applied, StorageError> {
        self.inner.install(stream).await
    }

    async fn digest(&self) -> Result<(Position, Digest), StorageError> {
        self.inner.digest().await
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
}

/// A follower can apply an entry, and show it, before its leader has: the leader may then not answer with less.
#[test]
fn a_leader_that_applies_late_does_not_answer_with_less_than_a_follower_has_shown() {
    for level in [Consistency::Linearizable, Consistency::Lease] {
        let mut cluster = Cluster::prepare(3, |config| config.raft.lease_reads = true);
        let gates: Vec<_> = (0..3).map(|_| watch::Sender::new(true)).collect();
        let starting: Vec<_> = (0..3)
            .map(|index| {
                let storage = Gated { inner: MemoryAdapter::new(), open: gates[index].subscribe() };
                let config = cluster.config(index);
                std::thread::spawn(move || start_on(&config, Arc::new(storage)).unwrap())
            })
            .collect();
        cluster.nodes = starting.into_iter().map(|node| Some(node.join().unwrap())).collect();
        let (leader, follower) = (cluster.leader(), cluster.follower());
        cluster.node(leader).set("k", b"old").unwrap();
        gates[leader].send_replace(false);
        let (at_leader, at_follower) = (cluster.node(leader), cluster.node(follower));
        let handle = at_leader.handle.clone();
        let write =
            at_leader.spawn(async move { handle.propose(commands(&[&[b"SET", b"k", b"new"]])).await });
        let value = |node: &crate::bench::Running| {
            let args = vec![Bytes::from_static(b"GET"), Bytes::from_static(b"k")];
            node.run(node.handle.adapter().read(args, 0)).reply
        };
        until("the follower to show it", || (value(at_follower) == Reply::bulk(b"new")).then_some(()));
        let early = at_leader.run(async {
            timeout(Duration::from_millis(300), at_leader.handle.read_barrier(level, 0)).await
        });
        assert!(early.is_err(), "{level:?}: ordered before it is applied: {early:?}, {:?}", value(at_leader));
        gates[leader].send_replace(true);
        at_leader.run(write).unwrap().unwrap();
        at_leader.run(at_leader.handle.read_barrier(level, 0)).unwrap();
        assert_eq!(value(at_leader), Reply::bulk(b"new"));
    }
}
