//! What is told of every RPC: its span, and its line in the access log. One layer around all
//! services, so that it sees what callers see: streams to their end, and errors of whatever kind.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Frame, SizeHint},
};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::pb;
use tower::Service;

use super::callers::{Arrived, Caller};
use crate::telemetry::{
    Span, Trace, Traced,
    metrics::{Method, Metrics},
    noted_calls,
};

/// Where the lines of the access log come from: all of them with
/// `RUST_LOG=info,dialplane::access=debug`.
const ACCESS: &str = "dialplane::access";

/// The methods that are told by their name, for a name that anybody may choose is no name for a
/// span. Those of the second half are asked all the time by machines: they have no span, and
/// their lines are for who looks for them.
const METHODS: [(&str, bool); 12] = [
    ("/dialplane.v1.CallService/CreateCalls", true),
    ("/dialplane.v1.CallService/GetCallResults", true),
    ("/dialplane.v1.CallService/WatchCallResults", true),
    ("/dialplane.v1.CallService/CancelCalls", true),
    ("/dialplane.v1.CallService/ListVendors", true),
    ("/dialplane.v1.SuppressionService/AddSuppressions", true),
    ("/dialplane.v1.SuppressionService/RemoveSuppressions", true),
    ("/dialplane.v1.SuppressionService/ListSuppressions", true),
    ("/grpc.health.v1.Health/Check", false),
    ("/grpc.health.v1.Health/Watch", false),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", false),
];

/// What OpenTelemetry has of a method that there is not.
const OTHER: &str = "_OTHER";

/// Whether there is such a method.
pub(super) fn is_method(path: &str) -> bool {
    METHODS.iter().any(|(known, _)| *known == path)
}

fn method(path: &str) -> (&'static str, bool) {
    let known = METHODS.iter().find(|(known, _)| *known == path);
    known.map_or((OTHER, true), |(known, told)| (known.trim_start_matches('/'), *told))
}

/// Observes every RPC of the services within.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Observe<S> {
    /// Counts them here.
    pub fn new(inner: S, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl<S, In, Out> Service<Request<In>> for Observe<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    Out: Send + 'static,
{
    type Response = Response<Observed<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let mut rpc = Rpc::begin(&request, Arc::clone(&self.metrics));
        let trace = rpc.span.trace().clone();
        // Whatever a service does before its future is polled is part of it as well.
        let answer = trace.enter(|| self.inner.call(request));
        let whole = async move {
            let response = match answer.await {
                Ok(response) => response,
                Err(error) => {
                    rpc.end(Code::Internal, None);
                    return Err(error);
                }
            };
            rpc.calls = noted_calls();
            // Errors have their status here, and nothing after it.
            let code = code_in(response.headers());
            if let Some(code) = code {
                rpc.end(code, Some(response.headers()));
            }
            let rpc = code.is_none().then_some(rpc);
            Ok(response.map(|body| Observed { body, rpc }))
        };
        Box::pin(whole.within(trace))
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()))
}

/// An RPC under way. It ends once; if nobody says how, its caller has gone.
#[derive(Debug)]
struct Rpc {
    method: &'static str,
    counted: Method,
    metrics: Arc<Metrics>,
    /// Its line is of interest, and not only to who looks for it.
    is_told: bool,
    begun: Instant,
    span: Span,
    peer: Option<SocketAddr>,
    caller: Option<Arc<Caller>>,
    calls: u32,
    is_over: bool,
}

impl Rpc {
    fn begin<B>(request: &Request<B>, metrics: Arc<Metrics>) -> Self {
        let (method, is_told) = method(request.uri().path());
        // A stranger decides nothing: neither what is recorded, nor into whose trace.
        let caller = Arrived::is_known(request).then(|| caller_in(request.headers())).flatten();
        let trace = Trace::of_rpc(caller.as_ref());
        let mut span = match is_told {
            true => Span::serving(trace, caller.as_ref(), || method.into()),
            false => Span::unrecorded(trace),
        };
        let arrived = request.extensions().get::<Arrived>();
        let peer = arrived.and_then(|arrived| arrived.from);
        span.note("rpc.system.name", || "grpc");
        span.note("rpc.method", || method);
        if let Some(peer) = peer.filter(|_| span.is_recorded()) {
            span.note("client.address", || peer.ip().to_string());
            span.note("client.port", || i64::from(peer.port()));
        }
        let caller = arrived.and_then(Arrived::caller).cloned();
        let (begun, is_over) = (Instant::now(), false);
        let counted = Method::of(request.uri().path());
        Self { method, counted, metrics, is_told, begun, span, peer, caller, calls: 0, is_over }
    }

