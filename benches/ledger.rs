//! How the embedded ledger does with many calls in it, and under many writers.
//!
//! ```text
//! cargo bench --bench ledger                 1,000 and 1,000,000 calls
//! cargo bench --bench ledger -- --quick      1,000 and 100,000
//! cargo bench --bench ledger -- 5000000      1,000 and as many as you like
//! cargo bench --bench ledger -- --cost 0     only processor time for a call, with so many before
//! ```
//!
//! On the disk of the target directory. What a vendor or a caller waits for is a commit,
//! so the last part shows what its sync costs: `synchronous=FULL`, as the ledger has it,
//! against `NORMAL`, which loses the last commits with the power.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dialplane::{
    call::{
        Attempt, Call, CallId, CallState, Fingerprint, Observation, Order, Position, Recipient,
        RequestId, Selection, Selector,
    },
    ledger::{Ledger, NewRequest, News, OutboxEntry, sqlite::SqliteLedger},
};
use jiff::Timestamp;
use serde_json::json;

mod cost;

const SMALL: usize = 1_000;
const REQUEST: usize = 5_000;
const START: Position = Position { entries: 0, within: None };
const FOLLOWED: usize = 100_000;
const WRITING: Duration = Duration::from_secs(4);

#[tokio::main]
async fn main() {
    let mut large = 1_000_000;
    let mut cost_alone = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => large = 100_000,
            "--cost" => cost_alone = true,
            // Cargo's own.
            "--bench" => {}
            number => large = number.parse().expect("a number of calls, or --quick"),
        }
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if cost_alone {
        return cost::measure(&directory.path().join("cost.db"), large).await;
    }
    cost::measure(&directory.path().join("cost.db"), 0).await;
    let mut medians = Vec::new();
    for size in [SMALL, large] {
        let path = directory.path().join(format!("{size}.db"));
        medians.push(one_size(&path, size).await);
    }
    println!("\n{large} calls against {SMALL}, median by median");
    for ((name, small), (_, large)) in medians[0].iter().zip(&medians[1]) {
        println!("  {name:<28} {:>6.2} times", large.as_secs_f64() / small.as_secs_f64());
    }
    println!("\ncommits of one row by one writer, bare SQLite");
    for synchronous in ["FULL", "NORMAL"] {
        bare_commits(&directory.path().join(synchronous), synchronous);
    }
}

async fn one_size(path: &Path, size: usize) -> Vec<(&'static str, Duration)> {
    println!("\n{size} calls");
    let url = format!("sqlite:{}", path.display());
    let ledger = Arc::new(SqliteLedger::open(&url).unwrap());
    let (ids, requests) = fill(&ledger, size).await;
    ledger.close().await;
    let bytes = std::fs::metadata(path).unwrap().len();
    println!("  file {:.1} MB, {} bytes a call", bytes as f64 / 1e6, bytes / size as u64);

    let opened = Instant::now();
    let ledger = Arc::new(SqliteLedger::open(&url).unwrap());
    println!("  opened in {:?}", opened.elapsed());
    let medians = read(&ledger, &ids, &requests).await;
    for writers in [1, 32, 256] {
        write(&ledger, writers).await;
    }
    for calls in [1, 500] {
        for with_entry in [false, true] {
            send(&ledger, calls, with_entry).await;
        }
    }
    if size > SMALL {
        remove(&ledger).await;
    }
    ledger.close().await;
    medians
}

/// One writer does what a batch needs that has its turn at once: records it as being handed
/// over, with what is about to be sent or without, and says that the vendor took it.
async fn send(ledger: &SqliteLedger, calls: usize, with_entry: bool) {
    let (mut times, started) = (Vec::new(), Instant::now());
    while started.elapsed() < WRITING {
        let id = RequestId::generate();
        let mut batch: Vec<_> = (0..calls).map(|i| finished(&id, i, id.as_str())).collect();
        for call in &mut batch {
            (call.state, call.end_time, call.vendor_call_id) = (CallState::Dispatching, None, None);
        }
        let ids: Vec<_> = batch.iter().map(|call| call.id).collect();
        let mut request = request(id, batch);
        if with_entry {
            request.outbox.push(OutboxEntry {
                vendor: "phonon-in".to_owned(),
                calls: ids.clone(),
                written: Timestamp::now(),
                letter: vec![b'x'; 400 + 250 * calls],
            });
        }
        let news = ids.iter().map(|id| News {
            call: *id,
            observation: Observation::Accepted {
                vendor_call_id: Some(id.to_string()),
                vendor_request_id: None,
                data: serde_json::Map::new(),
            },
            at: Timestamp::now(),
            due: None,
            vendor: None,
            dial: None,
        });
        let news = news.collect();
        let clock = Instant::now();
        ledger.record(request).await.unwrap();
        ledger.observe(news).await.unwrap();
        times.push(clock.elapsed());
    }
    let what = if with_entry { "with its letter" } else { "without" };
    report(&format!("{calls} sent, {what}"), times);
}

