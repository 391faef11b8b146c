//! What it costs to have the gateway in between: CreateCalls over gRPC through dialplane,
//! with its ledger in a file and in memory, against the bare hop (the same API and the same
//! exchanges with the vendor, without anything that is checked or kept). Each is a process
//! of its own, in turns, with vendors that answer at once.
//!
//! ```text
//! cargo bench --bench hop                    everything, some three and a half minutes
//! cargo bench --bench hop -- --quick         short rounds: whether it runs, no figures
//! cargo bench --bench hop -- --million       how it starts with a million calls, too
//! cargo bench --bench hop -- --against ../before/target/release/dialplane
//!                                            two gateways with a ledger in a file: this one
//!                                            and that of another binary
//! cargo bench --bench hop -- --only file/mobtexting/1/256 20
//!                                            one cell for so many seconds, to be profiled
//! ```
//!
//! What a round tells of a processor is in steps of 10 ms, so it is counted over all rounds.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tokio::time::sleep;

use house::{Load, Process, Vendor, bare, free_address, median};

#[allow(dead_code, reason = "no bench uses all of it")]
mod house;

const fn load(route: &'static str, batch: u64, callers: usize) -> Load {
    Load { route, batch, callers }
}

// With more than 100 requests of 500 calls there would be more under way than the gateway
// takes: 50,000 that the ledger has not recorded yet.
const LOADS: [Load; 7] = [
    load("mobtexting", 1, 1),
    load("mobtexting", 1, 32),
    load("mobtexting", 1, 256),
    load("mobtexting", 500, 8),
    load("phonon", 500, 1),
    load("phonon", 500, 32),
    load("phonon", 500, 96),
];

/// Who is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Gateway {
    Bare,
    Memory,
    File,
    /// Another binary, with its ledger in a file.
    Other(PathBuf),
}

use Gateway::{Bare, File, Memory, Other};

impl Gateway {
    fn name(&self) -> &'static str {
        match self {
            Bare => "bare hop",
            Memory => "ledger in memory",
            File => "ledger in a file",
            Other(_) => "the other binary",
        }
    }

    async fn start(&self, directory: &Path, vendor: &Vendor) -> Process {
        match self {
            Bare => {
                let grpc = free_address().await;
                let mut command = Command::new(env::current_exe().unwrap());
                command.args(["bare", &grpc.to_string(), &vendor.address.to_string()]);
                Process::start(command, grpc).await
            }
            Memory => {
                Process::gateway(directory, "memory", "sqlite::memory:", vendor.address).await
            }
            File => {
                let url = format!("sqlite:{}", directory.join("calls.db").display());
                Process::gateway(directory, "file", &url, vendor.address).await
            }
            Other(program) => {
                let url = format!("sqlite:{}", directory.join("other.db").display());
                Process::gateway_of(program, directory, "other", &url, vendor.address).await
            }
        }
    }
}

/// What all rounds of a cell came to.
#[derive(Debug, Default)]
struct Sum {
    rates: Vec<f64>,
    /// Of all rounds together.
    placed: house::Placed,
    busy: Duration,
    vendor_requests: u64,
    memory: u64,
}

impl Sum {
    async fn add(&mut self, process: &Process, vendor: &Vendor, load: &Load, length: Duration) {
        let (busy, (requests, calls)) = (process.busy(), vendor.counted());
        let placed = load.place(process, length).await;
        self.busy += process.busy() - busy;
        let after = vendor.counted();
        // Twice is a person's telephone that rings twice.
        assert_eq!(after.1 - calls, placed.latencies.len() as u64 * load.batch);
        self.vendor_requests += after.0 - requests;
        self.rates.push(placed.rate());
        self.placed.latencies.extend(placed.latencies);
        self.memory = process.memory();
    }

    fn rate(&self) -> f64 {
        median(self.rates.clone())
    }

