//! What it costs to have the gateway in between, and whether it reaches its goals: CreateCalls
//! over gRPC through dialplane, with its ledger in a file and in memory, against the bare hop
//! (the same API and the same exchanges with the vendor, one for each RPC, without anything that
//! is checked or kept). Each is a process of its own, in turns, with vendors that answer at once.
//!
//! ```text
//! cargo bench --bench hop                    every goal, some five minutes
//! cargo bench --bench hop -- --quick         short rounds: whether it runs, no figures
//! cargo bench --bench hop -- --only pace     one part of it, or several: see `PARTS`
//!                                            and `FURTHER`
//! cargo bench --bench hop -- --only flat --ten-million
//!                                            with 10,000,000 calls in a ledger, too: five
//!                                            to ten minutes more, and 14 GB of disk
//! cargo bench --bench hop -- --against ../before/target/release/dialplane
//!                                            two gateways with a ledger in a file: this one
//!                                            and that of another binary
//! cargo bench --bench hop -- --cell file/mobtexting/1/256 20
//!                                            one cell for so many seconds, to be profiled
//! ```
//!
//! - Every goal is a ratio or a difference of one run, and has a line of its own at the end:
//!   `goal: ... -> met`, or `missed`.
//! - What a round tells of a processor (`/proc/<pid>/stat` of the gateway alone) is in steps of
//!   10 ms, so it is counted over all rounds.
//! - The vendors' accounts have a `rate` of 1,000,000 calls a second and 64 exchanges in flight,
//!   which limit nothing; what an account has by default (500 calls a minute for Phonon's real
//!   time) would. The bare hop has 64 in flight as well. Only `pace` has a rate to be kept.
//! - Ledgers with many calls are made with the library, and lie in the target directory.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::{env, fs, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use goals::{
    Run,
    cells::{Bare, Cell, FILE, FILE_APART, MEMORY, Other, Sum, tell},
    flat::flat,
    load,
    overhead::{alone, bulk, coalesced, more, single},
    overload::{flood, overload},
    pace::pace,
    start::start,
    traced::traced,
};
use house::{Load, bare};

#[allow(dead_code, reason = "no bench uses all of it")]
mod house;

mod goals;

/// The word by which one of them is chosen, and what it does.
type Part = (&'static str, for<'a> fn(&'a mut Run) -> BoxFuture<'a, ()>);

const PARTS: [Part; 8] = [
    ("coalesced", |run| Box::pin(coalesced(run))),
    ("single", |run| Box::pin(single(run))),
    ("bulk", |run| Box::pin(bulk(run))),
    ("alone", |run| Box::pin(alone(run))),
    ("pace", |run| Box::pin(pace(run))),
    ("overload", |run| Box::pin(overload(run))),
    ("start", |run| Box::pin(start(run))),
    ("flat", |run| Box::pin(flat(run))),
];

/// Only when they are asked for: for most of them no goal is set.
const FURTHER: [Part; 3] = [
    ("more", |run| Box::pin(more(run))),
    ("flood", |run| Box::pin(flood(run))),
    ("traced", |run| Box::pin(traced(run))),
];

/// Those of which two binaries are compared. With more than 100 requests of 500 calls there
/// would be more under way than the gateway takes: 50,000 that the ledger has not recorded yet.
const LOADS: [Load; 9] = [
    load("mobtexting", 1, 1),
    load("mobtexting", 1, 32),
    load("mobtexting", 1, 256),
    load("mobtexting", 500, 8),
    load("phonon", 1, 1),
    load("phonon", 1, 256),
    load("phonon", 500, 1),
    load("phonon", 500, 32),
    load("phonon", 500, 96),
];

/// After which nobody waits for it any more.
const TOO_LONG: Duration = Duration::from_secs(3_600);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments: Vec<_> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    runtime.block_on(async {
        let mut ended = signal(SignalKind::terminate()).unwrap();
        // What is dropped ends its processes.
        select! {
            () = chosen(&arguments) => {}
            _ = ended.recv() => panic!("ended by a signal"),
            _ = tokio::signal::ctrl_c() => panic!("ended by a signal"),
            () = sleep(TOO_LONG) => panic!("it does not come to an end"),
        }
    });
}

async fn chosen(arguments: &[&str]) {
    match arguments {
        ["bare", grpc, vendors] => {
            bare::serve(grpc.parse().unwrap(), vendors.parse().unwrap()).await;
        }
        ["--cell", cell, seconds] => {
            one_cell(cell, Duration::from_secs(seconds.parse().unwrap())).await;
        }
        ["--against", program] => against(program).await,
        _ => parts(arguments).await,
    }
}

/// All parts, or those that are named.
async fn parts(arguments: &[&str]) {
    let (mut quick, mut ten_million, mut only) = (false, false, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--quick" => quick = true,
            "--ten-million" => ten_million = true,
            "--only" => only.push(part(arguments.next().expect("what --only is about"))),
            unknown => panic!("{unknown} is not known"),
        }
    }
    let mut run = Run::new(quick, ten_million).await;
    for (_, part) in if only.is_empty() { PARTS.to_vec() } else { only } {
        part(&mut run).await;
    }
    run.tell();
}

fn part(name: &str) -> Part {
    let all = [&PARTS[..], &FURTHER].concat();
    let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
    let found = all.iter().find(|(known, _)| *known == name);
    *found.unwrap_or_else(|| panic!("{name} is none of {}", names.join(", ")))
}

/// This binary against another one.
async fn against(program: &str) {
    // Cargo runs benches in the folder of the crate.
    let subjects = [Other(fs::canonicalize(program).unwrap()), FILE];
    let run = Run::new(false, false).await;
    for load in LOADS {
        tell(&[&Cell::measure(&run, load, &subjects).await]);
    }
}

/// One gateway under one load. Says which process it is, for whoever looks into it.
async fn one_cell(cell: &str, length: Duration) {
    let known =
        |load: &&Load| cell.ends_with(&format!("/{}/{}/{}", load.route, load.batch, load.callers));
    let load = LOADS.iter().find(known).expect("a load of the table");
    let subject = match cell.split('/').next() {
        Some("bare") => Bare,
        Some("memory") => MEMORY,
        Some("file") => FILE,
        Some("apart") => FILE_APART,
        _ => panic!("bare, memory, file or apart"),
    };
    let run = Run::new(false, false).await;
    let process = subject.start(run.directory.path(), &run.vendor).await;
    println!("{} is process {}", subject.name(), process.id());
    let mut sum = Sum::default();
    sum.add(&process, &run.vendor, load, length).await;
    println!("{:.0} requests a second, {:.0} µs of a processor each", sum.rate(), sum.cost());
}
