//! What is told of what vendors post: a span for each, without the token of its address.

use hyper::{Method, StatusCode};

use super::request::Address;
use crate::telemetry::{Span, Trace};

/// Of a request to the vendor that is meant, if one is.
pub(super) fn begin(trace: &Trace, method: &Method, to: Option<&Address>) -> Span {
    let route = to.map(|to| match to.token {
        Some(_) => "/callbacks/{vendor}/{token}",
        None => "/callbacks/{vendor}",
    });
    let is_post = *method == Method::POST;
    let mut span = Span::serving(trace.clone(), None, || match route {
        // Only these are addressed to anybody.
        Some(route) => format!("POST {route}").into(),
        None if is_post => "POST".into(),
        None => "HTTP".into(),
    });
    span.note("http.request.method", || if is_post { "POST" } else { "_OTHER" });
    if let Some(route) = route {
        span.note("http.route", || route);
    }
    if let Some(to) = to {
        span.note("dialplane.vendor", || to.vendor.clone());
    }
    span
}

/// It was answered.
pub(super) fn end(span: &mut Span, status: StatusCode) {
    span.note("http.response.status_code", || i64::from(status.as_u16()));
    if status.is_server_error() {
        span.failed(status.as_str().to_owned());
    }
}
