//! What the gateway tells its operator: log lines, and traces over OTLP.
//!
//! Spans are recorded without the SDK's tracer, which makes an object of each whether it is
//! sampled or not: what an RPC that is not sampled costs is its ids ([`Trace`]). What is recorded
//! is the SDK's [`SpanData`](opentelemetry_sdk::trace::SpanData), and its OTLP exporters send it.

use std::time::Duration;

use opentelemetry_sdk::trace::SpanExporter;
use tracing_subscriber::filter::LevelFilter;

mod batch;
mod lines;
mod logs;
pub mod metrics;
pub mod otlp;
mod sampler;
mod span;
mod trace;

pub use batch::{Exporting, Limits, Queue, SpanCounts};
pub use lines::{Lines, lines_lost};
pub use logs::{JsonLines, LogFormat, TextLines};
pub use sampler::Sampler;
pub use span::{Recorder, Span, span_counts, waited};
pub use trace::{Here, Trace, Traced, note_calls, noted_calls};

use otlp::{Environment, Signal, Target};

/// For how long an end waits for a collector that takes no spans.
const LAST_SPANS: Duration = Duration::from_secs(5);
/// For how long it waits for a reader of log lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What has to be ended in order, so that the last of it is told, too.
#[derive(Debug)]
pub struct Telemetry {
    lines: Option<Lines>,
    spans: Option<Exporting>,
}

/// Starts logging to the standard error stream. `RUST_LOG` chooses levels by module
/// (`info,dialplane::gateway=debug`); without it, `default` holds.
pub fn start(format: LogFormat, default: LevelFilter) -> Telemetry {
    Telemetry { lines: logs::start(format, default), spans: None }
}

impl Telemetry {
    /// Starts recording traces if the environment says where they go. To be called where a
    /// runtime is.
    pub fn record_traces(&mut self, environment: Environment<'_>) {
        let mut mistakes = Vec::new();
        let target = Target::read(Signal::Traces, environment, &mut mistakes);
        // Of what is not used nobody has to hear.
        let used = target.map(|target| {
            let name = environment("OTEL_TRACES_SAMPLER");
            let argument = environment("OTEL_TRACES_SAMPLER_ARG");
            let sampler = Sampler::read(name.as_deref(), argument.as_deref(), &mut mistakes);
            (target, sampler, Limits::read(environment, &mut mistakes))
        });
        for mistake in mistakes {
            tracing::warn!("{mistake}");
        }
        let Some((target, sampler, limits)) = used else { return };
        let mut exporter = match target.span_exporter() {
            Ok(exporter) => exporter,
            Err(error) => {
                tracing::warn!(%error, "traces are not exported");
                return;
            }
        };
        exporter.set_resource(&otlp::resource(environment));
        let exporting = Exporting::start(exporter, limits);
        if Recorder::new(sampler, exporting.queue().clone()).install() {
            tracing::info!(to = ?target, "exporting traces");
        }
        self.spans = Some(exporting);
    }

    /// The log lines, for who ends the process without an [`Telemetry::end`].
    pub fn last_lines(&self) -> LastLines {
        LastLines(self.lines.clone())
    }

    /// Sends and writes what waits still, within bounds.
    pub async fn end(self) {
        if let Some(spans) = self.spans {
            spans.end(LAST_SPANS).await;
        }
        LastLines(self.lines).write();
    }
}

/// Log lines that may not be written yet.
#[derive(Debug)]
pub struct LastLines(Option<Lines>);

impl LastLines {
    /// Waits until they are, for a second at most.
    pub fn write(&self) {
        if let Some(lines) = &self.0 {
            lines.flush(LAST_LINES);
        }
    }
}
