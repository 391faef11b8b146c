//! From spans that ended to an exporter: a bounded queue, and a task that empties it. Whatever
//! the exporter does, nobody waits for it but this task; what there is no room for is dropped,
//! and counted.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{sleep_until, timeout},
};

use super::otlp::Environment;

/// More spans than that wait for nobody, whatever is configured: each takes a kilobyte.
const MAX_QUEUE: usize = 1 << 20;
/// No span waits for longer, and no export, in milliseconds: an hour.
const LONGEST_DELAY: usize = 3_600_000;
/// How often at most it is told that spans are lost.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// `OTEL_BSP_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `OTEL_BSP_SCHEDULE_DELAY`: how long a span waits at most until it is sent.
    pub delay: Duration,
    /// `OTEL_BSP_EXPORT_TIMEOUT`: how long one export may take.
    pub export: Duration,
    /// `OTEL_BSP_MAX_QUEUE_SIZE`: spans that wait.
    pub queue: usize,
    /// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`: spans of one export.
    pub batch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            export: Duration::from_secs(30),
            queue: 2_048,
            batch: 512,
        }
    }
}

impl Limits {
    /// As the environment has them. What can't be read is told, and the default holds.
    pub fn read(environment: Environment<'_>, mistakes: &mut Vec<String>) -> Self {
        let mut number = |name: &str, default: usize, least: usize| {
            let Some(text) = environment(name) else { return default };
            let read = text.trim().parse().ok().filter(|number| *number >= least);
            if read.is_none() {
                mistakes.push(format!("{name} is no number from {least} on; it is {default}"));
            }
            read.unwrap_or(default)
        };
        let millis = |ms| Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX));
        let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1).min(MAX_QUEUE);
        Self {
            delay: millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 0).min(LONGEST_DELAY)),
            export: millis(number("OTEL_BSP_EXPORT_TIMEOUT", 30_000, 1).min(LONGEST_DELAY)),
            queue,
            batch: number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 1).min(queue),
        }
    }
}

/// What became of spans since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Taken by the collector.
    pub exported: u64,
    /// Never sent, for want of room.
    pub dropped: u64,
    /// Sent, perhaps, and not taken: the collector refused, failed, or did not answer.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// Where spans are put.
#[derive(Debug, Clone)]
pub struct Queue {
    waiting: mpsc::Sender<Box<SpanData>>,
    counts: Arc<Counts>,
}

impl Queue {
    /// Puts one in, or drops it: this never waits.
    pub(super) fn put(&self, span: SpanData) {
        if self.waiting.try_send(Box::new(span)).is_err() {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// What became of them so far.
    pub fn counts(&self) -> SpanCounts {
        let Counts { exported, dropped, failed } = &*self.counts;
        SpanCounts {
            exported: exported.load(Relaxed),
            dropped: dropped.load(Relaxed),
            failed: failed.load(Relaxed),
        }
    }
}

/// The task that empties the queue.
#[derive(Debug)]
pub struct Exporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    queue: Queue,
}

impl Exporting {
    /// Starts it, on this runtime.
    pub fn start(exporter: impl SpanExporter + 'static, limits: Limits) -> Self {
        let (waiting, taken) = mpsc::channel(limits.queue.max(1));
        let queue = Queue { waiting, counts: Arc::default() };
        let (stop, stopped) = oneshot::channel();
        let counts = Arc::clone(&queue.counts);
        let worker = Worker { exporter, limits, taken, counts, told: None };
        Self { stop, task: tokio::spawn(worker.run(stopped)), queue }
    }

    /// Where spans are put.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Sends what waits still, and ends; after so long what is left is given up.
    pub async fn end(self, longest: Duration) -> SpanCounts {
        let Self { stop, mut task, queue } = self;
        let _ = stop.send(());
        if timeout(longest, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("not all spans could be exported before the end");
        }
        queue.counts()
    }
}

struct Worker<E> {
    exporter: E,
    limits: Limits,
    taken: mpsc::Receiver<Box<SpanData>>,
    counts: Arc<Counts>,
    /// When it was last told that spans are lost, and how many were by then.
    told: Option<(Instant, u64)>,
}

impl<E: SpanExporter> Worker<E> {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::new();
        let mut ends = false;
        while !ends {
            ends = self.fill(&mut batch, &mut stopped).await;
            self.export(std::mem::take(&mut batch)).await;
        }
        self.taken.close();
        loop {
            while batch.len() < self.limits.batch
                && let Ok(span) = self.taken.try_recv()
            {
                batch.push(*span);
            }
            if batch.is_empty() {
                break;
            }
            self.export(std::mem::take(&mut batch)).await;
        }
        let _ = self.exporter.shutdown();
    }

