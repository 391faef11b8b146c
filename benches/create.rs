//! What it costs that every call is on disk before a vendor hears of it: CreateCalls over
//! gRPC with a ledger in a file against one in memory, in turns, with vendors that answer
//! at once. What each of them costs against no gateway at all is in `hop`.
//!
//! ```text
//! cargo bench --bench create                 everything, some two minutes
//! cargo bench --bench create -- --quick      short rounds: whether it runs, no figures
//! ```

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::time::Duration;

use house::{Load, Placed, Process, Vendor, median};

#[allow(dead_code, reason = "no bench uses all of it")]
mod house;

const LOADS: [Load; 5] = [
    Load { route: "mobtexting", batch: 1, callers: 1 },
    Load { route: "mobtexting", batch: 1, callers: 32 },
    Load { route: "mobtexting", batch: 1, callers: 256 },
    Load { route: "phonon", batch: 500, callers: 1 },
    Load { route: "phonon", batch: 500, callers: 8 },
];

/// What one round showed, or the middle of several.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Requests a second.
    rate: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
}

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, round) =
        if quick { (1, Duration::from_millis(300)) } else { (5, Duration::from_secs(2)) };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let vendor = Vendor::start().await;
    let file = format!("sqlite:{}", directory.path().join("calls.db").display());
    let file = Process::gateway(directory.path(), "file", &file, vendor.address).await;
    let memory =
        Process::gateway(directory.path(), "memory", "sqlite::memory:", vendor.address).await;

    println!(
        "| calls in a request | callers | file: requests a second | calls a second | p50, p99 | \
         memory: requests a second | calls a second | p50, p99 | file / memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for load in &LOADS {
        for gateway in [&file, &memory] {
            load.place(gateway, round / 4).await;
        }
        let (mut of_file, mut of_memory) = (Vec::new(), Vec::new());
        for number in 0..rounds {
            // In turns, and each of them first as often: what else the machine does hits both.
            if number % 2 == 0 {
                of_file.push(load.place(&file, round).await);
                of_memory.push(load.place(&memory, round).await);
            } else {
                of_memory.push(load.place(&memory, round).await);
                of_file.push(load.place(&file, round).await);
            }
        }
        let (of_file, of_memory) = (middle(&of_file), middle(&of_memory));
        println!(
            "| {} | {} | {} | {} | {:.2} |",
            load.batch,
            load.callers,
            told(of_file, load),
            told(of_memory, load),
            of_file.rate / of_memory.rate
        );
    }
}

fn told(figures: Figures, load: &Load) -> String {
    let Figures { rate, p50, p99 } = figures;
    format!("{rate:.0} | {:.0} | {p50:.2} ms, {p99:.2} ms", rate * load.batch as f64)
}

/// The median of each figure by itself.
fn middle(rounds: &[Placed]) -> Figures {
    let of = |figure: fn(&Placed) -> f64| median(rounds.iter().map(figure).collect());
    Figures { rate: of(Placed::rate), p50: of(|p| p.at(500)), p99: of(|p| p.at(990)) }
}
