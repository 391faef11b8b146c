//! Whole worlds in one thread: a gateway, its ledger and all vendors, on a clock that
//! stands still while anybody has something to do, with faults chosen by a seed.
//!
//! `DIALPLANE_SEEDS=10000` lives through more seeds, from `DIALPLANE_SEED_START` on, and
//! `DIALPLANE_SEED=42` through one, with all that happens printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::{
    env,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

mod callers;
mod checker;
mod disk;
mod faults;
mod house;
mod life;
mod line;
mod panics;
mod rng;
mod world;

/// Without being asked for more.
const SEEDS: u64 = 300;

/// Seeds that once failed, and what they found.
const REGRESSIONS: &[(u64, &str)] = &[];

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}

#[test]
fn whatever_happens_nobody_is_dialled_twice_and_nothing_is_lost() {
    if let Some(seed) = number("DIALPLANE_SEED") {
        let outcome = life::run(seed, true);
        for line in &outcome.trace {
            println!("{line}");
        }
        assert_eq!(outcome.wrong, None, "seed {seed}");
        return;
    }
    let start = number("DIALPLANE_SEED_START").unwrap_or(0);
    let count = number("DIALPLANE_SEEDS").unwrap_or(SEEDS);
    let seeds: Vec<u64> =
        REGRESSIONS.iter().map(|(seed, _)| *seed).chain(start..start + count).collect();
    let begun = Instant::now();
    let failed = live_through(&seeds);
    println!("{} seeds in {:?}", seeds.len(), begun.elapsed());
    if let Some(&(seed, _)) = failed.first() {
        let list: Vec<_> =
            failed.iter().take(30).map(|(seed, wrong)| format!("{seed}: {wrong}")).collect();
        println!("{} seeds failed:\n{}", failed.len(), list.join("\n"));
        show(seed);
    }
}

/// Those that failed, in their order.
fn live_through(seeds: &[u64]) -> Vec<(u64, String)> {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let enough = AtomicBool::new(false);
    let go_on = env::var_os("DIALPLANE_SEEDS_ALL").is_some();
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some(&seed) = seeds.get(index) else { break };
                    if let Some(wrong) = life::run(seed, false).wrong {
                        failed.lock().unwrap().push((seed, wrong));
                        enough.store(!go_on, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    failed
}

/// Lives through it again, and tells how it came to that.
fn show(seed: u64) -> ! {
    let outcome = life::run(seed, true);
    let from = outcome.trace.len().saturating_sub(60);
    println!("the last events of seed {seed}:");
    for line in &outcome.trace[from..] {
        println!("{line}");
    }
    panic!(
        "seed {seed}: {}\nall of it: DIALPLANE_SEED={seed} cargo test --test simulation -- --nocapture nobody_is_dialled",
        outcome.wrong.as_deref().unwrap_or("nothing is wrong this time: it is not the same again")
    );
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..30 {
        let (first, second) = (life::run(seed, true), life::run(seed, true));
        for (line, (first, second)) in first.trace.iter().zip(&second.trace).enumerate() {
            assert_eq!(first, second, "line {line} of seed {seed}");
        }
        assert_eq!(first.trace.len(), second.trace.len(), "seed {seed}");
        assert!(first.trace.len() > 10, "seed {seed}: nothing happens");
    }
}
