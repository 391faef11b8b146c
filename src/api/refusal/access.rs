//! Errors of RPCs that are not let in, before anything of them is looked at.

use std::time::Duration;

use tonic::{Code, Status};

use super::{Asked, Outlook, Refusal, SHORT_WAIT, missing, quota};
use crate::api::status::shorten;

/// Nobody is known by what came with the RPC. What came is not repeated.
pub fn unauthenticated() -> Status {
    let message = "no caller is known by what came with this RPC; expected a configured caller's \
                   token as metadata (authorization: Bearer TOKEN), its client certificate, or both";
    Refusal::wrong(Code::Unauthenticated, "UNAUTHENTICATED", message).of(Asked::READING)
}

/// There is no such method. Its name is the caller's, and is not repeated.
pub fn method_unknown() -> Status {
    let message = "there is no such method or service here; reflection tells which there are";
    Refusal::wrong(Code::Unimplemented, "METHOD_UNKNOWN", message).of(Asked::READING)
}

/// The caller may not use the route, be it there or not.
pub fn route_not_allowed(route: &str) -> Status {
    let route = shorten(route, 128);
    let message = format!("this caller may not use the route {route:?}");
    let resource = missing("route", route, "callers.NAME.routes does not have it".to_owned());
    Refusal::wrong(Code::PermissionDenied, "ROUTE_NOT_ALLOWED", &message)
        .with([resource])
        .of(Asked::READING)
}

/// The caller may not use the do-not-call list.
pub fn suppressions_not_allowed() -> Status {
    let message = "this caller may not use the do-not-call list";
    Refusal::wrong(Code::PermissionDenied, "SUPPRESSIONS_NOT_ALLOWED", message).of(Asked::READING)
}

/// The request was not there in the time that the gateway gives it.
pub fn request_too_slow(most: Duration) -> Status {
    let message = format!(
        "the whole request was not there within {} s, and nothing was looked at",
        most.as_secs_f32()
    );
    Refusal::wrong(Code::DeadlineExceeded, "REQUEST_TOO_SLOW", &message).of(Asked::READING)
}

/// The caller's deadline passed before the whole request was there.
pub fn request_too_late() -> Status {
    let message =
        "the deadline passed before the whole request was there, and nothing was looked at";
    Refusal::wrong(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message).of(Asked::READING)
}

/// More requests are being read than there is memory for.
pub fn too_much_to_read() -> Status {
    let message = "too many large requests are being read; nothing of this one was looked at";
    let outlook = Outlook::Later(SHORT_WAIT);
    Refusal::new(Code::ResourceExhausted, "OVERLOADED", message, outlook)
        .with([quota("gateway", message)])
        .of(Asked::READING)
}
