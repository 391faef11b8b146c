//! Errors of calls as google.rpc.Status with typed details: the one place where a cause
//! becomes a gRPC code.

use std::{collections::BTreeMap, time::Duration};

use prost::Message;
use prost_types::Any;
use tonic::Code;
use tonic_types::pb;

use crate::{
    call::{CallError, Cause, RequestId, Resource, Violation},
    telemetry::Trace,
};

/// `ErrorInfo.domain` of the gateway's own errors.
pub const DOMAIN: &str = "dialplane";

/// What the list of wrong fields may take of all details.
const MAX_VIOLATIONS_BYTES: usize = 2_200;
/// The most of a message.
pub(super) const MAX_MESSAGE_CHARS: usize = 300;

/// The gRPC code of a cause: the table of `docs/errors.md`.
pub fn code_of(cause: Cause) -> Code {
    match cause {
        Cause::InvalidCall => Code::InvalidArgument,
        Cause::NotFound => Code::NotFound,
        Cause::Operator => Code::FailedPrecondition,
        Cause::NotAllowed => Code::PermissionDenied,
        Cause::NotNow => Code::FailedPrecondition,
        Cause::Duplicate => Code::AlreadyExists,
        Cause::Exhausted => Code::ResourceExhausted,
        Cause::Unreachable => Code::Unavailable,
        Cause::InDoubt => Code::Unknown,
        Cause::Unreadable => Code::Internal,
        Cause::Unsupported => Code::Unimplemented,
        Cause::Aborted => Code::Aborted,
    }
}

/// `google.rpc.ErrorInfo` with its metadata in order, so that the same error is
/// always the same bytes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ErrorInfo {
    #[prost(string, tag = "1")]
    pub reason: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub metadata: BTreeMap<String, String>,
}

/// Whose error it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    /// The configured vendor.
    pub vendor: &'a str,
    /// What stands before the field names of violations: `calls[3].`.
    pub prefix: &'a str,
    /// For an error that ends the RPC.
    pub request_id: Option<&'a RequestId>,
}

pub(super) fn any<M: Message>(name: &str, message: &M) -> Any {
    Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value: message.encode_to_vec(),
    }
}

/// The error as it stands in a call.
pub(super) fn render(error: &CallError, subject: Subject<'_>) -> pb::Status {
    let mut details = vec![any("ErrorInfo", &error_info(error, subject))];
    let violations = error.violations.iter().map(|v| field_violation(v, subject.prefix));
    details.extend(bad_request(violations.collect()));
    details.extend(extras(error, subject));
    pb::Status {
        code: code_of(error.cause) as i32,
        message: shorten(&error.message, MAX_MESSAGE_CHARS),
        details,
    }
}

/// As [`render`], as small as it can be told: for answers with thousands of calls.
pub(super) fn render_small(status: &pb::Status) -> pb::Status {
    let info = status.details.iter().find(|d| d.type_url.ends_with("/google.rpc.ErrorInfo"));
    let details = info
        .and_then(|any| ErrorInfo::decode(any.value.as_slice()).ok())
        .map(|mut info| {
            info.metadata
                .retain(|key, _| matches!(key.as_str(), "vendor_code" | "http_status" | "dialed"));
            any("ErrorInfo", &info)
        })
        .into_iter()
        .collect();
    // In bytes: what a vendor says may take four of them for a character.
    let message = &status.message;
    let message = match message.get(..message.floor_char_boundary(60)) {
        Some(start) if start.len() < message.len() => format!("{start}…"),
        _ => message.clone(),
    };
    pb::Status { code: status.code, message, details }
}

pub(super) fn error_info(error: &CallError, subject: Subject<'_>) -> ErrorInfo {
    let mut metadata = BTreeMap::new();
    let mut put = |key: &str, value: String| metadata.insert(key.to_owned(), value);
    put("dialed", error.dialed.as_str().to_owned());
    if !subject.vendor.is_empty() {
        put("vendor", subject.vendor.to_owned());
    }
    if let Some(id) = subject.request_id {
        put("request_id", id.to_string());
    }
    let mut domain = DOMAIN;
    if let Some(fault) = &error.vendor {
        domain = &fault.domain;
        put("vendor", fault.vendor.clone());
        put("vendor_message", fault.message.clone());
        if let Some(code) = &fault.code {
            put("vendor_code", code.clone());
        }
        if let Some(status) = fault.http_status {
            put("http_status", status.to_string());
        }
    }
    ErrorInfo { reason: error.reason.to_string(), domain: domain.to_owned(), metadata }
}

