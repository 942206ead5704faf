//! Histories of clients under faults, alone and in pairs: the short form of `make prove`. And that it finds what is
//! wrong.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::engine::{self, Engine};
use tests::harness::deployment::Deployment;
use tests::harness::failure::Failure;
use tests::harness::ground::Ground;
use tests::harness::nemesis;
use tests::harness::plan::{KINDS, Kind, Planned, Target};
use tests::harness::runner::{Options, Run};
use tests::harness::workload::Clients;

/// Another one is drawn from where `PROVE_SEED` gives it.
const SEED: u64 = 12;

/// What is measured means something only while it has the machine to itself.
static MACHINE: Mutex<()> = Mutex::new(());

fn options(engine: Engine, kinds: Vec<Kind>, dir: &Path) -> Options {
    let seed = std::env::var("PROVE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    Options {
        engine,
        nodes: 3,
        seed,
        kinds,
        clients: Clients::default(),
        recovery: Duration::from_secs(10),
        dir: dir.to_owned(),
    }
}

/// A directory that stays if the test fails.
fn directory() -> PathBuf {
    tempfile::Builder::new().prefix("raft-proxy-histories-").tempdir().unwrap().keep()
}

/// Each kind once, and pairs for what is left of the time.
fn run(engine: Engine, kinds: Vec<Kind>, time: Duration) {
    let dir = directory();
    let options = options(engine, kinds, &dir);
    let seed = options.seed;
    let start = Instant::now();
    let mut run = Run::begin(options).unwrap_or_else(|failure| panic!("{failure}"));
    for what in &run.missing {
        println!("NOT RUN: faults that need {what}");
    }
    for number in 0.. {
        if number >= run.plan().once() && start.elapsed() > time {
            break;
        }
        match run.round(number) {
            Ok(summary) => println!("{summary}"),
            Err(failure) => {
                let (round, dir) = (run.plan().round(number), dir.display());
                panic!("on {engine}, seed {seed}, {round}: {failure}\neverything is in {dir}");
            }
        }
    }
    drop(run);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_clients_are_told_under_faults_alone_and_in_pairs_can_have_been() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let engines = engine::all();
    if engines.contains(&Engine::Embedded) {
        let kinds = KINDS.iter().map(|(kind, _)| *kind).collect();
        run(Engine::Embedded, kinds, Duration::from_secs(90));
    }
    if engines.contains(&Engine::StandIn) {
        run(Engine::StandIn, vec![Kind::KillStorage, Kind::Kill], Duration::from_secs(15));
    }
}

#[test]
fn reads_of_any_age_are_found_not_to_be_linearizable() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = directory();
    let mut options = options(Engine::Embedded, vec![Kind::Transfer], &dir);
    options.clients.greeting = Some("RAFT.CONSISTENCY eventual");
    let mut run = Run::begin(options).unwrap_or_else(|failure| panic!("{failure}"));
    match run.round(0) {
        Err(Failure::Broken(why)) => assert!(why.contains("is not linearizable"), "{why}"),
        other => panic!("it was not found: {other:?}"),
    }
    drop(run);
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Has a fault begin, undoes it behind its back, and looks whether that is noticed.
fn undo(deployment: &mut Deployment, kind: Kind, undo: impl FnOnce(&mut Deployment, usize)) {
    let planned = Planned { kind, target: Target::Follower(0), lot: 0 };
    let mut struck = Vec::new();
    let mut fault = nemesis::of(&planned, deployment, &mut struck).unwrap();
    fault.begin(deployment).unwrap();
    undo(deployment, struck[0]);
    let looked = fault.look(deployment);
    assert!(matches!(looked, Err(Failure::NoFault(_))), "{kind}: {looked:?}");
}

#[test]
fn a_fault_that_does_not_last_is_no_pass() {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let ground = Ground::explore(dir.path()).unwrap();
    let mut deployment = Deployment::start(Engine::Embedded, 3, &ground, dir.path()).unwrap();
    undo(&mut deployment, Kind::Pause, |deployment, slot| {
        deployment.signal(slot, Signal::SIGCONT).unwrap();
        deployment
            .until("it to go on", |d| d.sidecar(slot).is_ok_and(|process| !process.is_stopped()))
            .unwrap();
    });
    if ground.network {
        undo(&mut deployment, Kind::Isolate, |deployment, slot| {
            let other = deployment.members().into_iter().find(|other| *other != slot).unwrap();
            deployment.network.as_ref().unwrap().mend(slot, other);
        });
    }
    if ground.clocks.is_some() {
        undo(&mut deployment, Kind::Clock, |deployment, slot| {
            deployment.slots[slot].clock.as_ref().unwrap().set_ahead(0);
        });
    }
}
