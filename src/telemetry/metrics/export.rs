//! Metrics as OTLP has them. Names are the same as in the text for Prometheus, so that whoever
//! moves from one to the other keeps dashboards and alerts.

use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};

use super::{
    snapshot::{Family, Sample, Snapshot, Value},
    table::Kind,
};

/// Cumulative: what is lost of one export is in the next.
const TEMPORALITY: i32 = AggregationTemporality::Cumulative as i32;

/// Since when is counted, and until when, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy)]
struct Span {
    begun: u64,
    now: u64,
}

/// Everything, as one request to a collector.
pub(super) fn request(
    snapshot: &Snapshot,
    resource: &opentelemetry_sdk::Resource,
    begun: SystemTime,
    now: SystemTime,
) -> ExportMetricsServiceRequest {
    let span = Span { begun: nanos(begun), now: nanos(now) };
    let told = snapshot.families().iter().filter(|family| !family.samples.is_empty());
    let scope = InstrumentationScope {
        name: "dialplane".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let metrics = ScopeMetrics {
        scope: Some(scope),
        metrics: told.map(|family| metric(family, span)).collect(),
        schema_url: String::new(),
    };
    let attributes = resource.iter().map(|(key, value)| attribute(key.as_str(), value.to_string()));
    let resource = Resource { attributes: attributes.collect(), ..Resource::default() };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![metrics],
            schema_url: String::new(),
        }],
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn attribute(key: &str, value: String) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value)) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn attributes(family: &Family, sample: &Sample) -> Vec<KeyValue> {
    let labels = family.metric.labels.iter().zip(&sample.labels);
    labels.map(|(name, value)| attribute(name, value.clone().into_owned())).collect()
}

fn metric(family: &Family, span: Span) -> Metric {
    let numbers = || family.samples.iter().filter_map(|sample| number(family, sample, span));
    let data = match family.metric.kind {
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers().collect() }),
        Kind::Counter => Data::Sum(Sum {
            data_points: numbers().collect(),
            aggregation_temporality: TEMPORALITY,
            is_monotonic: true,
        }),
        Kind::Histogram => Data::Histogram(Histogram {
            data_points: family.samples.iter().filter_map(|s| spread(family, s, span)).collect(),
            aggregation_temporality: TEMPORALITY,
        }),
    };
    Metric {
        name: family.metric.name.to_owned(),
        description: family.metric.help.to_owned(),
        unit: family.metric.unit.to_owned(),
        metadata: Vec::new(),
        data: Some(data),
    }
}

fn number(family: &Family, sample: &Sample, span: Span) -> Option<NumberDataPoint> {
    let Value::Number(value) = sample.value else { return None };
    Some(NumberDataPoint {
        attributes: attributes(family, sample),
        start_time_unix_nano: if family.metric.kind == Kind::Counter { span.begun } else { 0 },
        time_unix_nano: span.now,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    })
}

fn spread(family: &Family, sample: &Sample, span: Span) -> Option<HistogramDataPoint> {
    let Value::Spread(spread) = &sample.value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(family, sample),
        start_time_unix_nano: span.begun,
        time_unix_nano: span.now,
        count: spread.count(),
        sum: Some(spread.sum),
        bucket_counts: spread.counts.clone(),
        explicit_bounds: spread.bounds.clone(),
        ..HistogramDataPoint::default()
    })
}
