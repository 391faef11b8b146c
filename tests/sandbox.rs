//! The sandbox over real HTTP: each system's happy path, each rule, each number.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{sync::LazyLock, time::Duration};

use dialplane::sandbox::{MobTextingBody, Options, Posted, Pushing, Sandbox, Webhooks};
use serde_json::{Value, json};

#[path = "sandbox/broken_exchanges.rs"]
mod broken_exchanges;
#[path = "sandbox/knovvu.rs"]
mod knovvu_calls;
#[path = "sandbox/mobtexting.rs"]
mod mobtexting_calls;
#[path = "sandbox/own_side.rs"]
mod own_side;
#[path = "sandbox/phonon.rs"]
mod phonon_calls;
#[path = "sandbox/phonon_rules.rs"]
mod phonon_rules;
#[path = "sandbox/push_delivery.rs"]
mod push_delivery;
#[path = "sandbox/push_formats.rs"]
mod push_formats;
#[path = "sandbox/receiver.rs"]
mod receiver;

/// Long enough for any machine; only ever waited for in full when something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

const E1: &str = "/kairos-apis/outbound/create";
const E3: &str = "/kairos-apis/outbounddialer/create";

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// HTTP status and Phonon's code.
    fn code(&self) -> (u16, u64) {
        (self.status, self.json()["api-response-code"].as_u64().unwrap())
    }
}

/// One for all tests. It keeps no connection, since each test has a runtime of its own.
fn client() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let none = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().redirect(none).no_proxy().timeout(PATIENCE);
        client.pool_max_idle_per_host(0).build().unwrap()
    });
    &CLIENT
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

fn posted(url: &str, body: impl Into<String>) -> reqwest::RequestBuilder {
    client().post(url).header("content-type", "application/json").body(body.into())
}

async fn post(url: &str, body: &Value) -> Answer {
    send(posted(url, body.to_string())).await
}

async fn get(url: &str) -> Answer {
    send(client().get(url)).await
}

async fn sandbox() -> Sandbox {
    Sandbox::start(Options::default()).await.unwrap()
}

fn security_id() -> String {
    "a1".repeat(32)
}

/// A date that is in no past for a long time.
const START: &str = "2999-07-01T10:15:00+05:30";

/// Now in India, as Phonon wants it.
fn now_in_india() -> String {
    let offset = jiff::tz::Offset::from_seconds(19_800).unwrap();
    offset.to_datetime(jiff::Timestamp::now()).strftime("%Y-%m-%dT%H:%M:%S+05:30").to_string()
}

/// A request with one call for each list of numbers.
fn phonon(calls: &[&[&str]]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(index, numbers)| {
            json!({
                "client-identifier": format!("order-{index}"),
                "start-time": now_in_india(),
                "contact-numbers": numbers,
                "keys": [{ "name": "$flow.key.name", "value": "Asha" }],
            })
        })
        .collect();
    json!({
        "api-version": "1.0",
        "security-id": security_id(),
        "flow-id": "AbCd1234",
        "calls": calls,
    })
}

fn question(ids: &[&str]) -> Value {
    json!({
        "security-id": security_id(),
        "flow-id": "AbCd1234",
        "phonon-uuids": ids,
        "fetch-attempt": "ALL",
    })
}

fn mobtexting(to: &str) -> Value {
    json!({ "bridge": "918000000001", "to": to, "flow_id": "77", "variables[otp]": "4711" })
}

fn authorized(request: reqwest::RequestBuilder, token: &str) -> reqwest::RequestBuilder {
    request.header("accept", "application/json").header("authorization", format!("Bearer {token}"))
}

async fn mobtexting_send(sandbox: &Sandbox, body: &Value) -> Answer {
    let url = format!("{}outgoing/send", sandbox.urls().mobtexting);
    send(authorized(posted(&url, body.to_string()), "token")).await
}

async fn mobtexting_status(sandbox: &Sandbox, id: &str) -> Answer {
    let url = format!("{}outgoing/callstatus?id={id}", sandbox.urls().mobtexting);
    send(authorized(client().get(url), "token")).await
}

fn knovvu(to: &str, token: &str) -> Value {
    json!({
        "Project": "Demo",
        "Tenant": "Default",
        "ConversationId": "conversation-1",
        "AccessToken": token,
        "ScenarioPath": "https://ivr.example.test/scenario",
        "OrchestratorUrl": "https://orchestrator.example.test",
        "ScenarioInputParameters": [
            { "Name": "_DisplayNumber", "Value": "200" },
            { "Name": "_Destination", "Value": to },
        ],
    })
}

async fn knovvu_call(sandbox: &Sandbox, body: &Value) -> Answer {
    post(&format!("{}/v2/call", sandbox.urls().knovvu), body).await
}
