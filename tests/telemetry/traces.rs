//! Spans, and how they are connected.

use std::collections::HashSet;

use dialplane::proto::{GetCallResultsRequest, WatchCallResultsRequest};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Request;

use crate::{
    collector::{Collector, attributes, id, of_kind},
    house::{CALLER, CALLERS_SPAN, CALLERS_TRACE, House, text},
    stub::{Answer, Received, Stub},
};

/// Takes every call.
pub fn takes(request: &Received) -> Answer {
    if request.path.starts_with("/outgoing/") {
        return Answer::json(200, r#"{"status":"OK","data":[{"id":"m-1"}]}"#);
    }
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    let calls = body["calls"].as_array().unwrap().iter().map(|call| {
        let own = call["client-identifier"].as_str().unwrap();
        format!(r#"{{"client-identifier":"{own}","phonon-uuid":"p-{own}"}}"#)
    });
    let calls = calls.collect::<Vec<_>>().join(",");
    Answer::json(
        200,
        format!(
            r#"{{"api-response-code":200,"api-response-message":"Success","request-id":"r","call-details":[{calls}]}}"#
        ),
    )
}

fn one(spans: &[Span], kind: SpanKind) -> &Span {
    let all = of_kind(spans, kind);
    assert_eq!(all.len(), 1, "{:?}", crate::collector::names(spans));
    all[0]
}

#[tokio::test]
async fn a_trace_goes_from_the_caller_to_the_vendor() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = match protocol {
            "grpc" => Collector::grpc().await,
            _ => Collector::http().await,
        };
        let stub = Stub::start(takes).await;
        let mut variables = collector.variables(protocol);
        variables.extend([
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret-of-the-collector".to_owned()),
            ("OTEL_SERVICE_NAME", "calls".to_owned()),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test".to_owned()),
        ]);
        let text = text(stub.address, "propagate_trace = true");
        let mut house = House::start(&text, &variables).await;
        house.place("mobtexting", "+919812345600", Some(CALLER)).await.unwrap();
        let spans = collector.until(|spans| spans.len() >= 4).await;
        assert!(house.end().await.success());

        assert!(spans.iter().all(|span| id(&span.trace_id) == CALLERS_TRACE));
        let (server, client) = (one(&spans, SpanKind::Server), one(&spans, SpanKind::Client));
        assert_eq!(server.name, "dialplane.v1.CallService/CreateCalls");
        assert_eq!(id(&server.parent_span_id), CALLERS_SPAN);
        let noted = attributes(server);
        assert_eq!(noted["rpc.system.name"], "grpc");
        assert_eq!(noted["rpc.method"], "dialplane.v1.CallService/CreateCalls");
        assert_eq!(noted["rpc.response.status_code"], "OK");
        assert_eq!(
            (noted["dialplane.calls"].as_str(), noted["client.address"].as_str()),
            ("1", "127.0.0.1")
        );

        assert_eq!((client.name.as_str(), &client.parent_span_id), ("POST", &server.span_id));
        let noted = attributes(client);
        for (key, value) in [
            ("http.request.method", "POST"),
            ("server.address", "127.0.0.1"),
            ("server.port", stub.address.port().to_string().as_str()),
            ("url.path", "/outgoing/send"),
            ("http.response.status_code", "200"),
            ("dialplane.vendor", "mobtexting"),
            ("dialplane.exchange", "place"),
            ("dialplane.calls", "1"),
        ] {
            assert_eq!(noted[key], value, "{key}");
        }
        let commits: Vec<_> = spans.iter().filter(|span| span.name == "ledger commit").collect();
        assert_eq!(commits.len(), 2);
        assert!(commits.iter().all(|span| span.parent_span_id == server.span_id));
        let inside = |span: &Span| {
            server.start_time_unix_nano <= span.start_time_unix_nano
                && span.start_time_unix_nano <= span.end_time_unix_nano
        };
        assert!(spans.iter().all(inside));

        let told = stub.received()[0].traceparent.clone().unwrap();
        assert_eq!(told, format!("00-{CALLERS_TRACE}-{}-01", id(&client.span_id)));
        let resource = collector.resource();
        assert_eq!(resource["service.name"], "calls");
        assert_eq!(resource["deployment.environment.name"], "test");
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert!(collector.keys().iter().all(|key| key == "secret-of-the-collector"));
        let log = format!("{:?}", house.log());
        assert!(!log.contains("secret-of-the-collector"));
        stub.stop().await;
    }
}

