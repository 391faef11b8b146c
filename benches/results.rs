//! How fast pushed results are taken, and how fast and how cheaply they are watched: a
//! gateway in a process of its own, simulated vendors, real HTTP and gRPC.
//!
//! ```text
//! cargo bench --bench results                everything
//! cargo bench --bench results -- --quick     a tenth of it
//! ```

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use dialplane::{
    call::{CallState, Observation, Position, ReportedState, RequestId, Selector},
    ledger::{Ledger, News, sqlite::SqliteLedger},
    proto::{
        Call, CallSpec, CreateCallsRequest, WatchCallResultsRequest,
        call_service_client::CallServiceClient,
    },
    sandbox::{Options, PhononWebhook, Sandbox, Webhooks},
};
use tokio::{task::JoinSet, time::sleep};
use tonic::transport::{Channel, Endpoint};

const SECURITY_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The gateway's process; ended with the value.
struct Gateway {
    process: Child,
    grpc: SocketAddr,
    callbacks: SocketAddr,
    ledger: PathBuf,
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
    let scale = if quick { 1 } else { 10 };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let sandbox = Sandbox::start(Options { rate_limit: None, ..Options::default() }).await.unwrap();

    let gateway = Gateway::start(directory.path(), "pushes", &sandbox).await;
    pushes(&gateway, 2_000 * scale).await;
    delay(&gateway, 500 * scale).await;
    drop(gateway);

    let gateway = Gateway::start(directory.path(), "over", &sandbox).await;
    over(&gateway, &sandbox, 1_000 * scale).await;
    drop(gateway);

    let gateway = Gateway::start(directory.path(), "memory", &sandbox).await;
    memory(&gateway, 1_000 * scale).await;
    drop(gateway);

    let gateway = Gateway::start(directory.path(), "watchers", &sandbox).await;
    watchers(&gateway, if quick { 100 } else { 1_000 }).await;
    drop(gateway);
    sandbox.stop().await;
}

