//! Which trace something belongs to: what W3C's `traceparent` says, and the scope in which
//! everything that is logged or recorded belongs to it.
//!
//! It travels in a task-local, which a spawned task does not inherit: who spawns says whose
//! trace the task is ([`Traced::within`]), and what waits in a lane keeps that of its RPC.

use std::{cell::Cell, fmt, future::Future, str::FromStr, sync::Arc};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tokio::task::futures::TaskLocalFuture;

use super::span::recorder;

/// The longest `tracestate` that is passed on, in bytes: what W3C asks for at least.
const MAX_STATE_BYTES: usize = 512;

/// A place in a trace. Small, and cheap to clone: nothing is allocated for it but a caller's
/// `tracestate`, which few send.
#[derive(Clone)]
pub struct Trace {
    id: TraceId,
    /// Invalid in a trace that has no span yet.
    span: SpanId,
    sampled: bool,
    more: Option<Arc<More>>,
}

/// What few traces have.
#[derive(Clone, Default)]
struct More {
    /// A caller's `tracestate`.
    state: TraceState,
    /// The places because of which a trace begins that has no span yet.
    because: Vec<Trace>,
}

/// Nothing: no trace that anybody knows.
impl Default for Trace {
    fn default() -> Self {
        Self { id: TraceId::INVALID, span: SpanId::INVALID, sampled: false, more: None }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:02x}", self.id, self.span, u8::from(self.sampled))
    }
}

/// What holds for everything in a task.
#[derive(Debug)]
pub struct Here {
    trace: Trace,
    /// Calls that the RPC is about, once that is known.
    calls: Cell<u32>,
}

tokio::task_local! {
    static HERE: Here;
}

impl Trace {
    /// As a caller sends it. Nothing if it can't be read: then a new trace begins, as W3C wants.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let (version, rest) = parent.split_once('-')?;
        let (id, rest) = rest.split_once('-')?;
        let (span, rest) = rest.split_once('-')?;
        let (flags, more) = match rest.split_once('-') {
            // Only versions to come may have more.
            Some((flags, _)) if version != "00" => (flags, true),
            Some(_) => return None,
            None => (rest, false),
        };
        let is_hex = |text: &str, length| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let fits = is_hex(version, 2) && is_hex(id, 32) && is_hex(span, 16) && is_hex(flags, 2);
        if !fits || version == "ff" || (more && version == "00") {
            return None;
        }
        let id = TraceId::from_hex(id).ok().filter(|id| *id != TraceId::INVALID)?;
        let span = SpanId::from_hex(span).ok().filter(|span| *span != SpanId::INVALID)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let state = state.filter(|text| !text.is_empty() && text.len() <= MAX_STATE_BYTES);
        let state = state.and_then(|text| TraceState::from_str(text).ok());
        let more = state.map(|state| Arc::new(More { state, because: Vec::new() }));
        Some(Self { id, span, sampled: flags & 1 == 1, more })
    }

    /// A trace that begins here, without a span yet. Whether it is recorded is up to the
    /// configured sampler.
    pub fn root() -> Self {
        let id = RandomIdGenerator::default().new_trace_id();
        let sampled = recorder().is_some_and(|recorder| recorder.samples(None, id));
        Self { id, sampled, ..Self::default() }
    }

    /// The place of what is done because of all these: of one alone it is a part; because of
    /// several a trace begins, recorded if one of theirs is, whose spans are linked to them.
    pub fn because_of<'a>(places: impl Iterator<Item = &'a Trace> + Clone) -> Self {
        let mut distinct = places.clone();
        let Some(first) = distinct.next() else { return Self::root() };
        if distinct.all(|place| place.span == first.span) {
            return if first.is_some() { first.clone() } else { Self::root() };
        }
        let mut trace = Self { id: RandomIdGenerator::default().new_trace_id(), ..Self::default() };
        trace.sampled = recorder().is_some() && places.clone().any(Self::is_sampled);
        if trace.sampled {
            let mut because: Vec<_> =
                places.filter(|place| place.span().is_some()).cloned().collect();
            // Those that are recorded first: there is not room for all.
            because.sort_by_key(|place| (!place.sampled, place.span.to_bytes()));
            because.dedup_by_key(|place| place.span);
            trace.more = Some(Arc::new(More { because, ..More::default() }));
        }
        trace
    }

    /// The places because of which it began, the recorded ones first.
    pub fn because(&self) -> &[Trace] {
        self.more.as_ref().map_or(&[], |more| more.because.as_slice())
    }

    /// The place of an RPC whose caller is at that one, if anywhere: a new span of its trace, or
    /// of a new one. Where nothing is recorded a caller's own place is passed on as it is.
    pub fn of_rpc(caller: Option<&Trace>) -> Self {
        let Some(recorder) = recorder() else {
            return caller.cloned().unwrap_or_else(|| Self::root().next());
        };
        let ids = RandomIdGenerator::default();
        let id = caller.map_or_else(|| ids.new_trace_id(), |caller| caller.id);
        let sampled = recorder.samples(caller.map(|caller| caller.sampled), id);
        let more = caller.and_then(|caller| caller.more.clone());
        Self { id, span: ids.new_span_id(), sampled, more }
    }

    /// A new span of this trace.
    pub fn next(&self) -> Self {
        let more = self.more.clone().filter(|more| more.because.is_empty());
        Self { span: RandomIdGenerator::default().new_span_id(), more, ..*self }
    }

    /// Whose trace it is here; nobody's outside of all scopes.
    pub fn current() -> Self {
        HERE.try_with(|here| here.trace.clone()).unwrap_or_default()
    }

    /// The same, or a new one outside of all.
    pub fn current_or_root() -> Self {
        Self::with_current(Trace::clone).unwrap_or_else(Self::root)
    }

    /// Looks at the one it is here, without a clone.
    pub fn with_current<T>(look: impl FnOnce(&Trace) -> T) -> Option<T> {
        HERE.try_with(|here| here.trace.is_some().then(|| look(&here.trace))).ok().flatten()
    }

    /// Whether there is one.
    pub fn is_some(&self) -> bool {
        self.id != TraceId::INVALID
    }

    /// Spans of it are recorded, or its caller records them.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// Its trace.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// Its span; none in a trace that has none yet.
    pub fn span(&self) -> Option<SpanId> {
        (self.span != SpanId::INVALID).then_some(self.span)
    }

    /// As OpenTelemetry's SDK has it.
    pub fn context(&self, is_remote: bool) -> SpanContext {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let state = self.more.as_ref().map(|more| more.state.clone()).unwrap_or_default();
        SpanContext::new(self.id, self.span, flags, is_remote, state)
    }

    /// What the next one is sent as `traceparent`; nothing of a trace without a span.
    pub fn parent_header(&self) -> Option<String> {
        let flags = u8::from(self.sampled);
        self.span().map(|span| format!("00-{}-{span}-{flags:02x}", self.id))
    }

    /// What the next one is sent as `tracestate`, if there is any.
    pub fn state_header(&self) -> Option<String> {
        self.more.as_ref().map(|more| more.state.header()).filter(|state| !state.is_empty())
    }

    /// Does something at this place.
    pub fn enter<T>(&self, act: impl FnOnce() -> T) -> T {
        HERE.sync_scope(Here { trace: self.clone(), calls: Cell::new(0) }, act)
    }
}

