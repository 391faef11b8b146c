//! What a call costs the ledger in processor time, of all threads together: recorded as being
//! handed over and accepted with a due time, claimed, and told how it ended. In batches of 500
//! in one change each, and for 256 requests of one call that are recorded at the same time and
//! accepted in one change.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use dialplane::{
    call::{Attempt, Call, CallState, Observation, ReportedState, RequestId},
    ledger::{Ledger, NewRequest, News, sqlite::SqliteLedger},
};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};

use super::{fill, finished, request};

/// Measured rounds of each shape, and rounds before them that are not.
const ROUNDS: usize = 40;
const WARM: usize = 6;

/// Puts both shapes through a ledger that has so many finished calls before.
pub async fn measure(path: &Path, before: usize) {
    let url = format!("sqlite:{}", path.display());
    if before > 0 {
        let ledger = SqliteLedger::open(&url).unwrap();
        fill(&ledger, before).await;
        ledger.close().await;
    }
    let clock = Instant::now();
    let ledger = SqliteLedger::open(&url).unwrap();
    println!("\nopened in {:?}", clock.elapsed());
    let start = ledger.commits().changes;
    println!("processor time for a call, {before} calls before");
    shape(&ledger, "500 calls in a change", 1, 500).await;
    shape(&ledger, "256 requests of one call", 256, 1).await;
    let calls = before + 2 * (ROUNDS + WARM) * (500 + 256);
    assert!(ledger.commits().changes > start);
    ledger.close().await;
    let bytes = std::fs::metadata(path).unwrap().len();
    println!("  file {:.1} MB, {} bytes a call", bytes as f64 / 1e6, bytes / calls as u64);
}

async fn shape(ledger: &SqliteLedger, name: &str, requests: usize, calls: usize) {
    println!("  {name}");
    let mut spent: Vec<(&'static str, Vec<Duration>)> = Vec::new();
    for round in 0..WARM + ROUNDS {
        for state in [CallState::Dispatching, CallState::Scheduled] {
            for (name, time) in life(ledger, state, requests, calls).await {
                match spent.iter_mut().find(|(known, _)| *known == name) {
                    _ if round < WARM => {}
                    Some((_, times)) => times.push(time),
                    None => spent.push((name, vec![time])),
                }
            }
        }
    }
    for (name, times) in &spent {
        let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
        println!("    {name:<24} {:>6.2} µs", mean * 1e6 / (requests * calls) as f64);
    }
}

/// Everything that is done to some requests, and what each step took.
async fn life(
    ledger: &SqliteLedger,
    state: CallState,
    requests: usize,
    calls: usize,
) -> Vec<(&'static str, Duration)> {
    let scheduled = state == CallState::Scheduled;
    let new: Vec<_> = (0..requests).map(|_| fresh(calls, state)).collect();
    let all: Vec<Call> = new.iter().flat_map(|request| request.calls.clone()).collect();
    let ids: Vec<_> = all.iter().map(|call| call.id).collect();
    let mut spent = Vec::new();

    let clock = Clock::start();
    let records = new.into_iter().map(|request| ledger.record_all(vec![request]));
    for recorded in join_all(records).await {
        recorded.unwrap();
    }
    spent.push((if scheduled { "record, scheduled" } else { "record" }, clock.stop()));

    if scheduled {
        let clock = Clock::start();
        let claimed = ledger.claim(ids, Timestamp::now(), None).await.unwrap();
        assert_eq!(claimed.mine.len(), all.len());
        spent.push(("claim", clock.stop()));
    }

    let news = all.iter().map(accepted).collect();
    let clock = Clock::start();
    let calls = ledger.observe(news).await.unwrap();
    assert!(calls.iter().all(|call| call.state == CallState::Accepted));
    drop(calls);
    spent.push((if scheduled { "accepted, claimed" } else { "accepted" }, clock.stop()));

    let mut pushes: Vec<_> = all.iter().map(answered).collect();
    let clock = Clock::start();
    if requests == 1 {
        ledger.observe(pushes).await.unwrap();
    } else {
        let one_by_one = pushes.drain(..).map(|news| ledger.observe(vec![news]));
        for observed in join_all(one_by_one).await {
            observed.unwrap();
        }
    }
    spent.push(("answered", clock.stop()));
    spent
}

fn fresh(calls: usize, state: CallState) -> NewRequest {
    let id = RequestId::generate();
    let calls = (0..calls).map(|index| {
        let call = finished(&id, index, &format!("{}-{index}", id.as_str()));
        Call {
            state,
            end_time: None,
            vendor_call_id: None,
            vendor_request_id: None,
            attempts: Vec::new(),
            vendor_data: serde_json::Map::new(),
            revision: 1,
            ..call
        }
    });
    let calls = calls.collect();
    request(id, calls)
}

fn news(call: &Call, observation: Observation, due: Option<Timestamp>) -> News {
    News { call: call.id, observation, at: Timestamp::now(), due, vendor: None, dial: None }
}

fn accepted(call: &Call) -> News {
    // Vendors' ids come in no order.
    let id = finished(&call.request_id, 0, "order");
    let taken = Observation::Accepted {
        vendor_call_id: id.vendor_call_id,
        vendor_request_id: Some("7d5f2c9a41".to_owned()),
        data: serde_json::Map::new(),
    };
    news(call, taken, Some(Timestamp::now() + SignedDuration::from_secs(60)))
}

fn answered(call: &Call) -> News {
    let end = finished(&call.request_id, 0, "order");
    let attempts: Vec<Attempt> = end.attempts;
    let report = ReportedState {
        state: Some(CallState::Answered),
        attempts,
        data: end.vendor_data,
        ..ReportedState::default()
    };
    news(call, Observation::Reported { report, asked: false }, None)
}

/// What all threads have used.
struct Clock(Duration);

impl Clock {
    fn start() -> Self {
        Self(used())
    }

    fn stop(self) -> Duration {
        // A thread that ended takes its time with it.
        used().saturating_sub(self.0)
    }
}

/// Nanoseconds on a processor, which `stat` only has in ticks.
fn used() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let used = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat"));
        let text = text.unwrap_or_default();
        text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0)
    });
    Duration::from_nanos(used.sum())
}
