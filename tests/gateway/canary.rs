//! Credentials and people's numbers are seen by vendors and callers alone: here every
//! vendor repeats them in its errors, as some do, and nothing of the gateway's own says
//! them again.

use std::{
    io,
    path::Path,
    sync::{
        LazyLock, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dialplane::{
    call,
    config::Config,
    http::HttpReply,
    proto::{CallSpec, CallState, ListVendorsRequest},
    telemetry::{Exporting, Limits, Recorder, Sampler, Span, Trace},
    vendors::{Context, Outgoing, Placed, Placement},
};
use opentelemetry::trace::SpanKind;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use prost::Message;
use tokio::sync::watch;
use tonic::Status;
use tonic_types::pb;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{
    harness::{Answer, Explained, Gateway, Stub},
    suppressions,
};

/// 64 letters and digits: Phonon's.
const SECURITY_ID: &str = "canaryPhonon0000canaryPhonon0000canaryPhonon0000canaryPhonon0000";
const PASSWORD: &str = "canary-callback-password";
const MOBTEXTING: &str = "canary-mobtexting-token";
const KNOVVU: &str = "canary-knovvu-token";
const CLIENT_SECRET: &str = "canary-knovvu-client-secret";
/// Fetched, and shorter than what looks like a token.
const FETCHED: &str = "canary-fetched-token";
const SECRETS: [&str; 6] = [SECURITY_ID, PASSWORD, MOBTEXTING, KNOVVU, CLIENT_SECRET, FETCHED];

/// The person's, the alternate's, one in a variable, and the one shown.
const NUMBERS: [&str; 4] = ["919812345678", "919812345679", "919812345670", "918012345671"];

/// Knovvu's id of the call that was placed with a fetched token.
const OAUTH_CALL: &str = "o-1";

const ROUTES: [&str; 4] = ["phonon", "mobtexting", "knovvu", "knovvu-oauth"];

/// What the gateway of any test of this program logs: every line there is, those of the access
/// log, too.
struct Log(Mutex<Vec<u8>>);

/// The spans of any gateway of this program, printed.
static SPANS: LazyLock<watch::Sender<String>> = LazyLock::new(watch::Sender::default);

#[derive(Debug)]
struct Printed;

impl SpanExporter for Printed {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let printed: String = batch.iter().map(|span| format!("{span:?}\n")).collect();
        SPANS.send_modify(|spans| spans.push_str(&printed));
        Ok(())
    }
}

/// Has all spans recorded from now on, by a thread that outlives each test's runtime.
fn record() {
    let (told, started) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let limits = Limits { delay: Duration::ZERO, queue: 1 << 20, ..Limits::default() };
            let exporting = Exporting::start(Printed, limits);
            assert!(Recorder::new(Sampler::ALWAYS, exporting.queue().clone()).install());
            told.send(()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    started.recv().unwrap();
}

/// The spans so far: one that ends now comes after all of them.
async fn spans() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("canary-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let own = name.clone();
    drop(Span::under(&Trace::root(), SpanKind::Internal, || own.into()));
    let mut spans = SPANS.subscribe();
    spans.wait_for(|spans| spans.contains(&name)).await.unwrap().clone()
}

/// Neither the log nor the spans show anything.
async fn assert_telemetry_is_silent() {
    let spans = spans().await;
    assert!(spans.contains("url.path") || spans.contains("rpc.method"), "{spans}");
    assert_silent("a span", &spans);
    assert!(logged().contains("dialplane::access"));
    assert_silent("the log", &logged());
}

static LOG: Log = Log(Mutex::new(Vec::new()));

impl io::Write for &Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static Log {
    type Writer = &'static Log;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

fn listen() {
    static LISTENING: OnceLock<()> = OnceLock::new();
    LISTENING.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("dialplane=trace"))
            .with_writer(&LOG)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        record();
        tracing::trace!(target: "dialplane::canary", "the log is heard");
    });
    assert!(logged().contains("the log is heard"));
}

fn logged() -> String {
    String::from_utf8(LOG.0.lock().unwrap().clone()).unwrap()
}

fn assert_silent(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} shows {secret}: {text}");
    }
    for number in NUMBERS {
        // With the country code and without.
        assert!(!text.contains(&number[2..]), "{what} shows {number}: {text}");
    }
}