    /// How it ended; trailers, or the headers of a response without a body, say more of it.
    fn end(&mut self, code: Code, said: Option<&HeaderMap>) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let took = self.begun.elapsed();
        self.metrics.rpc_ended(self.counted, code, took);
        let name = name_of(code);
        self.span.note("rpc.response.status_code", || name);
        if self.calls > 0 {
            self.span.note("dialplane.calls", || i64::from(self.calls));
        }
        let reason = || (code != Code::Ok).then(|| reason_in(said?)).flatten();
        if self.span.is_recorded() {
            if let Some(reason) = reason() {
                self.span.note("dialplane.reason", || reason);
            }
            if is_of_the_server(code) {
                self.span.failed(name);
            }
        }
        self.span.trace().enter(|| self.tell(code, took, reason));
    }

    /// The line in the access log. Of one that went well it is for who wants it: each costs a tenth
    /// of a call where calls are many.
    fn tell(&self, code: Code, took: Duration, reason: impl FnOnce() -> Option<String>) {
        macro_rules! tell {
            ($level:ident) => {
                tracing::$level!(
                    target: ACCESS,
                    method = self.method,
                    code = name_of(code),
                    reason = reason(),
                    duration_ms = took.as_micros() as f64 / 1e3,
                    calls = (self.calls > 0).then_some(self.calls),
                    caller = self.caller.as_ref().map(|caller| caller.name()),
                    peer = self.peer.map(tracing::field::display),
                    "rpc"
                )
            };
        }
        if self.is_told && code != Code::Ok {
            tell!(info);
        } else {
            tell!(debug);
        }
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        self.end(Code::Cancelled, None);
    }
}

/// The place of the caller, if it says so.
fn caller_in(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all("traceparent").iter();
    let parent = parents.next()?.to_str().ok()?;
    // Of two, nobody knows which is meant.
    if parents.next().is_some() {
        return None;
    }
    let mut states = headers.get_all("tracestate").iter().filter_map(|value| value.to_str().ok());
    let first = states.next();
    match states.next() {
        None => Trace::parse(parent, first),
        Some(second) => {
            let all: Vec<_> = first.into_iter().chain([second]).chain(states).collect();
            Trace::parse(parent, Some(&all.join(",")))
        }
    }
}

/// Why it failed, in a word: of the first of its details.
fn reason_in(said: &HeaderMap) -> Option<String> {
    let status = Status::from_header_map(said)?;
    let status = pb::Status::decode(status.details()).ok()?;
    let info = status.details.iter().find(|d| d.type_url.ends_with("/google.rpc.ErrorInfo"))?;
    let reason = pb::ErrorInfo::decode(info.value.as_slice()).ok()?.reason;
    (!reason.is_empty()).then_some(reason)
}

/// Codes that say that the server failed, and not its caller (OpenTelemetry's table).
fn is_of_the_server(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

fn name_of(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A response's body, whose end is the RPC's.
#[derive(Debug)]
pub struct Observed<B> {
    body: B,
    /// Until it is over.
    rpc: Option<Rpc>,
}

impl<B: Body + Unpin> Body for Observed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Self { body, rpc } = &mut *self;
        let mut poll = || Pin::new(&mut *body).poll_frame(context);
        let Some(open) = rpc else { return poll() };
        let polled = open.span.trace().clone().enter(poll);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    open.end(code_in(trailers).unwrap_or(Code::Unknown), Some(trailers));
                }
            }
            Poll::Ready(Some(Err(_))) => open.end(Code::Internal, None),
            Poll::Ready(None) => open.end(Code::Unknown, None),
            Poll::Pending => {}
        }
        if open.is_over {
            *rpc = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_of_the_api_is_told_by_its_name() {
        let files = FileDescriptorSet::decode(crate::proto::DESCRIPTORS).unwrap().file;
        let mut count = 0;
        for file in files.iter().filter(|file| file.package().starts_with("dialplane.")) {
            for service in &file.service {
                for rpc in &service.method {
                    let name = format!("{}.{}/{}", file.package(), service.name(), rpc.name());
                    assert_eq!(method(&format!("/{name}")), (name.as_str(), true));
                    assert!(is_method(&format!("/{name}")));
                    count += 1;
                }
            }
        }
        assert_eq!(count, METHODS.iter().filter(|(_, told)| *told).count());
        assert_eq!(method("/canary/Canary"), (OTHER, true));
    }

    #[test]
    fn a_caller_says_once_where_it_is() {
        let mut headers = HeaderMap::new();
        assert!(caller_in(&headers).is_none());
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        headers.insert("traceparent", parent.parse().unwrap());
        headers.append("tracestate", "a=1".parse().unwrap());
        headers.append("tracestate", "b=2".parse().unwrap());
        let caller = caller_in(&headers).unwrap();
        assert_eq!(caller.parent_header().as_deref(), Some(parent));
        assert_eq!(caller.state_header().as_deref(), Some("a=1,b=2"));
        headers.append("traceparent", parent.parse().unwrap());
        assert!(caller_in(&headers).is_none());
    }
}
