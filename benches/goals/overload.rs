//! Ten times the callers it sustains.

use super::{AtLeast, AtMost, Run, load};
use crate::house::{Load, Process, Setup, load::Refused, median};

/// How many callers it sustains, of single calls.
const SUSTAINED: usize = 256;
/// Of requests with 500 calls.
const SUSTAINED_BULK: usize = 32;
/// How many more there are then.
const TIMES: usize = 10;
/// What a gateway may have resident, in MB, however many want something of it at once: what
/// it had with those it sustains, and 64 KB for each of the others.
const FOR_EACH: f64 = 0.064;

/// What one number of callers came to.
#[derive(Default)]
struct Outcome {
    rates: Vec<f64>,
    refused: u64,
    p99: Vec<f64>,
    /// Of memory in each round, in MB.
    peaks: Vec<f64>,
}

impl Outcome {
    async fn add(&mut self, run: &Run, process: &Process, load: Load, refused: Refused) {
        process.forget_peak();
        // Longer than others: each of them waits for many.
        let placed = load.insist(process, run.length * 4 / 3, refused).await;
        self.peaks.push(process.peak() as f64 / 1e6);
        self.refused += placed.refused;
        self.rates.push(placed.rate());
        self.p99.push(placed.at(990));
    }

    fn peak(&self) -> f64 {
        self.peaks.iter().copied().fold(0.0, f64::max)
    }
}

/// What is completed while it has more to do than it can, and what that takes of memory.
pub async fn overload(run: &mut Run) {
    heading();
    for route in ["phonon", "mobtexting"] {
        let outcomes = of(run, load(route, 1, SUSTAINED), run.rounds.min(3)).await;
        judge(run, route, &outcomes);
    }
}

/// The same with large requests, of which the gateway refuses those that are beyond what it
/// takes to be under way.
pub async fn flood(run: &mut Run) {
    heading();
    of(run, load("phonon", 500, SUSTAINED_BULK), 1).await;
}

fn heading() {
    println!(
        "\n| overload | callers | calls completed a second | p99 | refused | peaks of memory |"
    );
    println!("|---|---|---|---|---|---|");
}

/// Who calls, in addition to those that are sustained.
const KINDS: [(&str, usize, Refused); 3] = [
    ("", 1, Refused::Wait),
    (", who come again at once", TIMES, Refused::Again),
    (", who wait when they are told to", TIMES, Refused::Wait),
];

async fn of(run: &Run, sustained: Load, rounds: usize) -> [Outcome; 3] {
    let directory = tempfile::tempdir_in(run.directory.path()).unwrap();
    let setup = Setup::in_file(&directory.path().join("calls.db"));
    let process = setup.start(directory.path(), "overload", run.vendor.address).await;
    sustained.place(&process, run.length / 4).await;
    let mut outcomes = KINDS.map(|_| Outcome::default());
    for _ in 0..rounds {
        for ((_, times, refused), outcome) in KINDS.iter().zip(&mut outcomes) {
            let load = Load { callers: times * sustained.callers, ..sustained };
            outcome.add(run, &process, load, *refused).await;
        }
    }
    for ((words, times, _), outcome) in KINDS.iter().zip(&outcomes) {
        let peaks: Vec<_> = outcome.peaks.iter().map(|peak| format!("{peak:.0}")).collect();
        println!(
            "| {}, {} | {}{words} | {:.0} | {:.0} ms | {} | {} MB |",
            sustained.route,
            sustained.batch,
            times * sustained.callers,
            median(outcome.rates.clone()) * sustained.batch as f64,
            median(outcome.p99.clone()),
            outcome.refused,
            peaks.join(", ")
        );
    }
    outcomes
}

fn judge(run: &mut Run, route: &str, [sustained, overloaded @ ..]: &[Outcome; 3]) {
    // In the first round there was no overload yet.
    let bound = sustained.peaks[0] + FOR_EACH * ((TIMES - 1) * SUSTAINED) as f64;
    for ((words, ..), outcome) in KINDS[1..].iter().zip(overloaded) {
        let rates = outcome.rates.iter().zip(&sustained.rates).map(|(rate, best)| rate / best);
        let what = format!("overload ({route}){words}, completed against {SUSTAINED} callers");
        run.goal(&what, median(rates.collect()), AtLeast(0.9), "");
        let what = format!("overload ({route}){words}, peak of memory");
        run.goal(&what, outcome.peak(), AtMost(bound), " MB");
    }
}