pub(super) fn extras(error: &CallError, subject: Subject<'_>) -> Vec<Any> {
    let mut details = Vec::new();
    let vendor = format!("vendors/{}", subject.vendor);
    match error.cause {
        Cause::NotFound => {
            let resource = error.resource.clone();
            let Resource { kind, name } =
                resource.unwrap_or(Resource { kind: "flow".into(), name: String::new() });
            details.push(any(
                "ResourceInfo",
                &pb::ResourceInfo {
                    resource_type: kind.into_owned(),
                    resource_name: name,
                    owner: vendor,
                    description: shorten(&error.message, 160),
                },
            ));
        }
        Cause::Operator => details.push(precondition(error, vendor)),
        Cause::NotNow => {
            let route = error.resource.as_ref().map(|route| format!("routes/{}", route.name));
            details.push(precondition(error, route.unwrap_or_default()));
        }
        Cause::Exhausted => details.push(any(
            "QuotaFailure",
            &pb::QuotaFailure {
                violations: vec![pb::quota_failure::Violation {
                    subject: vendor,
                    description: shorten(&error.message, 160),
                    ..Default::default()
                }],
            },
        )),
        _ => {}
    }
    if let Some(wait) = error.retry_after {
        details.push(retry_info(wait));
    }
    if let Some(id) = error.vendor.as_ref().and_then(|v| v.request_id.as_ref()) {
        let info = pb::RequestInfo { request_id: id.clone(), serving_data: String::new() };
        details.push(any("RequestInfo", &info));
    }
    details
}

/// Says which request an RPC's error is about: a vendor's id of it stays, if it has one, and
/// otherwise it is the caller's. With the trace, by which it is found in logs.
pub(super) fn request_info(details: &mut Vec<Any>, id: Option<&RequestId>) {
    const URL: &str = "type.googleapis.com/google.rpc.RequestInfo";
    let place = details.iter().position(|detail| detail.type_url == URL);
    let known = place.map(|place| details.swap_remove(place));
    let known = known.and_then(|any| pb::RequestInfo::decode(any.value.as_slice()).ok());
    let trace = Trace::with_current(|trace| format!("trace_id={}", trace.id()));
    let info = match known {
        Some(info) => pb::RequestInfo { serving_data: trace.unwrap_or_default(), ..info },
        None if trace.is_none() => return,
        None => pb::RequestInfo {
            request_id: id.map(ToString::to_string).unwrap_or_default(),
            serving_data: trace.unwrap_or_default(),
        },
    };
    details.push(any("RequestInfo", &info));
}

fn precondition(error: &CallError, subject: String) -> Any {
    let violation = pb::precondition_failure::Violation {
        r#type: error.reason.to_string(),
        subject,
        description: shorten(&error.message, 160),
    };
    any("PreconditionFailure", &pb::PreconditionFailure { violations: vec![violation] })
}

pub(super) fn retry_info(wait: Duration) -> Any {
    let retry_delay = prost_types::Duration::try_from(wait).ok();
    any("RetryInfo", &pb::RetryInfo { retry_delay })
}

pub(super) fn field_violation(
    violation: &Violation,
    prefix: &str,
) -> pb::bad_request::FieldViolation {
    pb::bad_request::FieldViolation {
        field: format!("{prefix}{}", violation.field),
        description: shorten(&violation.description, 200),
        ..Default::default()
    }
}

/// As many violations as fit, the first ones first.
pub(super) fn bad_request(violations: Vec<pb::bad_request::FieldViolation>) -> Option<Any> {
    let mut left = MAX_VIOLATIONS_BYTES;
    let field_violations: Vec<_> = violations
        .into_iter()
        .take_while(|violation| {
            let size = violation.encoded_len() + 4;
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        })
        .collect();
    (!field_violations.is_empty()).then(|| any("BadRequest", &pb::BadRequest { field_violations }))
}

pub(super) fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
