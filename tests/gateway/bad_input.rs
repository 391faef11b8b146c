//! What callers may get wrong, each with its own error, and nothing sent.

use dialplane::proto::{
    CallSpec, CallState, CreateCallsRequest, GetCallResultsRequest, RetryPolicy, call_spec::Script,
};
use prost::Message;
use tonic::Code;
use tonic_types::pb;

use crate::harness::{Explained, to, with_sandbox};

#[tokio::test]
async fn mistakes_in_the_request_itself_place_nothing() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let call = to("+919900000100");
    let cases = [
        (CreateCallsRequest { route: "knovvu".into(), ..Default::default() }, vec!["calls"]),
        (
            CreateCallsRequest { calls: vec![call.clone(); 5_001], ..Default::default() },
            vec!["calls"],
        ),
        (
            CreateCallsRequest {
                request_id: "r".repeat(129),
                calls: vec![call.clone()],
                ..Default::default()
            },
            vec!["request_id"],
        ),
        (
            CreateCallsRequest { request_id: "two words".into(), ..Default::default() },
            vec!["request_id", "calls"],
        ),
    ];
    for (request, fields) in cases {
        let error = Explained::of(&gateway.send(request).await.unwrap_err());
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!((error.info.domain.as_str(), error.meta("dialed")), ("dialplane", "no"));
        assert_eq!(error.fields(), fields, "{error:?}");
    }
    let status = gateway.create("nowhere", vec![call]).await.unwrap_err();
    let error = Explained::of(&status);
    assert_eq!((error.code, error.info.reason.as_str()), (Code::NotFound, "ROUTE_NOT_FOUND"));
    let resource: pb::ResourceInfo = error.detail("google.rpc.ResourceInfo").unwrap();
    assert_eq!(
        (resource.resource_type.as_str(), resource.resource_name.as_str()),
        ("route", "nowhere")
    );
    assert!(error.message.contains("knovvu"), "names the routes there are: {}", error.message);
    assert!(sandbox.log().is_empty());
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_wrong_call_fails_alone_with_its_path() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let reference = |text: &str| CallSpec { client_reference: text.into(), ..to("+919900000100") };
    let calls = vec![
        reference("a"),
        CallSpec { to: vec!["+919900000200".into(), "0123".into()], ..Default::default() },
        reference("a"),
        reference(&"r".repeat(129)),
        CallSpec::default(),
        to("+919900000300"),
    ];
    let response = gateway.create("phonon-multicast", calls).await.unwrap();
    let states: Vec<_> = response.calls.iter().map(dialplane::proto::Call::state).collect();
    use CallState::{Accepted, Failed};
    assert_eq!(states, [Accepted, Failed, Failed, Failed, Failed, Accepted]);
    for (i, field) in [
        (1, "calls[1].to[1]"),
        (2, "calls[2].client_reference"),
        (3, "calls[3].client_reference"),
        (4, "calls[4].to"),
    ] {
        let error = Explained::of_call(&response.calls[i]);
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!(error.fields(), [field]);
        assert_eq!((error.info.domain.as_str(), error.meta("dialed")), ("dialplane", "no"));
        assert!(!response.calls[i].call_id.is_empty());
    }
    assert_eq!(sandbox.dialed().len(), 2);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn all_or_nothing_refuses_all_for_one() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let request = CreateCallsRequest {
        route: "phonon-multicast".into(),
        calls: vec![to("+919900000100"), to("0800"), to("+919900000200"), to("x")],
        all_or_nothing: true,
        ..Default::default()
    };
    let error = Explained::of(&gateway.send(request).await.unwrap_err());
    assert_eq!((error.code, error.info.reason.as_str()), (Code::InvalidArgument, "INVALID_CALL"));
    assert_eq!(error.fields(), ["calls[1].to[0]", "calls[3].to[0]"]);
    let packed = error.packed();
    assert_eq!(packed.calls.len(), 4);
    let codes: Vec<_> = packed.calls.iter().map(|call| Explained::of_call(call).code).collect();
    assert_eq!(codes, [Code::Aborted, Code::InvalidArgument, Code::Aborted, Code::InvalidArgument]);
    assert!(sandbox.log().is_empty());
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn validate_only_shows_what_is_wrong_and_leaves_no_trace() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let request = CreateCallsRequest {
        request_id: "validate-1".into(),
        route: "phonon-multicast".into(),
        calls: vec![to("+919900000100"), to("0800")],
        validate_only: true,
        ..Default::default()
    };
    let response = gateway.send(request.clone()).await.unwrap();
    assert!(
        response.calls.iter().all(|call| call.call_id.is_empty() && call.request_id.is_empty())
    );
    assert!(response.calls[0].error.is_none());
    assert_eq!(Explained::of_call(&response.calls[1]).fields(), ["calls[1].to[0]"]);
    let query = GetCallResultsRequest { request_id: "validate-1".into(), ..Default::default() };
    assert_eq!(gateway.results(query).await.unwrap().not_found, ["validate-1"]);
    assert!(sandbox.log().is_empty());
    // The id is still free.
    let real = CreateCallsRequest { validate_only: false, ..request };
    assert!(!gateway.send(real).await.unwrap().replayed);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_a_vendor_cannot_do_is_refused_before_anything_is_sent() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let audio = Some(Script::Audio("https://cdn.example.test/a.mp3".into()));
    let interval = |seconds| {
        Some(RetryPolicy {
            interval: Some(prost_types::Duration { seconds, nanos: 0 }),
            max_attempts: 0,
        })
    };
    let number = || to("+919900000100");
    let two = vec!["+919900000100".to_owned(), "+919900000200".to_owned()];
    let cases = [
        (
            "phonon-multicast",
            CallSpec { script: audio.clone(), ..number() },
            "audio",
            Code::Unimplemented,
        ),
        ("knovvu", CallSpec { script: audio, ..number() }, "audio", Code::Unimplemented),
        (
            "phonon-dialer",
            CallSpec { caller_id: "918000000001".into(), ..number() },
            "caller_id",
            Code::Unimplemented,
        ),
        ("knovvu", CallSpec { to: two.clone(), ..number() }, "to", Code::Unimplemented),
        ("mobtexting", CallSpec { to: two, ..number() }, "to", Code::Unimplemented),
        (
            "mobtexting",
            CallSpec { retry: interval(420), ..number() },
            "retry.interval",
            Code::InvalidArgument,
        ),
        (
            "phonon-multicast",
            CallSpec { script: Some(Script::Flow("x".into())), ..number() },
            "flow",
            Code::InvalidArgument,
        ),
    ];
    for (route, spec, field, code) in cases {
        let error = Explained::of(&gateway.create(route, vec![spec]).await.unwrap_err());
        assert_eq!(error.code, code, "{route} {field}: {error:?}");
        assert!(
            error.fields()[0].starts_with(&format!("calls[0].{field}")),
            "{route}: {:?}",
            error.fields()
        );
        assert_eq!((error.info.domain.as_str(), error.meta("dialed")), ("dialplane", "no"));
    }
    assert!(sandbox.log().is_empty());
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn five_thousand_calls_are_answered_whatever_becomes_of_them() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let spec = |i: usize, digits: &str| CallSpec {
        client_reference: format!("019aa5f0-5c1e-7b52-9d6c-{i:012}"),
        ..to(&format!("+9199{i:06}{digits}"))
    };
    // All accepted, with both of the vendor's ids.
    let calls: Vec<_> = (0..5_000).map(|i| spec(i, "20")).collect();
    let response = gateway.create("phonon-multicast", calls).await.unwrap();
    assert!(response.calls.iter().all(|call| call.state() == CallState::Accepted));
    assert!(response.encoded_len() < 4 * 1024 * 1024);
    // One accepted, all others refused by the vendor, each with its error.
    let mut calls: Vec<_> = (0..4_500).map(|i| spec(i, "11")).collect();
    calls.extend((4_500..5_000).map(|i| spec(i, "20")));
    let response = gateway.create("phonon-multicast", calls).await.unwrap();
    assert!(response.encoded_len() < 4 * 1024 * 1024);
    let failed = response.calls.iter().filter(|call| call.state() == CallState::Failed).count();
    assert_eq!(failed, 4_500);
    assert_eq!(Explained::of_call(&response.calls[0]).meta("vendor_code"), "212");
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn an_answer_that_could_pass_four_mebibytes_is_refused_before_anything_is_sent() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let labels: std::collections::BTreeMap<_, _> =
        (0..3).map(|i| (format!("label-{i}"), "x".repeat(220))).collect();
    let calls: Vec<_> = (0..5_000)
        .map(|i| CallSpec { labels: labels.clone(), ..to(&format!("+9199{i:06}20")) })
        .collect();
    let error =
        Explained::of(&gateway.create("phonon-multicast", calls.clone()).await.unwrap_err());
    assert_eq!(
        (error.code, error.info.reason.as_str()),
        (Code::InvalidArgument, "ANSWER_TOO_LARGE")
    );
    assert_eq!(error.fields(), ["calls"]);
    assert!(sandbox.log().is_empty());
    // What the error says would fit does fit.
    let fitting: usize = error
        .message
        .split_whitespace()
        .find_map(|word| word.parse().ok().filter(|n| *n > 4))
        .unwrap();
    let calls = calls.into_iter().take(fitting).collect();
    let response = gateway.create("phonon-multicast", calls).await.unwrap();
    assert!(response.encoded_len() < 4 * 1024 * 1024);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn details_stay_below_six_kibibytes_and_the_rest_can_be_asked_for() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let labels = [("key".repeat(20), "x".repeat(256))];
    let calls: Vec<_> = (0..500)
        .map(|i| CallSpec { labels: labels.clone().into(), ..to(&format!("not a number {i}")) })
        .collect();
    let status = gateway.create("knovvu", calls).await.unwrap_err();
    assert!(status.details().len() < 6 * 1024, "{}", status.details().len());
    let error = Explained::of(&status);
    assert!(error.size < 6 * 1024 && error.message.len() < 512);
    assert!(error.fields().len() > 5 && error.fields()[0] == "calls[0].to[0]");
    let packed = error.packed();
    assert!(packed.calls.len() >= 2 && packed.calls.len() < 500);
    let request_id = error.meta("request_id").to_owned();
    let mut seen = 0;
    let mut page_token = String::new();
    loop {
        let query = GetCallResultsRequest {
            request_id: request_id.clone(),
            page_size: 200,
            page_token,
            ..Default::default()
        };
        let page = gateway.results(query).await.unwrap();
        seen += page.calls.len();
        assert!(page.calls.iter().all(|call| call.error.is_some() && !call.labels.is_empty()));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, 500);
    assert!(sandbox.log().is_empty());
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_call_whose_time_has_passed_is_never_dialled() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let past = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 });
    let calls = vec![CallSpec { expire_time: past, ..to("+919900000100") }, to("+919900000200")];
    let response = gateway.create("knovvu", calls).await.unwrap();
    let states: Vec<_> = response.calls.iter().map(dialplane::proto::Call::state).collect();
    assert_eq!(states, [CallState::Expired, CallState::Accepted]);
    assert_eq!(sandbox.dialed().len(), 1);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn selections_are_checked() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let request = GetCallResultsRequest::default;
    let id = "019aa5f0-5c1e-7b52-9d6c-2f1b6f1f0a01".to_owned();
    let cases = [
        (request(), vec!["call_ids"]),
        (
            GetCallResultsRequest { call_ids: vec![id.clone(), "x".into()], ..request() },
            vec!["call_ids[1]"],
        ),
        (
            GetCallResultsRequest {
                call_ids: vec![id.clone()],
                request_id: "r".into(),
                ..request()
            },
            vec!["request_id"],
        ),
        (
            GetCallResultsRequest { client_references: vec![String::new()], ..request() },
            vec!["client_references[0]"],
        ),
        (
            GetCallResultsRequest { call_ids: vec![id.clone(); 1_001], ..request() },
            vec!["call_ids"],
        ),
        (
            GetCallResultsRequest { request_id: "r".into(), page_size: -1, ..request() },
            vec!["page_size"],
        ),
        (
            GetCallResultsRequest { request_id: "r".into(), page_token: "x".into(), ..request() },
            vec!["page_token"],
        ),
        (
            GetCallResultsRequest {
                request_id: "r".into(),
                max_staleness: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
                ..request()
            },
            vec!["max_staleness"],
        ),
    ];
    for (request, fields) in cases {
        let error = Explained::of(&gateway.results(request).await.unwrap_err());
        assert_eq!(error.code, Code::InvalidArgument);
        assert_eq!(error.fields(), fields, "{error:?}");
    }
    gateway.stop().await;
    sandbox.stop().await;
}
