//! GetCallResults: selections, pages, freshness, and vendors that can't be asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use dialplane::proto::{CallSpec, CallState, GetCallResultsRequest};
use tonic::Code;

use crate::harness::{Answer, Explained, Gateway, Stub, to, with_sandbox};

fn request() -> GetCallResultsRequest {
    GetCallResultsRequest::default()
}

fn now() -> Option<prost_types::Duration> {
    Some(prost_types::Duration::default())
}

fn referenced(reference: &str, number: &str) -> CallSpec {
    CallSpec { client_reference: reference.into(), ..to(number) }
}

#[tokio::test]
async fn calls_are_found_by_id_by_request_and_by_reference() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let calls = vec![referenced("a", "+919900000101"), referenced("b", "+919900000202")];
    let first = gateway.create("knovvu", calls).await.unwrap();
    let second = gateway.create("knovvu", vec![referenced("a", "+919900000303")]).await.unwrap();
    let [a, b, again] = [&first.calls[0], &first.calls[1], &second.calls[0]];

    let ids = vec![
        b.call_id.clone(),
        "019aa5f0-5c1e-7b52-9d6c-2f1b6f1f0a01".into(),
        a.call_id.clone(),
        b.call_id.clone(),
    ];
    let by_id =
        gateway.results(GetCallResultsRequest { call_ids: ids, ..request() }).await.unwrap();
    let found: Vec<_> = by_id.calls.iter().map(|call| &call.call_id).collect();
    assert_eq!(found, [&b.call_id, &a.call_id]);
    assert_eq!(by_id.not_found, ["019aa5f0-5c1e-7b52-9d6c-2f1b6f1f0a01"]);

    let by_request = GetCallResultsRequest { request_id: first.request_id.clone(), ..request() };
    let by_request = gateway.results(by_request).await.unwrap();
    assert_eq!(by_request.calls, first.calls);
    assert!(by_request.not_found.is_empty() && by_request.next_page_token.is_empty());

    let references = ["b", "nobody", "a"].map(String::from).to_vec();
    let by_reference = GetCallResultsRequest { client_references: references, ..request() };
    let by_reference = gateway.results(by_reference).await.unwrap();
    let found: Vec<_> = by_reference.calls.iter().map(|call| &call.call_id).collect();
    assert_eq!(found, [&b.call_id, &a.call_id, &again.call_id]);
    assert_eq!(by_reference.not_found, ["nobody"]);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn pages_add_up_to_the_whole() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let calls =
        (0..250).map(|i| referenced(&format!("r{}", i), &format!("+9199{i:06}20"))).collect();
    let created = gateway.create("phonon-bulk", calls).await.unwrap();
    let ids: Vec<_> = created.calls.iter().map(|call| call.call_id.clone()).collect();
    let references: Vec<_> = (0..250).map(|i| format!("r{i}")).collect();
    for base in [
        GetCallResultsRequest { call_ids: ids.clone(), ..request() },
        GetCallResultsRequest { request_id: created.request_id.clone(), ..request() },
        GetCallResultsRequest { client_references: references, ..request() },
    ] {
        let mut seen = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = GetCallResultsRequest { page_size: 99, page_token, ..base.clone() };
            let page = gateway.results(page).await.unwrap();
            assert!(page.calls.len() <= 99);
            seen.extend(page.calls.into_iter().map(|call| call.call_id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, ids);
    }
    // No page_size means a hundred.
    let page = gateway.results(GetCallResultsRequest { call_ids: ids, ..request() }).await.unwrap();
    assert_eq!(page.calls.len(), 100);
    // A token is good for its own selection.
    let other = GetCallResultsRequest {
        request_id: "other".into(),
        page_token: page.next_page_token,
        ..request()
    };
    let error = Explained::of(&gateway.results(other).await.unwrap_err());
    assert_eq!(error.fields(), ["page_token"]);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_vendor_is_asked_when_what_is_known_is_too_old_and_only_then() {
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    let stub = Stub::start(move |request| match request.path.as_str() {
        "/v2/call" => Answer::json(200, r#"{"UniqueId":"u1"}"#),
        _ if ended.load(SeqCst) => {
            Answer::json(200, r#"{"CallResults":[{"UniqueId":"u1","CallState":"No Answer"}]}"#)
        }
        _ => Answer::json(200, r#"{"CallResults":[]}"#),
    })
    .await;
    let mut gateway = Gateway::start(&knovvu(&stub.url(), "")).await;
    let call = gateway.call("knovvu", "+919900000100").await.unwrap();
    let asked = || stub.received().iter().filter(|r| r.path == "/v2/callresult").count();
    let known = |max_staleness| GetCallResultsRequest {
        call_ids: vec![call.call_id.clone()],
        max_staleness,
        ..request()
    };
    // Known for less than the poll interval.
    gateway.results(known(None)).await.unwrap();
    assert_eq!(asked(), 0);
    let fresh = gateway.results(known(now())).await.unwrap();
    assert_eq!((asked(), fresh.calls[0].state()), (1, CallState::Accepted));
    assert_eq!(fresh.calls[0].revision, call.revision, "no news is no change");
    gateway.results(known(Some(prost_types::Duration { seconds: 60, nanos: 0 }))).await.unwrap();
    assert_eq!(asked(), 1);
    over.store(true, SeqCst);
    let ended = gateway.results(known(now())).await.unwrap();
    assert_eq!((asked(), ended.calls[0].state()), (2, CallState::NoAnswer));
    // Final: nothing to ask about any more.
    assert_eq!(gateway.results(known(now())).await.unwrap().calls, ended.calls);
    assert_eq!(asked(), 2);
    gateway.stop().await;
    stub.stop().await;
}

#[tokio::test]
async fn calls_are_asked_about_together_where_the_vendor_takes_it() {
    let (sandbox, mut gateway) = with_sandbox().await;
    for (route, questions) in [("phonon-multicast", 3), ("knovvu", 5), ("mobtexting", 220)] {
        let calls = (0..220).map(|i| to(&format!("+9199{i:06}01"))).collect();
        let created = gateway.create(route, calls).await.unwrap();
        let before = sandbox.log().len();
        let results = GetCallResultsRequest {
            request_id: created.request_id,
            page_size: 1_000,
            max_staleness: now(),
            ..request()
        };
        let results = gateway.results(results).await.unwrap();
        assert!(results.calls.iter().all(|call| call.state() == CallState::Busy), "{route}");
        assert_eq!(sandbox.log().len() - before, questions, "{route}");
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_vendor_that_cannot_be_asked_gives_a_warning() {
    let stub = Stub::start(|request| match request.path.as_str() {
        "/v2/call" => Answer::json(200, r#"{"UniqueId":"u1"}"#),
        _ => Answer::text(503, "text/plain", "down for maintenance"),
    })
    .await;
    let mut gateway = Gateway::start(&knovvu(&stub.url(), "")).await;
    let call = gateway.call("knovvu", "+919900000100").await.unwrap();
    let results = gateway.fresh(&[&call]).await;
    assert_eq!(results.calls, [call]);
    assert_eq!(results.warnings.len(), 1);
    let warning = Explained::read(&results.warnings[0]);
    assert_eq!(warning.code, Code::Unavailable);
    assert_eq!((warning.meta("vendor"), warning.meta("http_status")), ("knovvu", "503"));
    gateway.stop().await;
    stub.stop().await;
}

#[tokio::test]
async fn a_question_without_an_answer_puts_nothing_in_doubt() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // Takes the call, and hangs up on the question.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let vendor = tokio::spawn(async move {
        for body in [Some(r#"{"UniqueId":"u1"}"#), None] {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut read = vec![0; 64 * 1024];
            let _ = connection.read(&mut read).await.unwrap();
            if let Some(body) = body {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\n\r\n{body}",
                    body.len()
                );
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let mut gateway = Gateway::start(&knovvu(&url, "")).await;
    let call = gateway.call("knovvu", "+919900000100").await.unwrap();
    let results = gateway.fresh(&[&call]).await;
    assert_eq!(results.calls, [call]);
    let warning = Explained::read(&results.warnings[0]);
    assert_eq!((warning.code, warning.meta("dialed")), (Code::Unavailable, "no"));
    vendor.await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn a_vendor_that_is_too_slow_does_not_hold_up_the_answer() {
    let (sandbox, gateway) = with_sandbox().await;
    gateway.stop().await;
    sandbox.stop().await;
    // Accepts calls, and never answers a question.
    let held = Arc::new(tokio::sync::Notify::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let release = Arc::clone(&held);
    let task = tokio::spawn(async move {
        let mut connections = Vec::new();
        loop {
            tokio::select! {
                Ok((connection, _)) = listener.accept() => connections.push(connection),
                () = release.notified() => break,
            }
        }
    });
    let stub = Stub::start(|_| {
        Answer::json(200, r#"{"api-response-code":200,"api-response-message":"Success","request-id":"r","call-details":[{"phonon-uuid":"u1"}]}"#)
    })
    .await;
    let text = format!(
        "[vendors.phonon]\nkind = \"phonon\"\nproduct = \"outbound\"\nbase_url = \"{}\"\nsecurity_id = \"{}\"\n\
         flow_id = \"AbCd1234\"\nresults = {{ url = \"{silent}/results\", version = 2 }}\n\n\
         [routes.default]\nvendors = [\"phonon\"]\n",
        stub.url(),
        crate::harness::SECURITY_ID
    );
    let mut gateway = Gateway::start(&text).await;
    let call = gateway.call("", "+919900000100").await.unwrap();
    assert_eq!(call.state(), CallState::Accepted, "{call:?}");
    let mut query = tonic::Request::new(GetCallResultsRequest {
        call_ids: vec![call.call_id.clone()],
        max_staleness: now(),
        ..request()
    });
    query.set_timeout(Duration::from_millis(800));
    let results = gateway.client.get_call_results(query).await.unwrap().into_inner();
    assert_eq!(results.calls, [call]);
    assert_eq!(Explained::read(&results.warnings[0]).info.reason, "VENDOR_TOO_SLOW");
    held.notify_one();
    task.await.unwrap();
    gateway.stop().await;
    stub.stop().await;
}

#[tokio::test]
async fn a_short_lived_token_is_fetched_once_and_renewed_when_it_is_refused() {
    let valid = Arc::new(AtomicUsize::new(1));
    let issued = Arc::clone(&valid);
    let stub = Stub::start(move |request| {
        let current = issued.load(SeqCst);
        match request.path.as_str() {
            "/connect/token" => Answer::json(
                200,
                format!(r#"{{"access_token":"token-{current}","token_type":"Bearer","expires_in":86399}}"#),
            ),
            "/v2/call" if request.body.contains(&format!("token-{current}")) => {
                Answer::json(200, r#"{"UniqueId":4711}"#)
            }
            _ => Answer::json(401, "{}"),
        }
    })
    .await;
    let oauth = format!(
        "oauth = {{ identity_url = \"{}\", client_id = \"c\", client_secret = \"s\", scope = \"orchestrator_external\" }}",
        stub.url()
    );
    let mut gateway = Gateway::start(&knovvu(&stub.url(), &oauth)).await;
    for _ in 0..3 {
        let call = gateway.call("knovvu", "+919900000100").await.unwrap();
        assert_eq!((call.state(), call.vendor_call_id.as_str()), (CallState::Accepted, "4711"));
    }
    let count = |path: &str| stub.received().iter().filter(|r| r.path == path).count();
    assert_eq!((count("/connect/token"), count("/v2/call")), (1, 3));
    // The vendor forgets the token: refused once, renewed, taken.
    valid.store(2, SeqCst);
    let call = gateway.call("knovvu", "+919900000200").await.unwrap();
    assert_eq!(call.state(), CallState::Accepted);
    assert_eq!((count("/connect/token"), count("/v2/call")), (2, 5));
    gateway.stop().await;
    stub.stop().await;
}

#[tokio::test]
async fn a_refused_token_is_not_renewed_when_the_refusal_names_a_call() {
    let stub = Stub::start(|request| match request.path.as_str() {
        "/connect/token" => Answer::json(200, r#"{"access_token":"t","expires_in":86399}"#),
        _ => Answer::json(401, r#"{"UniqueId":"abc"}"#),
    })
    .await;
    let oauth = format!(
        "oauth = {{ identity_url = \"{}\", client_id = \"c\", client_secret = \"s\" }}",
        stub.url()
    );
    let mut gateway = Gateway::start(&knovvu(&stub.url(), &oauth)).await;
    let call = gateway.call("knovvu", "+919900000100").await.unwrap();
    assert_eq!(call.state(), CallState::Unconfirmed);
    let sent = stub.received().iter().filter(|r| r.path == "/v2/call").count();
    assert_eq!(sent, 1, "whoever may have dialled is not asked to dial again");
    gateway.stop().await;
    stub.stop().await;
}

/// One Knovvu account at a stub; without `auth` it has a token of its own.
fn knovvu(url: &str, auth: &str) -> String {
    let auth = if auth.is_empty() { "access_token = \"t\"" } else { auth };
    format!(
        "[vendors.knovvu]\nkind = \"knovvu\"\nbase_url = \"{url}\"\nproject = \"P\"\n{auth}\n\
         scenario_path = \"https://ivr.example.test/s\"\norchestrator_url = \"https://o.example.test\"\n\
         display_number = \"200\"\n\n[routes.knovvu]\nvendors = [\"knovvu\"]\n"
    )
}
