//! Storage commands wait for each other: a batch is closed after 10 ms without arrivals or with 100 commands, and
//! its commands run in any order. Batches run one after the other: with many connections this is faster than a Kiwi.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter::Reply;
use adapter::command;
use bytes::Bytes;
use rand::Rng;
use rand::seq::SliceRandom;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::execute::execute;
use crate::fault::Fault;
use crate::options::Settings;
use crate::refused::Refused;
use crate::server::lock;
use crate::store::Store;

/// How long a batch waits for another command.
const QUIET: Duration = Duration::from_millis(10);
/// With how many commands a batch waits no more.
const FULL: usize = 100;
/// How many commands may wait in all.
const QUEUE: usize = 10_000;
/// The latest that a command which was answered with an error runs, of those that do.
const LATEST: Duration = Duration::from_millis(500);
/// How often a command that was answered with a timeout runs at most.
const REPEATS: u32 = 3;

/// The time that a Kiwi says a command has taken that it has given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command on its way to the storage.
struct Request {
    args: Vec<Bytes>,
    reply: oneshot::Sender<Reply>,
}

/// The way to the storage.
#[derive(Clone)]
pub(crate) struct Batcher {
    queue: mpsc::Sender<Request>,
    refused: Arc<Mutex<Refused>>,
    settings: Arc<Settings>,
}

impl Batcher {
    /// Starts the task that runs the commands.
    pub(crate) fn start(store: Arc<Mutex<Store>>, settings: &Settings) -> Self {
        let (queue, requests) = mpsc::channel(QUEUE);
        tokio::spawn(serve(requests, store, settings.clone()));
        let refused = Arc::new(Mutex::new(Refused::new(settings.queued_for)));
        Self { queue, refused, settings: Arc::new(settings.clone()) }
    }

    /// Refuses everything for a while.
    pub(crate) fn make_unavailable(&self) {
        lock(&self.refused).begin(self.settings.unavailable_for);
    }

    /// Runs a command and waits for its reply.
    pub(crate) async fn call(&self, args: Vec<Bytes>) -> Reply {
        if lock(&self.refused).is_unavailable() {
            return self.refuse(args);
        }
        if self.settings.timeouts > 0.0 && rand::rng().random_bool(self.settings.timeouts) {
            return self.time_out(args);
        }
        let reply = self.run(args).await;
        let refused = lock(&self.refused).take();
        if !refused.is_empty() {
            self.run_later(refused, 1);
        }
        reply
    }

    fn refuse(&self, args: Vec<Bytes>) -> Reply {
        let name = String::from_utf8_lossy(&args[0]).to_uppercase();
        if self.settings.faults.has(Fault::RefusedWrites) && is_write(&args[0]) {
            lock(&self.refused).keep(args);
        }
        Reply::Error(
            format!("ERR communication error in {name}: Storage unavailable and no fallback available")
                .into(),
        )
    }

    async fn run(&self, args: Vec<Bytes>) -> Reply {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.send(Request { args, reply }).await;
        match (sent, answer.await) {
            (Ok(()), Ok(reply)) => reply,
            _ => Reply::error("ERR the storage has ended"),
        }
    }

    /// Answers that the command took too long, and runs it nevertheless. A Kiwi would say so after 30 s: whoever
    /// tests what follows need not wait for it.
    fn time_out(&self, args: Vec<Bytes>) -> Reply {
        let name = String::from_utf8_lossy(&args[0]).into_owned();
        self.run_later(vec![args], rand::rng().random_range(1..=REPEATS));
        let time = PATIENCE - Duration::from_nanos(rand::rng().random_range(1..1000));
        Reply::Error(format!("ERR {name} command timeout after {time:?}").into())
    }

    /// Runs commands one after the other, each some times, for nobody.
    fn run_later(&self, commands: Vec<Vec<Bytes>>, times: u32) {
        let batcher = self.clone();
        tokio::spawn(async move {
            for args in commands {
                for _ in 0..times {
                    let after = rand::rng().random_range(Duration::ZERO..LATEST);
                    sleep(after).await;
                    batcher.run(args.clone()).await;
                }
            }
        });
    }
}

fn is_write(name: &[u8]) -> bool {
    command::lookup(name).is_some_and(|spec| spec.handler.may_write())
}

async fn serve(mut requests: mpsc::Receiver<Request>, store: Arc<Mutex<Store>>, settings: Settings) {
    let batched = settings.faults.has(Fault::Batcher);
    while let Some(first) = requests.recv().await {
        let mut batch = vec![first];
        if batched {
            gather(&mut requests, &mut batch).await;
            batch.shuffle(&mut rand::rng());
        }
        run(batch, &mut lock(&store), &settings);
    }
}

/// Waits until the batch is closed.
async fn gather(requests: &mut mpsc::Receiver<Request>, batch: &mut Vec<Request>) {
    while batch.len() < FULL {
        match timeout(QUIET, requests.recv()).await {
            Ok(Some(request)) => batch.push(request),
            Ok(None) | Err(_) => return,
        }
    }
}

fn run(batch: Vec<Request>, store: &mut Store, settings: &Settings) {
    for Request { args, reply } in batch {
        let args: Vec<&[u8]> = args.iter().map(|arg| &arg[..]).collect();
        // A client that has gone needs no reply.
        let _ = reply.send(execute(store, settings, &args));
    }
}
