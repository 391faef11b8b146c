//! What is told is what happened.

use std::time::Duration;

use dialplane::{
    proto::{CreateCallsRequest, GetCallResultsRequest, WatchCallResultsRequest},
    telemetry::metrics::{Kind, Method, TABLE},
};
use jiff::Timestamp;
use tonic::Code;

use crate::{
    harness::to,
    house::{House, ask},
    text,
};

#[tokio::test]
async fn what_happened_is_told() {
    let mut house = House::start().await;
    let before = house.scrape().await;
    // Answered; refused by the vendor; in doubt; refused, and taken by the next one.
    house.place("phonon-multicast", &["919900000100", "919900000200", "919900000300"]).await;
    house.place("mobtexting", &["919900000111"]).await;
    house.place("knovvu", &["919900000114"]).await;
    house.place("default", &["919900000111"]).await;
    let after = house.scrape().await;
    let calls = |vendor: &str, state: &str| {
        let labels = [("vendor", vendor), ("state", state)];
        after.sum("dialplane_call_transitions_total", &labels)
            - before.sum("dialplane_call_transitions_total", &labels)
    };
    assert_eq!(calls("phonon-multicast", "accepted"), 3.0);
    assert_eq!(calls("phonon-multicast", "dispatching"), 4.0);
    assert_eq!(calls("mobtexting", "failed"), 2.0);
    assert_eq!((calls("mobtexting", "scheduled"), calls("knovvu", "unconfirmed")), (1.0, 1.0));
    let told = |name: &str, labels: &[(&str, &str)]| after.sum(name, labels);
    let placed = |vendor: &str, result: &str| {
        let labels = [("vendor", vendor), ("kind", "place"), ("result", result)];
        after.sum("dialplane_vendor_exchanges_total", &labels)
    };
    assert_eq!(placed("phonon-multicast", "accepted"), 1.0);
    assert_eq!(placed("phonon-multicast", "refused"), 1.0);
    assert_eq!(placed("knovvu", "in_doubt"), 1.0);
    let failures = [("vendor", "mobtexting"), ("cause", "exhausted")];
    assert_eq!(told("dialplane_call_failures_total", &failures), 2.0);
    let moved = [("vendor", "phonon-multicast"), ("cause", "exhausted")];
    assert_eq!(told("dialplane_vendor_failovers_total", &moved), 1.0);
    let unconfirmed = [("vendor", "knovvu"), ("state", "unconfirmed")];
    assert_eq!(told("dialplane_calls_open", &unconfirmed), 1.0);
    let accepted = [("vendor", "phonon-multicast")];
    assert_eq!(told("dialplane_vendor_exchange_calls_count", &accepted), 2.0);
    assert_eq!(told("dialplane_vendor_exchange_calls_sum", &accepted), 4.0);
    assert_eq!(told("dialplane_requests_total", &[("outcome", "placed")]), 4.0);
    let create = "dialplane.v1.CallService/CreateCalls";
    for code in ["OK", "RESOURCE_EXHAUSTED"] {
        let ended = [("method", create), ("code", code)];
        assert_eq!(told("dialplane_rpcs_total", &ended), 2.0, "{code}");
    }
    assert_eq!(told("dialplane_rpc_duration_seconds_count", &[("method", create)]), 4.0);
    assert!(told("dialplane_ledger_commits_total", &[("result", "ok")]) >= 8.0);
    assert!(told("dialplane_ledger_file_bytes", &[("file", "database")]) > 0.0);
    assert!(told("dialplane_ledger_disk_free_bytes", &[]) > 0.0);
    assert_eq!(told("dialplane_ready", &[]), 1.0);
    let closed = [("vendor", "knovvu"), ("state", "closed")];
    assert_eq!(told("dialplane_vendor_breaker", &closed), 1.0);
    house.stop().await;
}

#[tokio::test]
async fn repetitions_and_refusals_are_told() {
    let mut house = House::start().await;
    let request = |number: &str| CreateCallsRequest {
        request_id: "once".into(),
        route: "phonon-multicast".into(),
        calls: vec![to(number)],
        ..Default::default()
    };
    for number in ["919900000100", "919900000100", "919900000200"] {
        let _ = house.client.create_calls(request(number)).await;
    }
    let scrape = house.scrape().await;
    for outcome in ["placed", "replayed", "request_id_reused"] {
        assert_eq!(
            scrape.sum("dialplane_requests_total", &[("outcome", outcome)]),
            1.0,
            "{outcome}"
        );
    }
    house.stop().await;
}

