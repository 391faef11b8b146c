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
    collections::BTreeMap,
    env, process,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use faults::Mischief;

mod callers;
mod checker;
mod disk;
mod faults;
mod house;
mod life;
mod line;
mod list;
mod panics;
mod regret;
mod reloads;
mod rng;
mod stop;
mod timing;
mod waits;
mod watcher;
mod world;

/// Without being asked for more.
const SEEDS: u64 = 300;

/// Seeds that once failed, and what they found.
/// As long as worlds are made as they were: another draw among the chances, and a seed is
/// another world.
const REGRESSIONS: &[(u64, &str)] = &[
    (
        17,
        "a call left out of a request whose answer was lost counts as accepted once Phonon knows it",
    ),
    (59, "told that nothing was sent, while an earlier attempt still looked its request id up"),
    (255, "the same, and the earlier attempt dialled"),
    (667, "what may have got lost was sent again outside of the route's calling window"),
];

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text:?}")))
}

#[test]
fn whatever_happens_nobody_is_dialled_twice_and_nothing_is_lost() {
    if let Some(seed) = number("DIALPLANE_SEED") {
        world::ALOUD.store(true, Ordering::Relaxed);
        let outcome = life::run(seed, true);
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

/// Longer than any world takes: one that takes longer does not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Those that failed, in their order. Ends with the first, unless `DIALPLANE_SEEDS_ALL` is
/// set.
fn live_through(seeds: &[u64]) -> Vec<(u64, String)> {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let enough = AtomicBool::new(false);
    let go_on = env::var_os("DIALPLANE_SEEDS_ALL").is_some();
    let under_way = Mutex::new(BTreeMap::new());
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        let (working, done) = mpsc::channel::<()>();
        for _ in 0..threads {
            let working = working.clone();
            let (next, failed, enough, under_way) = (&next, &failed, &enough, &under_way);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some(&seed) = seeds.get(index) else { break };
                    under_way.lock().unwrap().insert(seed, Instant::now());
                    let wrong = life::run(seed, false).wrong;
                    under_way.lock().unwrap().remove(&seed);
                    if let Some(wrong) = wrong {
                        failed.lock().unwrap().push((seed, wrong));
                        enough.store(!go_on, Ordering::Relaxed);
                    }
                }
                drop(working);
            });
        }
        drop(working);
        let under_way = &under_way;
        scope.spawn(move || watch(&done, under_way));
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort();
    failed
}

/// Ends it all when a world does not end.
fn watch(done: &mpsc::Receiver<()>, under_way: &Mutex<BTreeMap<u64, Instant>>) {
    while done.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        let worlds = under_way.lock().unwrap();
        if let Some((seed, _)) = worlds.iter().find(|(_, begun)| begun.elapsed() > PATIENCE) {
            println!("(8) seed {seed} does not end\n{}", again(*seed));
            process::exit(1);
        }
    }
}

/// How to see all of it.
fn again(seed: u64) -> String {
    format!("DIALPLANE_SEED={seed} cargo test --test simulation nobody_is_dialled -- --nocapture")
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
        "seed {seed}: {}\n{}",
        outcome.wrong.as_deref().unwrap_or("nothing is wrong this time: it is not the same again"),
        again(seed)
    );
}

/// Who checks is checked: what breaks a promise is seen, and as what.
#[test]
fn what_breaks_a_promise_is_seen() {
    for (mischief, seen_as) in [
        (Mischief::Twice, "(1)"),
        (Mischief::Denied, "(3)"),
        (Mischief::MadeUp, "(7)"),
        (Mischief::Forgotten, "(2)"),
        (Mischief::Hasty, "(10)"),
        (Mischief::Slow, "(10)"),
        (Mischief::Hasty, "(11)"),
        (Mischief::Slow, "(11)"),
        (Mischief::Unlisted, "(12)"),
        (Mischief::Late, "(13)"),
        (Mischief::Asleep, "(4)"),
    ] {
        let mut seen = Vec::new();
        let is_seen = (0..150).any(|seed| {
            seen.extend(life::run_with(seed, false, Some(mischief)).wrong);
            seen.last().is_some_and(|what| what.starts_with(seen_as))
        });
        assert!(is_seen, "{mischief:?}, {seen_as}: {seen:#?}");
    }
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