/// Removes what is over, a step at a time.
async fn remove(ledger: &SqliteLedger) {
    let (mut times, mut calls) = (Vec::new(), 0);
    while times.len() < 100 {
        let clock = Instant::now();
        let step = ledger.remove_old(Timestamp::MAX, 1_000).await.unwrap();
        times.push(clock.elapsed());
        calls += step.calls;
        if !step.more {
            break;
        }
    }
    let seconds = times.iter().sum::<Duration>().as_secs_f64();
    report("a step of a removal", times);
    println!("    {calls} calls removed, {:.0} calls/s", calls as f64 / seconds);
}

/// Finished calls, recorded as they came in requests of 5,000.
async fn fill(ledger: &SqliteLedger, size: usize) -> (Vec<CallId>, Vec<RequestId>) {
    let started = Instant::now();
    let (mut ids, mut requests) = (Vec::with_capacity(size), Vec::new());
    while ids.len() < size {
        let id = RequestId::generate();
        let first = ids.len();
        let calls: Vec<Call> = (0..REQUEST.min(size - first))
            .map(|index| finished(&id, index, &reference(first + index)))
            .collect();
        ids.extend(calls.iter().map(|call| call.id));
        requests.push(id.clone());
        ledger.record(request(id, calls)).await.unwrap();
    }
    let took = started.elapsed();
    println!("  filled in {took:.1?}, {:.0} calls a second", size as f64 / took.as_secs_f64());
    (ids, requests)
}

async fn read(
    ledger: &SqliteLedger,
    ids: &[CallId],
    requests: &[RequestId],
) -> Vec<(&'static str, Duration)> {
    let mut random = Random(42);
    let one = |random: &mut Random| Selector::Calls(vec![ids[random.below(ids.len())]]);
    let hundred = |random: &mut Random| {
        let mut picked: Vec<_> = (0..100).map(|_| ids[random.below(ids.len())]).collect();
        picked.sort_unstable();
        picked.dedup();
        Selector::Calls(picked)
    };
    let of_request =
        |random: &mut Random| Selector::Request(requests[random.below(requests.len())].clone());
    let by_reference = |random: &mut Random| {
        Selector::References(vec![reference(random.below(ids.len())).parse().unwrap()])
    };
    type Pick<'a> = &'a dyn Fn(&mut Random) -> Selector;
    let kinds: [(&'static str, Pick<'_>); 4] = [
        ("one id", &one),
        ("100 ids", &hundred),
        ("100 calls of a request", &of_request),
        ("one reference", &by_reference),
    ];
    let mut medians = Vec::new();
    for (name, pick) in kinds {
        let mut times = Vec::new();
        for _ in 0..2_000 {
            let selector = pick(&mut random);
            let started = Instant::now();
            let page = ledger.page(&selector, START, 100).await.unwrap();
            times.push(started.elapsed());
            assert!(!page.calls.is_empty());
        }
        medians.push((name, report(name, times)));
    }
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let started = Instant::now();
        let open = [CallState::Scheduled, CallState::Dispatching, CallState::Unconfirmed];
        assert!(ledger.open_calls(&open, None, 100).await.unwrap().is_empty());
        times.push(started.elapsed());
    }
    medians.push(("open calls, none is open", report("open calls, none is open", times)));
    medians.push(("a page of 1,000 changes", follow(ledger).await));
    medians
}

/// Reads the changes of all calls, up to 100,000, a page at a time.
async fn follow(ledger: &SqliteLedger) -> Duration {
    let (mut times, mut through, mut read) = (Vec::new(), 0, 0);
    let started = Instant::now();
    while read < FOLLOWED {
        let clock = Instant::now();
        let page = ledger.changes(&Selection::All, through, 1_000).await.unwrap();
        times.push(clock.elapsed());
        (through, read) = (page.through, read + page.changes.len());
        if !page.more {
            break;
        }
    }
    let took = started.elapsed();
    let median = report("a page of 1,000 changes", times);
    let rate = read as f64 / took.as_secs_f64();
    println!("    {read} changes in {took:.1?}, {rate:.0} changes/s");
    median
}

