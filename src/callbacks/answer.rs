//! What a vendor is answered: JSON, whatever became of its delivery.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{
        ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
    },
};
use serde_json::{Value, json};

use crate::gateway::Delivered;

/// An answer, whole.
pub(super) type Answer = Response<Full<Bytes>>;

/// The answer to a delivery.
pub(super) fn of(delivered: Delivered) -> Answer {
    match delivered {
        Delivered::NoSuchCallback => not_found(),
        Delivered::Unauthentic { challenge } => {
            let answer = error(StatusCode::UNAUTHORIZED, "not authorized");
            match challenge {
                Some(challenge) => with(answer, WWW_AUTHENTICATE, challenge),
                None => answer,
            }
        }
        Delivered::Malformed(why) => malformed(why),
        Delivered::Answer(value) => json(StatusCode::OK, &value),
        Delivered::Taken => json(StatusCode::OK, &json!({})),
        Delivered::TryLater(_) => later("5"),
    }
}

/// The same for everything that is not there, so that nobody learns what is.
pub(super) fn not_found() -> Answer {
    error(StatusCode::NOT_FOUND, "not found")
}

pub(super) fn not_allowed() -> Answer {
    with(error(StatusCode::METHOD_NOT_ALLOWED, "only POST is taken here"), ALLOW, "POST")
}

pub(super) fn malformed(why: &str) -> Answer {
    error(StatusCode::BAD_REQUEST, why)
}

pub(super) fn too_large() -> Answer {
    last(error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))
}

pub(super) fn too_slow() -> Answer {
    last(error(StatusCode::REQUEST_TIMEOUT, "the body took too long"))
}

/// To be repeated after so many seconds.
pub(super) fn later(seconds: &'static str) -> Answer {
    with(error(StatusCode::SERVICE_UNAVAILABLE, "not now"), RETRY_AFTER, seconds)
}

/// The connection ends with it: what is left of the request is not read.
pub(super) fn last(answer: Answer) -> Answer {
    with(answer, CONNECTION, "close")
}

fn error(status: StatusCode, why: &str) -> Answer {
    json(status, &json!({ "error": why }))
}

fn with(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}

fn json(status: StatusCode, value: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    *answer.status_mut() = status;
    with(answer, CONTENT_TYPE, "application/json")
}
