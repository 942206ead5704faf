//! `prove`: histories of clients under faults, for as long as one likes. See CONTRIBUTING.md.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::engine::Engine;
use tests::harness::failure::Failure;
use tests::harness::plan::{KINDS, Kind};
use tests::harness::runner::{Options, Run};
use tests::harness::workload::Clients;

/// Runs real nodes under faults that a seed draws, and checks what their clients were told.
///
/// It ends with 1 if a promise was broken, if a checker could not decide, or if a fault did not happen.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long new rounds are begun
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// What the faults and the calls of the clients are drawn from; without it, the clock
    #[arg(long)]
    seed: Option<u64>,
    /// What keeps the nodes' data: embedded, stand-in, or kiwi with KIWI_BIN
    #[arg(long, default_value = "embedded")]
    engine: String,
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=7))]
    nodes: u8,
    /// The kinds of faults; without it, all of them
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// The first round
    #[arg(long, default_value_t = 0)]
    first_round: usize,
    /// So many rounds at most
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds after the last fault within which every node must answer
    #[arg(long, default_value_t = 10.0)]
    recovery: f64,
    /// Where journal, histories and logs are left; without it, a directory for the seed under target/prove
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match prove(&arguments) {
        Ok(rounds) => {
            println!("passed: {rounds} rounds");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn prove(arguments: &Arguments) -> Result<usize, Failure> {
    let options = options(arguments)?;
    let (seed, dir) = (options.seed, options.dir.clone());
    println!("seed {seed}, {} nodes on {}, everything in {}", options.nodes, options.engine, dir.display());
    let replay = replay(&options);
    let until = Instant::now() + Duration::from_secs_f64(arguments.minutes * 60.0);
    let mut run = Run::begin(options)?;
    run.missing.iter().for_each(|what| eprintln!("MISSING HERE: {what}; faults that need it are left out"));
    let mut done = 0;
    for number in arguments.first_round.. {
        if Instant::now() >= until || arguments.rounds.is_some_and(|rounds| done >= rounds) {
            break;
        }
        match run.round(number) {
            Ok(summary) => println!("{summary}"),
            Err(failure) => {
                eprintln!("{}", run.plan().round(number));
                eprintln!("to begin with this round: make prove PROVE='{replay} --first-round {number}'");
                return Err(failure);
            }
        }
        done += 1;
    }
    Ok(done)
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    let engines = [Engine::Embedded, Engine::StandIn, Engine::Kiwi];
    let engine = engines.into_iter().find(|engine| engine.name() == arguments.engine);
    let engine =
        engine.ok_or_else(|| Failure::Machine(format!("there is no engine {}", arguments.engine)))?;
    let seed = arguments.seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs())
    });
    let kinds = if arguments.kinds.is_empty() {
        KINDS.iter().map(|(kind, _)| *kind).collect()
    } else {
        arguments.kinds.clone()
    };
    let dir = arguments.dir.clone().unwrap_or_else(|| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        target.join(format!("prove/seed-{seed}-{}", now.map_or(0, |now| now.as_secs())))
    });
    Ok(Options {
        engine,
        nodes: usize::from(arguments.nodes),
        seed,
        kinds,
        clients: Clients::default(),
        recovery: Duration::from_secs_f64(arguments.recovery),
        dir,
    })
}

/// The options that draw the same plan.
fn replay(options: &Options) -> String {
    let kinds: Vec<&str> = options.kinds.iter().map(|kind| kind.name()).collect();
    format!(
        "--seed {} --engine {} --nodes {} --kinds {}",
        options.seed,
        options.engine,
        options.nodes,
        kinds.join(",")
    )
}
