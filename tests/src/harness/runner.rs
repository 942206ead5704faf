//! A run: nodes, and rounds of faults, clients and checks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::checker::collections::Held;
use super::checker::{collections, expiry, levels, register};
use super::client::Shared;
use super::deployment::{Deployment, PATIENCE, ask};
use super::failure::{Failure, Result};
use super::ground::Ground;
use super::history::{self, Operation, Outcome};
use super::nemesis;
use super::plan::{Kind, Plan, Round};
use super::record::Record;
use super::workload::{Clients, Histories, Load, collections as collection_clients};
use crate::differential::resp::Frame;
use crate::engine::Engine;

/// Answers before the first fault of a round, and behind the last.
const WARM: u64 = 100;
/// How long one node may take to answer while it is waited for.
const PROBE: Duration = Duration::from_secs(2);
/// Places of the search for an order that are visited for each register.
const BUDGET: usize = 1_000_000;
/// What clocks and rounding may add to a time to live, or take from it.
const SLACK: Duration = Duration::from_millis(250);
/// Answers of each kind of clients below which a round has shown nothing.
const LEAST: usize = 30;
/// The number of the client that reads in the end.
const LAST_READER: u32 = 900;

/// What a run is.
#[derive(Clone, Debug)]
pub struct Options {
    /// What keeps the nodes' data.
    pub engine: Engine,
    /// How many nodes.
    pub nodes: usize,
    /// What everything is drawn from.
    pub seed: u64,
    /// The kinds of faults; those that are not possible here are left out.
    pub kinds: Vec<Kind>,
    /// The clients.
    pub clients: Clients,
    /// Within this time behind the last fault every node must answer writes and reads.
    pub recovery: Duration,
    /// Where journal, histories and logs are left.
    pub dir: PathBuf,
}

/// What a round has shown.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What was planned.
    pub round: Round,
    /// What shows that the faults happened.
    pub evidence: Vec<String>,
    /// How long after the last fault every node answered.
    pub recovered: Duration,
    /// Calls that were answered, refused, and left without an answer.
    pub counts: [usize; 3],
    /// How long all of it took.
    pub took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [answered, refused, unknown] = self.counts;
        write!(f, "{}\n    {}\n    ", self.round, self.evidence.join("\n    "))?;
        write!(
            f,
            "recovered in {:.1} s; {answered} answered, {refused} refused, {unknown} unknown; {:.1} s",
            self.recovered.as_secs_f64(),
            self.took.as_secs_f64()
        )
    }
}

/// A run that has begun.
pub struct Run {
    options: Options,
    plan: Plan,
    start: Instant,
    record: Record,
    deployment: Deployment,
    /// What this machine lacks.
    pub missing: Vec<String>,
}

