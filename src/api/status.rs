//! Errors as google.rpc.Status with typed details: the one place where a cause
//! becomes a gRPC code.

use std::{collections::BTreeMap, time::Duration};

use prost::{Message, Name};
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::{
    call::{CallError, Cause, RequestId, Resource, Violation},
    gateway::GatewayError,
    ledger::LedgerError,
    proto::{Call, CreateCallsResponse},
};

/// `ErrorInfo.domain` of the gateway's own errors.
pub const DOMAIN: &str = "dialplane";

/// The trailers of an error that fits into what common clients take, which is 8 KiB of
/// them: the details in base64 and the message, percent-encoded, with room for the
/// names and for what proxies add.
const MAX_TRAILER_BYTES: usize = 7_600;
/// All details of a status, however short its message is.
const MAX_STATUS_BYTES: usize = 5_400;
/// What the list of wrong fields may take of that.
const MAX_VIOLATIONS_BYTES: usize = 2_200;
/// The most of a message.
const MAX_MESSAGE_CHARS: usize = 300;
/// The most of a message as it travels in a trailer.
const MAX_ENCODED_MESSAGE_BYTES: usize = 480;

/// The gRPC code of a cause: the table of `docs/errors.md`.
pub fn code_of(cause: Cause) -> Code {
    match cause {
        Cause::InvalidCall => Code::InvalidArgument,
        Cause::NotFound => Code::NotFound,
        Cause::Operator => Code::FailedPrecondition,
        Cause::NotAllowed => Code::PermissionDenied,
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
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    domain: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
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

fn any<M: Message>(name: &str, message: &M) -> Any {
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
    pb::Status { code: status.code, message: shorten(&status.message, 60), details }
}

fn error_info(error: &CallError, subject: Subject<'_>) -> ErrorInfo {
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

fn extras(error: &CallError, subject: Subject<'_>) -> Vec<Any> {
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
        Cause::Operator => details.push(any(
            "PreconditionFailure",
            &pb::PreconditionFailure {
                violations: vec![pb::precondition_failure::Violation {
                    r#type: error.reason.to_string(),
                    subject: vendor,
                    description: shorten(&error.message, 160),
                }],
            },
        )),
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

fn retry_info(wait: Duration) -> Any {
    let retry_delay = prost_types::Duration::try_from(wait).ok();
    any("RetryInfo", &pb::RetryInfo { retry_delay })
}

fn field_violation(violation: &Violation, prefix: &str) -> pb::bad_request::FieldViolation {
    pb::bad_request::FieldViolation {
        field: format!("{prefix}{}", violation.field),
        description: shorten(&violation.description, 200),
        ..Default::default()
    }
}

/// As many violations as fit, the first ones first.
fn bad_request(violations: Vec<pb::bad_request::FieldViolation>) -> Option<Any> {
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

fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// The size of a message as it travels in a trailer: whatever is not printable ASCII
/// takes three bytes for one.
fn encoded_len(message: &str) -> usize {
    message.bytes().map(|b| if matches!(b, b' '..=b'~') && b != b'%' { 1 } else { 3 }).sum()
}

fn for_a_trailer(message: &str) -> String {
    let mut message = shorten(message, MAX_MESSAGE_CHARS);
    while encoded_len(&message) > MAX_ENCODED_MESSAGE_BYTES {
        message = shorten(&message, message.chars().count().saturating_sub(12));
    }
    message
}

fn into_status(mut status: pb::Status) -> Status {
    status.message = for_a_trailer(&status.message);
    let code = Code::from_i32(status.code);
    let bytes = status.encode_to_vec();
    Status::with_details(code, status.message, bytes.into())
}

/// The error of an RPC of which nothing came: nothing was recorded, nothing sent.
fn refusal(
    code: Code,
    reason: &str,
    message: &str,
    more: Vec<Any>,
    request_id: Option<&RequestId>,
) -> Status {
    let mut metadata = BTreeMap::from([("dialed".to_owned(), "no".to_owned())]);
    if let Some(id) = request_id {
        metadata.insert("request_id".to_owned(), id.to_string());
    }
    let info = ErrorInfo { reason: reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
    let mut details = vec![any("ErrorInfo", &info)];
    details.extend(more);
    into_status(pb::Status {
        code: code as i32,
        message: shorten(message, MAX_MESSAGE_CHARS),
        details,
    })
}

/// Mistakes in the request itself.
pub(super) fn invalid_request(violations: &[Violation]) -> Status {
    let message = match violations {
        [] => String::new(),
        [one] => format!("{}: {}", one.field, one.description),
        [first, rest @ ..] => {
            format!("{}: {} (and {} more)", first.field, first.description, rest.len())
        }
    };
    let list = violations.iter().map(|v| field_violation(v, "")).collect();
    refusal(
        Code::InvalidArgument,
        "INVALID_REQUEST",
        &message,
        bad_request(list).into_iter().collect(),
        None,
    )
}

/// The answer would be larger than what clients take.
pub(super) fn answer_too_large(fitting: usize) -> Status {
    let description = format!(
        "the answer could pass 4 MiB, which is all that clients take by default; about {fitting} calls \
         like these fit into one request"
    );
    let violation = Violation::new("calls", description);
    let list = vec![field_violation(&violation, "")];
    let message = format!("calls: {}", violation.description);
    refusal(
        Code::InvalidArgument,
        "ANSWER_TOO_LARGE",
        &message,
        bad_request(list).into_iter().collect(),
        None,
    )
}

/// An RPC whose time has not come.
pub(super) fn not_available(rpc: &str, instead: &str) -> Status {
    let message = format!("{rpc} is not available in this version; {instead} instead");
    refusal(Code::Unimplemented, "NOT_AVAILABLE", &message, Vec::new(), None)
}

/// The caller's deadline passed; the work goes on.
pub(super) fn deadline_exceeded(request_id: &RequestId) -> Status {
    let metadata = BTreeMap::from([
        ("dialed".to_owned(), "maybe".to_owned()),
        ("request_id".to_owned(), request_id.to_string()),
    ]);
    let info =
        ErrorInfo { reason: "DEADLINE_EXCEEDED".to_owned(), domain: DOMAIN.to_owned(), metadata };
    into_status(pb::Status {
        code: Code::DeadlineExceeded as i32,
        message: "the deadline passed; the calls are still being placed, and GetCallResults finds them by request_id"
            .to_owned(),
        details: vec![any("ErrorInfo", &info)],
    })
}

/// The ledger could not be asked whether a request is a repetition: nothing was sent by
/// this RPC, and what an earlier one sent is not known.
pub(super) fn unasked(error: &GatewayError, request_id: &RequestId) -> Status {
    if matches!(error, GatewayError::RequestIdReused(_)) {
        return gateway_error(error, Some(request_id));
    }
    tracing::error!(%error, "the ledger could not be asked about a request id");
    let metadata = BTreeMap::from([
        ("dialed".to_owned(), "maybe".to_owned()),
        ("request_id".to_owned(), request_id.to_string()),
    ]);
    let info =
        ErrorInfo { reason: "LEDGER_UNAVAILABLE".to_owned(), domain: DOMAIN.to_owned(), metadata };
    into_status(pb::Status {
        code: Code::Unavailable as i32,
        message:
            "the ledger is not available, so it is not known whether this request was seen before; \
                  repeat the very same request"
                .to_owned(),
        details: vec![any("ErrorInfo", &info), retry_info(Duration::from_secs(5))],
    })
}

/// An error that ends an RPC.
pub(super) fn gateway_error(error: &GatewayError, request_id: Option<&RequestId>) -> Status {
    let message = error.to_string();
    match error {
        GatewayError::UnknownRoute { name, .. } => {
            let resource = pb::ResourceInfo {
                resource_type: "route".to_owned(),
                resource_name: shorten(name, 128),
                owner: String::new(),
                description: shorten(&message, 160),
            };
            refusal(
                Code::NotFound,
                "ROUTE_NOT_FOUND",
                &message,
                vec![any("ResourceInfo", &resource)],
                None,
            )
        }
        GatewayError::RequestIdReused(id) => {
            refusal(Code::AlreadyExists, "REQUEST_ID_REUSED", &message, Vec::new(), Some(id))
        }
        GatewayError::Ledger(LedgerError::Overloaded(_)) => {
            overloaded("LEDGER_OVERLOADED", "ledger", &message, request_id)
        }
        GatewayError::Overloaded => overloaded("OVERLOADED", "gateway", &message, request_id),
        GatewayError::Ledger(_) => {
            tracing::error!(error = %message, "the ledger is not available");
            // Where the file lies is the operator's business.
            let message = "the ledger is not available, so nothing was sent";
            let more = vec![retry_info(Duration::from_secs(5))];
            refusal(Code::Unavailable, "LEDGER_UNAVAILABLE", message, more, request_id)
        }
        GatewayError::Stopping => {
            let more = vec![retry_info(Duration::from_secs(1))];
            refusal(Code::Unavailable, "STOPPING", &message, more, request_id)
        }
        GatewayError::Broken => into_status(pb::Status {
            code: Code::Internal as i32,
            message,
            details: vec![any(
                "ErrorInfo",
                &ErrorInfo {
                    reason: "INTERNAL".to_owned(),
                    domain: DOMAIN.to_owned(),
                    metadata: request_id
                        .map(|id| ("request_id".to_owned(), id.to_string()))
                        .into_iter()
                        .chain([("dialed".to_owned(), "maybe".to_owned())])
                        .collect(),
                },
            )],
        }),
    }
}

fn overloaded(
    reason: &str,
    subject: &str,
    message: &str,
    request_id: Option<&RequestId>,
) -> Status {
    let quota = pb::QuotaFailure {
        violations: vec![pb::quota_failure::Violation {
            subject: subject.to_owned(),
            description: message.to_owned(),
            ..Default::default()
        }],
    };
    let more = vec![any("QuotaFailure", &quota), retry_info(Duration::from_secs(1))];
    refusal(Code::ResourceExhausted, reason, message, more, request_id)
}

/// Nothing was accepted, and nothing can have been dialled: the RPC fails with the
/// first wrong call's error, and tells of all calls as far as there is room.
pub(super) fn nothing_placed(
    first: (&CallError, Subject<'_>),
    violations: impl Iterator<Item = (String, Violation)>,
    response: CreateCallsResponse,
) -> Status {
    let (error, subject) = first;
    let more = response.calls.len().saturating_sub(1);
    // A field of the gateway's own finding has its path in the message, too.
    let path = if error.cause == Cause::InvalidCall && error.vendor.is_none() {
        subject.prefix
    } else {
        ""
    };
    let message = if more == 0 {
        format!("{path}{}", error.message)
    } else {
        format!("none of {} calls was placed; the first error: {path}{}", more + 1, error.message)
    };
    let mut details = vec![any("ErrorInfo", &error_info(error, subject))];
    let list = violations.map(|(prefix, violation)| field_violation(&violation, &prefix));
    details.extend(bad_request(list.collect()));
    details.extend(extras(error, subject));
    let mut status =
        pb::Status { code: code_of(error.cause) as i32, message: for_a_trailer(&message), details };
    let budget = MAX_TRAILER_BYTES.saturating_sub(encoded_len(&status.message)) / 4 * 3;
    let room = budget.min(MAX_STATUS_BYTES).saturating_sub(status.encoded_len());
    status.details.extend(pack(response, room));
    into_status(status)
}

/// The response as a detail, with as many of its calls as fit.
fn pack(mut response: CreateCallsResponse, room: usize) -> Option<Any> {
    // The type's name, the request id, tags and lengths.
    let mut left = room.saturating_sub(80 + response.request_id.len());
    let mut fitting = 0;
    for call in &mut response.calls {
        // What the caller gave itself need not travel in a trailer.
        *call = Call { labels: Default::default(), vendor_data: None, ..std::mem::take(call) };
        let size = call.encoded_len() + 4;
        if size > left {
            break;
        }
        left -= size;
        fitting += 1;
    }
    response.calls.truncate(fitting);
    if response.calls.is_empty() {
        return None;
    }
    let type_url = format!("type.googleapis.com/{}", CreateCallsResponse::full_name());
    Some(Any { type_url, value: response.encode_to_vec() })
}
