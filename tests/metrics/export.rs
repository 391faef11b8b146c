//! Metrics over OTLP: the same numbers under the same names, and nobody waits for a collector.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dialplane::telemetry::metrics::{Kind, Push, TABLE};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{Metric, metric::Data, number_data_point},
};

use crate::{collector, house::House};

fn push(house: &House, variables: &[(&str, String)]) -> Option<Push> {
    let look = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    };
    let gateway = house.running.gateway();
    Push::start(&look, Arc::clone(gateway.metrics()), gateway.measured())
}

fn text(value: &AnyValue) -> &str {
    let Some(any_value::Value::StringValue(text)) = &value.value else { panic!("no string") };
    text
}

fn attributes(list: &[KeyValue]) -> BTreeMap<&str, &str> {
    list.iter().map(|pair| (pair.key.as_str(), text(pair.value.as_ref().unwrap()))).collect()
}

fn check(request: &ExportMetricsServiceRequest) {
    let resource = &request.resource_metrics[0];
    let who = attributes(&resource.resource.as_ref().unwrap().attributes);
    assert_eq!(who["service.name"], "the tests'");
    let scope = &resource.scope_metrics[0];
    let metrics: BTreeMap<&str, &Metric> =
        scope.metrics.iter().map(|metric| (metric.name.as_str(), metric)).collect();
    assert_eq!(metrics.len(), scope.metrics.len());
    for (name, metric) in &metrics {
        let known = TABLE.iter().find(|known| known.name == *name).unwrap();
        assert_eq!((metric.unit.as_str(), metric.description.as_str()), (known.unit, known.help));
        match (known.kind, metric.data.as_ref().unwrap()) {
            (Kind::Counter, Data::Sum(sum)) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{name}");
                assert!(sum.data_points.iter().all(|p| p.start_time_unix_nano <= p.time_unix_nano));
            }
            (Kind::Gauge, Data::Gauge(_)) => {}
            (Kind::Histogram, Data::Histogram(spread)) => {
                assert_eq!(spread.aggregation_temporality, 2);
                for point in &spread.data_points {
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                }
            }
            (kind, data) => panic!("{name} is {kind:?} and {data:?}"),
        }
    }
    let Data::Sum(calls) = metrics["dialplane_call_transitions_total"].data.as_ref().unwrap()
    else {
        panic!("no sum");
    };
    let accepted = calls.data_points.iter().find(|point| {
        let labels = attributes(&point.attributes);
        labels["vendor"] == "phonon-multicast"
            && labels["route"] == "phonon-multicast"
            && labels["state"] == "accepted"
    });
    let value = accepted.unwrap().value;
    assert_eq!(value, Some(number_data_point::Value::AsDouble(1.0)));
}

#[tokio::test]
async fn a_collector_gets_what_is_told_in_text() {
    for protocol in ["grpc", "http/protobuf"] {
        let mut house = House::start().await;
        house.place("phonon-multicast", &["919900000100"]).await;
        let (address, mut came) = match protocol {
            "grpc" => collector::grpc().await,
            _ => collector::http(200).await,
        };
        let push = push(
            &house,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
                ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x".to_owned()),
                ("OTEL_METRIC_EXPORT_INTERVAL", "20".to_owned()),
                ("OTEL_SERVICE_NAME", "the tests'".to_owned()),
            ],
        );
        let (first, proof) = came.recv().await.unwrap();
        assert_eq!(proof, "Bearer x", "{protocol}");
        check(&first);
        // That it arrived is told by a later one.
        while house.scrape().await.sum("dialplane_metrics_exports_total", &[("result", "ok")]) < 2.0
        {
            came.recv().await.unwrap();
        }
        push.unwrap().end(Duration::from_secs(10)).await;
        house.stop().await;
    }
}

#[tokio::test]
async fn the_last_numbers_are_sent_at_the_end() {
    let mut house = House::start().await;
    let (address, mut came) = collector::http(200).await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("http://{address}/v1/metrics")),
        ("OTEL_SERVICE_NAME", "the tests'".to_owned()),
    ];
    let push = push(&house, &variables).unwrap();
    house.place("phonon-multicast", &["919900000100"]).await;
    push.end(Duration::from_secs(10)).await;
    check(&came.recv().await.unwrap().0);
    assert!(came.try_recv().is_err());
    house.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_unless_it_is_wanted() {
    let house = House::start().await;
    let (address, _came) = collector::http(200).await;
    let at = ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    assert!(push(&house, &[]).is_none());
    assert!(push(&house, &[("OTEL_METRICS_EXPORTER", "none".to_owned()), at.clone()]).is_none());
    assert!(push(&house, &[("OTEL_SDK_DISABLED", "true".to_owned()), at]).is_none());
    house.stop().await;
}

/// One that hangs, one that refuses, and one that is not there.
#[tokio::test]
async fn nobody_waits_for_a_collector() {
    let (refusing, _came) = collector::http(503).await;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = collector::silent().await;
    for (address, protocol) in
        [(silent, "grpc"), (silent, "http/protobuf"), (refusing, "http/protobuf"), (gone, "grpc")]
    {
        let mut house = House::start().await;
        let push = push(
            &house,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}")),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
                ("OTEL_METRIC_EXPORT_INTERVAL", "5".to_owned()),
                ("OTEL_METRIC_EXPORT_TIMEOUT", "100".to_owned()),
            ],
        );
        let failed = [("result", "failed")];
        while house.scrape().await.sum("dialplane_metrics_exports_total", &failed) < 2.0 {
            house.place("phonon-multicast", &["919900000100"]).await;
        }
        let scrape = house.scrape().await;
        assert_eq!(scrape.sum("dialplane_metrics_exports_total", &[("result", "ok")]), 0.0);
        let placed = scrape.sum("dialplane_requests_total", &[("outcome", "placed")]);
        let accepted = [("vendor", "phonon-multicast"), ("state", "accepted")];
        assert_eq!(scrape.sum("dialplane_call_transitions_total", &accepted), placed);
        let begun = Instant::now();
        push.unwrap().end(Duration::from_millis(50)).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{protocol}");
        house.stop().await;
    }
}