    /// Microseconds on a processor for a request.
    fn cost(&self) -> f64 {
        self.busy.as_secs_f64() * 1e6 / self.placed.latencies.len() as f64
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments: Vec<_> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    runtime.block_on(async {
        match arguments[..] {
            ["bare", grpc, vendors] => {
                bare::serve(grpc.parse().unwrap(), vendors.parse().unwrap()).await;
            }
            ["--only", cell, seconds] => {
                let length = Duration::from_secs(seconds.parse().unwrap());
                let load = LOADS.iter().find(|load| cell.ends_with(&path_of(load)));
                one_cell(cell, load.expect("one of the table's"), length).await;
            }
            ["--against", program] => {
                // Cargo runs benches in the folder of the crate.
                let other = fs::canonicalize(program).unwrap();
                everything(&[Other(other), File], false, false).await;
            }
            _ => {
                let quick = arguments.contains(&"--quick");
                let million = arguments.contains(&"--million");
                everything(&[Bare, Memory, File], quick, million).await;
            }
        }
    });
}

fn path_of(load: &Load) -> String {
    format!("/{}/{}/{}", load.route, load.batch, load.callers)
}

/// Measures the gateways, and tells what each costs against the first.
async fn everything(gateways: &[Gateway], quick: bool, million: bool) {
    let (rounds, length) =
        if quick { (1, Duration::from_millis(300)) } else { (5, Duration::from_millis(1_500)) };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let vendor = Vendor::start().await;
    at_rest(gateways, directory.path(), &vendor, rounds).await;
    let mut cells = Vec::new();
    for load in &LOADS {
        let directory = tempfile::tempdir_in(directory.path()).unwrap();
        cells.push((load, cell(gateways, directory.path(), &vendor, load, rounds, length).await));
    }
    tell(gateways, &cells);
    tell_ratios(gateways, &cells);
    if million {
        a_million(directory.path(), &vendor, if quick { 20_000 } else { 1_000_000 }).await;
    }
}

/// All in turns, each first as often: what else the machine does hits all. They are new
/// ones, so that none carries what another cell left in its ledger.
async fn cell(
    gateways: &[Gateway],
    directory: &Path,
    vendor: &Vendor,
    load: &Load,
    rounds: usize,
    length: Duration,
) -> Vec<Sum> {
    let (mut processes, mut sums) = (Vec::new(), Vec::new());
    for gateway in gateways {
        let process = gateway.start(directory, vendor).await;
        load.place(&process, length / 4).await;
        processes.push(process);
        sums.push(Sum::default());
    }
    for round in 0..rounds {
        for turn in 0..sums.len() {
            let at = (round + turn) % sums.len();
            sums[at].add(&processes[at], vendor, load, length).await;
        }
    }
    for sum in &mut sums {
        sum.placed.latencies.sort_unstable();
    }
    sums
}

fn tell(gateways: &[Gateway], cells: &[(&Load, Vec<Sum>)]) {
    println!(
        "\n| route, calls in a request, callers | gateway | requests a second | calls a second | \
         p50 | p99 | p99.9 | processor: a request | a call | resident | vendor requests a call |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (load, sums) in cells {
        for (gateway, sum) in gateways.iter().zip(sums) {
            let (rate, batch, placed) = (sum.rate(), load.batch as f64, &sum.placed);
            println!(
                "| {}, {}, {} | {} | {rate:.0} | {:.0} | {:.2} ms | {:.2} ms | {:.2} ms | {:.0} µs | \
                 {:.1} µs | {:.0} MB | {:.3} |",
                load.route,
                load.batch,
                load.callers,
                gateway.name(),
                rate * batch,
                placed.at(500),
                placed.at(990),
                placed.at(999),
                sum.cost(),
                sum.cost() / batch,
                sum.memory as f64 / 1e6,
                sum.vendor_requests as f64 / (placed.latencies.len() as f64 * batch),
            );
        }
    }
}

/// Of each but the first to the first.
fn tell_ratios(gateways: &[Gateway], cells: &[(&Load, Vec<Sum>)]) {
    let (first, others) = gateways.split_first().unwrap();
    for (number, gateway) in others.iter().enumerate() {
        println!(
            "\n| {} against {} | throughput | processor for a call | p50 later |",
            gateway.name(),
            first.name()
        );
        println!("|---|---|---|---|");
        for (load, sums) in cells {
            let (first, other) = (&sums[0], &sums[number + 1]);
            println!(
                "| {}, {}, {} | {:.2} | {:.2} times | {:.2} ms |",
                load.route,
                load.batch,
                load.callers,
                other.rate() / first.rate(),
                other.cost() / first.cost(),
                other.placed.at(500) - first.placed.at(500),
            );
        }
    }
}

/// What it takes before anybody calls.
async fn at_rest(gateways: &[Gateway], directory: &Path, vendor: &Vendor, rounds: usize) {
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_dialplane")).unwrap().len();
    println!("the gateway's binary: {:.1} MB", bytes as f64 / 1e6);
    println!("\n| | from start to the first call answered | resident after it |");
    println!("|---|---|---|");
    for gateway in gateways {
        let (mut started, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let directory = tempfile::tempdir_in(directory).unwrap();
            let process = gateway.start(directory.path(), vendor).await;
            started.push(process.started.as_secs_f64() * 1e3);
            sleep(Duration::from_millis(200)).await;
            memory.push(process.memory() as f64 / 1e6);
        }
        let (started, memory) = (median(started), median(memory));
        println!("| {} | {started:.0} ms | {memory:.1} MB |", gateway.name());
    }
}

/// Fills a ledger, kills the gateway, and starts it again.
async fn a_million(directory: &Path, vendor: &Vendor, calls: u64) {
    let directory = tempfile::tempdir_in(directory).unwrap();
    let load = load("phonon", 500, 8);
    let process = File.start(directory.path(), vendor).await;
    let before = vendor.counted().1;
    while vendor.counted().1 - before < calls {
        load.place(&process, Duration::from_millis(500)).await;
    }
    let placed = vendor.counted().1 - before;
    drop(process);
    let process = File.start(directory.path(), vendor).await;
    println!(
        "\nkilled with {placed} calls in its ledger and started again: a call answered after {:.0} ms, \
         {:.1} MB resident",
        process.started.as_secs_f64() * 1e3,
        process.memory() as f64 / 1e6
    );
}

/// One gateway under one load. Says which process it is, for whoever looks into it.
async fn one_cell(cell: &str, load: &Load, length: Duration) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let vendor = Vendor::start().await;
    let gateway = match cell.split('/').next() {
        Some("bare") => Bare,
        Some("memory") => Memory,
        Some("file") => File,
        _ => panic!("{cell} is not bare, memory or file"),
    };
    let process = gateway.start(directory.path(), &vendor).await;
    println!("{} is process {}", gateway.name(), process.id());
    let mut sum = Sum::default();
    sum.add(&process, &vendor, load, length).await;
    println!("{:.0} requests a second, {:.0} µs of a processor each", sum.rate(), sum.cost());
}
