//! A vendor that takes few requests in a window of time, and many callers of single calls.

use std::time::{Duration, Instant};

use super::{AtLeast, AtMost, Run, load};
use crate::house::{Setup, load::Refused};

const REQUESTS: usize = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// What callers are there for, in windows.
const WINDOWS: u32 = 4;
const RATE: &str = "{ requests = 10, per = \"1s\" }";

/// How many calls go out with each request, and whether the limit is kept.
pub async fn pace(run: &mut Run) {
    let directory = tempfile::tempdir_in(run.directory.path()).unwrap();
    let setup = Setup { rate: RATE, ..Setup::in_file(&directory.path().join("calls.db")) };
    let process = setup.start(directory.path(), "pace", run.vendor.address).await;
    let callers = load("phonon", 1, 256);
    let before = run.vendor.counted();
    run.vendor.note_arrivals();
    let placed = callers.insist(&process, WINDOW * WINDOWS, Refused::Wait).await;
    let (arrivals, after) = (run.vendor.arrivals(), run.vendor.counted());

    let (requests, calls) = (after.0 - before.0, after.1 - before.1);
    assert_eq!(calls, placed.latencies.len() as u64, "each call once");
    let in_one = calls as f64 / requests as f64;
    println!(
        "\npace ({callers}), {REQUESTS} requests in {WINDOW:?}: {calls} calls in {requests} \
         requests within {:.1} s, p50 {:.0} ms, p99 {:.0} ms, {} refused",
        placed.took.as_secs_f64(),
        placed.at(500),
        placed.at(990),
        placed.refused
    );
    run.goal("pace, calls in a vendor's request", in_one, AtLeast(100.0), "");
    let most = most_in_a_window(&arrivals) as f64;
    run.goal("pace, most requests in any window", most, AtMost(REQUESTS as f64), "");
}

/// As the vendor sees them, wherever the window begins.
fn most_in_a_window(arrivals: &[Instant]) -> usize {
    let from = |first: usize| {
        arrivals[first..].iter().take_while(|at| **at - arrivals[first] < WINDOW).count()
    };
    (0..arrivals.len()).map(from).max().unwrap_or_default()
}
