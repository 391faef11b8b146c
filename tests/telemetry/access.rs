//! The access log, and the trace ids by which an error is found in it.

use prost::Message;
use tonic_types::pb;

use crate::{
    collector::Collector,
    house::{CALLER, CALLERS_SPAN, CALLERS_TRACE, House, text},
    stub::Stub,
    traces::takes,
};

fn serving_data(error: &tonic::Status) -> (String, String) {
    let status = pb::Status::decode(error.details()).unwrap();
    let info = status.details.iter().find(|d| d.type_url.ends_with("/google.rpc.RequestInfo"));
    let info = pb::RequestInfo::decode(info.unwrap().value.as_slice()).unwrap();
    (info.request_id, info.serving_data)
}

#[tokio::test]
async fn every_rpc_has_a_line_with_its_trace() {
    let stub = Stub::start(takes).await;
    // Without a collector, and with one where nothing is sampled.
    let collector = Collector::grpc().await;
    let mut unsampled = collector.variables("grpc");
    unsampled.push(("OTEL_TRACES_SAMPLER", "always_off".to_owned()));
    for mut variables in [vec![], unsampled] {
        let exports = !variables.is_empty();
        variables.push(("RUST_LOG", "info,dialplane::access=debug".to_owned()));
        let mut house =
            House::start(&text(stub.address, "propagate_trace = true"), &variables).await;
        house.place("mobtexting", "+919812345600", Some(CALLER)).await.unwrap();
        let error = house.place("nowhere", "+919812345600", Some(CALLER)).await.unwrap_err();
        let (_, data) = serving_data(&error);
        assert_eq!(data, format!("trace_id={CALLERS_TRACE}"));
        let error = house.place("nowhere", "+919812345600", None).await.unwrap_err();
        let (request_id, data) = serving_data(&error);
        assert!(request_id.len() >= 36, "{request_id}");
        assert!(house.end().await.success());

        let log = house.log();
        let lines: Vec<_> = log.iter().filter(|l| l["target"] == "dialplane::access").collect();
        assert_eq!(lines.len(), 3, "{log:?}");
        for line in &lines {
            let level = if line["code"] == "OK" { "DEBUG" } else { "INFO" };
            assert_eq!(line["level"], level);
            assert_eq!(line["method"], "dialplane.v1.CallService/CreateCalls");
            assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
            assert_eq!(line["calls"], 1);
            assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
            assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
        }
        assert_eq!(
            (&lines[0]["code"], &lines[0]["trace_id"]),
            (&"OK".into(), &CALLERS_TRACE.into())
        );
        assert_eq!(lines[1]["reason"], "ROUTE_NOT_FOUND");
        assert_eq!(lines[1]["trace_id"], CALLERS_TRACE);
        let own = lines[2]["trace_id"].as_str().unwrap();
        assert_eq!(data, format!("trace_id={own}"));
        // The vendor is told where it comes from, and that nobody records it; or, where nothing is
        // recorded at all, what the caller said.
        let told = stub.received().last().unwrap().traceparent.clone().unwrap();
        match exports {
            false => assert_eq!(told, format!("00-{CALLERS_TRACE}-{CALLERS_SPAN}-01")),
            true => {
                assert!(told.starts_with(&format!("00-{CALLERS_TRACE}-")) && told.ends_with("-00"));
            }
        }
    }
    assert!(collector.spans().is_empty());
    stub.stop().await;
}

#[tokio::test]
async fn lines_can_be_turned_off() {
    let stub = Stub::start(takes).await;
    let variables = [("RUST_LOG", "info,dialplane::access=off".to_owned())];
    let mut house = House::start(&text(stub.address, ""), &variables).await;
    house.place("nowhere", "+919812345600", None).await.unwrap_err();
    assert!(house.end().await.success());
    let log = house.log();
    assert!(log.iter().all(|line| line["target"] != "dialplane::access"), "{log:?}");
    assert_eq!(log.last().unwrap()["message"], "stopped");
    stub.stop().await;
}

#[tokio::test]
async fn a_stranger_decides_nothing_about_traces() {
    let stub = Stub::start(takes).await;
    let collector = Collector::grpc().await;
    let mut variables = collector.variables("grpc");
    variables.push(("OTEL_TRACES_SAMPLER", "parentbased_always_off".to_owned()));
    let callers = "[callers.a]\ntoken = \"0123456789abcdef\"\n";
    let mut house = House::start(&(text(stub.address, "") + callers), &variables).await;
    house.place("mobtexting", "+919812345600", Some(CALLER)).await.unwrap_err();
    assert!(house.end().await.success());
    let log = house.log();
    let line = log.iter().find(|line| line["target"] == "dialplane::access").unwrap();
    assert_eq!(line["code"], "UNAUTHENTICATED");
    assert_ne!(line["trace_id"], CALLERS_TRACE);
    assert!(collector.spans().is_empty());
    stub.stop().await;
}
