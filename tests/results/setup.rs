//! Simulated vendors that post to a gateway, or don't, and callers that watch.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use dialplane::{
    proto::{Call, CallState, WatchCallResultsRequest, WatchCallResultsResponse},
    sandbox::{
        MobTextingBody, MobTextingWebhook, Options, PhononBody, PhononWebhook, Sandbox, Webhooks,
    },
};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::harness::{Gateway, SECURITY_ID};

/// Longer than anything here takes; a test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const USER: &str = "phonon";
pub const PASSWORD: &str = "phonon-push-password";
pub const SECRET: &str = "mobtexting-push-secret";
pub const TOKEN: &str = "mobtexting-handshake-token";
pub const PATH_TOKEN: &str = "knovvu-0123456789abcdef";

/// The systems by the name of their route and vendor, with Phonon's flows.
pub const SYSTEMS: [(&str, &str); 6] = [
    ("phonon-outbound", "OutBnd01"),
    ("phonon-dialer", "Dialer01"),
    ("phonon-multicast", "MultiC01"),
    ("phonon-bulk", "MultiC02"),
    ("mobtexting", ""),
    ("knovvu", ""),
];

/// How results come.
#[derive(Debug, Clone)]
pub struct Ways {
    pub push: bool,
    pub pull: bool,
    /// Between two questions about a call, at first.
    pub poll_interval: &'static str,
    pub give_up_after: &'static str,
    pub phonon: PhononBody,
    pub mobtexting: MobTextingBody,
    /// `[ledger] url`.
    pub ledger: String,
    pub max_in_flight: u32,
    /// Of every vendor.
    pub rate: &'static str,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            push: true,
            pull: false,
            // Long enough for no question to be asked by itself.
            poll_interval: "1h",
            give_up_after: "1d",
            phonon: PhononBody::default(),
            mobtexting: MobTextingBody::default(),
            ledger: "sqlite::memory:".to_owned(),
            max_in_flight: 8,
            rate: "{ requests = 1000, per = \"1s\" }",
        }
    }
}

impl Ways {
    pub fn pull() -> Self {
        Self { push: false, pull: true, poll_interval: "100ms", ..Self::default() }
    }

    pub fn both() -> Self {
        Self { pull: true, poll_interval: "100ms", ..Self::default() }
    }
}

/// Simulated vendors and a gateway.
pub struct Town {
    pub sandbox: Sandbox,
    pub gateway: Gateway,
    pub callbacks: SocketAddr,
    pub ways: Ways,
}

impl Town {
    pub async fn start(ways: Ways) -> Self {
        Self::with(Sandbox::start(Options::default()).await.unwrap(), ways).await
    }

    pub async fn with(sandbox: Sandbox, ways: Ways) -> Self {
        let callbacks = free_address().await;
        let gateway = Gateway::start(&configuration(&sandbox, callbacks, &ways)).await;
        if ways.push {
            sandbox.set_webhooks(webhooks(callbacks, &ways));
        }
        Self { sandbox, gateway, callbacks, ways }
    }

    /// Stops the gateway and starts it again, on the same ledger and addresses.
    pub async fn restart(self) -> Self {
        let Self { sandbox, gateway, callbacks, ways } = self;
        gateway.stop().await;
        let gateway = Gateway::start(&configuration(&sandbox, callbacks, &ways)).await;
        Self { sandbox, gateway, callbacks, ways }
    }

    pub async fn stop(self) {
        self.gateway.stop().await;
        self.sandbox.stop().await;
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "not so in time: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn watch(&mut self, request: WatchCallResultsRequest) -> Stream {
        Stream(self.gateway.client.watch_call_results(request).await.unwrap().into_inner())
    }

    pub async fn watch_call(&mut self, call: &Call) -> Stream {
        let call_ids = vec![call.call_id.clone()];
        self.watch(WatchCallResultsRequest { call_ids, ..Default::default() }).await
    }

    /// Every change of a call until it is over, and the call as it is then.
    pub async fn follow(&mut self, call: &Call) -> (Vec<CallState>, Call) {
        let stream = self.watch_call(call).await;
        let Ok(changes) = timeout(PATIENCE, stream.until_the_end()).await else {
            panic!("no end of {call:?} in sight; pushed: {:#?}", self.sandbox.pushes().last());
        };
        for (index, change) in changes.iter().enumerate() {
            assert_eq!(change.revision, index as u64 + 1, "each change once: {changes:#?}");
        }
        let states = changes.iter().map(Call::state).collect();
        (states, changes.into_iter().last().expect("a call that ended"))
    }
}