#[tokio::test]
async fn who_watches_and_who_posts_is_told() {
    let mut house = House::start().await;
    let watch = WatchCallResultsRequest { route: "mobtexting".into(), ..Default::default() };
    let mut changes = house.client.watch_call_results(watch).await.unwrap().into_inner();
    house.place("mobtexting", &["919900000100"]).await;
    let change = changes.message().await.unwrap().unwrap();
    let resumed = WatchCallResultsRequest { cursor: change.cursor, ..Default::default() };
    let mut again = house.client.watch_call_results(resumed).await.unwrap().into_inner();
    again.message().await.unwrap().unwrap();
    let callbacks = house.running.callbacks().unwrap();
    for (path, status) in [("/callbacks/mobtexting/wrong", 401), ("/callbacks/nobody", 404)] {
        let answer = ask(callbacks, reqwest::Method::POST, path, "").await;
        assert_eq!(answer.status, status, "{path}");
    }
    let scrape = house.scrape().await;
    assert_eq!(scrape.sum("dialplane_watch_streams_total", &[("start", "anew")]), 1.0);
    assert_eq!(scrape.sum("dialplane_watch_streams_total", &[("start", "resumed")]), 1.0);
    assert!(scrape.sum("dialplane_watch_changes_total", &[]) >= 2.0);
    let refused = [("vendor", "mobtexting"), ("outcome", "unauthentic")];
    assert_eq!(scrape.sum("dialplane_callback_deliveries_total", &refused), 1.0);
    for code in ["401", "404"] {
        assert_eq!(scrape.sum("dialplane_callback_responses_total", &[("code", code)]), 1.0);
    }
    drop((changes, again));
    house.stop().await;
}

#[tokio::test]
async fn every_metric_is_there_with_its_labels_and_only_rises_where_it_must() {
    let mut house = House::start().await;
    let metrics = house.running.gateway().metrics();
    metrics.certificate_expires("listen", Timestamp::UNIX_EPOCH);
    metrics.configuration_loaded(false, Timestamp::now());
    let method = Method::of("/dialplane.v1.CallService/CreateCalls");
    metrics.rpc_ended(method, Code::Unavailable, Duration::from_millis(3));
    house.place("phonon-multicast", &["919900000100"]).await;
    let before = house.scrape().await;
    house.place("phonon-multicast", &["919900000100"]).await;
    let answer = house.client.get_call_results(GetCallResultsRequest {
        client_references: vec!["nobody".into()],
        ..Default::default()
    });
    answer.await.unwrap();
    let after = house.scrape().await;
    for metric in TABLE {
        let name = metric.name;
        let family = &after.0[name];
        assert_eq!((family.kind.as_str(), family.help.as_str()), (metric.kind.name(), metric.help));
        // There is not one on every system.
        assert!(
            !family.samples.is_empty() || name == "process_max_fds" || name.contains("last_error"),
            "{name}"
        );
        let mut labels: Vec<_> = metric.labels.to_vec();
        labels.sort_unstable();
        for (sample, all) in family.samples.keys() {
            let own: Vec<_> = all.keys().map(String::as_str).filter(|l| *l != "le").collect();
            assert_eq!(own, labels, "{sample}");
        }
        if metric.kind == Kind::Gauge {
            continue;
        }
        for (series, value) in &before.0[name].samples {
            assert!(family.samples[series] >= *value, "{series:?}");
        }
    }
    assert_eq!(after.0.len(), TABLE.len());
    assert_eq!(after.sum("dialplane_configuration_last_load_successful", &[]), 0.0);
    let of_rpc = [("method", "dialplane.v1.CallService/CreateCalls"), ("code", "UNAVAILABLE")];
    assert_eq!(after.sum("dialplane_rpcs_total", &of_rpc), 1.0);
    house.stop().await;
}

#[tokio::test]
async fn nothing_of_a_call_is_in_it() {
    let mut house = House::start().await;
    house.place("phonon-multicast", &["919912345678"]).await;
    let answer = ask(house.admin(), reqwest::Method::GET, "/metrics", "").await;
    for secret in
        ["12345678", "sandbox-token", "a secret of ours", "t0ken", crate::harness::SECURITY_ID]
    {
        assert!(!answer.text.contains(secret), "{secret}");
    }
    house.stop().await;
}

#[tokio::test]
async fn both_formats_say_the_same() {
    let mut house = House::start().await;
    house.place("phonon-multicast", &["919900000100"]).await;
    let open = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let open = ask(house.admin(), reqwest::Method::GET, "/metrics", open).await;
    assert_eq!(open.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let plain = ask(house.admin(), reqwest::Method::GET, "/metrics", "text/plain").await;
    assert_eq!(plain.content_type, "text/plain; version=0.0.4; charset=utf-8");
    let (open, plain) = (text::read(&open.text, true), text::read(&plain.text, false));
    assert_eq!(open.len(), plain.len());
    for (name, family) in &plain {
        let same = &open[name.trim_end_matches("_total")];
        assert_eq!(same.kind, family.kind, "{name}");
        assert_eq!(same.samples.len(), family.samples.len(), "{name}");
    }
    house.stop().await;
}