impl Gateway {
    async fn start(directory: &Path, name: &str, sandbox: &Sandbox) -> Self {
        let (grpc, callbacks) = (free_address().await, free_address().await);
        let ledger = directory.join(format!("{name}.db"));
        let path = directory.join(format!("{name}.toml"));
        let text = format!(
            "[server]\nlisten = \"{grpc}\"\ncallbacks = \"{callbacks}\"\n[ledger]\nurl = \"sqlite:{}\"\n\
             [vendors.phonon]\nkind = \"phonon\"\nproduct = \"multicast\"\nlane = \"realtime\"\n\
             base_url = \"{}\"\nsecurity_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\nmax_in_flight = 8\n\
             callback = {{ user = \"u\", password = \"p\" }}\n[routes.default]\nvendors = [\"phonon\"]\n",
            ledger.display(),
            sandbox.urls().phonon,
        );
        std::fs::write(&path, text).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_dialplane"))
            .args(["serve", "--config"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let gateway = Self { process, grpc, callbacks, ledger };
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

    async fn client(&self) -> CallServiceClient<Channel> {
        CallServiceClient::new(self.channel().await.unwrap())
    }

    fn rss_kb(&self) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    async fn place(&self, count: usize, run: &str) -> Vec<Call> {
        let mut client = self.client().await;
        let mut calls = Vec::with_capacity(count);
        for (part, start) in (0..count).step_by(1_000).enumerate() {
            let specs = (start..count.min(start + 1_000))
                .map(|n| CallSpec { to: vec![format!("+9199{n:06}00")], ..Default::default() });
            let request = CreateCallsRequest {
                request_id: format!("{run}-{part}"),
                calls: specs.collect(),
                ..Default::default()
            };
            calls.extend(client.create_calls(request).await.unwrap().into_inner().calls);
        }
        calls
    }
}

async fn free_address() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// What Phonon posts of an answered call (phonon.md 5b).
fn push(uuid: &str) -> String {
    format!(
        r#"{{"body":{{"phonon-uuid":"{uuid}","callDetails":[{{"cdrId":"{uuid}##pbx-1","startTime":"2024-07-01T10:15:00.08+05:30","connectTime":"2024-07-01T10:15:13.901+05:30","endTime":"2024-07-01T10:17:19.131+05:30","calleeNumber":"919900000001","didNumber":"912200000000","hangupCause":"16","duration":"125230","incoming":false,"calleeType":"VISITOR","remoteHangup":true,"is_ringing":"true","foreignCallIds":[]}}]}}}}"#
    )
}

async fn post(http: &reqwest::Client, gateway: &Gateway, uuid: &str) {
    let url = format!("http://{}/callbacks/phonon", gateway.callbacks);
    let answer = http.post(url).basic_auth("u", Some("p")).body(push(uuid)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Pushes a second, each on disk before it is answered, against the ledger's own commits
/// with as many at a time.
async fn pushes(gateway: &Gateway, count: usize) {
    println!("pushed results taken durably");
    for writers in [1, 32, 256] {
        let count = if writers == 1 { count / 10 } else { count };
        let ids = gateway.place(count, &format!("push-{writers}")).await;
        let ids: Arc<Vec<String>> = Arc::new(ids.into_iter().map(|c| c.vendor_call_id).collect());
        let next = Arc::new(AtomicUsize::new(0));
        let http = reqwest::Client::new();
        let (callbacks, begun) = (gateway.callbacks, Instant::now());
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            let (ids, next, http) = (Arc::clone(&ids), Arc::clone(&next), http.clone());
            tasks.spawn(async move {
                while let Some(id) = ids.get(next.fetch_add(1, Relaxed)) {
                    let url = format!("http://{callbacks}/callbacks/phonon");
                    let request = http.post(url).basic_auth("u", Some("p")).body(push(id));
                    assert_eq!(request.send().await.unwrap().status(), 200);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        let pushed = count as f64 / begun.elapsed().as_secs_f64();
        let own = own_commits(gateway, count, writers, &format!("push-{writers}-0")).await;
        println!(
            "  {writers:>3} at a time: {pushed:>7.0} a second, the ledger alone {own:>7.0}, ratio {:.2}",
            pushed / own
        );
    }
}

/// The same news written to a ledger of its own on the same disk.
async fn own_commits(gateway: &Gateway, count: usize, writers: usize, request: &str) -> f64 {
    // Calls like those of the gateway: copied from its ledger, which it keeps open.
    let source = SqliteLedger::open(&format!("sqlite:{}", gateway.ledger.display())).unwrap();
    let id: RequestId = request.parse().unwrap();
    let start = Position { entries: 0, within: None };
    let page = source.page(&Selector::Request(id), start, 1_000).await.unwrap();
    let report = page.calls[0].0.attempts.clone();
    let path = gateway.ledger.with_extension(format!("{writers}.own.db"));
    let ledger = Arc::new(SqliteLedger::open(&format!("sqlite:{}", path.display())).unwrap());
    let mut ids = Vec::new();
    for part in 0..count.div_ceil(1_000) {
        let request = RequestId::generate();
        let calls: Vec<_> = page
            .calls
            .iter()
            .enumerate()
            .map(|(position, (call, _))| {
                let mut call = call.clone();
                call.id = dialplane::call::CallId::generate();
                call.request_id = request.clone();
                call.position = position as u32;
                call.state = CallState::Accepted;
                (call.attempts, call.end_time) = (Vec::new(), None);
                call.vendor_call_id = Some(format!("{part}-{position}"));
                call
            })
            .collect();
        ids.extend(calls.iter().map(|call| call.id));
        let request = dialplane::ledger::NewRequest {
            id: request,
            fingerprint: dialplane::call::Fingerprint { digest: [0; 32], fields: Vec::new() },
            outbox: Vec::new(),
            create_time: jiff::Timestamp::now(),
            calls,
        };
        ledger.record(request).await.unwrap();
    }
    ids.truncate(count);
    let (ids, next, begun) = (Arc::new(ids), Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut tasks = JoinSet::new();
    for _ in 0..writers {
        let (ids, next, ledger) = (Arc::clone(&ids), Arc::clone(&next), Arc::clone(&ledger));
        let attempts = report.clone();
        tasks.spawn(async move {
            while let Some(call) = ids.get(next.fetch_add(1, Relaxed)) {
                let report = ReportedState {
                    state: Some(CallState::Answered),
                    attempts: attempts.clone(),
                    ..Default::default()
                };
                let observation = Observation::Reported { report, asked: false };
                let news = News {
                    call: *call,
                    observation,
                    at: jiff::Timestamp::now(),
                    due: None,
                    vendor: None,
                    dial: None,
                };
                ledger.observe(vec![news]).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let rate = ids.len() as f64 / begun.elapsed().as_secs_f64();
    ledger.close().await;
    rate
}

/// From the first byte of a push to the message in the watcher's hands.
async fn delay(gateway: &Gateway, count: usize) {
    let calls = gateway.place(count, "delay").await;
    let mut client = gateway.client().await;
    let mut stream =
        client.watch_call_results(WatchCallResultsRequest::default()).await.unwrap().into_inner();
    let http = reqwest::Client::new();
    let mut delays = Vec::new();
    for call in &calls {
        let begun = Instant::now();
        post(&http, gateway, &call.vendor_call_id).await;
        loop {
            let told = stream.message().await.unwrap().unwrap().call.unwrap();
            if told.call_id == call.call_id {
                break;
            }
        }
        delays.push(begun.elapsed());
    }
    delays.sort_unstable();
    println!(
        "from a push to its watcher: p50 {:?}, p99 {:?} of {count}",
        delays[count / 2],
        delays[count * 99 / 100]
    );
}

/// From the answer to the last order until every call is over, as watchers see it: the
/// simulated vendor posts each result as soon as its call is taken.
async fn over(gateway: &Gateway, sandbox: &Sandbox, count: usize) {
    let phonon = PhononWebhook {
        url: format!("http://{}/callbacks/phonon", gateway.callbacks),
        user: "u".to_owned(),
        password: "p".to_owned(),
        ..Default::default()
    };
    sandbox.set_webhooks(Webhooks { phonon: Some(phonon), ..Default::default() });
    let mut client = gateway.client().await;
    let mut stream =
        client.watch_call_results(WatchCallResultsRequest::default()).await.unwrap().into_inner();
    let watcher = tokio::spawn(async move {
        let mut over = 0;
        while over < count {
            let call = stream.message().await.unwrap().unwrap().call.unwrap();
            over += usize::from(call.end_time.is_some());
        }
    });
    let begun = Instant::now();
    gateway.place(count, "over").await;
    let placed = Instant::now();
    watcher.await.unwrap();
    println!(
        "{count} calls placed in {:.1} s, and all over {:.1} s after the last one was accepted",
        (placed - begun).as_secs_f64(),
        placed.elapsed().as_secs_f64()
    );
    sandbox.set_webhooks(Webhooks::default());
}

/// Memory of the gateway with many quiet streams.
async fn memory(gateway: &Gateway, count: usize) {
    let calls = gateway.place(1_000, "memory").await;
    let before = gateway.rss_kb();
    let mut streams = Vec::new();
    let mut client = gateway.client().await;
    for n in 0..count {
        if n % 500 == 0 {
            client = gateway.client().await;
        }
        let call_ids = vec![calls[n % calls.len()].call_id.clone()];
        let request = WatchCallResultsRequest { call_ids, ..Default::default() };
        let mut stream = client.watch_call_results(request).await.unwrap().into_inner();
        // Its history, so that it is live.
        while stream.message().await.unwrap().unwrap().call.unwrap().vendor_call_id.is_empty() {}
        streams.push(stream);
    }
    let after = gateway.rss_kb();
    println!(
        "{count} open watches: {:.0} MB, {:.1} KB each",
        after / 1e3,
        (after - before) / count as f64
    );
}

/// Everybody watches everything.
async fn watchers(gateway: &Gateway, count: usize) {
    let mut tasks = JoinSet::new();
    let mut client = gateway.client().await;
    for n in 0..count {
        if n % 100 == 0 {
            client = gateway.client().await;
        }
        let request = WatchCallResultsRequest { request_id: "all-0".into(), ..Default::default() };
        let mut stream = client.watch_call_results(request).await.unwrap().into_inner();
        tasks.spawn(async move {
            let mut seen: HashMap<String, u64> = HashMap::new();
            let mut messages = 0;
            while let Some(message) = stream.message().await.unwrap() {
                let call = message.call.unwrap();
                let last = seen.entry(call.call_id).or_default();
                assert_eq!(call.revision, *last + 1, "each change once");
                *last += 1;
                messages += 1;
            }
            messages
        });
    }
    let begun = Instant::now();
    let calls = gateway.place(count, "all").await;
    let http = reqwest::Client::new();
    for call in &calls {
        post(&http, gateway, &call.vendor_call_id).await;
    }
    let posted = begun.elapsed();
    let mut messages = 0_usize;
    while let Some(seen) = tasks.join_next().await {
        messages += seen.unwrap();
    }
    println!(
        "{count} watchers of the same {count} calls: {messages} messages in {:.1} s, the last {:.1} s after the last push; {:.0} MB",
        begun.elapsed().as_secs_f64(),
        (begun.elapsed() - posted).as_secs_f64(),
        gateway.rss_kb() / 1e3
    );
}
