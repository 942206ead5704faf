//! The seeds of every target, whole, cut anywhere, with each byte changed, and mutated at random.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Mutations of each seed.
const MUTATIONS: usize = 50_000;

/// A few changes, as a fuzzer makes them: a byte set, a bit flipped, bytes removed, repeated or put in.
fn mutate(seed: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            bytes.push(rng.random());
            continue;
        }
        let at = rng.random_range(0..bytes.len());
        let end = (at + rng.random_range(1..=8)).min(bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => {
                bytes[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, b'$', b'*', b'\r', b'\n'][rng.random_range(0..10)]
            }
            3 => drop(bytes.drain(at..end)),
            4 => {
                let repeated = bytes[at..end].to_vec();
                bytes.splice(at..at, repeated);
            }
            _ => bytes.insert(at, rng.random()),
        }
    }
    bytes
}

#[test]
fn no_target_fails_on_its_seeds_cut_changed_and_mutated() {
    for (number, target) in fuzz::TARGETS.iter().enumerate() {
        let mut rng = SmallRng::seed_from_u64(number as u64);
        let (seeds, run) = ((target.seeds)(), target.run);
        assert!(!seeds.is_empty(), "{}", target.name);
        for seed in &seeds {
            run(seed);
            for at in 0..seed.len() {
                run(&seed[..at]);
                for value in [0, 0xff, seed[at] ^ 1, seed[at].wrapping_add(1)] {
                    let mut changed = seed.clone();
                    changed[at] = value;
                    run(&changed);
                }
            }
            for _ in 0..MUTATIONS {
                run(&mutate(seed, &mut rng));
            }
        }
    }
}
