//! Ten times the callers it sustains.

use super::{AtLeast, AtMost, Run, load};
use crate::house::{Load, Process, Refused, Setup, median};

const SUSTAINED: usize = 256;
const TOO_MANY: usize = 10 * SUSTAINED;
/// What a gateway may have resident, in MB, however many want something of it at once: what
/// it had with [`SUSTAINED`] callers, and 64 KB for each of the others.
const FOR_EACH: f64 = 0.064;

/// What one number of callers came to.
#[derive(Default)]
struct Outcome {
    rates: Vec<f64>,
    refused: u64,
    p99: Vec<f64>,
    /// MB.
    peak: f64,
}

impl Outcome {
    async fn add(&mut self, run: &Run, process: &Process, load: Load, refused: Refused) {
        process.forget_peak();
        let placed = load.insist(process, run.length, refused).await;
        self.peak = self.peak.max(process.peak() as f64 / 1e6);
        self.refused += placed.refused;
        self.rates.push(placed.rate());
        self.p99.push(placed.at(990));
    }
}

/// What is completed while it has more to do than it can, and what that takes of memory.
pub async fn overload(run: &mut Run) {
    println!("\n| overload | callers | completed a second | p99 | refused | peak of memory |");
    println!("|---|---|---|---|---|---|");
    for route in ["phonon", "mobtexting"] {
        of(run, route).await;
    }
}

async fn of(run: &mut Run, route: &'static str) {
    let directory = tempfile::tempdir_in(run.directory.path()).unwrap();
    let setup = Setup::in_file(&directory.path().join("calls.db"));
    let process = setup.start(directory.path(), "overload", run.vendor.address).await;
    let kinds = [
        ("", SUSTAINED, Refused::Wait),
        (", who come again at once", TOO_MANY, Refused::Again),
        (", who wait when they are told to", TOO_MANY, Refused::Wait),
    ];
    load(route, 1, SUSTAINED).place(&process, run.length / 4).await;
    let mut outcomes = kinds.map(|_| Outcome::default());
    for _ in 0..run.rounds.min(3) {
        for ((_, callers, refused), outcome) in kinds.iter().zip(&mut outcomes) {
            outcome.add(run, &process, load(route, 1, *callers), *refused).await;
        }
    }
    for ((words, callers, _), outcome) in kinds.iter().zip(&outcomes) {
        println!(
            "| {route} | {callers}{words} | {:.0} | {:.0} ms | {} | {:.0} MB |",
            median(outcome.rates.clone()),
            median(outcome.p99.clone()),
            outcome.refused,
            outcome.peak
        );
    }
    let [sustained, overloaded @ ..] = &outcomes;
    let best = sustained.rates.iter().copied().fold(0.0, f64::max);
    let bound = sustained.peak + FOR_EACH * (TOO_MANY - SUSTAINED) as f64;
    for ((words, ..), outcome) in kinds[1..].iter().zip(overloaded) {
        let what = format!("overload ({route}){words}, completed against the best of 256 callers");
        run.goal(&what, median(outcome.rates.clone()) / best, AtLeast(0.9), "");
        let what = format!("overload ({route}){words}, peak of memory");
        run.goal(&what, outcome.peak, AtMost(bound), " MB");
    }
}
