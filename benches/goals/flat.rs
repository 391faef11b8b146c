//! Whether a call costs the same however many there have been.

use super::{AtMost, Run, cells::Sum, load};
use crate::house::{Process, Setup};

const FEW: usize = 1_000;

/// Gateways in turns, whose ledgers have few calls, many, and very many.
pub async fn flat(run: &mut Run) {
    let sizes: Vec<_> = [Some(FEW), Some(run.many), run.very_many].into_iter().flatten().collect();
    let mut processes = Vec::new();
    for calls in &sizes {
        let setup = Setup::in_file(&run.ledger(*calls).await);
        let name = format!("flat-{calls}");
        processes.push(setup.start(run.directory.path(), &name, run.vendor.address).await);
    }
    println!("\n| flat | calls before | and since | calls a second | processor for a call |");
    println!("|---|---|---|---|---|");
    for load in [load("mobtexting", 1, 32), load("phonon", 500, 4)] {
        let sums = in_turns(run, &processes, load).await;
        for (calls, sum) in sizes.iter().zip(&sums) {
            let since = sum.placed.latencies.len() as u64 * load.batch;
            let (rate, cost) = (sum.rate() * load.batch as f64, sum.cost() / load.batch as f64);
            println!("| {load} | {calls} | {since} | {rate:.0} | {cost:.1} µs |");
        }
        for (calls, sum) in sizes.iter().zip(&sums).skip(1) {
            let what = format!("flat ({load}), processor for a call, {calls} calls against {FEW}");
            run.goal(&what, sum.cost() / sums[0].cost(), AtMost(1.2), "");
        }
    }
}

/// Short turns, for those with few are not to have many at the end.
async fn in_turns(run: &Run, processes: &[Process], load: crate::house::Load) -> Vec<Sum> {
    let mut sums: Vec<_> = processes.iter().map(|_| Sum::default()).collect();
    let length = run.length / 2;
    for process in processes {
        load.place(process, length / 2).await;
    }
    for round in 0..run.rounds {
        for turn in 0..sums.len() {
            let at = (round + turn) % sums.len();
            sums[at].add(&processes[at], &run.vendor, &load, length).await;
        }
    }
    sums
}
