#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use adapter::Reply;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use tokio::task::JoinHandle;

/// A consensus that answers each command with its number, when it is let.
struct Script {
    route: Mutex<Route>,
    outcomes: Mutex<Vec<Outcome>>,
    /// So many requests to the leader are never answered.
    lost: AtomicUsize,
    gate: Arc<Semaphore>,
    forwards: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<u32>>>,
}

impl Script {
    fn next(&self, index: u64, commands: u32) -> Outcome {
        let replies = (0..commands).map(|number| Reply::Integer(number.into())).collect();
        self.outcomes.lock().unwrap().pop().unwrap_or(Outcome::Done(Committed { index, replies }))
    }
}

impl Consensus for Script {
    fn route(&self) -> Route {
        *self.route.lock().unwrap()
    }

    fn busy(&self) -> Arc<Applying> {
        Arc::default()
    }

    async fn hold_uploads(&self) -> Option<OwnedRwLockWriteGuard<()>> {
        None
    }

    async fn submit(&self, groups: &[CommandBuffer]) -> Outcome {
        let commands = groups.iter().map(CommandBuffer::count).sum();
        let index = {
            let mut batches = self.batches.lock().unwrap();
            batches.push(commands);
            batches.len() as u64
        };
        self.gate.acquire().await.unwrap().forget();
        self.next(index, commands)
    }

    async fn forward(&self, _: NodeId, groups: &[CommandBuffer], _: &[Instant]) -> Vec<Outcome> {
        if self.lost.fetch_update(SeqCst, SeqCst, |lost| lost.checked_sub(1)).is_ok() {
            std::future::pending::<()>().await;
        }
        self.forwards.acquire().await.unwrap().forget();
        groups.iter().map(|group| self.next(0, group.count())).collect()
    }
}

struct Bench {
    proposer: Arc<Proposer<Script>>,
    gate: Arc<Semaphore>,
    forwards: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<u32>>>,
}

impl Bench {
    fn new(route: Route, outcomes: Vec<Outcome>) -> Self {
        Self::with(route, outcomes, 0, Duration::from_millis(300))
    }

    fn with(route: Route, outcomes: Vec<Outcome>, lost: usize, request_timeout: Duration) -> Self {
        let (gate, batches) = (Arc::new(Semaphore::new(0)), Arc::default());
        let forwards = Arc::new(Semaphore::new(0));
        let script = Script {
            route: Mutex::new(route),
            outcomes: Mutex::new(outcomes),
            lost: AtomicUsize::new(lost),
            gate: Arc::clone(&gate),
            forwards: Arc::clone(&forwards),
            batches: Arc::clone(&batches),
        };
        let limits = Limits {
            max_inflight_entries: 2,
            max_batch_bytes: 1000,
            max_batch_commands: 10,
            max_inflight_bytes: 5000,
            request_timeout,
        };
        let proposer = Proposer::new(script, move || limits);
        tokio::spawn(Arc::clone(&proposer).run());
        Self { proposer, gate, forwards, batches }
    }

    async fn propose(&self, commands: u32, bytes: usize) -> JoinHandle<Result<Committed, ProposeError>> {
        let mut group = CommandBuffer::default();
        (0..commands).for_each(|_| group.push(&[b"SET", &vec![b'x'; bytes]]));
        let proposer = Arc::clone(&self.proposer);
        let handle = tokio::spawn(async move { proposer.propose(group).await });
        sleep(Duration::from_millis(5)).await;
        handle
    }

    fn let_through(&self, batches: usize) {
        self.gate.add_permits(batches);
        self.forwards.add_permits(batches);
    }

    fn lead_to(&self, route: Route) {
        *self.proposer.consensus.route.lock().unwrap() = route;
        self.proposer.route_changed();
    }

    fn batches(&self) -> Vec<u32> {
        self.batches.lock().unwrap().clone()
    }
}

/// What a group of the batch that is the `index`th entry is answered.
fn integers(index: u64, range: std::ops::Range<i64>) -> Result<Committed, ProposeError> {
    Ok(Committed { index, replies: range.map(Reply::Integer).collect() })
}

