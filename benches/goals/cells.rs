//! The same load for several programs in turns, and what each costs against the first.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::Run;
use crate::house::{Load, Placed, Process, Setup, Vendor, free_address, median};

/// Who is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Bare,
    Memory {
        coalesces: bool,
    },
    File {
        coalesces: bool,
    },
    /// Another binary, with its ledger in a file.
    Other(PathBuf),
    /// With its ledger in a file, and with what it tells of each RPC.
    Telling {
        /// A line in the log.
        lines: bool,
        /// Of a thousand traces so many, to a collector there.
        traces: Option<(u32, SocketAddr)>,
    },
}

pub use Subject::{Bare, Other};

pub const MEMORY: Subject = Subject::Memory { coalesces: true };
pub const MEMORY_APART: Subject = Subject::Memory { coalesces: false };
pub const FILE: Subject = Subject::File { coalesces: true };
/// No call goes out together with one of another RPC.
pub const FILE_APART: Subject = Subject::File { coalesces: false };

impl Subject {
    pub fn name(&self) -> &'static str {
        match self {
            Bare => "bare hop",
            Self::Memory { coalesces: true } => "ledger in memory",
            Self::Memory { coalesces: false } => "ledger in memory, max_delay = 0",
            Self::File { coalesces: true } => "ledger in a file",
            Self::File { coalesces: false } => "ledger in a file, max_delay = 0",
            Other(_) => "the other binary",
            Self::Telling { lines: false, traces: None } => "tells nothing",
            Self::Telling { lines: true, traces: None } => "access log",
            Self::Telling { traces: Some((0, _)), .. } => "traces, none sampled",
            Self::Telling { traces: Some((1000, _)), .. } => "traces, all sampled",
            Self::Telling { .. } => "traces, some sampled",
        }
    }

    /// Starts it with nothing in its ledger, and waits until it serves.
    pub async fn start(&self, directory: &Path, vendor: &Vendor) -> Process {
        let setup = match self {
            Bare => {
                let grpc = free_address().await;
                let mut command = Command::new(env::current_exe().unwrap());
                command.args(["bare", &grpc.to_string(), &vendor.address.to_string()]);
                return Process::start(command, grpc).await;
            }
            Self::Memory { coalesces } => Setup { coalesces: *coalesces, ..Setup::in_memory() },
            Self::File { coalesces } => {
                let path = directory.join(if *coalesces { "calls.db" } else { "apart.db" });
                Setup { coalesces: *coalesces, ..Setup::in_file(&path) }
            }
            Other(program) => {
                Setup { program: program.clone(), ..Setup::in_file(&directory.join("other.db")) }
            }
            Self::Telling { lines, traces } => {
                let path = directory.join(format!("{}.db", self.name()));
                Setup { variables: variables(*lines, *traces), ..Setup::in_file(&path) }
            }
        };
        setup.start(directory, &self.name().replace(' ', "-"), vendor.address).await
    }
}

fn variables(lines: bool, traces: Option<(u32, SocketAddr)>) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if lines {
        all.push(("RUST_LOG", "info,dialplane::access=debug".to_owned()));
    }
    if let Some((sampled, collector)) = traces {
        all.extend([
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}")),
            ("OTEL_TRACES_SAMPLER", "traceidratio".to_owned()),
            ("OTEL_TRACES_SAMPLER_ARG", (f64::from(sampled) / 1_000.0).to_string()),
        ]);
    }
    all
}

/// What all rounds came to.
#[derive(Debug, Default)]
pub struct Sum {
    /// Requests a second, of each round.
    rates: Vec<f64>,
    /// Of all rounds together.
    pub placed: Placed,
    busy: Duration,
    vendor_requests: u64,
    memory: u64,
}