/// Says whose trace a future's work is.
pub trait Traced: Future + Sized {
    /// All of it is at that place.
    fn within(self, trace: Trace) -> TaskLocalFuture<Here, Self> {
        HERE.scope(Here { trace, calls: Cell::new(0) }, self)
    }

    /// For a task that is spawned: it is where it is spawned from.
    fn here(self) -> TaskLocalFuture<Here, Self> {
        self.within(Trace::current())
    }
}

impl<F: Future> Traced for F {}

/// Notes how many calls the RPC is about that is served here.
pub fn note_calls(count: usize) {
    let _ = HERE.try_with(|here| here.calls.set(u32::try_from(count).unwrap_or(u32::MAX)));
}

/// How many calls the RPC is about that is served here; 0 while that is not known.
pub fn noted_calls() -> u32 {
    HERE.try_with(|here| here.calls.get()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_caller_is_read_and_passed_on() {
        for flags in ["00", "01"] {
            let header = format!("00-{ID}-{SPAN}-{flags}");
            let trace = Trace::parse(&header, Some("a=1,b=2")).unwrap();
            assert_eq!(trace.is_sampled(), flags == "01");
            assert_eq!(trace.parent_header(), Some(header));
            assert_eq!(trace.state_header().as_deref(), Some("a=1,b=2"));
        }
        // Of what is to come, what is known today.
        let later = Trace::parse(&format!("cc-{ID}-{SPAN}-09-more"), None).unwrap();
        assert_eq!(later.parent_header(), Some(format!("00-{ID}-{SPAN}-01")));
        assert_eq!(later.state_header(), None);
    }

    #[test]
    fn what_can_not_be_read_is_nobody() {
        for header in [
            "",
            "00",
            &format!("00-{ID}-{SPAN}"),
            &format!("00-{ID}-{SPAN}-01-more"),
            &format!("ff-{ID}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{ID}-{}-01", "0".repeat(16)),
            &format!("00-{}-{SPAN}-01", ID.to_uppercase()),
            &format!("00-{ID}0-{SPAN}-01"),
            &format!("00-{ID}-{SPAN}-1"),
            &format!("00-{ID}-{SPAN}-0x"),
            "00-é-é-01",
        ] {
            assert!(Trace::parse(header, None).is_none(), "{header}");
        }
        // A state that can't be read is left out, and the rest holds.
        for state in ["=", &"a".repeat(600), ""] {
            let trace = Trace::parse(&format!("00-{ID}-{SPAN}-01"), Some(state)).unwrap();
            assert_eq!(trace.state_header(), None, "{state}");
        }
    }

    #[tokio::test]
    async fn a_task_is_where_it_is_told_to_be() {
        assert!(!Trace::current().is_some());
        let trace = Trace::parse(&format!("00-{ID}-{SPAN}-01"), None).unwrap();
        let seen = async {
            note_calls(3);
            let alone = tokio::spawn(async { Trace::current().is_some() }).await.unwrap();
            let carried = tokio::spawn(async { Trace::current().id() }.here()).await.unwrap();
            (alone, carried, noted_calls())
        };
        assert_eq!(seen.within(trace.clone()).await, (false, trace.id(), 3));
        trace.enter(|| assert_eq!(Trace::current().span(), trace.span()));
    }
}