/// A stream of changes, none of which takes forever.
pub struct Stream(pub Streaming<WatchCallResultsResponse>);

impl Stream {
    pub async fn next(&mut self) -> Option<Result<WatchCallResultsResponse, Status>> {
        timeout(PATIENCE * 2, self.0.message()).await.expect("a message in time").transpose()
    }

    /// The next change; the stream must have one.
    pub async fn change(&mut self) -> (Call, String) {
        let message = self.next().await.expect("no end yet").unwrap();
        (message.call.expect("a call"), message.cursor)
    }

    pub async fn until_the_end(mut self) -> Vec<Call> {
        let mut changes = Vec::new();
        while let Some(message) = self.next().await {
            changes.push(message.unwrap().call.expect("a call"));
        }
        changes
    }
}

/// An address that nobody listens on at this moment: Knovvu's has to be known before the
/// gateway listens there.
async fn free_address() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn configuration(sandbox: &Sandbox, callbacks: SocketAddr, ways: &Ways) -> String {
    let urls = sandbox.urls();
    let mut text =
        format!("callbacks = \"{callbacks}\"\n\n[ledger]\nurl = \"{}\"\n\n", ways.ledger);
    let phonon: BTreeMap<_, _> = [
        ("phonon-outbound", ("product = \"outbound\"", &urls.phonon)),
        ("phonon-dialer", ("product = \"dialer\"", &urls.phonon)),
        ("phonon-multicast", ("product = \"multicast\"\nlane = \"realtime\"", &urls.phonon)),
        ("phonon-bulk", ("product = \"multicast\"\nlane = \"bulk\"", &urls.phonon_bulk)),
    ]
    .into();
    for (name, flow) in SYSTEMS {
        text.push_str(&format!("[vendors.{name}]\n"));
        match (name, phonon.get(name)) {
            (_, Some((product, url))) => {
                text.push_str(&format!(
                    "kind = \"phonon\"\n{product}\nbase_url = \"{url}\"\nsecurity_id = \"{SECURITY_ID}\"\n\
                     flow_id = \"{flow}\"\ncallback = {{ user = \"{USER}\", password = \"{PASSWORD}\" }}\n"
                ));
                if ways.pull && name != "phonon-bulk" {
                    let url = &urls.phonon_results;
                    text.push_str(&format!("results = {{ url = \"{url}\", version = 2 }}\n"));
                }
            }
            ("mobtexting", None) => text.push_str(&format!(
                "kind = \"mobtexting\"\nbase_url = \"{}\"\naccess_token = \"sandbox-token\"\nbridge = \"918000000001\"\n\
                 flow_id = \"77\"\ncallback = {{ secret = \"{SECRET}\", token = \"{TOKEN}\" }}\n",
                urls.mobtexting
            )),
            _ => text.push_str(&format!(
                "kind = \"knovvu\"\nbase_url = \"{}\"\nproject = \"DemoProject\"\ntenant = \"Default\"\n\
                 access_token = \"sandbox-token\"\nscenario_path = \"https://ivr.example.test/scenario\"\n\
                 orchestrator_url = \"https://orchestrator.example.test\"\ndisplay_number = \"200\"\n\
                 result_destination = \"http://{callbacks}/callbacks/knovvu/{PATH_TOKEN}\"\n",
                urls.knovvu
            )),
        }
        text.push_str(&format!(
            "poll_interval = \"{}\"\ngive_up_after = \"{}\"\nmax_in_flight = {}\nrate = {}\n\n\
             [routes.{name}]\nvendors = [\"{name}\"]\n\n",
            ways.poll_interval, ways.give_up_after, ways.max_in_flight, ways.rate
        ));
    }
    text
}

fn webhooks(callbacks: SocketAddr, ways: &Ways) -> Webhooks {
    let flows = SYSTEMS
        .iter()
        .filter(|(_, flow)| !flow.is_empty())
        .map(|(name, flow)| ((*flow).to_owned(), format!("http://{callbacks}/callbacks/{name}")));
    let phonon = PhononWebhook {
        flows: flows.collect(),
        user: USER.to_owned(),
        password: PASSWORD.to_owned(),
        body: ways.phonon,
        ..PhononWebhook::default()
    };
    let mobtexting = MobTextingWebhook {
        url: format!("http://{callbacks}/callbacks/mobtexting"),
        secret: SECRET.to_owned(),
        token: TOKEN.to_owned(),
        body: ways.mobtexting,
    };
    Webhooks { phonon: Some(phonon), mobtexting: Some(mobtexting), knovvu: true }
}
