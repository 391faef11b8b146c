//! A gateway with all there is to tell, and a client of its admin listener.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use dialplane::{
    cli::{Running, start},
    config::{Config, Listen},
    proto::{CallSpec, CreateCallsRequest, call_service_client::CallServiceClient},
    sandbox::{Options, Sandbox},
};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::{
    harness::{six_systems, to},
    text::{self, Family, Labels},
};

pub struct House {
    pub running: Running,
    pub client: CallServiceClient<Channel>,
    pub sandbox: Sandbox,
    folder: TempDir,
}

/// An answer of the admin listener.
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub text: String,
}

impl House {
    /// Simulated vendors, of which one posts, a ledger in a file, and every listener.
    pub async fn start() -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = six_systems(&sandbox, "500ms").replace(
            "kind = \"mobtexting\"\n",
            "kind = \"mobtexting\"\ncallback = { secret = \"a secret of ours\", token = \"t0ken\" }\n",
        );
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ncallbacks = \"127.0.0.1:0\"\n\n\
             [ledger]\nurl = \"sqlite:{}\"\n\n{text}",
            folder.path().join("ledger.db").display()
        );
        let config = Config::parse(&text, Path::new("."), &|_| None)
            .unwrap_or_else(|problems| panic!("{problems}"));
        let running = start(&config).await.unwrap();
        let Listen::Tcp(address) = running.address() else { panic!("not TCP") };
        let client = CallServiceClient::connect(format!("http://{address}")).await.unwrap();
        let house = Self { running, client, sandbox, folder };
        // What was open before is counted in the background.
        while house.scrape().await.0["dialplane_calls_open"].samples.is_empty() {
            tokio::task::yield_now().await;
        }
        house
    }

    pub fn admin(&self) -> SocketAddr {
        self.running.admin().unwrap()
    }

    /// Places calls to these numbers in one request.
    pub async fn place(&mut self, route: &str, numbers: &[&str]) {
        let calls: Vec<CallSpec> = numbers.iter().map(|number| to(number)).collect();
        let request = CreateCallsRequest { route: route.into(), calls, ..Default::default() };
        // What comes of it the numbers tell.
        let _ = self.client.create_calls(request).await;
    }

    pub async fn scrape(&self) -> Scrape {
        let answer = get(self.admin(), "/metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Scrape(text::read(&answer.text, false))
    }

    pub async fn stop(self) {
        let Self { running, client, sandbox, folder } = self;
        drop(client);
        running.stop().await;
        sandbox.stop().await;
        drop(folder);
    }
}

/// All metrics at one moment.
pub struct Scrape(pub BTreeMap<String, Family>);

impl Scrape {
    /// The sum of the series that have these labels, whatever others they have.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let family = name.trim_end_matches("_count").trim_end_matches("_sum");
        let family = self.0.get(name).or_else(|| self.0.get(family));
        let family = family.unwrap_or_else(|| panic!("there is no {name}"));
        let has = |all: &Labels| labels.iter().all(|(k, v)| all.get(*k).is_some_and(|x| x == v));
        let fitting = family.samples.iter().filter(|((sample, all), _)| sample == name && has(all));
        fitting.map(|(_, value)| value).sum()
    }
}

pub async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, reqwest::Method::GET, path, "").await
}

pub async fn ask(address: SocketAddr, method: reqwest::Method, path: &str, accept: &str) -> Answer {
    let mut request = reqwest::Client::new().request(method, format!("http://{address}{path}"));
    if !accept.is_empty() {
        request = request.header("accept", accept);
    }
    let answer = request.send().await.unwrap();
    let content_type = answer.headers().get("content-type");
    let content_type = content_type.map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
    Answer { status: answer.status().as_u16(), content_type, text: answer.text().await.unwrap() }
}
