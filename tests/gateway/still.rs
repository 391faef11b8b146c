//! A gateway on a clock that stands still while anybody has something to do. Nothing of it is
//! outside the test: its ledger is in memory, without threads, and its vendors are scripts.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use dialplane::{
    call::{Call, CallId, CallState, Position, Selector},
    config::{Config, VendorConfig},
    gateway::{Changes, Clock, Gateway},
    http::{Failure, HttpReply, HttpRequest, InDoubt, Line, NotSent},
    ledger::{
        Ledger,
        sqlite::{Disk, SqliteLedger},
    },
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    failing_ledger::Watched,
    raw::{account, route},
};

/// What comes of sending a request.
#[derive(Clone)]
pub enum Outcome {
    Says(u16, String),
    /// Nothing reached the vendor.
    NotSent,
    /// It may have, and nothing came back.
    Lost,
    /// Nothing comes back for as long as there is time.
    Never,
}

type Script = dyn Fn(usize, &str) -> Outcome + Send + Sync;

/// A vendor: does what the script says of the number of a request, from 0, and of its body.
pub struct Canned {
    script: Box<Script>,
    takes: Box<dyn Fn(usize) -> Duration + Send + Sync>,
    sent: Mutex<Vec<(Instant, String)>>,
}

impl Canned {
    pub fn new(script: impl Fn(usize, &str) -> Outcome + Send + Sync + 'static) -> Arc<Self> {
        Self::taking(|_| Duration::ZERO, script)
    }

    /// The same, after the time that a request of this number takes.
    pub fn taking(
        takes: impl Fn(usize) -> Duration + Send + Sync + 'static,
        script: impl Fn(usize, &str) -> Outcome + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (script, takes) = (Box::new(script), Box::new(takes));
        Arc::new(Self { script, takes, sent: Mutex::default() })
    }

    /// When each request was sent.
    pub fn times(&self) -> Vec<Instant> {
        self.sent.lock().unwrap().iter().map(|(time, _)| *time).collect()
    }