impl Sum {
    /// One more round.
    pub async fn add(&mut self, process: &Process, vendor: &Vendor, load: &Load, length: Duration) {
        let (busy, (requests, calls)) = (process.busy(), vendor.counted());
        let placed = load.place(process, length).await;
        self.busy += process.busy() - busy;
        let after = vendor.counted();
        // Twice is a person's telephone that rings twice.
        assert_eq!(after.1 - calls, placed.latencies.len() as u64 * load.batch);
        self.vendor_requests += after.0 - requests;
        self.rates.push(placed.rate());
        self.placed.latencies.extend(placed.latencies);
        self.placed.latencies.sort_unstable();
        self.memory = process.memory();
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        median(self.rates.clone())
    }

    /// Microseconds on a processor for a request.
    pub fn cost(&self) -> f64 {
        self.busy.as_secs_f64() * 1e6 / self.placed.latencies.len() as f64
    }
}

/// Several under the same load.
pub struct Cell {
    pub load: Load,
    sums: Vec<(Subject, Sum)>,
}

/// One against the first of its cell.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    /// Of requests a second, those of the same round: what else the machine does hits both.
    pub throughput: f64,
    /// Of the time on a processor for a request.
    pub cost: f64,
    /// How much later half of the answers are there, in milliseconds.
    pub later: f64,
}

impl Cell {
    /// All in turns, each first as often. They are new ones, so that none carries what
    /// another cell left in its ledger.
    pub async fn measure(run: &Run, load: Load, subjects: &[Subject]) -> Self {
        let directory = tempfile::tempdir_in(run.directory.path()).unwrap();
        let (mut processes, mut sums) = (Vec::new(), Vec::new());
        for subject in subjects {
            let process = subject.start(directory.path(), &run.vendor).await;
            load.place(&process, run.length / 4).await;
            processes.push(process);
            sums.push((subject.clone(), Sum::default()));
        }
        for round in 0..run.rounds {
            for turn in 0..sums.len() {
                let at = (round + turn) % sums.len();
                sums[at].1.add(&processes[at], &run.vendor, &load, run.length).await;
            }
        }
        Self { load, sums }
    }

    /// What it takes of the vendor for a call.
    pub fn vendor_requests(&self, subject: &Subject) -> f64 {
        let sum = self.sum(subject);
        sum.vendor_requests as f64 / (sum.placed.latencies.len() as f64 * self.load.batch as f64)
    }

    /// How it does against the first.
    pub fn ratio(&self, subject: &Subject) -> Ratio {
        let (first, other) = (&self.sums[0].1, self.sum(subject));
        let rates = other.rates.iter().zip(&first.rates).map(|(other, first)| other / first);
        Ratio {
            throughput: median(rates.collect()),
            cost: other.cost() / first.cost(),
            later: other.placed.at(500) - first.placed.at(500),
        }
    }

    fn sum(&self, subject: &Subject) -> &Sum {
        &self.sums.iter().find(|(of, _)| of == subject).unwrap().1
    }
}

/// Prints the figures of cells, and of each but the first against the first.
pub fn tell(cells: &[&Cell]) {
    println!(
        "\n| route, calls in a request, callers | gateway | requests a second | calls a second | \
         p50 | p99 | p99.9 | processor: a request | a call | resident | vendor requests a call |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for cell in cells {
        for (subject, sum) in &cell.sums {
            let (rate, batch, placed) = (sum.rate(), cell.load.batch as f64, &sum.placed);
            println!(
                "| {} | {} | {rate:.0} | {:.0} | {:.2} ms | {:.2} ms | {:.2} ms | {:.0} µs | \
                 {:.1} µs | {:.0} MB | {:.3} |",
                cell.load,
                subject.name(),
                rate * batch,
                placed.at(500),
                placed.at(990),
                placed.at(999),
                sum.cost(),
                sum.cost() / batch,
                sum.memory as f64 / 1e6,
                cell.vendor_requests(subject),
            );
        }
    }
    println!("\n| against the first | | throughput | processor for a call | p50 later |");
    println!("|---|---|---|---|---|");
    for cell in cells {
        for (subject, _) in &cell.sums[1..] {
            let Ratio { throughput, cost, later } = cell.ratio(subject);
            println!(
                "| {} | {} | {throughput:.2} | {cost:.2} times | {later:.2} ms |",
                cell.load,
                subject.name(),
            );
        }
    }
}
