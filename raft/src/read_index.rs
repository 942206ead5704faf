//! One quorum round for all reads that wait.
//!
//! A read is linearizable if it sees every write that was answered before it began, and every write that another read
//! was answered with before it began. The leader guarantees that without an entry in the log, in a *round*:
//!
//! 1. It notes its vote V, which must be committed and its own, and R, its [`watermark`](crate::watermark): what any
//!    storage may show of the log by now. It must have applied an entry of its own term: only then does it know of
//!    everything that earlier leaders have committed.
//! 2. It asks voters whether V is still the highest vote that they have seen. With a quorum of yeses (its own
//!    included, in each half of a joint configuration) R is the read index.
//! 3. The read waits until the local storage has applied R.
//!
//! **Why R suffices.** A write is answered, and shown to a read of any node, only behind an apply; and a node applies
//! only what its leader has told it to be committed, behind the leader's mark. Suppose a write was answered or shown
//! before the round began. If that was under this leader, its index is at most R. If under an earlier one, it is
//! before this term's first entry, and so at most R. A later one, with a vote above V, would have needed grants of
//! a quorum before the round began; that quorum and the round's have a node in common, and that node, asked after
//! its grant, would have said no: a grant is answered only after the vote is saved, and the cell that
//! `/raft/confirm` reads is set by the saving. This is why the vote is compared: being leader by one's own
//! metrics proves nothing while a partition hides the successor.
//!
//! **Sharing.** One round is under way at a time. A read that arrives meanwhile may not use it, because its R may be
//! too old for it; all such reads share the next. A follower shares its questions to the leader the same way.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, sleep};

use crate::types::NodeId;

/// Why there is no read index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refused {
    /// The node asked does not lead, or not yet. Another may.
    NotLeader,
    /// The leader could not confirm in time that it leads.
    NoQuorum,
}

/// What a round brings.
pub(crate) type Index = Result<u64, Refused>;

/// Reads that wait for the next round.
#[derive(Default)]
pub(crate) struct Rounds {
    waiting: Mutex<Vec<oneshot::Sender<Index>>>,
    arrived: Notify,
}

impl Rounds {
    /// The result of the first round that begins after this call.
    pub(crate) async fn next(&self) -> Index {
        let (sender, receiver) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(sender);
            waiting.len() == 1
        };
        if first {
            self.arrived.notify_one();
        }
        receiver.await.unwrap_or(Err(Refused::NotLeader))
    }

    /// Runs one round after the other while somebody waits. For ever.
    pub(crate) async fn run<F: Future<Output = Index>>(&self, mut round: impl FnMut() -> F) {
        loop {
            let waiters = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if waiters.is_empty() {
                self.arrived.notified().await;
                continue;
            }
            let index = round().await;
            for waiter in waiters {
                // Who no longer waits needs no answer.
                let _ = waiter.send(index);
            }
        }
    }
}

/// Who must say yes: the voters, as one set or, in a joint configuration, as two.
pub(crate) struct Quorum {
    configs: Vec<BTreeSet<NodeId>>,
    granted: BTreeSet<NodeId>,
}

impl Quorum {
    pub(crate) fn new(configs: Vec<BTreeSet<NodeId>>) -> Self {
        Self { configs, granted: BTreeSet::new() }
    }

    pub(crate) fn grant(&mut self, node: NodeId) {
        self.granted.insert(node);
    }

    pub(crate) fn reached(&self) -> bool {
        !self.configs.is_empty() && self.configs.iter().all(|config| has_majority(config, &self.granted))
    }

    /// How many of `candidates`, in their order, make a quorum together with the grants; all if none do.
    fn enough(&self, candidates: &[NodeId]) -> usize {
        let mut granted = self.granted.clone();
        let needed = candidates.iter().position(|node| {
            granted.insert(*node);
            self.configs.iter().all(|config| has_majority(config, &granted))
        });
        needed.map_or(candidates.len(), |position| position + 1)
    }
}

fn has_majority(config: &BTreeSet<NodeId>, granted: &BTreeSet<NodeId>) -> bool {
    config.intersection(granted).count() * 2 > config.len()
}

/// Asks as few peers as can make the quorum, the one that was quickest before first, and all others when those take
/// longer than `patience`. So a round costs what it must, and a dead peer delays one round and not all.
pub(crate) struct Survey {
    order: Vec<NodeId>,
    patience: Duration,
}

