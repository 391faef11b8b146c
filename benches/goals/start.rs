//! What it takes before anybody calls: the binary, the start, and the memory.

use std::{fs, path::Path, time::Duration};

use tokio::time::sleep;

use super::{
    AtMost, Run,
    cells::{Bare, FILE, MEMORY},
};
use crate::house::{Process, Setup, median};

/// What starts up is done with it after this.
const SETTLED: Duration = Duration::from_millis(200);

/// The starts of one gateway: milliseconds and MB.
#[derive(Default)]
struct Starts {
    serving: Vec<f64>,
    answered: Vec<f64>,
    idle: Vec<f64>,
    used: Vec<f64>,
}

impl Starts {
    async fn add(&mut self, mut process: Process) {
        self.serving.push(process.serving.as_secs_f64() * 1e3);
        sleep(SETTLED).await;
        self.idle.push(process.memory() as f64 / 1e6);
        let begun = tokio::time::Instant::now();
        process.first_call().await;
        self.answered.push(begun.elapsed().as_secs_f64() * 1e3);
        sleep(SETTLED).await;
        self.used.push(process.memory() as f64 / 1e6);
    }

    /// The middle of each, as it is printed.
    fn told(self, name: &str) -> [f64; 3] {
        let [serving, answered, idle, used] =
            [self.serving, self.answered, self.idle, self.used].map(median);
        println!("| {name} | {serving:.0} ms | {answered:.1} ms | {idle:.1} MB | {used:.1} MB |");
        [serving, idle, used]
    }
}

/// With nothing in the ledger, and with many calls.
pub async fn start(run: &mut Run) {
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_dialplane")).unwrap().len() as f64;
    run.goal("start, the binary", bytes / 1e6, AtMost(15.0), " MB");
    let many = run.ledger(run.many).await;
    println!("\n| | from the start to SERVING | the first call | resident before it | after it |");
    println!("|---|---|---|---|---|");
    for subject in [Bare, MEMORY, FILE] {
        let mut starts = Starts::default();
        for _ in 0..run.rounds {
            let directory = tempfile::tempdir_in(run.directory.path()).unwrap();
            starts.add(subject.start(directory.path(), &run.vendor).await).await;
        }
        let [serving, idle, used] = starts.told(subject.name());
        if subject == FILE {
            run.goal("start, to SERVING", serving, AtMost(50.0), " ms");
            run.goal("start, resident before the first call", idle, AtMost(15.0), " MB");
            run.goal("start, resident after it", used, AtMost(15.0), " MB");
        }
    }
    let serving = again(run, &many).await;
    let what = format!("start, to SERVING with {} calls", run.many);
    run.goal(&what, serving, AtMost(500.0), " ms");
}

/// Each but the first start finds what a killed gateway left.
async fn again(run: &Run, ledger: &Path) -> f64 {
    let mut starts = Starts::default();
    for _ in 0..run.rounds {
        let setup = Setup::in_file(ledger);
        starts.add(setup.start(run.directory.path(), "again", run.vendor.address).await).await;
    }
    starts.told(&format!("ledger in a file, {} calls", run.many))[0]
}
