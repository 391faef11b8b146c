//! What it costs to have the gateway in between, against the bare hop.

use super::{
    AtLeast, AtMost, Run,
    cells::{Bare, Cell, FILE, FILE_APART, MEMORY, MEMORY_APART, Subject, tell},
    load,
};

/// Many callers of single calls, which go out together: the hop makes a request of each.
pub async fn coalesced(run: &mut Run) {
    let subjects = [Bare, MEMORY, FILE, FILE_APART];
    let cell = Cell::measure(run, load("phonon", 1, 256), &subjects).await;
    tell(&[&cell]);
    println!(
        "\nvendor requests for each call: {:.3}, where the bare hop makes {:.3}",
        cell.vendor_requests(&FILE),
        cell.vendor_requests(&Bare)
    );
    against_the_hop(run, "coalesced", &cell, &FILE, (1.0, 1.0));
}

/// Some callers of single calls, each of which is a request.
pub async fn single(run: &mut Run) {
    let subjects = [Bare, MEMORY_APART, FILE_APART];
    let phonon = Cell::measure(run, load("phonon", 1, 32), &subjects).await;
    let mobtexting = Cell::measure(run, load("mobtexting", 1, 32), &subjects).await;
    tell(&[&phonon, &mobtexting]);
    against_the_hop(run, "single", &mobtexting, &FILE_APART, (0.5, 2.0));
}

/// Requests as large as the vendor takes them.
pub async fn bulk(run: &mut Run) {
    let alone = Cell::measure(run, load("phonon", 500, 1), &[Bare, MEMORY, FILE]).await;
    let many = Cell::measure(run, load("phonon", 500, 32), &[Bare, MEMORY, FILE]).await;
    tell(&[&alone, &many]);
    for cell in [&alone, &many] {
        against_the_hop(run, "bulk", cell, &FILE, (0.35, 3.5));
    }
}

fn against_the_hop(
    run: &mut Run,
    name: &str,
    cell: &Cell,
    subject: &Subject,
    (throughput, cost): (f64, f64),
) {
    let (ratio, load) = (cell.ratio(subject), cell.load);
    let what = format!("{name} ({load}), calls a second against the hop's");
    run.goal(&what, ratio.throughput, AtLeast(throughput), "");
    let what = format!("{name} ({load}), processor for a call against the hop's");
    run.goal(&what, ratio.cost, AtMost(cost), "");
}

/// One caller, who waits for nobody else.
pub async fn alone(run: &mut Run) {
    let subjects = [Bare, MEMORY, FILE, FILE_APART];
    let phonon = Cell::measure(run, load("phonon", 1, 1), &subjects).await;
    let subjects = [Bare, FILE, FILE_APART];
    let mobtexting = Cell::measure(run, load("mobtexting", 1, 1), &subjects).await;
    tell(&[&phonon, &mobtexting]);
    for cell in [&phonon, &mobtexting] {
        for subject in [&FILE, &FILE_APART] {
            let what = format!("alone ({}), {}, p50 later by", cell.load, subject.name());
            run.goal(&what, cell.ratio(subject).later, AtMost(0.45), " ms");
        }
    }
}

/// What no goal is set for.
pub async fn more(run: &mut Run) {
    let loads = [load("mobtexting", 1, 256), load("mobtexting", 500, 8), load("phonon", 500, 96)];
    for load in loads {
        tell(&[&Cell::measure(run, load, &[Bare, MEMORY, FILE]).await]);
    }
}