#[tokio::test]
async fn what_comes_while_an_entry_is_under_way_leaves_when_it_is_as_large_or_the_entry_is_answered() {
    let bench = Bench::new(Route::Here, Vec::new());
    let first = bench.propose(4, 10).await;
    let (second, third) = (bench.propose(1, 10).await, bench.propose(2, 10).await);
    assert_eq!(bench.batches(), [4], "three are less than four");
    let fourth = bench.propose(1, 10).await;
    assert_eq!(bench.batches(), [4, 4]);
    bench.let_through(1);
    assert_eq!(first.await.unwrap(), integers(1, 0..4));
    let fifth = bench.propose(1, 10).await;
    assert_eq!(bench.batches(), [4, 4], "one is less than four");
    bench.let_through(2);
    assert_eq!(second.await.unwrap(), integers(2, 0..1));
    assert_eq!(third.await.unwrap(), integers(2, 1..3));
    assert_eq!(fourth.await.unwrap(), integers(2, 3..4));
    assert_eq!(fifth.await.unwrap(), integers(3, 0..1));
    assert!(bench.proposer.is_idle());
}

#[tokio::test]
async fn while_entries_are_under_way_the_next_one_fills_and_each_group_gets_its_own_replies_and_the_entrys_index()
 {
    let bench = Bench::new(Route::Here, Vec::new());
    let (first, second) = (bench.propose(1, 1).await, bench.propose(1, 1).await);
    let (third, fourth) = (bench.propose(2, 1).await, bench.propose(3, 1).await);
    assert_eq!(bench.batches(), [1, 1], "two entries leave at once, no more");
    bench.let_through(3);
    assert_eq!(first.await.unwrap(), integers(1, 0..1));
    assert_eq!(second.await.unwrap(), integers(2, 0..1));
    assert_eq!(third.await.unwrap(), integers(3, 0..2));
    assert_eq!(fourth.await.unwrap(), integers(3, 2..5));
    assert_eq!(bench.batches(), [1, 1, 5]);
    assert!(bench.proposer.is_idle());
}

#[tokio::test]
async fn a_batch_is_closed_at_its_bounds_and_a_larger_group_travels_alone() {
    let bench = Bench::new(Route::Here, Vec::new());
    let mut handles = Vec::new();
    for (commands, bytes) in [(1, 1), (1, 1), (6, 1), (5, 1), (1, 2000), (1, 1)] {
        handles.push(bench.propose(commands, bytes).await);
    }
    bench.let_through(10);
    for handle in handles {
        handle.await.unwrap().unwrap();
    }
    assert_eq!(bench.batches(), [1, 1, 6, 5, 1, 1]);
}