#[tokio::test]
async fn an_exchange_for_many_is_linked_to_all_of_them() {
    let collector = Collector::grpc().await;
    let stub = Stub::start(|request| {
        // Long enough for others to gather meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(100));
        takes(request)
    })
    .await;
    let mut house = House::start(&text(stub.address, ""), &collector.variables("grpc")).await;
    let place = |n: u32| {
        let house = &house;
        async move { house.place("phonon", &format!("+9198123456{n:02}"), None).await.unwrap() }
    };
    futures_util::future::join_all((0..24).map(place)).await;
    let is_rpc = |span: &&Span| span.kind() == SpanKind::Server;
    let spans = collector.until(|spans| spans.iter().filter(is_rpc).count() == 24).await;
    assert!(house.end().await.success());
    let rpcs: HashSet<_> = spans.iter().filter(is_rpc).map(|s| s.span_id.clone()).collect();
    let mut met = HashSet::new();
    for exchange in of_kind(&spans, SpanKind::Client) {
        let calls: usize = attributes(exchange)["dialplane.calls"].parse().unwrap();
        if calls == 1 {
            assert!(exchange.links.is_empty() && rpcs.contains(&exchange.parent_span_id));
            met.insert(exchange.parent_span_id.clone());
            continue;
        }
        assert!(exchange.parent_span_id.is_empty());
        assert_eq!(exchange.links.len(), calls);
        for link in &exchange.links {
            assert!(rpcs.contains(&link.span_id) && met.insert(link.span_id.clone()));
            // And back, from the trace of each.
            let back = spans
                .iter()
                .find(|span| span.name == "vendor exchange" && span.parent_span_id == link.span_id);
            let back = back.unwrap();
            assert_eq!(back.trace_id, link.trace_id);
            assert_eq!(back.links[0].span_id, exchange.span_id);
        }
    }
    assert_eq!(met, rpcs);
    assert!(stub.received().len() < 24, "none went together");
    assert!(stub.received().iter().all(|request| request.traceparent.is_none()));
    stub.stop().await;
}

#[tokio::test]
async fn questions_failures_and_streams_are_told() {
    let collector = Collector::http().await;
    let stub = Stub::start(|request| match request.path.as_str() {
        path if path.starts_with("/outgoing/callstatus") => Answer::json(503, "{}"),
        _ => takes(request),
    })
    .await;
    let variables = collector.variables("http/protobuf");
    let mut house = House::start(&text(stub.address, ""), &variables).await;
    let placed = house.place("mobtexting", "+919812345600", None).await.unwrap();
    let request = GetCallResultsRequest {
        call_ids: vec![placed.calls[0].call_id.clone()],
        max_staleness: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    house.client.clone().get_call_results(request).await.unwrap();
    house.place("nowhere", "+919812345600", None).await.unwrap_err();
    let mut watched = Request::new(WatchCallResultsRequest::default());
    watched.metadata_mut().insert("traceparent", CALLER.parse().unwrap());
    let stream = house.client.clone().watch_call_results(watched).await.unwrap();
    drop(stream);
    let is_over = |span: &Span| span.name.ends_with("WatchCallResults");
    let spans = collector.until(|spans| spans.iter().any(is_over)).await;
    assert!(house.end().await.success());

    let named = |name: &str| spans.iter().find(|s| s.name.ends_with(name)).unwrap();
    let asked = of_kind(&spans, SpanKind::Client).into_iter();
    let mut asked = asked.filter(|s| attributes(s)["dialplane.exchange"] == "ask");
    let asked = asked.next_back().unwrap();
    assert_eq!(asked.parent_span_id, named("GetCallResults").span_id);
    assert_eq!(attributes(asked)["error.type"], "503");
    assert_eq!(asked.status.as_ref().unwrap().code(), StatusCode::Error);
    let refused = of_kind(&spans, SpanKind::Server).into_iter();
    let refused: Vec<_> =
        refused.filter(|s| attributes(s)["rpc.response.status_code"] == "NOT_FOUND").collect();
    assert_eq!(attributes(refused[0])["dialplane.reason"], "ROUTE_NOT_FOUND");
    // A mistake of the caller is no error of the server.
    assert_ne!(refused[0].status.clone().unwrap_or_default().code(), StatusCode::Error);
    let watched = named("WatchCallResults");
    assert_eq!(id(&watched.trace_id), CALLERS_TRACE);
    assert_eq!(attributes(watched)["rpc.response.status_code"], "CANCELLED");
    stub.stop().await;
}

#[tokio::test]
async fn what_vendors_post_is_of_a_trace_of_ours() {
    let collector = Collector::grpc().await;
    let stub = Stub::start(takes).await;
    let mut house = House::start(&text(stub.address, ""), &collector.variables("grpc")).await;
    for (path, status) in
        [("mobtexting/path-token-of-the-webhook?number=919812345600", ""), ("nobody/x", "404")]
    {
        let mut wire = tokio::net::TcpStream::connect(house.callbacks).await.unwrap();
        let request = format!(
            "POST /callbacks/{path} HTTP/1.1\r\nhost: x\r\ntraceparent: {CALLER}\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        );
        wire.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        wire.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(status), "{answer}");
    }
    let spans = collector.until(|spans| spans.len() >= 2).await;
    assert!(house.end().await.success());
    assert!(spans.iter().all(|span| id(&span.trace_id) != CALLERS_TRACE));
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty()));
    let known = spans.iter().find(|s| s.name == "POST /callbacks/{vendor}/{token}").unwrap();
    assert_eq!(attributes(known)["dialplane.vendor"], "mobtexting");
    let unknown = spans.iter().find(|s| s.name == "POST").unwrap();
    assert_eq!(attributes(unknown)["http.response.status_code"], "404");
    let bytes = String::from_utf8_lossy(&collector.bytes()).into_owned();
    assert!(!bytes.contains("path-token") && !bytes.contains("9812345600"));
    stub.stop().await;
}
