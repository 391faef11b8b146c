//! What it costs that every call is on disk before a vendor hears of it: CreateCalls over
//! gRPC with a ledger in a file against one in memory, in turns, with vendors that answer
//! at once.
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

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, http::Uri};
use dialplane::proto::{
    CallSpec, CallState, CreateCallsRequest, call_service_client::CallServiceClient,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tonic::transport::{Channel, Endpoint};

const SECURITY_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Connections that callers share.
const CONNECTIONS: usize = 8;

/// Whatever has to be different each time.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// What is measured: so many calls in a request, so many requests at the same time.
struct Load {
    route: &'static str,
    batch: u64,
    callers: usize,
}

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

/// The gateway's process; ended with the value.
struct Gateway {
    process: Child,
    grpc: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, round) =
        if quick { (1, Duration::from_millis(300)) } else { (5, Duration::from_secs(2)) };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let vendors = vendors().await;
    let file = format!("sqlite:{}", directory.path().join("calls.db").display());
    let file = Gateway::start(directory.path(), "file", &file, vendors).await;
    let memory = Gateway::start(directory.path(), "memory", "sqlite::memory:", vendors).await;

    println!(
        "| calls in a request | callers | file: requests a second | calls a second | p50, p99 | \
         memory: requests a second | calls a second | p50, p99 | file / memory |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for load in &LOADS {
        for gateway in [&file, &memory] {
            gateway.measure(load, round / 4).await;
        }
        let (mut of_file, mut of_memory) = (Vec::new(), Vec::new());
        for number in 0..rounds {
            // In turns, and each of them first as often: what else the machine does hits both.
            if number % 2 == 0 {
                of_file.push(file.measure(load, round).await);
                of_memory.push(memory.measure(load, round).await);
            } else {
                of_memory.push(memory.measure(load, round).await);
                of_file.push(file.measure(load, round).await);
            }
        }
        let (of_file, of_memory) = (middle(of_file), middle(of_memory));
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
fn middle(rounds: Vec<Figures>) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Figures { rate: of(|f| f.rate), p50: of(|f| f.p50), p99: of(|f| f.p99) }
}

impl Gateway {
    async fn start(directory: &Path, name: &str, ledger: &str, vendors: SocketAddr) -> Self {
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let path = directory.join(format!("{name}.toml"));
        // Nobody asks about these calls, and no limit is met.
        let every = "poll_interval = \"1d\"\nmax_in_flight = 512\n\
                     rate = { calls = 1000000, requests = 1000000, per = \"1s\" }\n";
        let text = format!(
            "[server]\nlisten = \"{grpc}\"\n[ledger]\nurl = \"{ledger}\"\n\
             [vendors.mobtexting]\nkind = \"mobtexting\"\nbase_url = \"http://{vendors}/\"\n\
             access_token = \"token\"\nbridge = \"918000000001\"\nflow_id = \"77\"\n{every}\
             [vendors.phonon]\nkind = \"phonon\"\nproduct = \"multicast\"\nlane = \"realtime\"\n\
             base_url = \"http://{vendors}\"\nsecurity_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\n{every}\
             [routes.mobtexting]\nvendors = [\"mobtexting\"]\n[routes.phonon]\nvendors = [\"phonon\"]\n",
        );
        std::fs::write(&path, text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_dialplane"))
            .args(["serve", "--config"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let gateway = Self { process, grpc };
        for _ in 0..200 {
            if gateway.channel().await.is_some() {
                return gateway;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("the gateway does not listen");
    }

    async fn channel(&self) -> Option<Channel> {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.ok()
    }

    /// Places calls for this long: each caller its next request once the last is answered.
    async fn measure(&self, load: &Load, length: Duration) -> Figures {
        let mut channels = Vec::new();
        for _ in 0..load.callers.min(CONNECTIONS) {
            channels.push(self.channel().await.unwrap());
        }
        let (begun, mut callers) = (Instant::now(), JoinSet::new());
        for caller in 0..load.callers {
            let client = CallServiceClient::new(channels[caller % channels.len()].clone());
            callers.spawn(place(client, load.route, load.batch, begun + length));
        }
        let mut latencies = Vec::new();
        while let Some(placed) = callers.join_next().await {
            latencies.extend(placed.unwrap());
        }
        let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
        latencies.sort_unstable();
        let at = |part: usize| latencies[latencies.len() * part / 100].as_secs_f64() * 1e3;
        Figures { rate, p50: at(50), p99: at(99) }
    }
}

/// Places one request after the other. Gives how long each took.
async fn place(
    mut client: CallServiceClient<Channel>,
    route: &'static str,
    batch: u64,
    until: Instant,
) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while latencies.is_empty() || Instant::now() < until {
        let first = NEXT.fetch_add(batch, Relaxed);
        let calls = (first..first + batch).map(|n| CallSpec {
            to: vec![format!("+9199{:08}", n % 100_000_000)],
            client_reference: format!("order-{n}"),
            variables: [("name".to_owned(), "Asha".to_owned())].into(),
            ..Default::default()
        });
        let request = CreateCallsRequest {
            request_id: format!("request-{first}"),
            route: route.to_owned(),
            calls: calls.collect(),
            ..Default::default()
        };
        let sent = Instant::now();
        let answer = client.create_calls(request).await.unwrap().into_inner();
        latencies.push(sent.elapsed());
        let accepted = |call: &dialplane::proto::Call| call.state() == CallState::Accepted;
        assert!(answer.calls.iter().all(accepted), "{:?}", answer.calls.first());
    }
    latencies
}

/// Vendors that take every call at once.
async fn vendors() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(async |uri: Uri, body: Bytes| {
        let answer = match uri.path() {
            "/outgoing/send" => mobtexting(),
            _ => phonon(&body),
        };
        ([("content-type", "application/json")], answer.to_string())
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn fresh_id() -> String {
    format!("00000000-0000-4000-8000-{:012x}", NEXT.fetch_add(1, Relaxed))
}

/// A call taken (mobtexting.md 3).
fn mobtexting() -> Value {
    json!({ "status": "OK", "message": "Calls queued successfully", "data": [{
        "id": fresh_id(), "channel": "outgoing", "caller_id": "918000000001", "mobile": "919900000001",
        "flow_id": "77", "credits": 1, "created_at": "2024-07-01T04:45:00.000000Z", "foreign_id": null,
        "options": null, "status": "queued",
    }] })
}

/// All calls taken (phonon.md 2).
fn phonon(body: &[u8]) -> Value {
    let request: Value = serde_json::from_slice(body).unwrap();
    let calls = request["calls"].as_array().unwrap().iter();
    let details: Vec<_> = calls
        .map(|c| json!({ "client-identifier": c["client-identifier"], "phonon-uuid": fresh_id() }))
        .collect();
    json!({
        "api-response-code": 200, "api-response-message": "Success", "request-id": fresh_id(),
        "call-details": details,
    })
}
