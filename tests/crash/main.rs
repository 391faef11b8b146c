//! Never twice, never lost, as it is: the real binary, killed with SIGKILL at any instant
//! while callers place calls, and the vendors' own log of what they dialled against what
//! the gateway says of it.
//!
//! ```text
//! cargo test --test crash                                     three kills, some seconds
//! DIALPLANE_KILLS=100 DIALPLANE_BINARY=target/release/dialplane \
//!   cargo test --test crash killed -- --nocapture             the whole of it, with a summary
//! DIALPLANE_SEED=4711 ...                                     the same requests and instants again
//! ```
//!
//! A seed gives the same requests and the same instants; what the machine makes of them
//! differs from run to run, so a failure also leaves the ledger and the log behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod binary;
mod callers;
mod chance;
mod no_room;
mod town;
mod verdict;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use chance::Chance;
use tokio::time::sleep;
use town::Town;

/// What is asked of this run by its environment.
struct Wanted {
    kills: u64,
    seed: u64,
    /// How long a call in doubt may stay so.
    give_up_after: &'static str,
}

impl Wanted {
    fn read() -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
        };
        let kills = number("DIALPLANE_KILLS").unwrap_or(3);
        // Long enough for what is in doubt to be settled across several kills, where there
        // are several.
        let give_up_after = if kills > 10 { "10s" } else { "3s" };
        Self {
            kills,
            seed: number("DIALPLANE_SEED").unwrap_or_else(chance::any_seed),
            give_up_after,
        }
    }
}

/// The directory of a run: removed at its end, unless the run failed.
struct Left(Option<tempfile::TempDir>);

impl Left {
    fn path(&self) -> PathBuf {
        self.0.as_ref().unwrap().path().to_owned()
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(directory) = self.0.take()
        {
            eprintln!("the ledger and the log are in {}", directory.keep().display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_instant_it_dials_nobody_twice_and_loses_nothing() {
    let wanted = Wanted::read();
    let begun = Instant::now();
    eprintln!("DIALPLANE_SEED={} DIALPLANE_KILLS={}", wanted.seed, wanted.kills);
    let mut chance = Chance::new(wanted.seed);
    let left = Left(Some(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()));
    let mut town = Town::start(left.path(), wanted.give_up_after).await;
    let load = callers::start(&town, chance.branch());

    let mut during_start = 0;
    for kill in 0..wanted.kills {
        // The first instants of a start are instants too: what the last run left is being
        // taken up then.
        if kill % 5 == 4 {
            during_start += 1;
            sleep(Duration::from_millis(chance.below(80))).await;
        } else {
            town.serving().await;
            sleep(Duration::from_millis(chance.below(900))).await;
        }
        town.gateway.kill();
        town.start_gateway();
    }
    town.serving().await;
    // The last life gets its share of calls, too.
    sleep(Duration::from_millis(200)).await;
    let book = load.finish().await;
    let placing = begun.elapsed();

    let verdict = verdict::reach(&town, &book).await;
    println!(
        "{} kills ({during_start} during a start), seed {}\n{verdict}\n{:.1} s of calls, {:.1} s in all",
        wanted.kills,
        wanted.seed,
        placing.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
    );
    assert!(
        verdict.wrong.is_empty(),
        "{} things are wrong, seed {}; the first of them:\n{}",
        verdict.wrong.len(),
        wanted.seed,
        verdict.wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    assert!(verdict.is_worth_something(wanted.kills), "the run shows too little: {verdict}");
    drop(left);
    town.stop().await;
}
