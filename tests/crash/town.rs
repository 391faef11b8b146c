//! Simulated vendors that outlive every kill, and the gateway in front of them.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dialplane::{
    proto::call_service_client::CallServiceClient,
    sandbox::{MobTextingWebhook, Options, PhononWebhook, Pushing, Sandbox, Webhooks},
};
use tokio::time::sleep;
use tonic::transport::{Channel, Endpoint};

use crate::binary::{self, Binary};

/// Longer than anything may take; whoever waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

const SECURITY_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const PUSH_SECRET: &str = "sandbox-push-secret-0123456789";

/// The routes. The first vendor of `poor` refuses every call for want of money, without
/// dialling, so that another one may take it.
pub const ROUTES: [(&str, &[&str]); 6] = [
    ("realtime", &["realtime"]),
    ("bulk", &["bulk"]),
    ("mobtexting", &["mobtexting"]),
    ("knovvu", &["knovvu"]),
    ("", &["realtime", "mobtexting", "knovvu"]),
    ("poor", &["poor", "mobtexting", "bulk"]),
];

/// Phonon's products by vendor, with their flows.
const PHONON: [(&str, &str, &str); 3] = [
    ("realtime", "realtime", "RealTm01"),
    ("bulk", "bulk", "BulkFl02"),
    ("poor", "realtime", "CODE0212"),
];

/// Simulated vendors and the gateway.
pub struct Town {
    pub sandbox: Sandbox,
    pub gateway: Binary,
    pub grpc: SocketAddr,
    directory: PathBuf,
}

impl Town {
    pub async fn start(directory: PathBuf, give_up_after: &str) -> Self {
        // Nothing is forgotten here: the dial log is what is measured against.
        let options = Options {
            keep: 4_000_000,
            mobtexting_reads_per_minute: u32::MAX,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let (grpc, callbacks) = (binary::address(), binary::address());
        let text = configuration(&sandbox, &directory, grpc, callbacks, give_up_after);
        std::fs::write(directory.join("config.toml"), text).unwrap();
        sandbox.set_webhooks(webhooks(callbacks));
        // Nobody is there to take a push while the gateway is dead, and one whose answer is
        // lost is not repeated by its vendor: all are told twice.
        sandbox.set_pushing(Pushing {
            delay: Duration::from_millis(100),
            times: 2,
            retries: 20,
            retry_after: Duration::from_millis(200),
            ..Pushing::default()
        });
        let gateway = start(&directory);
        Self { sandbox, gateway, grpc, directory }
    }

    /// Starts the gateway again, on the same ledger and the same ports.
    pub fn start_gateway(&mut self) {
        self.gateway = start(&self.directory);
    }

    /// Waits until the gateway listens.
    pub async fn serving(&mut self) {
        let begun = Instant::now();
        while endpoint(self.grpc).connect().await.is_err() {
            if let Some(status) = self.gateway.ended() {
                panic!("the gateway did not start ({status}): {}", self.log_end());
            }
            assert!(begun.elapsed() < PATIENCE, "the gateway does not listen: {}", self.log_end());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// A client whose connection is made again when it breaks.
    pub fn client(&self) -> CallServiceClient<Channel> {
        CallServiceClient::new(endpoint(self.grpc).connect_lazy())
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    pub async fn stop(self) {
        drop(self.gateway);
        self.sandbox.stop().await;
    }
}

fn start(directory: &Path) -> Binary {
    Binary::start(&directory.join("config.toml"), &directory.join("log"))
}

pub fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).unwrap()
}

fn configuration(
    sandbox: &Sandbox,
    directory: &Path,
    grpc: SocketAddr,
    callbacks: SocketAddr,
    give_up_after: &str,
) -> String {
    let urls = sandbox.urls();
    let ledger = directory.join("calls.db");
    let every = format!(
        "timeout = \"1s\"\nmax_in_flight = 64\npoll_interval = \"200ms\"\ngive_up_after = \"{give_up_after}\"\n\
         rate = {{ calls = 100000, requests = 100000, per = \"1s\" }}\n\n"
    );
    let mut text = format!(
        "[server]\nlisten = \"{grpc}\"\ncallbacks = \"{callbacks}\"\n\n[ledger]\nurl = \"sqlite:{}\"\n\n",
        ledger.display()
    );
    for (name, lane, flow) in PHONON {
        let (base, results) = match lane {
            "bulk" => (&urls.phonon_bulk, String::new()),
            _ => (
                &urls.phonon,
                format!("results = {{ url = \"{}\", version = 2 }}\n", urls.phonon_results),
            ),
        };
        text.push_str(&format!(
            "[vendors.{name}]\nkind = \"phonon\"\nproduct = \"multicast\"\nlane = \"{lane}\"\nbase_url = \"{base}\"\n\
             security_id = \"{SECURITY_ID}\"\nflow_id = \"{flow}\"\n\
             callback = {{ user = \"phonon\", password = \"{PUSH_SECRET}\" }}\n{results}{every}"
        ));
    }
    text.push_str(&format!(
        "[vendors.mobtexting]\nkind = \"mobtexting\"\nbase_url = \"{}\"\naccess_token = \"sandbox-token\"\n\
         bridge = \"918000000001\"\nflow_id = \"77\"\n\
         callback = {{ secret = \"{PUSH_SECRET}\", token = \"{PUSH_SECRET}\" }}\n{every}",
        urls.mobtexting
    ));
    text.push_str(&format!(
        "[vendors.knovvu]\nkind = \"knovvu\"\nbase_url = \"{}\"\nproject = \"DemoProject\"\ntenant = \"Default\"\n\
         access_token = \"sandbox-token\"\nscenario_path = \"https://ivr.example.test/scenario\"\n\
         orchestrator_url = \"https://orchestrator.example.test\"\ndisplay_number = \"200\"\n\
         result_destination = \"http://{callbacks}/callbacks/knovvu/{PUSH_SECRET}\"\n{every}",
        urls.knovvu
    ));
    for (route, vendors) in ROUTES {
        let name = if route.is_empty() { "default" } else { route };
        text.push_str(&format!("[routes.{name}]\nvendors = {vendors:?}\n\n"));
    }
    text
}

fn webhooks(callbacks: SocketAddr) -> Webhooks {
    let at = |name: &str| format!("http://{callbacks}/callbacks/{name}");
    let flows = PHONON.iter().map(|(name, _, flow)| ((*flow).to_owned(), at(name)));
    let phonon = PhononWebhook {
        flows: flows.collect(),
        user: "phonon".to_owned(),
        password: PUSH_SECRET.to_owned(),
        ..PhononWebhook::default()
    };
    let mobtexting = MobTextingWebhook {
        url: at("mobtexting"),
        secret: PUSH_SECRET.to_owned(),
        token: PUSH_SECRET.to_owned(),
        ..MobTextingWebhook::default()
    };
    Webhooks { phonon: Some(phonon), mobtexting: Some(mobtexting), knovvu: true }
}
