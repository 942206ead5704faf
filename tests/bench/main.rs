//! `make bench`: SET, GET, and both in turn through three nodes with fsync on, beside a lone Redis that fsyncs and a
//! three-node etcd; and through three nodes on a Kiwi each, beside a lone Kiwi; in one run, alternating. The Kiwis
//! are those that `KIWI_BIN` names, or the stand-in; the table says which.
//!
//! Everything runs on this machine, the client included, so compare rows of one run with each other and with
//! nothing else. CPU is that of all processes of a system, in seconds per 100,000 commands; busy is the machine,
//! everything included.

mod etcd;
mod report;
mod resp;
mod systems;

use std::time::{Duration, Instant};

use clap::Parser;

use crate::report::Sample;
use crate::systems::{System, Systems, Target};

/// Distinct keys.
const KEYS: u64 = 100_000;
/// Bytes of a value.
const VALUE: usize = 100;
/// Time under load before counting starts.
const WARM_UP: Duration = Duration::from_millis(500);

#[derive(Parser)]
#[command(about = "Measures SET and GET beside Redis and etcd, and on Kiwi beside Kiwi")]
struct Options {
    /// Seconds that each row is measured in each round
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds; the median of them is printed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 200])]
    clients: Vec<usize>,
    /// Pipeline lengths
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    pipeline: Vec<usize>,
    /// Operations: set, get, set-get (one after the other; the pair counts as one)
    #[arg(long, value_delimiter = ',', default_values_t = ["set", "get", "set-get"].map(str::to_owned))]
    ops: Vec<String>,
    /// Systems: leader, follower, redis, etcd; kiwi (alone), on-kiwi (three sidecars, at the leader),
    /// on-kiwi-uncached
    #[arg(long, value_delimiter = ',', default_values_t = systems::NAMES.map(str::to_owned))]
    systems: Vec<String>,
}

/// What a measurement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Writes a random key.
    Set,
    /// Reads a random key.
    Get,
    /// Writes a random key and reads another.
    SetGet,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// What is done.
    pub operation: Operation,
    /// Connections.
    pub clients: usize,
    /// Operations sent at once on each.
    pub pipeline: usize,
}

fn main() {
    let options = Options::parse();
    let systems = Systems::start(&options.systems);
    for system in systems.all() {
        preload(system);
    }
    systems.settle();
    let mut report = report::Report::default();
    for round in 0..options.rounds {
        for load in loads(&options) {
            for system in systems.all().iter().filter(|system| system.does(load.operation)) {
                let sample = measure(system, load, Duration::from_secs_f64(options.seconds));
                eprintln!("round {} {load:?} {}: {:.0}/s", round + 1, system.name, sample.throughput());
                report.add(load, system, sample);
            }
        }
    }
    report.print();
}

fn loads(options: &Options) -> Vec<Load> {
    let mut loads = Vec::new();
    for operation in &options.ops {
        let operation = match operation.as_str() {
            "set" => Operation::Set,
            "get" => Operation::Get,
            "set-get" => Operation::SetGet,
            other => panic!("unknown operation {other}"),
        };
        for &clients in &options.clients {
            loads.extend(options.pipeline.iter().map(|&pipeline| Load { operation, clients, pipeline }));
        }
    }
    loads
}

/// Writes every key once, so that reads find something.
fn preload(system: &System) {
    match system.target {
        Target::Resp(port) => resp::preload(port),
        Target::Etcd(port) => etcd::preload(port),
    }
}

fn measure(system: &System, load: Load, time: Duration) -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let start = Instant::now() + WARM_UP;
        let end = start + time;
        let clients: Vec<_> = (0..load.clients)
            .map(|client| match system.target {
                Target::Resp(port) => tokio::spawn(resp::client(port, client, load, start, end)),
                Target::Etcd(port) => tokio::spawn(etcd::client(port, client, load, start, end)),
            })
            .collect();
        tokio::time::sleep_until(start.into()).await;
        let (before, idle) = (system.cpu_seconds(), systems::idle_seconds());
        tokio::time::sleep_until(end.into()).await;
        let (cpu, idle) = (system.cpu_seconds() - before, systems::idle_seconds() - idle);
        let cores = std::thread::available_parallelism().unwrap().get() as f64;
        let busy = (1.0 - idle / (time.as_secs_f64() * cores)).clamp(0.0, 1.0);
        let mut sample = Sample { cpu, busy, seconds: time.as_secs_f64(), ..Sample::default() };
        for client in clients {
            sample.batches_us.extend(client.await.unwrap());
        }
        sample.commands = sample.batches_us.len() * load.pipeline;
        sample
    })
}

/// A small generator of key numbers; the quality of chance does not matter here, its cost does.
pub(crate) struct Keys(u64);

impl Keys {
    /// The generator of a client.
    pub(crate) fn new(client: usize) -> Self {
        Self(client as u64 * 7919 + 1)
    }

    /// The next key number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % KEYS
    }
}
