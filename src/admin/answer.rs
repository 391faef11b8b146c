//! What is answered: text, for people and programs.

use hyper::{
    Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue},
};

use tonic::body::Body;

/// An answer: text, or what gRPC says.
pub(super) type Answer = Response<Body>;

pub(super) fn text(status: StatusCode, content_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Body::new(text));
    *answer.status_mut() = status;
    let answer = with(answer, CONTENT_TYPE, content_type);
    // It is so now.
    with(answer, CACHE_CONTROL, "no-store")
}

pub(super) fn lines(status: StatusCode, lines: String) -> Answer {
    text(status, "text/plain; charset=utf-8", lines)
}

pub(super) fn not_found() -> Answer {
    lines(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n".to_owned())
}

pub(super) fn not_allowed() -> Answer {
    let answer = lines(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are taken\n".to_owned());
    with(answer, ALLOW, "GET, HEAD")
}

/// The connection ends with it: what is left of the request is not read.
pub(super) fn last(answer: Answer) -> Answer {
    with(answer, CONNECTION, "close")
}

fn with(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}
