//! What is told of an exchange with a vendor: a span of its own, whatever it is for.

use std::time::Instant;

use opentelemetry::trace::SpanKind;

use super::account::Account;
use crate::{
    http::{Failure, HttpReply, HttpRequest, Method},
    telemetry::{Span, Trace, Traced, waited},
};

/// The span of waiting until the ledger has something on disk.
pub(super) const COMMIT: &str = "ledger commit";

/// What an exchange is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// Hands calls over.
    Place,
    /// Asks what became of calls.
    Ask,
    /// Sends once more what may not have arrived.
    Resend,
    /// Fetches a token.
    Token,
}

impl Errand {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 4] = [Self::Place, Self::Ask, Self::Resend, Self::Token];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Place => "place",
            Self::Ask => "ask",
            Self::Resend => "resend",
            Self::Token => "token",
        }
    }
}

impl Account {
    /// Sends a request to the vendor: the one way by which anything goes out. A client span
    /// under what it is for, with links where that is many RPCs; each of those has a span that
    /// says how long it was.
    ///
    /// # Errors
    /// As the line says.
    pub(super) async fn send(
        &self,
        request: &HttpRequest,
        errand: Errand,
        calls: usize,
    ) -> Result<HttpReply, Failure> {
        let parent = Trace::current_or_root();
        let mut span = self.span(&parent, request, errand, calls);
        let trace = match parent.span() {
            // Who passes the trace on has to name a span.
            None if !span.is_recorded() => parent.next(),
            _ => span.trace().clone(),
        };
        let begun = Instant::now();
        let reply = self.line.send(request).within(trace).await;
        self.meter.sent(errand, calls, begun.elapsed(), reply.as_ref().err());
        if span.is_recorded() {
            match &reply {
                Ok(reply) => {
                    span.note("http.response.status_code", || i64::from(reply.status));
                    if reply.status >= 400 {
                        span.failed(reply.status.to_string());
                    }
                }
                Err(failure) => span.failed(failure.reason()),
            }
            if parent.span().is_none() {
                waited("vendor exchange", begun, Some(span.trace()));
            }
        }
        reply
    }

    fn span(&self, parent: &Trace, request: &HttpRequest, errand: Errand, calls: usize) -> Span {
        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let mut span = Span::under(parent, SpanKind::Client, || method.into());
        if span.is_recorded() {
            let url = &request.url;
            span.note("http.request.method", || method);
            span.note("server.address", || url.host_str().unwrap_or_default().to_owned());
            if let Some(port) = url.port_or_known_default() {
                span.note("server.port", || i64::from(port));
            }
            span.note("url.scheme", || url.scheme().to_owned());
            // Never the query, which has ids and numbers in it, nor what a path has of them.
            span.note("url.path", || self.path(url.path()));
            span.note("dialplane.vendor", || self.name().to_owned());
            span.note("dialplane.exchange", || errand.name());
            if calls > 0 {
                span.note("dialplane.calls", || i64::try_from(calls).unwrap_or(i64::MAX));
            }
        }
        span
    }

    /// A path without credentials, and with nothing in it that may be an id or a number.
    fn path(&self, path: &str) -> String {
        let path = self.without_secrets(path);
        let is_name = |part: &str| {
            let digits = part.bytes().filter(u8::is_ascii_digit).count();
            part.len() <= 40 && digits <= 2
        };
        let parts = path.split('/').map(|part| if is_name(part) { part } else { "*" });
        parts.collect::<Vec<_>>().join("/")
    }
}
