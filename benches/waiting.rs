//! Calls that wait: how late they go, what waiting costs in memory and time, and how fast a
//! start is that finds many. A gateway in a process of its own with a ledger on disk, vendors
//! that answer at once, real HTTP and gRPC.
//!
//! ```text
//! cargo bench --bench waiting                100,000 calls, some two minutes
//! cargo bench --bench waiting -- --quick     a twentieth of them: whether it runs
//! ```

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, http::Uri};
use dialplane::{
    call::{Call, CallId, CallState, Fingerprint, Order, Recipient, RequestId},
    ledger::{Ledger, NewRequest, sqlite::SqliteLedger},
    proto::{self, CallSpec, CreateCallsRequest, call_service_client::CallServiceClient},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use house::Process;

#[allow(dead_code, unused_imports, reason = "no bench uses all of it")]
mod house;

/// When the call with a number is to go, and how late it did, in microseconds.
struct Town {
    starts: Vec<AtomicI64>,
    late: Vec<AtomicI64>,
    requests: AtomicUsize,
}

/// Before the index in the numbers of calls that wait.
const PREFIX: &str = "9198";

const NOT_DIALLED: i64 = i64::MIN;

impl Town {
    fn new(calls: usize) -> Arc<Self> {
        let all = |value| (0..calls).map(|_| AtomicI64::new(value)).collect();
        Arc::new(Self { starts: all(0), late: all(NOT_DIALLED), requests: AtomicUsize::new(0) })
    }

    fn rings(&self, number: &str) {
        // Whoever starts a gateway tries it with another.
        let Some(index) = number.strip_prefix(PREFIX) else { return };
        let now = Timestamp::now().as_microsecond();
        let index: usize = index.parse().unwrap();
        let before = self.late[index].swap(now - self.starts[index].load(Relaxed), Relaxed);
        assert_eq!(before, NOT_DIALLED, "dialled twice");
    }

    /// How late these calls were, in milliseconds, sorted; waits until all have rung.
    async fn lateness(&self, calls: std::ops::Range<usize>) -> Vec<f64> {
        let of = |index: usize| self.late[index].load(Relaxed);
        while calls.clone().any(|index| of(index) == NOT_DIALLED) {
            sleep(Duration::from_millis(50)).await;
        }
        let mut late: Vec<_> = calls.map(|index| of(index) as f64 / 1e3).collect();
        late.sort_by(f64::total_cmp);
        assert!(late[0] >= 0.0, "dialled before its time: {} ms", late[0]);
        late
    }
}

fn told(late: &[f64]) -> String {
    let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize];
    format!("p50 {:.1} ms, p99 {:.1} ms, last {:.1} ms", at(0.5), at(0.99), at(1.0))
}

/// Schedules these calls, `batch` in each request.
async fn schedule(
    gateway: &Process,
    route: &str,
    town: &Town,
    calls: std::ops::Range<usize>,
    batch: usize,
    start: impl Fn(usize) -> Timestamp,
) {
    let mut client = CallServiceClient::new(gateway.channel().await.unwrap());
    for first in calls.clone().step_by(batch) {
        let specs = (first..(first + batch).min(calls.end)).map(|index| {
            let start = start(index);
            town.starts[index].store(start.as_microsecond(), Relaxed);
            CallSpec {
                to: vec![format!("+{PREFIX}{index:08}")],
                client_reference: format!("order-{index}"),
                variables: [("name".to_owned(), "Asha".to_owned())].into(),
                start_time: Some(prost_types::Timestamp {
                    seconds: start.as_second(),
                    nanos: start.subsec_nanosecond(),
                }),
                ..Default::default()
            }
        });
        let request = CreateCallsRequest {
            route: route.to_owned(),
            calls: specs.collect(),
            ..Default::default()
        };
        let answer = client.create_calls(request).await.unwrap().into_inner();
        assert!(answer.calls.iter().all(|call| call.state() == proto::CallState::Scheduled));
    }
}

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let all = if quick { 5_000 } else { 100_000 };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for waiting in [1_000, all] {
        ticks(directory.path(), waiting).await;
    }
    let (few, many) = (all / 20, all);
    let town = Town::new(few + many + many);
    let vendors = vendors(Arc::clone(&town)).await;
    let ledger = format!("sqlite:{}", directory.path().join("calls.db").display());
    let start = || Process::gateway(directory.path(), "waiting", &ledger, vendors);
    let gateway = start().await;
    let idle = megabytes(&gateway);

    // Far off, so that the others are among many.
    let far = Timestamp::now() + SignedDuration::from_hours(10);
    let spread = |index: usize| far + SignedDuration::from_millis(index as i64);
    let later = few + many..few + many + many - few;
    let begun = Instant::now();
    schedule(&gateway, "mobtexting", &town, later.clone(), 500, spread).await;
    let rate = later.len() as f64 / begun.elapsed().as_secs_f64();
    println!("{} calls scheduled, {rate:.0} a second", later.len());
    println!("resident: {idle:.1} MB before, {:.1} MB after", megabytes(&gateway));
    // Killed, for two don't share a ledger.
    drop(gateway);
    let gateway = start().await;
    let restart = gateway.answered.as_secs_f64() * 1e3;
    println!("killed and started again: first call placed after {restart:.0} ms");
    town.requests.store(0, Relaxed);
    println!("resident after the restart: {:.1} MB", megabytes(&gateway));
    let busy = gateway.busy();
    sleep(Duration::from_secs(if quick { 1 } else { 10 })).await;
    println!("on a processor while all wait: {:?} in 10 s", gateway.busy() - busy);

    // A few each moment, as they come in the life of a service.
    let soon = Timestamp::now() + SignedDuration::from_secs(5);
    let each = |index: usize| soon + SignedDuration::from_millis(index as i64 * 4);
    schedule(&gateway, "mobtexting", &town, 0..few, 500, each).await;
    let busy = gateway.busy();
    let late = town.lateness(0..few).await;
    let busy = (gateway.busy() - busy).as_secs_f64() * 1e6 / few as f64;
    println!("{few} calls, one each 4 ms, among {} that wait: {}", later.len(), told(&late));
    println!(
        "on a processor for each of them: {busy:.0} µs, in {} requests",
        town.requests.swap(0, Relaxed)
    );

    // All at the same moment.
    let moment = Timestamp::now() + SignedDuration::from_secs(if quick { 3 } else { 20 });
    schedule(&gateway, "phonon", &town, few..few + many, 500, |_| moment).await;
    assert!(Timestamp::now() < moment, "they were to be scheduled by then");
    let late = town.lateness(few..few + many).await;
    println!(
        "{many} calls at the same moment: {}, in {} requests",
        told(&late),
        town.requests.load(Relaxed)
    );
    println!("resident then: {:.1} MB", megabytes(&gateway));
}

