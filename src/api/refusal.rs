//! Errors that end an RPC.

use std::{collections::BTreeMap, time::Duration};

use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use super::{
    status::{
        DOMAIN, ErrorInfo, MAX_MESSAGE_CHARS, any, bad_request, field_violation, retry_info,
        shorten,
    },
    trailer::into_status,
};
use crate::{
    call::{RequestId, Violation},
    gateway::GatewayError,
    ledger::LedgerError,
};

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

/// The error of an RPC that may not be the only one about its calls.
fn doubtful(
    code: Code,
    reason: &str,
    message: String,
    more: Vec<Any>,
    request_id: Option<&RequestId>,
) -> Status {
    let mut metadata = BTreeMap::from([("dialed".to_owned(), "maybe".to_owned())]);
    if let Some(id) = request_id {
        metadata.insert("request_id".to_owned(), id.to_string());
    }
    let info = ErrorInfo { reason: reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
    let mut details = vec![any("ErrorInfo", &info)];
    details.extend(more);
    into_status(pb::Status { code: code as i32, message, details })
}

/// The caller's deadline passed; the work goes on.
pub(super) fn deadline_exceeded(request_id: &RequestId) -> Status {
    let message = "the deadline passed; the calls are still being placed, and GetCallResults finds \
                   them by request_id";
    doubtful(
        Code::DeadlineExceeded,
        "DEADLINE_EXCEEDED",
        message.to_owned(),
        Vec::new(),
        Some(request_id),
    )
}

/// The ledger could not be asked whether a request is a repetition: nothing was sent by
/// this RPC, and what an earlier one sent is not known.
pub(super) fn unasked(error: &GatewayError, request_id: &RequestId) -> Status {
    if matches!(error, GatewayError::RequestIdReused(_)) {
        return gateway_error(error, Some(request_id));
    }
    tracing::error!(%error, "the ledger could not be asked about a request id");
    let message = "the ledger is not available, so it is not known whether this request was seen \
                   before; repeat the very same request";
    let more = vec![retry_info(Duration::from_secs(5))];
    doubtful(Code::Unavailable, "LEDGER_UNAVAILABLE", message.to_owned(), more, Some(request_id))
}

/// The error of an RPC that only reads: nothing was to be sent, and nothing is known of
/// what others sent.
pub(super) fn unread(error: &GatewayError) -> Status {
    match error {
        GatewayError::Ledger(error) => {
            tracing::error!(%error, "the ledger can't be read");
            let message = "the ledger can't be read now; take the stream up again where it ended";
            let more = vec![retry_info(Duration::from_secs(5))];
            refusal(Code::Unavailable, "LEDGER_UNAVAILABLE", message, more, None)
        }
        GatewayError::Stopping => {
            let message = "the gateway is stopping; take the stream up again where it ended";
            let more = vec![retry_info(Duration::from_secs(1))];
            refusal(Code::Unavailable, "STOPPING", message, more, None)
        }
        error => gateway_error(error, None),
    }
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
        GatewayError::NoSuchCalls(ids) => {
            let resource = pb::ResourceInfo {
                resource_type: "call".to_owned(),
                resource_name: shorten(&ids.join(","), 512),
                owner: String::new(),
                description: format!("{} of the call ids have no call", ids.len()),
            };
            refusal(
                Code::NotFound,
                "CALL_NOT_FOUND",
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
        GatewayError::BeingPlaced => {
            let more = vec![retry_info(Duration::from_secs(1))];
            doubtful(Code::Unavailable, "BEING_PLACED", message, more, request_id)
        }
        GatewayError::Broken => {
            doubtful(Code::Internal, "INTERNAL", message, Vec::new(), request_id)
        }
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
