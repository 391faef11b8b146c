//! Spans: what is recorded of a trace. Of one that is not sampled nothing is made, not even a
//! name.

use std::{
    borrow::Cow,
    sync::OnceLock,
    time::{Instant, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{Link, SpanId, SpanKind, Status, TraceId},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::{batch::Queue, sampler::Sampler, trace::Trace};

/// Links of one span: OpenTelemetry's own limit. An exchange may be for more RPCs than that.
const MAX_LINKS: usize = 128;

/// Records spans of this process. None as long as nobody wants them.
static RECORDER: OnceLock<Recorder> = OnceLock::new();

/// Where spans go, and which.
#[derive(Debug)]
pub struct Recorder {
    sampler: Sampler,
    queue: Queue,
    scope: InstrumentationScope,
}

impl Recorder {
    /// One that records what the sampler says.
    pub fn new(sampler: Sampler, queue: Queue) -> Self {
        let scope = InstrumentationScope::builder("dialplane")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Self { sampler, queue, scope }
    }

    /// Has it record all of this process. False if there is one already, which stays.
    pub fn install(self) -> bool {
        RECORDER.set(self).is_ok()
    }

    /// Whether a trace is recorded.
    pub(super) fn samples(&self, caller: Option<bool>, id: TraceId) -> bool {
        self.sampler.samples(caller, id)
    }
}

/// Who records, if anybody does.
pub(super) fn recorder() -> Option<&'static Recorder> {
    RECORDER.get()
}

/// A span under way. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    trace: Trace,
    /// None of a trace that is not recorded.
    open: Option<Box<Open>>,
}

#[derive(Debug)]
struct Open {
    data: SpanData,
    /// A clock that is set does not change how long something took.
    begun: Instant,
    recorder: &'static Recorder,
}

impl Span {
    /// Part of what is under way here: a child of the span of this place, or the first of a
    /// trace that has none.
    pub fn begin(kind: SpanKind, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        Self::under(&Trace::current(), kind, name)
    }

    /// The same of another place.
    pub fn under(parent: &Trace, kind: SpanKind, name: impl FnOnce() -> Cow<'static, str>) -> Self {
        match recorder() {
            Some(recorder) if parent.is_sampled() => {
                let place = (parent.span().unwrap_or(SpanId::INVALID), false);
                let mut span = Self::open(recorder, parent.next(), place, kind, name());
                span.link(parent.because());
                span
            }
            _ => Self { trace: parent.clone(), open: None },
        }
    }

    /// The span of a place of its own, whose caller is elsewhere, if there is one.
    pub fn serving(
        trace: Trace,
        caller: Option<&Trace>,
        name: impl FnOnce() -> Cow<'static, str>,
    ) -> Self {
        match recorder() {
            Some(recorder) if trace.is_sampled() => {
                let span = caller.and_then(Trace::span);
                let place = (span.unwrap_or(SpanId::INVALID), span.is_some());
                Self::open(recorder, trace, place, SpanKind::Server, name())
            }
            _ => Self { trace, open: None },
        }
    }

    /// Of what nobody wants to see.
    pub fn unrecorded(trace: Trace) -> Self {
        Self { trace, open: None }
    }

    fn open(
        recorder: &'static Recorder,
        trace: Trace,
        (parent_span_id, parent_span_is_remote): (SpanId, bool),
        span_kind: SpanKind,
        name: Cow<'static, str>,
    ) -> Self {
        let now = SystemTime::now();
        let data = SpanData {
            span_context: trace.context(false),
            parent_span_id,
            parent_span_is_remote,
            span_kind,
            name,
            start_time: now,
            end_time: now,
            attributes: Vec::with_capacity(10),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: recorder.scope.clone(),
        };
        Self { trace, open: Some(Box::new(Open { data, begun: Instant::now(), recorder })) }
    }

    /// Its place: what is part of it is there.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether anything that is noted is kept.
    pub fn is_recorded(&self) -> bool {
        self.open.is_some()
    }

    /// Notes something, if it is kept.
    pub fn note<V: Into<Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(open) = &mut self.open {
            open.data.attributes.push(KeyValue::new(key, value()));
        }
    }

    /// Notes that it failed, and by what kind of error.
    pub fn failed(&mut self, kind: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.open {
            let kind = kind.into();
            open.data.attributes.push(KeyValue::new("error.type", kind));
            open.data.status = Status::error("");
        }
    }

    /// Notes because of which others there is this one.
    pub fn link(&mut self, others: &[Trace]) {
        if let Some(open) = &mut self.open {
            let links = &mut open.data.links;
            let some = others.iter().take(MAX_LINKS);
            links.links.extend(some.map(|trace| Link::with_context(trace.context(false))));
            let left_out = others.len().saturating_sub(MAX_LINKS);
            links.dropped_count = u32::try_from(left_out).unwrap_or(u32::MAX);
        }
    }

    /// It began earlier.
    pub fn since(&mut self, begun: Instant) {
        if let Some(open) = &mut self.open {
            let now = SystemTime::now();
            open.data.start_time = now.checked_sub(begun.elapsed()).unwrap_or(now);
            open.begun = begun;
        }
    }
}

/// Notes that what is under way here has waited for something since then: in the trace of each
/// RPC it is for. `part_of` is what it waited for, if that has a trace of its own.
pub fn waited(what: &'static str, begun: Instant, part_of: Option<&Trace>) {
    if recorder().is_none() {
        return;
    }
    Trace::with_current(|here| {
        let places =
            if here.span().is_some() { std::slice::from_ref(here) } else { here.because() };
        for place in places.iter().filter(|place| place.is_sampled()) {
            let mut span = Span::under(place, SpanKind::Internal, || what.into());
            span.since(begun);
            if let Some(other) = part_of {
                span.link(std::slice::from_ref(other));
            }
        }
    });
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            let Open { mut data, begun, recorder } = *open;
            let end = data.start_time.checked_add(begun.elapsed());
            data.end_time = end.unwrap_or(data.start_time);
            recorder.queue.put(data);
        }
    }
}