#[tokio::test]
async fn at_the_bound_on_bytes_the_answer_is_busy() {
    let bench = Bench::new(Route::Here, Vec::new());
    let first = bench.propose(1, 4900).await;
    assert_eq!(bench.propose(1, 200).await.await.unwrap(), Err(ProposeError::Busy));
    bench.let_through(2);
    first.await.unwrap().unwrap();
    bench.propose(1, 200).await.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_not_done_is_proposed_again() {
    let bench = Bench::new(Route::Here, vec![Outcome::NotDone, Outcome::NotDone]);
    bench.let_through(10);
    assert_eq!(bench.propose(2, 1).await.await.unwrap(), integers(3, 0..2));
    assert_eq!(bench.batches(), [2, 2, 2]);
}

#[tokio::test]
async fn what_is_unknown_is_never_proposed_again() {
    for route in [Route::Here, Route::To(2)] {
        let bench = Bench::new(route, vec![Outcome::Unknown]);
        bench.let_through(10);
        assert_eq!(bench.propose(1, 1).await.await.unwrap(), Err(ProposeError::Unknown));
        sleep(Duration::from_millis(50)).await;
        assert_eq!(bench.gate.available_permits() + bench.forwards.available_permits(), 19);
    }
}

#[tokio::test]
async fn a_group_that_was_handed_over_and_not_answered_in_time_is_unknown() {
    let bench = Bench::new(Route::Here, Vec::new());
    assert_eq!(bench.propose(1, 1).await.await.unwrap(), Err(ProposeError::Unknown));
}

#[tokio::test]
async fn a_group_that_never_left_the_queue_in_time_is_not_done() {
    let bench = Bench::new(Route::Nowhere, Vec::new());
    assert_eq!(bench.propose(1, 1).await.await.unwrap(), Err(ProposeError::NoLeader));
    *bench.proposer.consensus.route.lock().unwrap() = Route::Here;
    bench.let_through(1);
    sleep(Duration::from_millis(50)).await;
    assert!(bench.batches().is_empty(), "a cancelled group was proposed");
    assert!(bench.proposer.is_idle());
}

#[tokio::test]
async fn requests_that_a_leader_never_answers_hold_nothing_up_when_this_node_leads_itself() {
    let bench = Bench::with(Route::To(2), Vec::new(), MAX_FORWARDS, Duration::from_millis(300));
    let mut lost = Vec::new();
    for _ in 0..MAX_FORWARDS {
        lost.push(bench.propose(1, 1).await);
    }
    let (first, second) = (bench.propose(1, 1).await, bench.propose(1, 1).await);
    bench.let_through(1);
    bench.lead_to(Route::Here);
    assert_eq!(first.await.unwrap(), integers(1, 0..1));
    assert_eq!(second.await.unwrap(), integers(1, 1..2));
    for handle in lost {
        assert_eq!(handle.await.unwrap(), Err(ProposeError::Unknown));
    }
}

#[tokio::test]
async fn entries_that_are_never_answered_hold_nothing_up_when_another_node_leads() {
    let bench = Bench::new(Route::Here, Vec::new());
    let hung = [bench.propose(1, 1).await, bench.propose(1, 1).await];
    let next = bench.propose(1, 1).await;
    bench.forwards.add_permits(1);
    bench.lead_to(Route::To(3));
    assert_eq!(next.await.unwrap(), integers(0, 0..1));
    for handle in hung {
        assert_eq!(handle.await.unwrap(), Err(ProposeError::Unknown));
    }
    assert_eq!(bench.batches(), [1, 1]);
}

#[tokio::test]
async fn a_request_that_is_lost_on_its_way_leaves_its_place_to_the_next() {
    let bench = Bench::with(Route::To(2), Vec::new(), MAX_FORWARDS, SLOT_PATIENCE * 2);
    let mut lost = Vec::new();
    for _ in 0..MAX_FORWARDS {
        lost.push(bench.propose(1, 1).await);
    }
    bench.let_through(1);
    assert_eq!(bench.propose(1, 1).await.await.unwrap(), integers(0, 0..1));
    for handle in lost {
        assert_eq!(handle.await.unwrap(), Err(ProposeError::Unknown));
    }
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_proposed() {
    let bench = Bench::new(Route::Here, Vec::new());
    let under_way = [bench.propose(1, 1).await, bench.propose(1, 1).await];
    let mut group = CommandBuffer::default();
    group.push(&[b"SET", b"k", b"v"]);
    let waiting = bench.proposer.queue_here(group.clone(), Duration::from_millis(300)).ok().unwrap();
    // As when the node that has forwarded it has closed its connection.
    drop(waiting);
    let late = bench.proposer.queue_here(group, Duration::from_millis(20)).ok().unwrap();
    sleep(Duration::from_millis(40)).await;
    bench.let_through(10);
    for handle in under_way {
        handle.await.unwrap().unwrap();
    }
    assert_eq!(late.answer().await, Err(ProposeError::NoLeader));
    bench.propose(1, 1).await.await.unwrap().unwrap();
    assert_eq!(bench.batches(), [1, 1, 1]);
    assert!(bench.proposer.is_idle());
}

#[tokio::test]
async fn what_waits_to_be_proposed_again_when_its_time_is_over_is_not_done_and_not_unknown() {
    let bench = Bench::new(Route::Here, vec![Outcome::NotDone; 1000]);
    bench.let_through(1000);
    let mut handles = Vec::new();
    for _ in 0..8 {
        handles.push(bench.propose(1, 1).await);
    }
    let mut not_done = 0;
    for handle in handles {
        not_done += u32::from(handle.await.unwrap() == Err(ProposeError::NoLeader));
    }
    // One whose time is over in the very moment in which it is handed over again is unknown.
    assert!(not_done >= 6, "{not_done} of 8");
}

#[tokio::test]
async fn a_forwarded_group_makes_one_hop_at_most() {
    let bench = Bench::new(Route::To(2), Vec::new());
    let mut group = CommandBuffer::default();
    group.push(&[b"PING"]);
    let refused = bench.proposer.queue_here(group, Duration::from_secs(1)).err();
    assert_eq!(refused, Some(ProposeError::NoLeader));
}

#[tokio::test]
async fn a_closed_proposer_refuses_and_drains() {
    let bench = Bench::new(Route::Here, Vec::new());
    let first = bench.propose(1, 1).await;
    bench.proposer.close();
    assert_eq!(bench.propose(1, 1).await.await.unwrap(), Err(ProposeError::ShuttingDown));
    bench.let_through(1);
    bench.proposer.drain(Instant::now() + Duration::from_secs(1)).await;
    assert!(bench.proposer.is_idle());
    first.await.unwrap().unwrap();
}
