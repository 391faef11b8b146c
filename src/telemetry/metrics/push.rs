//! Pushes metrics to a collector every now and then, where the environment says so
//! (`OTEL_METRICS_EXPORTER`, `OTEL_EXPORTER_OTLP_*`, `OTEL_METRIC_EXPORT_INTERVAL`).
//!
//! It is one task that nobody waits for: a collector that is slow, refuses or is not there costs
//! an export, and nothing else. None is repeated, for the next one tells it all.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use opentelemetry_http::HttpClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
};
use opentelemetry_sdk::Resource;
use percent_encoding::percent_decode_str;
use prost::Message;
use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tonic::{metadata::MetadataMap, transport::Channel};

use super::{Metrics, Snapshot, export};
use crate::telemetry::otlp::{self, Environment, LinkError, Protocol, Signal, Target};

/// How often, if nothing else is said.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long one may take, if nothing else is said, the numbers' collection included.
const EXPORT: Duration = Duration::from_secs(30);

/// Gives all numbers as they are now.
pub type Measure = Box<dyn Fn() -> BoxFuture<'static, Snapshot> + Send + Sync>;

/// Exports under way.
#[derive(Debug)]
pub struct Push {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Push {
    /// Begins to export if the environment says where to. What is wrong with it is logged, and
    /// never keeps anything from starting. To be called where a runtime is.
    pub fn start(
        environment: Environment<'_>,
        metrics: Arc<Metrics>,
        measure: Measure,
    ) -> Option<Self> {
        let mut mistakes = Vec::new();
        let exporter = Exporter::read(environment, &mut mistakes);
        for mistake in mistakes {
            tracing::warn!("{mistake}");
        }
        let exporter = match exporter? {
            Ok(exporter) => exporter,
            Err(error) => {
                tracing::warn!(%error, "metrics are not exported");
                return None;
            }
        };
        tracing::info!(to = ?exporter.target, every = ?exporter.interval, "exporting metrics");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(exporter.run(metrics, measure, stopped));
        Some(Self { stop, task })
    }

    /// Tells the last of it, if that does not take long.
    pub async fn end(mut self, patience: Duration) {
        let _ = self.stop.send(());
        if timeout(patience, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// The way to a collector.
enum Way {
    Grpc(MetricsServiceClient<Channel>),
    Http(Box<dyn HttpClient>),
}

struct Exporter {
    target: Target,
    way: Way,
    headers: HeaderMap,
    resource: Resource,
    interval: Duration,
    limit: Duration,
}

/// Why an export did not arrive. Without what the other end said, which may hold anything.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the collector answered {0:?}")]
    Grpc(tonic::Code),
    #[error("the collector answered HTTP {0}")]
    Status(u16),
    #[error("there is no answer")]
    NoAnswer,
    #[error("it took too long")]
    TooLate,
}

/// Nothing takes longer, and no pause is: a time beyond it has no end that a clock knows.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

impl Exporter {
    fn read(
        environment: Environment<'_>,
        mistakes: &mut Vec<String>,
    ) -> Option<Result<Self, LinkError>> {
        let target = Target::read(Signal::Metrics, environment, mistakes)?;
        let mut time = |name: &str, fallback: Duration| {
            let Some(text) = environment(name) else { return fallback };
            match text.trim().parse().ok().filter(|ms| *ms > 0) {
                Some(ms) => Duration::from_millis(ms).min(LONGEST),
                None => {
                    mistakes
                        .push(format!("{name} is no number of milliseconds; it is {fallback:?}"));
                    fallback
                }
            }
        };
        let interval = time("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL);
        let limit = time("OTEL_METRIC_EXPORT_TIMEOUT", EXPORT);
        let temporality = environment("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE");
        if temporality.is_some_and(|text| !text.trim().eq_ignore_ascii_case("cumulative")) {
            mistakes.push("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE is not cumulative, and metrics are".to_owned());
        }
        let headers = ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
        let headers = headers.into_iter().find_map(|name| Some((name, environment(name)?)));
        let headers = headers.map_or_else(HeaderMap::new, |(name, text)| {
            read_headers(&text).unwrap_or_else(|| {
                mistakes
                    .push(format!("{name} is no list of headers (name=value,...); none is sent"));
                HeaderMap::new()
            })
        });
        let way = match target.protocol {
            Protocol::Grpc => target.channel().map(|c| Way::Grpc(MetricsServiceClient::new(c))),
            Protocol::Http => target.http_client().map(|post| Way::Http(Box::new(post))),
        };
        let resource = otlp::resource(environment);
        Some(way.map(|way| Self { target, way, headers, resource, interval, limit }))
    }

    async fn run(
        self,
        metrics: Arc<Metrics>,
        measure: Measure,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_failing, mut is_over) = (false, false);
        while !is_over {
            is_over = tokio::select! {
                biased;
                _ = &mut stopped => true,
                _ = ticks.tick() => false,
            };
            // Whoever stops waits as long as he likes; an export that hangs is not waited for.
            let export = timeout(self.limit, self.export(&metrics, &measure));
            let exported = match is_over {
                true => export.await,
                false => tokio::select! {
                    exported = export => exported,
                    _ = &mut stopped => {
                        is_over = true;
                        timeout(self.limit, self.export(&metrics, &measure)).await
                    }
                },
            };
            match exported.unwrap_or(Err(Lost::TooLate)) {
                Ok(()) => {
                    metrics.exports.one();
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("metrics are exported again");
                    }
                }
                Err(error) => {
                    metrics.exports_failed.one();
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, to = ?self.target, "metrics can't be exported");
                    }
                }
            }
        }
    }

    async fn export(&self, metrics: &Metrics, measure: &Measure) -> Result<(), Lost> {
        let snapshot = measure().await;
        let begun = SystemTime::from(metrics.begun());
        let request = export::request(&snapshot, &self.resource, begun, SystemTime::now());
        match &self.way {
            Way::Grpc(client) => {
                let mut call = tonic::Request::new(request);
                *call.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
                let exported = client.clone().export(call).await;
                exported.map(drop).map_err(|status| Lost::Grpc(status.code()))
            }
            Way::Http(client) => self.post(client.as_ref(), &request).await,
        }
    }

    async fn post(
        &self,
        client: &dyn HttpClient,
        request: &ExportMetricsServiceRequest,
    ) -> Result<(), Lost> {
        let body = Bytes::from(request.encode_to_vec());
        let request = hyper::Request::post(self.target.endpoint().as_str()).body(body);
        let mut request = request.map_err(|_| Lost::NoAnswer)?;
        *request.headers_mut() = self.headers.clone();
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(CONTENT_TYPE, protobuf);
        // Neither is the error told: it may name the address, in which there may be a credential.
        let answer = client.send_bytes(request).await.map_err(|_| Lost::NoAnswer)?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Lost::Status(status.as_u16())),
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("target", &self.target).finish_non_exhaustive()
    }
}

/// `name=value,name=value`, values percent-encoded. Their values are secrets, mostly.
fn read_headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let name = HeaderName::try_from(name.trim()).ok()?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::try_from(value.as_ref()).ok()?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_a_list() {
        let headers = read_headers("Authorization=Bearer%20x, a=b=c,,").unwrap();
        assert_eq!(headers.get("authorization").unwrap(), "Bearer x");
        assert_eq!(headers.get("a").unwrap(), "b=c");
        assert!(!format!("{headers:?}").contains("Bearer"));
        for wrong in ["a", "a b=c", "a=%ff", "a=x%0ay"] {
            assert!(read_headers(wrong).is_none(), "{wrong}");
        }
    }
}