/// Each writer does what a call needs: records it, says it is being handed over, says it
/// was accepted.
async fn write(ledger: &Arc<SqliteLedger>, writers: usize) {
    let before = ledger.commits();
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let ledger = Arc::clone(ledger);
            tokio::spawn(async move {
                let mut times = Vec::new();
                while started.elapsed() < WRITING {
                    let id = RequestId::generate();
                    let mut call = finished(&id, 0, id.as_str());
                    (call.state, call.end_time) = (CallState::Scheduled, None);
                    let (call_id, vendor_call_id) = (call.id, call.vendor_call_id.take());
                    let accepted = Observation::Accepted {
                        vendor_call_id,
                        vendor_request_id: None,
                        data: serde_json::Map::new(),
                    };
                    let clock = Instant::now();
                    ledger.record(request(id, vec![call])).await.unwrap();
                    times.push(clock.elapsed());
                    for observation in [Observation::Dispatching, accepted] {
                        let clock = Instant::now();
                        let news = News {
                            call: call_id,
                            observation,
                            at: Timestamp::now(),
                            due: None,
                            vendor: None,
                            dial: None,
                        };
                        ledger.observe(vec![news]).await.unwrap();
                        times.push(clock.elapsed());
                    }
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let seconds = started.elapsed().as_secs_f64();
    let after = ledger.commits();
    let commits = (after.commits - before.commits) as f64;
    let changes = (after.changes - before.changes) as f64;
    report(&format!("a change, {writers} writers"), times);
    println!(
        "    {:.0} changes/s in {:.0} commits/s, {:.1} changes a commit",
        changes / seconds,
        commits / seconds,
        changes / commits,
    );
}

fn bare_commits(path: &Path, synchronous: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row("PRAGMA journal_mode = WAL", (), |_| Ok(())).unwrap();
    connection.pragma_update(None, "synchronous", synchronous).unwrap();
    connection.execute_batch("CREATE TABLE row (document TEXT)").unwrap();
    let document = "x".repeat(600);
    let mut insert = connection.prepare("INSERT INTO row VALUES (?1)").unwrap();
    let mut times = Vec::new();
    let started = Instant::now();
    while started.elapsed() < WRITING {
        let clock = Instant::now();
        insert.execute([&document]).unwrap();
        times.push(clock.elapsed());
    }
    let rate = times.len() as f64 / started.elapsed().as_secs_f64();
    report(synchronous, times);
    println!("    {rate:.0} commits/s");
}

/// Prints the distribution and gives its median.
fn report(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("  {name:<28} p50 {:>10.1?}  p99 {:>10.1?}", at(0.50), at(0.99));
    at(0.50)
}

fn reference(index: usize) -> String {
    format!("order-{index:09}")
}

fn request(id: RequestId, calls: Vec<Call>) -> NewRequest {
    NewRequest {
        id,
        fingerprint: Fingerprint { digest: [7; 32], fields: Vec::new() },
        create_time: Timestamp::now(),
        calls,
        outbox: Vec::new(),
    }
}

fn finished(request_id: &RequestId, index: usize, reference: &str) -> Call {
    let now = Timestamp::now();
    let id = CallId::generate();
    Call {
        id,
        request_id: request_id.clone(),
        position: u32::try_from(index).unwrap(),
        order: std::sync::Arc::new(Order {
            client_reference: Some(reference.parse().unwrap()),
            to: vec![format!("+9198{index:08}").parse().unwrap()],
            caller_id: None,
            script: None,
            variables: [("name", "Asha Raman"), ("amount", "1299.00")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            start_time: None,
            expire_time: None,
            recipient: Recipient::default(),
            locale: None,
            retry: None,
            labels: [("campaign".to_owned(), "march".to_owned())].into(),
        }),
        route: "default".to_owned(),
        vendor: "phonon-in".to_owned(),
        // Vendors' ids come in no order.
        vendor_call_id: Some(format!(
            "{:x}",
            id.as_bytes().iter().fold(7_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(23)
            })
        )),
        vendor_request_id: Some("7d5f2c9a41".to_owned()),
        failovers: Vec::new(),
        fallbacks: Vec::new(),
        state: CallState::Answered,
        error: None,
        attempts: vec![Attempt {
            to: format!("+9198{index:08}"),
            ring_time: Some(now),
            answer_time: Some(now),
            end_time: Some(now),
            talk_duration: Some(Duration::from_secs(17)),
            vendor_state: "ANSWERED".to_owned(),
            ..Attempt::new(CallState::Answered)
        }],
        vendor_data: json!({"charge": 0.35, "circle": "MH"}).as_object().unwrap().clone(),
        create_time: now,
        update_time: now,
        end_time: Some(now),
        asked_time: None,
        due: None,
        held_until: None,
        holds: 0,
        dispatch_time: None,
        handed_over: false,
        redials: false,
        dials: Vec::new(),
        revision: 5,
    }
}

/// Always the same numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}
