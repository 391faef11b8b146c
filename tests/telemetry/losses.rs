//! Collectors that are not there, refuse, or never answer: calls don't notice.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use crate::{
    collector::Collector,
    house::{House, text},
    stub::Stub,
    traces::takes,
};

/// Where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn calls_do_not_wait_for_a_collector() {
    let stub = Stub::start(takes).await;
    // Takes connections, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs = silent.local_addr().unwrap().to_string();
    // A vendor is no collector: 404.
    let refuses = Stub::start(|_| crate::stub::Answer::text(404, "text/plain", "no")).await;
    for (endpoint, protocol) in [
        (nobody().await, "grpc"),
        (nobody().await, "http/protobuf"),
        (hangs.clone(), "grpc"),
        (hangs, "http/protobuf"),
        (refuses.address.to_string(), "http/protobuf"),
    ] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{endpoint}")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "300".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "1".to_owned()),
            ("OTEL_BSP_EXPORT_TIMEOUT", "400".to_owned()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "4".to_owned()),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2".to_owned()),
        ];
        let mut house = House::start(&text(stub.address, ""), &variables).await;
        for n in 0..20 {
            house.place("mobtexting", &format!("+9198123456{n:02}"), None).await.unwrap();
        }
        let told = house.line("spans are lost; calls are not affected").await;
        assert_eq!(told["level"], "WARN");
        let begun = Instant::now();
        assert!(house.end().await.success());
        // The last spans have 5 s, whatever happens.
        assert!(begun.elapsed() < Duration::from_secs(8), "{protocol} {:?}", begun.elapsed());
        let told = house.log().iter().filter(|line| line["failed"].is_u64()).count();
        assert_eq!(told, 1, "{protocol}");
    }
    stub.stop().await;
    refuses.stop().await;
}

#[tokio::test]
async fn wrong_variables_are_told_and_stop_nothing() {
    let (stub, collector) = (Stub::start(takes).await, Collector::grpc().await);
    for (wrong, message) in [
        (
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://canary"),
            "OTEL_EXPORTER_OTLP_ENDPOINT is no http or https address; nothing is exported",
        ),
        (
            ("OTEL_TRACES_SAMPLER_ARG", "canary"),
            "OTEL_TRACES_SAMPLER_ARG is no number from 0 to 1; all is recorded",
        ),
        (
            ("OTEL_BSP_MAX_QUEUE_SIZE", "canary"),
            "OTEL_BSP_MAX_QUEUE_SIZE is no number from 1 on; it is 2048",
        ),
    ] {
        let mut variables = collector.variables("grpc");
        variables.push(("OTEL_TRACES_SAMPLER", "traceidratio".to_owned()));
        variables.push((wrong.0, wrong.1.to_owned()));
        let mut house = House::start(&text(stub.address, ""), &variables).await;
        assert_eq!(house.line(message).await["level"], "WARN");
        house.place("mobtexting", "+919812345600", None).await.unwrap();
        assert!(house.end().await.success());
        assert!(!format!("{:?}", house.log()).contains("canary"));
    }
    stub.stop().await;
}