/// Everything in an error that is meant to be read: not the packed answer, whose calls
/// hold their numbers.
fn assert_error_is_silent(what: &str, error: &Explained) {
    assert_silent(what, &error.message);
    assert_silent(what, &format!("{:?}", error.info));
    let bad: Option<pb::BadRequest> = error.detail("google.rpc.BadRequest");
    let precondition: Option<pb::PreconditionFailure> =
        error.detail("google.rpc.PreconditionFailure");
    let quota: Option<pb::QuotaFailure> = error.detail("google.rpc.QuotaFailure");
    let resource: Option<pb::ResourceInfo> = error.detail("google.rpc.ResourceInfo");
    assert_silent(what, &format!("{bad:?} {precondition:?} {quota:?} {resource:?}"));
}

/// All that a vendor was ever told, in one sentence.
fn indiscretion(secrets: &[&str]) -> String {
    let numbers = NUMBERS.map(|number| format!("+{number} {}", &number[2..]));
    format!("no: {} {}", secrets.join(" "), numbers.join(" "))
}

/// What the account at Knovvu was given that a request comes from.
fn knovvu_secrets(body: &str) -> &'static [&'static str] {
    let oauth = body.contains(FETCHED) || body.contains(OAUTH_CALL);
    if oauth { &[FETCHED, CLIENT_SECRET] } else { &[KNOVVU] }
}

