//! Never twice, never lost: restarts, stops, repetitions and answers that are cut.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::SeqCst},
};

use dialplane::{
    call::{self, Order, Position, RequestId, Selector},
    cli::start,
    config::Config,
    gateway::{self, Clock, CreateOrder, Draft},
    ledger::Ledger,
    proto::{Call, CallSpec, CallState, CreateCallsRequest, GetCallResultsRequest},
    sandbox::{Options, Sandbox},
};
use prost::Message;
use tonic::Code;

use crate::{
    failing_ledger::Watched,
    harness::{Explained, Gateway, six_systems, to, with_sandbox},
};

/// A ledger on disk for as long as the test runs.
fn on_disk(directory: &tempfile::TempDir) -> (PathBuf, String) {
    let path = directory.path().join("calls.db");
    let text = format!("\n[ledger]\nurl = \"sqlite:{}\"\n", path.display());
    (path, text)
}

#[tokio::test]
async fn a_ledger_has_one_gateway_until_the_last_exchange_is_over() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (path, ledger) = on_disk(&directory);
    let text = format!("{}{ledger}", six_systems(&sandbox, "20s"));
    let gateway = Gateway::start(&text).await;
    let second = format!("[server]\nlisten = \"127.0.0.1:0\"\n{text}");
    let config = Config::parse(&second, Path::new("."), &|_| None).unwrap();
    let error = start(&config).await.expect_err("the ledger is taken").to_string();
    assert!(
        error.contains("another gateway uses it") && error.contains(&*path.to_string_lossy()),
        "{error}"
    );
    gateway.stop().await;
    start(&config).await.expect("the ledger is free again").stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_stop_leaves_what_waits_and_the_next_start_sends_it_once() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (_, ledger) = on_disk(&directory);
    let text = format!("{}{ledger}", six_systems(&sandbox, "1s"))
        .replace("kind = \"knovvu\"", "kind = \"knovvu\"\nmax_in_flight = 1");
    let gateway = Gateway::start(&text).await;
    // The first one holds the only turn until its vendor is given up on.
    let numbers: Vec<_> = ["+919900000014".to_owned()]
        .into_iter()
        .chain((0..30).map(|i| format!("+9199{i:06}20")))
        .collect();
    let request = CreateCallsRequest {
        request_id: "queue".into(),
        route: "knovvu".into(),
        calls: numbers.iter().map(|n| to(n)).collect(),
        ..Default::default()
    };
    let mut client = gateway.client.clone();
    let waiting = tokio::spawn(async move { client.create_calls(request).await });
    while sandbox.log().is_empty() {
        tokio::task::yield_now().await;
    }
    gateway.stop().await;
    let answer = waiting.await.unwrap().unwrap().into_inner();
    let states: Vec<_> = answer.calls.iter().map(Call::state).collect();
    assert_eq!(states[0], CallState::Unconfirmed);
    assert!(states[1..].iter().all(|state| *state == CallState::Scheduled), "{states:?}");
    assert_eq!(sandbox.dialed().len(), 1, "a stop sends nothing more");

    let mut gateway = Gateway::start(&text).await;
    assert_eq!(gateway.running.recovery().resumed, 30);
    let query = GetCallResultsRequest { request_id: "queue".into(), ..Default::default() };
    loop {
        let calls = gateway.results(query.clone()).await.unwrap().calls;
        if calls.iter().skip(1).all(|call| call.state() == CallState::Accepted) {
            break;
        }
        tokio::task::yield_now().await;
    }
    for number in &numbers {
        assert_eq!(sandbox.dials_of(number), 1, "{number}");
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_repetition_finds_its_answer_whatever_has_changed_since() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (_, ledger) = on_disk(&directory);
    let text = format!("{}{ledger}", six_systems(&sandbox, "20s"));
    let request = |route: &str| CreateCallsRequest {
        request_id: "R1".into(),
        route: route.into(),
        calls: vec![to("+919900000100")],
        ..Default::default()
    };
    let mut gateway = Gateway::start(&text).await;
    let first = gateway.send(request("knovvu")).await.unwrap();
    gateway.stop().await;
    // The route has another name now; the call was placed all the same.
    let mut gateway = Gateway::start(&text.replace("[routes.knovvu]", "[routes.turkey]")).await;
    let again = gateway.send(request("knovvu")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.calls, first.calls);
    let other = Explained::of(&gateway.send(request("turkey")).await.unwrap_err());
    assert_eq!(other.info.reason, "REQUEST_ID_REUSED");
    // Checking tells as well that the id is taken.
    let check = CreateCallsRequest { validate_only: true, ..request("turkey") };
    let error = Explained::of(&gateway.send(check).await.unwrap_err());
    assert_eq!(error.info.reason, "REQUEST_ID_REUSED");
    assert_eq!(sandbox.dialed().len(), 1);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_page_that_is_cut_loses_no_call_and_no_id_without_one() {
    let (sandbox, mut gateway) = with_sandbox().await;
    // Calls of about 10 KB each: some 400 of them fit into an answer.
    let labels: std::collections::BTreeMap<_, _> =
        (0..31).map(|i| (format!("label-{i:02}"), "ß".repeat(150))).collect();
    let mut references = Vec::new();
    for round in 0..2 {
        let calls = (0..300)
            .map(|i| CallSpec {
                client_reference: format!("r{round}-{i}"),
                labels: labels.clone(),
                ..to(&format!("+9199{i:06}20"))
            })
            .collect();
        gateway.create("phonon-bulk", calls).await.unwrap();
        references.push(format!("missing-{round}"));
        references.extend((0..300).map(|i| format!("r{round}-{i}")));
    }
    // As long as a reference may be: they take their part of an answer.
    references.extend((0..390).map(|i| format!("{i:03}{}", "😀".repeat(125))));
    let (mut seen, mut missing, mut pages) = (0, Vec::new(), 0);
    let mut page_token = String::new();
    loop {
        let query = GetCallResultsRequest {
            client_references: references.clone(),
            page_size: 5_000,
            page_token,
            ..Default::default()
        };
        let page = gateway.results(query).await.unwrap();
        assert!(page.encoded_len() < 4 * 1024 * 1024);
        seen += page.calls.len();
        missing.extend(page.not_found);
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(pages > 1);
    assert_eq!((seen, missing.len()), (600, 392));
    assert_eq!(missing[..2], ["missing-0", "missing-1"]);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn trailers_fit_into_what_common_clients_take() {
    let (sandbox, mut gateway) = with_sandbox().await;
    for wrong in [1, 2, 30, 60, 500] {
        for text in ["x", "नमस्ते", "😀😀😀😀"] {
            let label = (text.repeat(300), String::new());
            let spec = CallSpec { labels: [label].into(), ..to("+919900000100") };
            let calls = vec![spec; wrong];
            let status = gateway.create("knovvu", calls).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            let message: usize = status
                .message()
                .bytes()
                .map(|b| if matches!(b, b' '..=b'~') { 1 } else { 3 })
                .sum();
            let trailers = status.details().len().div_ceil(3) * 4 + message;
            // Names and values of these two, of grpc-status and of the pushback, 32 bytes more
            // for each.
            assert!(trailers + 320 < 8_192, "{wrong} x {text}: {trailers}");
            assert!(!Explained::of(&status).packed().calls.is_empty(), "{wrong} x {text}");
        }
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_a_vendor_answered_is_kept_until_a_failing_ledger_takes_it() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let text = six_systems(&sandbox, "20s")
        .replace("kind = \"knovvu\"", "kind = \"knovvu\"\nmax_in_flight = 1");
    let config = Config::parse(&text, Path::new("."), &|_| None).unwrap();
    let ledger = Arc::new(Watched::new());
    ledger.failures.store(7, SeqCst);
    let gateway =
        gateway::Gateway::new(&config, Arc::clone(&ledger) as Arc<dyn Ledger>, Clock::system())
            .unwrap();
    let numbers: Vec<_> = (0..4).map(|i| format!("9199{i:06}20")).collect();
    let draft = |number: &String| Draft {
        order: Order {
            client_reference: None,
            to: vec![number.parse().unwrap()],
            caller_id: None,
            script: None,
            variables: Default::default(),
            start_time: None,
            expire_time: None,
            recipient: Default::default(),
            locale: None,
            retry: None,
            labels: Default::default(),
        },
        violations: Vec::new(),
    };
    let prepared = gateway
        .prepare(CreateOrder {
            request_id: RequestId::generate(),
            fingerprint: dialplane::call::Fingerprint { digest: [0; 32], fields: Vec::new() },
            route: "knovvu".to_owned(),
            drafts: numbers.iter().map(draft).collect(),
            all_or_nothing: false,
        })
        .await
        .unwrap();
    let created = gateway.create(prepared).await.unwrap();
    assert_eq!(ledger.failures.load(SeqCst), 0, "the ledger did fail");
    for call in created.calls.iter() {
        assert_eq!(call.state, call::CallState::Accepted);
        assert!(call.vendor_call_id.is_some());
    }
    let selector = Selector::Calls(created.calls.iter().map(|call| call.id).collect());
    let start = Position { entries: 0, within: None };
    let recorded = ledger.page(&selector, start, 10).await.unwrap();
    assert!(recorded.calls.iter().map(|(call, _)| call).eq(created.calls.iter()));
    assert!(numbers.iter().all(|number| sandbox.dials_of(number) == 1));
    gateway.stop();
    gateway.drained().await;
    sandbox.stop().await;
}