fn megabytes(gateway: &Process) -> f64 {
    gateway.memory() as f64 / 1_048_576.0
}

/// What the ledger takes to look whether calls are due, and to take them up.
async fn ticks(directory: &Path, waiting: usize) {
    let path = directory.join(format!("ticks-{waiting}.db"));
    let ledger = SqliteLedger::open(&format!("sqlite:{}", path.display())).unwrap();
    let far = Timestamp::now() + SignedDuration::from_hours(10);
    for first in (0..waiting).step_by(1_000) {
        let count = 1_000.min(waiting - first);
        ledger.record(held(count, |n| far + SignedDuration::from_secs(n as i64))).await.unwrap();
    }
    let due = Timestamp::UNIX_EPOCH;
    let mut ticket = 0;
    for (found, rounds) in [(0, 500), (1, 500), (500, 20)] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            if found > 0 {
                ledger.record(held(found, |_| due)).await.unwrap();
            }
            let begun = Instant::now();
            let taken = ledger.take_up("vendor", Timestamp::now(), 500, ticket).await.unwrap();
            times.push(begun.elapsed());
            ticket += 1;
            assert_eq!((taken.calls.len(), taken.next), (found, Some(taken.next.unwrap())));
        }
        times.sort_unstable();
        let median = times[times.len() / 2].as_secs_f64() * 1e6;
        println!("a tick that finds {found} of {waiting} that wait: {median:.0} µs");
    }
    ledger.close().await;
}

fn held(count: usize, until: impl Fn(usize) -> Timestamp) -> NewRequest {
    let (id, now) = (RequestId::generate(), Timestamp::now());
    let call = |index: usize| Call {
        id: CallId::generate(),
        request_id: id.clone(),
        position: u32::try_from(index).unwrap(),
        order: std::sync::Arc::new(Order {
            client_reference: None,
            to: vec![format!("+9199{index:08}").parse().unwrap()],
            caller_id: None,
            script: None,
            variables: [("name".to_owned(), "Asha".to_owned())].into(),
            start_time: None,
            expire_time: None,
            recipient: Recipient::default(),
            locale: None,
            retry: None,
            labels: Default::default(),
        }),
        route: "default".to_owned(),
        vendor: "vendor".to_owned(),
        vendor_call_id: None,
        vendor_request_id: None,
        failovers: Vec::new(),
        fallbacks: Vec::new(),
        state: CallState::Scheduled,
        error: None,
        attempts: Vec::new(),
        vendor_data: serde_json::Map::new(),
        create_time: now,
        update_time: now,
        end_time: None,
        asked_time: None,
        due: None,
        held_until: Some(until(index)),
        holds: 0,
        dispatch_time: None,
        handed_over: false,
        redials: false,
        dials: Vec::new(),
        revision: 1,
    };
    NewRequest {
        fingerprint: Fingerprint { digest: [7; 32], fields: Vec::new() },
        create_time: now,
        calls: (0..count).map(call).collect(),
        outbox: Vec::new(),
        id,
    }
}

/// Vendors that take every call at once, and write down when it came.
async fn vendors(town: Arc<Town>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(move |uri: Uri, body: Bytes| {
        let town = Arc::clone(&town);
        async move {
            town.requests.fetch_add(1, Relaxed);
            let request: Value = serde_json::from_slice(&body).unwrap();
            let answer = match uri.path() {
                "/outgoing/send" => mobtexting(&town, &request),
                _ => phonon(&town, &request),
            };
            ([("content-type", "application/json")], answer.to_string())
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A call taken (mobtexting.md 3).
fn mobtexting(town: &Town, request: &Value) -> Value {
    town.rings(request["to"].as_str().unwrap());
    json!({ "status": "OK", "message": "Calls queued successfully", "data": [{
        "id": CallId::generate().to_string(), "channel": "outgoing", "caller_id": "918000000001",
        "mobile": request["to"], "flow_id": "77", "credits": 1,
        "created_at": "2024-07-01T04:45:00.000000Z", "foreign_id": null, "options": null,
        "status": "queued",
    }] })
}

/// All calls taken (phonon.md 2).
fn phonon(town: &Town, request: &Value) -> Value {
    let calls = request["calls"].as_array().unwrap().iter();
    let details: Vec<_> = calls
        .map(|call| {
            town.rings(call["contact-numbers"][0].as_str().unwrap());
            let id = CallId::generate().to_string();
            json!({ "client-identifier": call["client-identifier"], "phonon-uuid": id })
        })
        .collect();
    json!({
        "api-response-code": 200, "api-response-message": "Success", "request-id": "r-1",
        "call-details": details,
    })
}