impl Survey {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { order: Vec::new(), patience }
    }

    /// Whether a quorum says yes. Ends as soon as that is decided; has no deadline of its own.
    pub(crate) async fn run<F>(
        &mut self,
        mut quorum: Quorum,
        peers: &[NodeId],
        ask: impl Fn(NodeId) -> F,
    ) -> bool
    where
        F: Future<Output = bool> + Send,
    {
        if quorum.reached() {
            return true;
        }
        self.order.retain(|node| peers.contains(node));
        let new: Vec<NodeId> = peers.iter().filter(|node| !self.order.contains(node)).copied().collect();
        self.order.extend(new);

        let mut rest = self.order.split_off(quorum.enough(&self.order)).into_iter();
        let first = std::mem::take(&mut self.order);
        let mut asked = Asked(first.iter().map(|node| (*node, Box::pin(ask(*node)))).collect());
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        loop {
            let hurried = rest.len() > 0;
            tokio::select! {
                biased;
                answer = asked.next() => match answer {
                    Some((node, true)) => {
                        quorum.grant(node);
                        yes.push(node);
                    }
                    Some((node, false)) => {
                        no.push(node);
                        asked.0.extend(rest.by_ref().map(|node| (node, Box::pin(ask(node)))));
                    }
                    None => {}
                },
                () = sleep(self.patience), if hurried => {
                    asked.0.extend(rest.by_ref().map(|node| (node, Box::pin(ask(node)))));
                }
            }
            let reached = quorum.reached();
            if reached || asked.0.is_empty() {
                // The quick first, then who was not needed, then the slow, then who said no.
                self.order.extend(yes);
                self.order.extend(rest);
                self.order.extend(asked.0.iter().map(|(node, _)| *node));
                self.order.extend(no);
                return reached;
            }
        }
    }
}

/// Questions under way. Dropping it drops them.
struct Asked<F>(Vec<(NodeId, Pin<Box<F>>)>);

impl<F: Future<Output = bool>> Asked<F> {
    /// The next answer; none if no question is under way.
    async fn next(&mut self) -> Option<(NodeId, bool)> {
        poll_fn(|context| {
            if self.0.is_empty() {
                return Poll::Ready(None);
            }
            let answered = self.0.iter_mut().enumerate().find_map(|(place, (_, question))| {
                match question.as_mut().poll(context) {
                    Poll::Ready(answer) => Some((place, answer)),
                    Poll::Pending => None,
                }
            });
            match answered {
                Some((place, answer)) => Poll::Ready(Some((self.0.swap_remove(place).0, answer))),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// The rounds of a leader, and those of a follower that asks it.
#[derive(Clone, Default)]
pub(crate) struct ReadIndex {
    pub(crate) leader: Arc<Rounds>,
    pub(crate) follower: Arc<Rounds>,
    /// Those of a follower for whose reads the leader's lease is enough.
    pub(crate) follower_by_lease: Arc<Rounds>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn quorum(configs: &[&[NodeId]]) -> Quorum {
        let mut quorum = Quorum::new(configs.iter().map(|config| config.iter().copied().collect()).collect());
        quorum.grant(1);
        quorum
    }

    #[test]
    fn a_joint_configuration_needs_a_majority_of_both_halves() {
        let mut joint = quorum(&[&[1, 2, 3], &[1, 4, 5]]);
        joint.grant(2);
        assert!(!joint.reached());
        joint.grant(4);
        assert!(joint.reached());
        assert!(quorum(&[&[1]]).reached());
        assert!(!Quorum::new(Vec::new()).reached());
    }

    #[tokio::test]
    async fn a_survey_asks_no_more_peers_than_it_needs() {
        let asked = AtomicU64::new(0);
        let ask = |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            std::future::ready(true)
        };
        let mut survey = Survey::new(Duration::from_secs(10));
        assert!(survey.run(quorum(&[&[1, 2, 3]]), &[2, 3], ask).await);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_silent_peer_delays_one_round_and_is_then_asked_last() {
        let mut survey = Survey::new(Duration::from_millis(5));
        let ask = |node| async move { if node == 2 { std::future::pending().await } else { true } };
        assert!(survey.run(quorum(&[&[1, 2, 3]]), &[2, 3], ask).await);
        assert_eq!(survey.order, [3, 2]);
    }

    #[tokio::test]
    async fn without_a_majority_of_yeses_there_is_no_quorum() {
        let mut survey = Survey::new(Duration::from_millis(5));
        assert!(!survey.run(quorum(&[&[1, 2, 3]]), &[2, 3], |_| std::future::ready(false)).await);
    }

    #[tokio::test]
    async fn reads_that_arrive_during_a_round_share_the_next_one() {
        let rounds = Arc::new(Rounds::default());
        let (started, begun) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let go = Arc::new(Notify::new());
        let driver = {
            let (rounds, started, begun, go) = (rounds.clone(), started.clone(), begun.clone(), go.clone());
            tokio::spawn(async move {
                rounds
                    .run(|| {
                        let number = started.fetch_add(1, Ordering::SeqCst) + 1;
                        begun.notify_one();
                        let go = go.clone();
                        async move {
                            go.notified().await;
                            Ok(number)
                        }
                    })
                    .await;
            })
        };
        let wait = |rounds: &Arc<Rounds>| {
            let rounds = rounds.clone();
            tokio::spawn(async move { rounds.next().await })
        };
        let first = wait(&rounds);
        begun.notified().await;
        let late: Vec<_> = (0..20).map(|_| wait(&rounds)).collect();
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        go.notify_one();
        assert_eq!(first.await.unwrap(), Ok(1));
        begun.notified().await;
        go.notify_one();
        for read in late {
            assert_eq!(read.await.unwrap(), Ok(2));
        }
        assert_eq!(started.load(Ordering::SeqCst), 2);
        driver.abort();
    }
}