    /// Gathers the next batch: until it is full, or the first of it has waited for long enough.
    /// Says whether it is the last.
    async fn fill(
        &mut self,
        batch: &mut Vec<SpanData>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> bool {
        let mut until = None;
        while batch.len() < self.limits.batch.max(1) {
            let late = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            select! {
                biased;
                _ = &mut *stopped => return true,
                span = self.taken.recv() => match span {
                    Some(span) => batch.push(*span),
                    None => return true,
                },
                () = late => return false,
            }
            until.get_or_insert_with(|| tokio::time::Instant::now() + self.limits.delay);
        }
        false
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let why = match timeout(self.limits.export, self.exporter.export(batch)).await {
            Ok(Ok(())) => {
                self.counts.exported.fetch_add(count, Relaxed);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the collector did not answer in time".to_owned()),
        };
        if why.is_some() {
            self.counts.failed.fetch_add(count, Relaxed);
        }
        self.tell(why);
    }

    /// Tells of losses, once in a while.
    fn tell(&mut self, why: Option<String>) {
        let (dropped, failed) =
            (self.counts.dropped.load(Relaxed), self.counts.failed.load(Relaxed));
        let lost = dropped + failed;
        let is_news =
            self.told.is_none_or(|(at, known)| lost > known && at.elapsed() >= TELL_EVERY);
        if lost == 0 || !is_news {
            return;
        }
        self.told = Some((Instant::now(), lost));
        let error = why.unwrap_or_else(|| "more spans end than are taken".to_owned());
        tracing::warn!(error, dropped, failed, "spans are lost; calls are not affected");
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{
        InstrumentationScope,
        trace::{SpanContext, SpanId, SpanKind, Status},
    };
    use opentelemetry_sdk::{
        error::{OTelSdkError, OTelSdkResult},
        trace::{SpanEvents, SpanLinks},
    };
    use tokio::sync::Semaphore;

    use super::*;

    /// Takes as many exports as it is let, and refuses those of an odd number of spans.
    #[derive(Debug, Clone)]
    struct Gate(Arc<Semaphore>, mpsc::UnboundedSender<usize>);

    impl SpanExporter for Gate {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.1.send(batch.len()).unwrap();
            self.0.acquire().await.unwrap().forget();
            match batch.len() % 2 {
                0 => Ok(()),
                _ => Err(OTelSdkError::InternalFailure("no".to_owned())),
            }
        }
    }

    fn span() -> SpanData {
        let now = std::time::SystemTime::now();
        SpanData {
            span_context: SpanContext::empty_context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "x".into(),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_no_room_for_is_dropped_and_counted() {
        let (told, mut exports) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(0));
        let limits = Limits { queue: 4, batch: 2, ..Limits::default() };
        let exporting = Exporting::start(Gate(Arc::clone(&gate), told), limits);
        let queue = exporting.queue().clone();
        let put = |count| (0..count).for_each(|_| queue.put(span()));
        put(2);
        assert_eq!(exports.recv().await, Some(2));
        // The collector hangs, and nobody waits for it.
        put(7);
        assert_eq!(queue.counts(), SpanCounts { dropped: 3, ..SpanCounts::default() });
        gate.add_permits(2);
        assert_eq!((exports.recv().await, exports.recv().await), (Some(2), Some(2)));
        gate.add_permits(1);
        // One alone goes when it has waited for long enough, and this collector refuses it.
        put(1);
        let before = tokio::time::Instant::now();
        assert_eq!(exports.recv().await, Some(1));
        assert!(before.elapsed() >= limits.delay);
        gate.add_permits(1);
        put(2);
        assert_eq!(exports.recv().await, Some(2));
        // It does not come to an end: that is failed, too.
        assert_eq!(
            exporting.end(limits.export * 2).await,
            SpanCounts { exported: 6, dropped: 3, failed: 3 }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_sends_what_waits_and_does_not_wait_for_ever() {
        for (permits, exported) in [(8, 6), (1, 2)] {
            let (told, _exports) = mpsc::unbounded_channel();
            let gate = Gate(Arc::new(Semaphore::new(permits)), told);
            let exporting = Exporting::start(gate, Limits { batch: 2, ..Limits::default() });
            (0..6).for_each(|_| exporting.queue().put(span()));
            let begun = tokio::time::Instant::now();
            let counts = exporting.end(Duration::from_secs(5)).await;
            assert_eq!(counts.exported, exported);
            assert!(begun.elapsed() <= Duration::from_secs(6));
        }
    }
}