/// Refusals that repeat everything, in the text and in whatever else is free.
fn refuse(path: &str, body: &str) -> Answer {
    match path {
        "/connect/token" => {
            Answer::json(200, format!(r#"{{"access_token":"{FETCHED}","expires_in":60}}"#))
        }
        "/v2/call" | "/v2/callresult" => {
            let said = indiscretion(knovvu_secrets(body));
            Answer::json(400, format!(r#"{{"Message":"{said}"}}"#))
        }
        "/outgoing/send" => {
            let said = indiscretion(&[MOBTEXTING, PASSWORD]);
            let status = format!("{} {MOBTEXTING}", NUMBERS[0]);
            Answer::json(200, format!(r#"{{"status":"{status}","message":"{said}"}}"#))
        }
        _ => {
            let (said, code) = (indiscretion(&[SECURITY_ID, PASSWORD]), NUMBERS[0]);
            Answer::json(
                200,
                format!(
                    r#"{{"api-response-code":"{code}","api-response-message":"{said}","request-id":"r-1"}}"#
                ),
            )
        }
    }
}

fn configuration(url: &str) -> String {
    let knovvu = format!(
        "kind = \"knovvu\"\nbase_url = \"{url}\"\nproject = \"P\"\nscenario_path = \"https://ivr.test/s\"\n\
         orchestrator_url = \"https://orchestrator.test\"\ndisplay_number = \"{}\"\n",
        NUMBERS[3]
    );
    let mut text = format!(
        "[vendors.phonon]\nkind = \"phonon\"\nproduct = \"outbound\"\nbase_url = \"{url}\"\n\
         security_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\nresults = {{ url = \"{url}/pull\" , version = 2 }}\n\
         callback = {{ user = \"u\", password = \"{PASSWORD}\" }}\n\n\
         [vendors.mobtexting]\nkind = \"mobtexting\"\nbase_url = \"{url}\"\naccess_token = \"{MOBTEXTING}\"\n\
         bridge = \"{}\"\nflow_id = \"77\"\ncallback = {{ secret = \"{PASSWORD}\", token = \"{PASSWORD}\" }}\n\n\
         [vendors.knovvu]\n{knovvu}access_token = \"{KNOVVU}\"\n\n\
         [vendors.knovvu-oauth]\n{knovvu}oauth = {{ identity_url = \"{url}\", client_id = \"c\", \
         client_secret = \"{CLIENT_SECRET}\" }}\n\n",
        NUMBERS[3]
    );
    for route in ROUTES {
        text.push_str(&format!("[routes.{route}]\nvendors = [\"{route}\"]\n\n"));
    }
    text.push_str(&format!(
        "[routes.shown]\nvendors = [\"mobtexting\"]\ncaller_id = \"{}\"\n",
        NUMBERS[3]
    ));
    text
}

fn call_with_everything() -> CallSpec {
    CallSpec {
        to: vec![format!("+{}", NUMBERS[0])],
        variables: [("callback".to_owned(), NUMBERS[2].to_owned())].into(),
        ..Default::default()
    }
}

fn explained(result: Result<impl std::fmt::Debug, Status>) -> Explained {
    Explained::of(&result.unwrap_err())
}

#[tokio::test]
async fn vendors_that_repeat_everything_are_not_repeated() {
    listen();
    let stub = Stub::start(|request| refuse(&request.path, &request.body)).await;
    let mut gateway = Gateway::start(&configuration(&stub.url())).await;
    for route in ROUTES {
        let refused = gateway.create(route, vec![call_with_everything()]).await;
        // Some of these answers leave the call in doubt, which is not an error of the RPC.
        let error = match refused {
            Ok(response) => Explained::of_call(&response.calls[0]),
            Err(status) => {
                assert_silent(route, status.message());
                Explained::of(&status)
            }
        };
        assert!(error.message.contains('*'), "{route}: {error:?}");
        assert_error_is_silent(route, &error);
    }
    let vendors =
        gateway.client.list_vendors(ListVendorsRequest::default()).await.unwrap().into_inner();
    assert_silent("the list of vendors", &format!("{:?}", vendors.vendors));
    assert_silent("the gateway", &format!("{:?}", gateway.running));
    // Nor is anybody told of traces who is not to be.
    assert!(stub.received().iter().all(|request| request.traceparent.is_none()));
    gateway.stop().await;
    stub.stop().await;
    assert_telemetry_is_silent().await;
}

#[tokio::test]
async fn mistakes_of_callers_are_told_without_their_numbers() {
    listen();
    let stub = Stub::start(|request| refuse(&request.path, &request.body)).await;
    let mut gateway = Gateway::start(&configuration(&stub.url())).await;
    let spoilt = |text: String| CallSpec { to: vec![text], ..Default::default() };
    for (what, call) in [
        ("letters", spoilt(format!("tel:{}", NUMBERS[0]))),
        ("spaces", spoilt(format!("+{} 0", NUMBERS[0]))),
        ("too long", spoilt(format!("{}000000", NUMBERS[0]))),
        ("twice", CallSpec { to: vec![NUMBERS[0].into(); 2], ..Default::default() }),
        ("caller id", CallSpec { caller_id: format!("{}x", NUMBERS[1]), ..call_with_everything() }),
    ] {
        let error = explained(gateway.create("mobtexting", vec![call]).await);
        assert_error_is_silent(what, &error);
    }
    assert_eq!(stub.received().len(), 0);
    gateway.stop().await;
    stub.stop().await;
    assert_telemetry_is_silent().await;
}

#[tokio::test]
async fn who_must_not_be_called_is_told_to_nobody() {
    listen();
    let stub = Stub::start(|request| refuse(&request.path, &request.body)).await;
    let mut gateway = Gateway::start(&configuration(&stub.url())).await;
    suppressions::add(&gateway, &NUMBERS, "asked").await.unwrap();
    let error = explained(gateway.create("mobtexting", vec![call_with_everything()]).await);
    assert_eq!(error.info.reason, "SUPPRESSED");
    assert_error_is_silent("the refusal", &error);
    let wrong = [NUMBERS[0], &NUMBERS[1][..5], &format!("{}x", NUMBERS[2])];
    let error = explained(suppressions::add(&gateway, &wrong, NUMBERS[3]).await);
    assert_eq!(error.fields(), ["numbers[1]", "numbers[2]"]);
    assert_error_is_silent("the mistakes", &error);
    assert_eq!(stub.received().len(), 0);
    gateway.stop().await;
    stub.stop().await;
    assert_telemetry_is_silent().await;
}

#[tokio::test]
async fn a_failed_question_is_told_without_what_the_vendor_repeats() {
    listen();
    let stub = Stub::start(|request| match request.path.as_str() {
        "/outgoing/send" => Answer::json(200, r#"{"status":"OK","data":[{"id":"m-1"}]}"#),
        "/v2/call" if request.body.contains(FETCHED) => {
            Answer::json(200, format!(r#"{{"UniqueId":"{OAUTH_CALL}"}}"#))
        }
        "/v2/call" => Answer::json(200, r#"{"UniqueId":"k-1"}"#),
        path if path.starts_with("/outgoing/callstatus") => {
            Answer::json(500, format!(r#"{{"message":"{}"}}"#, indiscretion(&[MOBTEXTING])))
        }
        path => refuse(path, &request.body),
    })
    .await;
    let mut gateway = Gateway::start(&configuration(&stub.url())).await;
    for route in ["mobtexting", "knovvu", "knovvu-oauth"] {
        let mut placed = gateway.create(route, vec![call_with_everything()]).await.unwrap();
        let call = placed.calls.remove(0);
        assert_eq!(call.state(), CallState::Accepted, "{route}");
        let results = gateway.fresh(&[&call]).await;
        let warning =
            results.warnings.first().unwrap_or_else(|| panic!("{route} warns of nothing"));
        let text = String::from_utf8_lossy(&warning.encode_to_vec()).into_owned();
        assert!(text.contains('*'), "{route}: {text}");
        assert_silent(route, &text);
    }
    gateway.stop().await;
    stub.stop().await;
    assert_telemetry_is_silent().await;
}

#[test]
fn nothing_prints_what_it_holds() {
    let config = Config::parse(
        &format!("[server]\nlisten = \"127.0.0.1:0\"\n{}", configuration("https://vendor.test")),
        Path::new("."),
        &|_| None,
    )
    .unwrap();
    assert_silent("the configuration", &format!("{config:?} {config:#?}"));

    let number = |index: usize| NUMBERS[index].parse().unwrap();
    let order = call::Order {
        client_reference: None,
        to: vec![number(0)],
        caller_id: Some(NUMBERS[3].parse().unwrap()),
        script: None,
        variables: [("callback".to_owned(), NUMBERS[2].to_owned())].into(),
        start_time: None,
        expire_time: None,
        recipient: call::Recipient {
            name: NUMBERS[0].into(),
            email: format!("{}@x.test", NUMBERS[0]),
        },
        locale: None,
        retry: None,
        labels: [("desk".to_owned(), NUMBERS[1].to_owned())].into(),
    };
    assert_silent("an order", &format!("{order:?}"));

    let now = "2026-03-01T10:00:00Z".parse().unwrap();
    let token = dialplane::config::Secret::new(FETCHED);
    let context = Context { now, token: Some(&token) };
    let outgoing = Outgoing { id: call::CallId::generate(), dial: 0, order: &order };
    let placed = Placed {
        vendor_call_id: Some("v-1"),
        to: &order.to,
        script: None,
        create_time: now,
        retries: false,
    };
    assert_silent("an outgoing order", &format!("{outgoing:?} {context:?} {placed:?}"));
    for (name, vendor) in &config.vendors {
        let adapter = &vendor.adapter;
        let requests = [
            Some(adapter.place(&[outgoing], &context).unwrap()),
            adapter.ask(&[placed], &context),
            adapter.token_request(),
        ];
        for request in requests.into_iter().flatten() {
            assert_silent(name, &format!("{request:?} {:?}", request.headers));
            assert_silent(name, request.url.as_str());
        }
        let reply = HttpReply::json(200, indiscretion(&SECRETS));
        assert_silent(name, &format!("{reply:?}"));
        // An id is the vendor's to choose, and a placement that was taken has no more.
        let refused = adapter.read_placement(&[outgoing], &reply);
        assert!(refused.iter().all(|placement| matches!(placement, Placement::Fault(_))));
    }
}

#[test]
fn mistakes_of_configuration_are_told_without_secrets() {
    let right = configuration("https://vendor.test");
    for (what, from, to) in [
        ("too short", SECURITY_ID, &SECURITY_ID[..40]),
        ("not letters", SECURITY_ID, &format!("{}-", &SECURITY_ID[..63])),
        ("a key for a table", "oauth = {", &format!("oauth = \"{CLIENT_SECRET}\"\nx = {{")),
        (
            "a key twice",
            "access_token =",
            &format!("access_token = \"{MOBTEXTING}\"\naccess_token ="),
        ),
        ("an unknown key", "access_token =", "acess_token ="),
        ("no quotes", &format!("\"{KNOVVU}\""), KNOVVU),
        ("no end", &format!("\"{PASSWORD}\""), &format!("\"{PASSWORD}")),
        ("a number that is none", NUMBERS[3], &format!("{}x", NUMBERS[3])),
        (
            "a credential in an address",
            "https://vendor.test",
            &format!("https://u:{PASSWORD}@vendor.test"),
        ),
        (
            "a credential in a query",
            "https://vendor.test",
            &format!("https://vendor.test/?k={PASSWORD}"),
        ),
        (
            "a trace that is no boolean",
            "kind = \"phonon\"",
            &format!("kind = \"phonon\"\npropagate_trace = \"{PASSWORD}\""),
        ),
    ] {
        let wrong = format!("[server]\nlisten = \"127.0.0.1:0\"\n{}", right.replace(from, to));
        match Config::parse(&wrong, Path::new("."), &|_| None) {
            Err(problems) => assert_silent(what, &format!("{problems} {problems:?}")),
            Ok(config) => assert_silent(what, &format!("{config:?}")),
        }
    }
}
