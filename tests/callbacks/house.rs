//! A gateway with two vendors that post, one that may not, and their listener.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use dialplane::{
    call::{Call, Order, Position, Recipient, Selector},
    callbacks::{Bound, Limits},
    config::Config,
    gateway::{Clock, CreateOrder, Draft, Gateway, PushCounts},
    ledger::Ledger,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::{
    ledger::Watched,
    poster,
    stub::{Answer, Received, Stub},
    toy,
};

pub const SECRET: &str = "s3cr3t/of the poster";

/// The configuration, without `[server]`.
pub fn vendors(url: &str) -> String {
    let vendor = |name: &str, kind: &str, more: &str| {
        format!(
            "[vendors.{name}]\nkind = \"{kind}\"\nbase_url = \"{url}\"\nkey = \"k\"\n{more}\n\
             [routes.{name}]\nvendors = [\"{name}\"]\n"
        )
    };
    let told = format!("callback = \"{SECRET}\"");
    vendor("one", "poster", &told) + &vendor("two", "poster", &told) + &vendor("mute", "poster", "")
}

pub fn config(text: &str) -> Config {
    let registry = [poster::REGISTRATION, toy::REGISTRATION];
    Config::parse_with(&registry, text, Path::new("."), &|_| None).unwrap()
}

/// Takes every call as `t-` and its number, but for those that end in 9: what becomes of
/// these, nobody knows.
pub fn answer(request: &Received) -> Answer {
    let asked: Vec<Value> = serde_json::from_str(&request.body).unwrap();
    let number = |call: &Value| call["to"][0].as_str().unwrap().to_owned();
    if asked.iter().any(|call| number(call).ends_with('9')) {
        return Answer::text(200, "text/plain", "what?");
    }
    let taken: serde_json::Map<_, _> = asked
        .iter()
        .map(|call| (call["id"].as_str().unwrap().to_owned(), format!("t-{}", number(call)).into()))
        .collect();
    Answer::json(200, json!({ "taken": taken }).to_string())
}

pub struct House {
    pub gateway: Gateway,
    pub ledger: Arc<Watched>,
    pub address: SocketAddr,
    pub client: reqwest::Client,
    /// Seconds that the gateway's clock is ahead.
    pub ahead: Arc<AtomicI64>,
    stub: Stub,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
    requests: AtomicU32,
}

impl House {
    pub async fn open() -> Self {
        Self::limited(Limits::default()).await
    }

    pub async fn limited(limits: Limits) -> Self {
        let stub = Stub::start(answer).await;
        let ledger = Arc::new(Watched::new());
        let ahead = Arc::new(AtomicI64::new(0));
        let offset = Arc::clone(&ahead);
        let clock = Clock::new(move || {
            Timestamp::now() + Duration::from_secs(offset.load(Ordering::SeqCst) as u64)
        });
        let config = config(&vendors(&stub.url()));
        let gateway = Gateway::new(&config, Arc::clone(&ledger) as Arc<dyn Ledger>, clock).unwrap();
        let bound = Bound::new("127.0.0.1:0".parse().unwrap()).await.unwrap().limited(limits);
        let address = bound.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(bound.serve(gateway.clone(), async { drop(stopped.await) }));
        let (client, requests) = (reqwest::Client::new(), AtomicU32::new(0));
        Self { gateway, ledger, address, client, ahead, stub, stop, server, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Posts in the name of a vendor, with its proof.
    pub async fn post(&self, vendor: &str, body: &Value) -> reqwest::Response {
        let request = self.client.post(self.url(&format!("/callbacks/{vendor}")));
        let request = request.bearer_auth(SECRET).body(body.to_string());
        request.send().await.unwrap()
    }

    pub async fn taken(&self, vendor: &str, body: &Value) {
        let answer = self.post(vendor, body).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "{}");
    }

    /// Places a call, and gives it as the caller is told of it.
    pub async fn call(&self, route: &str, number: &str) -> Call {
        let order = Order {
            client_reference: None,
            to: vec![number.parse().unwrap()],
            caller_id: None,
            script: None,
            variables: Default::default(),
            start_time: None,
            expire_time: None,
            recipient: Recipient::default(),
            locale: None,
            retry: None,
            labels: Default::default(),
        };
        let request = self.requests.fetch_add(1, Ordering::SeqCst);
        let order = CreateOrder {
            request_id: format!("request-{request}").parse().unwrap(),
            fingerprint: dialplane::call::Fingerprint { digest: [0; 32], fields: Vec::new() },
            route: route.to_owned(),
            drafts: vec![Draft { order, violations: Vec::new() }],
            all_or_nothing: false,
        };
        let prepared = self.gateway.prepare(order).await.unwrap();
        self.gateway.create(prepared).await.unwrap().calls[0].clone()
    }

    /// The call as it is recorded.
    pub async fn recorded(&self, call: &Call) -> Call {
        let start = Position { entries: 0, within: None };
        let selector = Selector::Calls(vec![call.id]);
        self.ledger.page(&selector, start, 1).await.unwrap().calls.remove(0).0
    }

    pub fn counts(&self, vendor: &str) -> PushCounts {
        let configured = self.gateway.configured();
        configured.accounts().find(|account| account.name() == vendor).unwrap().pushes()
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes, and gives all that is answered until the connection ends.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        rest(&mut stream).await
    }

    pub async fn stop(self) {
        self.gateway.stop();
        self.gateway.drained().await;
        let _ = self.stop.send(());
        timeout(PATIENCE, self.server).await.expect("the listener ends").unwrap();
        self.ledger.close().await;
        self.stub.stop().await;
    }
}

/// Far beyond whatever is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// All that comes until the connection ends.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("the connection ends");
    String::from_utf8_lossy(&read).into_owned()
}

/// A request with the right proof, as bytes.
pub fn written(vendor: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST /callbacks/{vendor} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