impl Run {
    /// Starts the nodes.
    pub fn begin(mut options: Options) -> Result<Self> {
        let mut record = Record::new(&options.dir)?;
        let dir = options.dir.join("nodes");
        std::fs::create_dir_all(&dir)?;
        let ground = Ground::explore(&dir)?;
        options.kinds.retain(|kind| kind.is_possible(&ground, options.engine));
        if options.kinds.is_empty() {
            return Err(Failure::Machine("none of the faults is possible here".to_owned()));
        }
        record.say(&format!("{options:#?}\nmissing here: {:?}", ground.missing))?;
        let deployment = Deployment::start(options.engine, options.nodes, &ground, &dir)?;
        let plan = Plan::new(options.seed, &options.kinds);
        Ok(Self { options, plan, start: Instant::now(), record, deployment, missing: ground.missing })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Runs one round; what it has shown, or why it is no pass.
    pub fn round(&mut self, number: usize) -> Result<Summary> {
        let began = Instant::now();
        let round = self.plan.round(number);
        self.record.say(&round.to_string())?;
        let result = self.run(&round);
        let said = match &result {
            Ok(_) => format!("round {number}: passed"),
            Err(failure) => format!("round {number}: {failure}"),
        };
        self.record.say(&said)?;
        let (evidence, recovered, counts) = result?;
        Ok(Summary { round, evidence, recovered, counts, took: began.elapsed() })
    }

    fn run(&mut self, round: &Round) -> Result<(Vec<String>, Duration, [usize; 3])> {
        let shared = Arc::new(Shared {
            start: self.start,
            seed: round.seed,
            round: round.number,
            greeting: self.options.clients.greeting,
            members: RwLock::default(),
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
        });
        self.deployment.clients = Some(Arc::clone(&shared));
        self.deployment.tell_clients();
        let load = Load::start(&shared, self.options.clients);
        let struck = self.strike(round);
        let mut histories = load.finish()?;
        self.deployment.clients = None;
        // What the clients remember is worth most when something went wrong.
        let held = struck.is_ok().then(|| self.read_all(&shared, &mut histories));
        self.record.histories(round.number, &histories)?;
        let (evidence, recovered) = struck?;
        let held = held.unwrap_or_else(|| Ok(Vec::new()))?;
        let counts = counts(&histories)?;
        self.compare_digests()?;
        check(&histories, &held)?;
        self.deployment.operate("FLUSHALL", None)?;
        Ok((evidence, recovered, counts))
    }

    /// Has the faults begin, last and end, and waits until all is well.
    fn strike(&mut self, round: &Round) -> Result<(Vec<String>, Duration)> {
        let deployment = &mut self.deployment;
        deployment.until_answered(WARM)?;
        let mut struck = Vec::new();
        let mut faults = Vec::new();
        for planned in &round.faults {
            faults.push(nemesis::of(planned, deployment, &mut struck)?);
        }
        for (place, fault) in faults.iter_mut().enumerate() {
            if place > 0 {
                sleep(round.gap);
            }
            fault.begin(deployment)?;
            self.record.say(&format!("{:.3} begun", self.start.elapsed().as_secs_f64()))?;
        }
        sleep(round.hold);
        faults.iter_mut().try_for_each(|fault| fault.look(deployment))?;
        let may_end: Vec<usize> = faults.iter().filter_map(|fault| fault.may_end()).collect();
        faults.sort_by_key(|fault| fault.ends_last());
        let mut evidence = Vec::new();
        for mut fault in faults {
            let seen = fault.end(deployment)?;
            self.record.say(&format!("{:.3} ended: {seen}", self.start.elapsed().as_secs_f64()))?;
            evidence.push(seen);
        }
        let recovered = self.recover(round, &may_end)?;
        self.deployment.until_answered(WARM)?;
        Ok((evidence, recovered))
    }

    /// Waits until every node answers a write and a read; how long that took.
    fn recover(&mut self, round: &Round, may_end: &[usize]) -> Result<Duration> {
        let began = Instant::now();
        let mut left = self.deployment.members();
        let mut said = String::new();
        while !left.is_empty() {
            if began.elapsed() > self.options.recovery {
                let slots: Vec<usize> = left.iter().map(|slot| slot + 1).collect();
                let tails: Vec<String> = left.iter().map(|slot| self.deployment.tail(*slot)).collect();
                return Err(Failure::Broken(format!(
                    "{:?} after the last fault the nodes in slots {slots:?} do not answer: {said}\n{}",
                    self.options.recovery,
                    tails.join("\n---\n")
                )));
            }
            for slot in left.clone() {
                self.check_process(slot, may_end)?;
                match self.probe(slot, round.number) {
                    Ok(()) => left.retain(|other| *other != slot),
                    Err(error) => said = format!("slot {}: {error}", slot + 1),
                }
            }
            sleep(Duration::from_millis(20));
        }
        Ok(began.elapsed())
    }

    fn probe(&self, slot: usize, round: usize) -> std::result::Result<(), String> {
        self.deployment.ask_within(slot, &format!("SET probe{round}:{slot} done"), PROBE)?;
        let frame = self.deployment.ask_within(slot, &format!("GET probe{round}:{slot}"), PROBE)?;
        if frame.bytes() == Some(b"done") { Ok(()) } else { Err(format!("{frame:?}")) }
    }

    /// A process that has ended by itself is started again if its fault allows that, as by a supervisor.
    fn check_process(&mut self, slot: usize, may_end: &[usize]) -> Result<()> {
        if self.deployment.runs(slot) {
            return Ok(());
        }
        if may_end.contains(&slot) {
            return self.deployment.launch(slot);
        }
        let ended = self.deployment.sidecar(slot)?.ended();
        let tail = self.deployment.tail(slot);
        Err(Failure::Broken(format!("node {} ended by itself: {ended:?}\n{tail}", self.deployment.id(slot))))
    }

    /// Reads every register once more, and all collections on every node.
    fn read_all(
        &mut self,
        shared: &Shared,
        histories: &mut Histories,
    ) -> Result<Vec<BTreeMap<String, Held>>> {
        let members = self.deployment.members();
        let mut keys: Vec<String> =
            histories.register.iter().map(|operation| operation.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        for (place, key) in keys.into_iter().enumerate() {
            let node = members[place % members.len()];
            let invoked = shared.now();
            let frame = self.read(node, &format!("GET {key}"))?;
            let value = frame.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse().ok());
            histories.register.push(Operation {
                client: LAST_READER,
                node,
                key,
                call: register::Call::Get,
                invoked,
                completed: shared.now(),
                outcome: Outcome::Ok(register::Reply::Value(value)),
            });
        }
        let reads = collection_clients::reads(&histories.collections);
        let mut held = Vec::new();
        for node in members {
            let mut of_node = BTreeMap::new();
            for (key, command) in &reads {
                let words = [&command[..1], &[key.as_str()], &command[1..]].concat().join(" ");
                let frame = self.read(node, &words)?;
                let value = collection_clients::held(command[0], &frame);
                let value = value.ok_or_else(|| Failure::Broken(format!("{words}: {frame:?}")))?;
                of_node.insert(key.clone(), value);
            }
            held.push(of_node);
        }
        Ok(held)
    }

    /// A read that is tried until it is answered.
    fn read(&mut self, slot: usize, words: &str) -> Result<Frame> {
        let deadline = Instant::now() + PATIENCE;
        let address = self.deployment.slots[slot].address();
        loop {
            match ask(address, words, PROBE) {
                Ok(frame) => return Ok(frame),
                Err(error) if Instant::now() >= deadline => {
                    return Err(Failure::Broken(format!("slot {}: {words}: {error}", slot + 1)));
                }
                Err(_) => sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Waits until all nodes are at one position, and compares what they hold there.
    fn compare_digests(&mut self) -> Result<()> {
        let mut digests: Vec<(usize, Option<(i64, String)>)> = Vec::new();
        self.deployment.until("all nodes to be at one position", |deployment| {
            let members = deployment.members();
            digests = members.into_iter().map(|slot| (slot, digest(deployment, slot))).collect();
            let index = |place: usize| digests[place].1.as_ref().map(|(index, _)| *index);
            (0..digests.len()).all(|place| index(place).is_some() && index(place) == index(0))
        })?;
        if digests.iter().all(|(_, digest)| *digest == digests[0].1) {
            return Ok(());
        }
        Err(Failure::Broken(format!("replicas differ: {digests:?}")))
    }
}

fn digest(deployment: &Deployment, slot: usize) -> Option<(i64, String)> {
    let frame = deployment.ask(slot, "RAFT.DIGEST").ok()?;
    let items = frame.items();
    Some((items.first()?.integer()?, String::from_utf8_lossy(items.get(1)?.bytes()?).into_owned()))
}

/// All calls, by how they ended. A round in which hardly anything was answered has shown nothing.
fn counts(histories: &Histories) -> Result<[usize; 3]> {
    let kinds = [
        ("registers", history::count(&histories.register)),
        ("collections", history::count(&histories.collections)),
        ("levels", history::count(&histories.levels)),
        ("expiry", history::count(&histories.expiry)),
    ];
    let mut all = [0; 3];
    for (name, counts) in kinds {
        if counts[0] < LEAST {
            return Err(Failure::Undecided(format!("of {name} hardly anything was answered: {counts:?}")));
        }
        all.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    Ok(all)
}

fn check(histories: &Histories, held: &[BTreeMap<String, Held>]) -> Result<()> {
    for of_node in held {
        collections::check(&histories.collections, of_node).into_result()?;
    }
    levels::check(&histories.levels).into_result()?;
    expiry::check(&histories.expiry, SLACK).into_result()?;
    register::check(&histories.register, BUDGET).into_result()
}
