//! What the gateway has to reach, one file for each kind of goal, and where the outcomes are
//! gathered.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::house::{Load, Vendor, filled};

pub mod cells;
pub mod flat;
pub mod overhead;
pub mod overload;
pub mod pace;
pub mod start;
pub mod traced;

/// One run of the bench.
pub struct Run {
    /// Everything on disk is in it, and goes with it.
    pub directory: TempDir,
    /// All vendors there are.
    pub vendor: Vendor,
    /// How often each gateway has its turn.
    pub rounds: usize,
    /// How long a turn is.
    pub length: Duration,
    /// Calls in a ledger with many.
    pub many: usize,
    /// Calls in one with very many, if that is asked for.
    pub very_many: Option<usize>,
    goals: Vec<String>,
    ledgers: BTreeMap<usize, PathBuf>,
}

/// On which side of its limit a figure is to be.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

pub use Limit::{AtLeast, AtMost};

impl Run {
    /// One whose figures mean something, or a short one.
    pub async fn new(quick: bool, ten_million: bool) -> Self {
        let (rounds, length, many, very_many) = if quick {
            (1, Duration::from_millis(300), 20_000, 40_000)
        } else {
            (5, Duration::from_millis(1_500), 1_000_000, 10_000_000)
        };
        Self {
            directory: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            vendor: Vendor::start().await,
            rounds,
            length,
            many,
            very_many: ten_million.then_some(very_many),
            goals: Vec::new(),
            ledgers: BTreeMap::new(),
        }
    }

    /// Notes whether a goal is met.
    pub fn goal(&mut self, what: &str, value: f64, limit: Limit, unit: &str) {
        let (words, limit, is_met) = match limit {
            AtLeast(limit) => ("at least", limit, value >= limit),
            AtMost(limit) => ("at most", limit, value <= limit),
        };
        let met = if is_met { "met" } else { "missed" };
        let (value, limit) = (figure(value), figure(limit));
        self.goals.push(format!("goal: {what}: {value}{unit}, {words} {limit}{unit} -> {met}"));
    }

    /// Prints them all, once.
    pub fn tell(&mut self) {
        println!();
        for goal in self.goals.drain(..) {
            println!("{goal}");
        }
    }

    /// A ledger with so many calls. It is made once and then has what was placed meanwhile as
    /// well.
    pub async fn ledger(&mut self, calls: usize) -> PathBuf {
        if let Some(path) = self.ledgers.get(&calls) {
            return path.clone();
        }
        let path = self.directory.path().join(format!("{calls}.db"));
        let begun = Instant::now();
        filled::fill(&path, calls, &self.vendor).await;
        let bytes = fs::metadata(&path).unwrap().len();
        println!(
            "\na ledger with {calls} calls was made in {:.1} s, {:.0} MB",
            begun.elapsed().as_secs_f64(),
            bytes as f64 / 1e6
        );
        self.ledgers.insert(calls, path.clone());
        path
    }
}

/// With three digits.
fn figure(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// So many calls in a request, so many requests at the same time.
pub const fn load(route: &'static str, batch: u64, callers: usize) -> Load {
    Load { route, batch, callers }
}