    /// What was sent.
    pub fn bodies(&self) -> Vec<String> {
        self.sent.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    pub fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

#[async_trait]
impl Line for Canned {
    async fn send(&self, request: &HttpRequest) -> Result<HttpReply, Failure> {
        let body = String::from_utf8(request.body.bytes().to_vec()).unwrap();
        let number = {
            let mut sent = self.sent.lock().unwrap();
            sent.push((Instant::now(), body.clone()));
            sent.len() - 1
        };
        let takes = (self.takes)(number);
        if takes > Duration::ZERO {
            sleep(takes).await;
        }
        match (self.script)(number, &body) {
            Outcome::Says(status, body) => Ok(HttpReply::json(status, body)),
            Outcome::NotSent => Err(Failure::not_sent(NotSent::Connect, "nobody listens")),
            Outcome::Lost => Err(Failure::in_doubt(InDoubt::NoAnswer, "it broke")),
            Outcome::Never => std::future::pending().await,
        }
    }
}

/// Phonon's answer that takes each call of a request, the first under the id `v-0`.
pub fn takes_all(body: &str) -> Outcome {
    let asked: Value = serde_json::from_str(body).unwrap();
    let calls = asked["calls"].as_array().unwrap().iter().enumerate();
    let list: Vec<_> = calls
        .map(|(at, call)| {
            let id = &call["client-identifier"];
            json!({ "client-identifier": id, "phonon-uuid": format!("v-{at}") })
        })
        .collect();
    let answer = json!({ "api-response-code": 200, "request-id": "r-1", "call-details": list });
    Outcome::Says(200, answer.to_string())
}

/// How many calls are in each of these requests to Phonon.
pub fn sizes(bodies: &[String]) -> Vec<usize> {
    let count = |body: &String| {
        let asked: Value = serde_json::from_str(body).unwrap();
        asked["calls"].as_array().unwrap().len()
    };
    bodies.iter().map(count).collect()
}

/// The same configuration for everybody: a route `both` with these vendors, in their order.
pub fn text(vendors: &[(&str, &str, &str)]) -> String {
    let accounts = vendors
        .iter()
        .map(|(system, name, keys)| account(system, name, "http://127.0.0.1:9", keys));
    let names: Vec<_> = vendors.iter().map(|(_, name, _)| *name).collect();
    accounts.collect::<String>() + &route("both", &names)
}

pub struct Still {
    pub gateway: Gateway,
    pub ledger: Arc<Watched>,
    /// Seconds that the time of day is ahead of the time that passes.
    pub ahead: Arc<AtomicI64>,
}

impl Still {
    pub fn new(text: &str, lines: &[(&str, &Arc<Canned>)]) -> Self {
        Self::on(&Disk::new().unwrap(), text, lines)
    }

    /// On what another one left behind.
    pub fn on(disk: &Disk, text: &str, lines: &[(&str, &Arc<Canned>)]) -> Self {
        Self::on_at(disk, text, lines, 0)
    }

    /// The same with a time of day that is so many seconds ahead.
    pub fn on_at(disk: &Disk, text: &str, lines: &[(&str, &Arc<Canned>)], ahead: i64) -> Self {
        let (ledger, writer) = SqliteLedger::on_disk(disk).unwrap();
        tokio::spawn(writer);
        let ledger = Arc::new(Watched::over(ledger));
        let config = Config::parse(text, Path::new("."), &|_| None).unwrap();
        let ahead = Arc::new(AtomicI64::new(ahead));
        let offset = Arc::clone(&ahead);
        let clock = Clock::new(move || now(offset.load(SeqCst)));
        let lines: BTreeMap<_, _> =
            lines.iter().map(|(name, line)| ((*name).to_owned(), Arc::clone(line))).collect();
        let shared = Arc::clone(&ledger) as Arc<dyn Ledger>;
        let Ok(gateway) = Gateway::with_lines(&config, shared, clock, |vendor| {
            Ok::<_, Infallible>(Arc::clone(&lines[&vendor.name]) as Arc<dyn Line>)
        });
        Self { gateway, ledger, ahead }
    }

    /// Puts another configuration in place.
    pub async fn reload(&self, text: &str, lines: &[(&str, &Arc<Canned>)]) -> Changes {
        let config = Config::parse(text, Path::new("."), &|_| None).unwrap();
        let lines: BTreeMap<_, _> =
            lines.iter().map(|(name, line)| ((*name).to_owned(), Arc::clone(line))).collect();
        let line = |vendor: &VendorConfig| {
            Ok::<_, Infallible>(Arc::clone(&lines[&vendor.name]) as Arc<dyn Line>)
        };
        let Ok(changes) = self.gateway.reload_with_lines(&config, line).await;
        changes
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        now(self.ahead.load(SeqCst))
    }

    /// The call as it is recorded.
    pub async fn recorded(&self, id: CallId) -> Call {
        let start = Position { entries: 0, within: None };
        let page = self.ledger.page(&Selector::Calls(vec![id]), start, 1).await.unwrap();
        page.calls.into_iter().next().unwrap().0
    }

    /// Waits until the call is in a state.
    pub async fn reaches(&self, id: CallId, state: CallState) -> Call {
        for _ in 0..10_000 {
            let call = self.recorded(id).await;
            if call.state == state {
                return call;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("not {state:?} in time: {:?}", self.recorded(id).await);
    }

    /// The ledger takes no changes but new requests, from now on.
    pub fn break_ledger(&self) {
        self.ledger.failures.store(usize::MAX, SeqCst);
    }

    /// It takes them again.
    pub fn mend_ledger(&self) {
        self.ledger.failures.store(0, SeqCst);
    }
}

/// The time of day: it begins anew with each test, and passes as tokio's does.
fn now(ahead: i64) -> Timestamp {
    thread_local! {
        static BEGUN: Instant = Instant::now();
    }
    let begun: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
    begun + BEGUN.with(Instant::elapsed) + SignedDuration::from_secs(ahead)
}
