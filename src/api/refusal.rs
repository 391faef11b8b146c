//! Errors that end an RPC.
//!
//! Their codes matter beyond their meaning: proxies and client libraries repeat some of them
//! by themselves. An error after which somebody may have been dialled by the RPC has none of
//! those (CANCELLED, INTERNAL, RESOURCE_EXHAUSTED, UNAVAILABLE), unless the caller named the
//! request, which makes the repetition harmless; DEADLINE_EXCEEDED is what it is.

use std::{collections::BTreeMap, time::Duration};

use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use super::{
    retries::{Asked, Outlook, pushback},
    status::{
        DOMAIN, ErrorInfo, MAX_MESSAGE_CHARS, any, bad_request, field_violation, request_info,
        retry_info, shorten,
    },
    trailer::into_status,
};
use crate::{
    call::{Dialed, RequestId, Violation},
    gateway::GatewayError,
    ledger::LedgerError,
};

mod access;
mod listing;

pub(super) use access::{
    method_unknown, request_too_late, request_too_slow, route_not_allowed,
    suppressions_not_allowed, too_much_to_read, unauthenticated,
};
pub(super) use listing::{list_too_late, list_unread, unlisted};

/// How long a ledger that fails needs, as a guess.
const LEDGER_WAIT: Duration = Duration::from_secs(5);
/// How long a queue needs to become shorter, and another gateway to take over.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// The error of an RPC of which nothing came.
struct Refusal<'a> {
    code: Code,
    reason: &'a str,
    message: &'a str,
    dialed: Dialed,
    outlook: Outlook,
    /// Details after the `ErrorInfo`; what follows from the outlook is added.
    more: Vec<Any>,
    /// In the `ErrorInfo`, besides those every error has.
    metadata: Vec<(&'a str, String)>,
}

impl<'a> Refusal<'a> {
    /// Nothing was recorded and nothing sent by this RPC.
    fn new(code: Code, reason: &'a str, message: &'a str, outlook: Outlook) -> Self {
        let (more, metadata) = (Vec::new(), Vec::new());
        Self { code, reason, message, dialed: Dialed::No, outlook, more, metadata }
    }

    /// Of a mistake.
    fn wrong(code: Code, reason: &'a str, message: &'a str) -> Self {
        Self::new(code, reason, message, Outlook::Same)
    }

    fn with(mut self, details: impl IntoIterator<Item = Any>) -> Self {
        self.more.extend(details);
        self
    }

    /// Tells by what the calls are found, if there are any.
    fn found_by(mut self, id: Option<&RequestId>) -> Self {
        self.metadata.extend(id.map(|id| ("request_id", id.to_string())));
        self
    }

    /// Somebody may have been dialled, by this RPC or the same one before.
    fn in_doubt(self) -> Self {
        Self { dialed: Dialed::Maybe, ..self }
    }

    fn of(self, asked: Asked<'_>) -> Status {
        let mut metadata: BTreeMap<_, _> =
            self.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        metadata.insert("dialed".to_owned(), self.dialed.as_str().to_owned());
        let info =
            ErrorInfo { reason: self.reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
        let mut details = vec![any("ErrorInfo", &info)];
        details.extend(self.more);
        if let Outlook::Later(wait) | Outlook::TooLate(wait) = self.outlook {
            details.push(retry_info(wait));
        }
        request_info(&mut details, asked.request_id);
        let status = pb::Status {
            code: self.code as i32,
            message: shorten(self.message, MAX_MESSAGE_CHARS),
            details,
        };
        into_status(status, pushback(asked, self.outlook))
    }
}

/// Mistakes in the request itself.
pub(super) fn invalid_request(violations: &[Violation]) -> Status {
    mistakes("INVALID_REQUEST", violations)
}

/// The same, when one of them is that the request has no name.
pub(super) fn request_id_required(violations: &[Violation]) -> Status {
    mistakes("REQUEST_ID_REQUIRED", violations)
}

fn mistakes(reason: &str, violations: &[Violation]) -> Status {
    let message = match violations {
        [] => String::new(),
        [one] => format!("{}: {}", one.field, one.description),
        [first, rest @ ..] => {
            format!("{}: {} (and {} more)", first.field, first.description, rest.len())
        }
    };
    let list = violations.iter().map(|v| field_violation(v, "")).collect();
    Refusal::wrong(Code::InvalidArgument, reason, &message)
        .with(bad_request(list))
        .of(Asked::READING)
}

/// The answer would be larger than what clients take.
pub(super) fn answer_too_large(fitting: usize) -> Status {
    let description = format!(
        "the answer could pass 4 MiB, which is all that clients take by default; about {fitting} calls \
         like these fit into one request"
    );
    mistakes("ANSWER_TOO_LARGE", &[Violation::new("calls", description)])
}

/// An RPC that something in between has sent again, without a name by which its first try
/// could be found: that one may have dialled.
pub(super) fn unnamed_repetition() -> Status {
    let message = "this RPC was sent before (by a client library's or a proxy's automatic retry), and \
                   without a request_id its first try can't be found; give a request_id, which makes \
                   retries safe";
    let failure = pb::PreconditionFailure {
        violations: vec![pb::precondition_failure::Violation {
            r#type: "REQUEST_ID_REQUIRED".to_owned(),
            subject: "request_id".to_owned(),
            description: "an RPC that may be sent again has to have one".to_owned(),
        }],
    };
    Refusal::new(Code::FailedPrecondition, "REQUEST_ID_REQUIRED", message, Outlook::Doubt)
        .with([any("PreconditionFailure", &failure)])
        .in_doubt()
        .of(Asked::READING)
}

/// The caller's deadline passed; the work goes on.
pub(super) fn deadline_exceeded(asked: Asked<'_>) -> Status {
    let message = "the deadline passed; calls that are being placed go on, and GetCallResults finds \
                   them by request_id";
    Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message, Outlook::Doubt)
        .found_by(asked.request_id)
        .in_doubt()
        .of(asked)
}

/// The same of an RPC that only reads.
pub(super) fn read_too_late() -> Status {
    let message = "the deadline passed before the answer was there; nothing was to be sent";
    Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message, Outlook::Same)
        .of(Asked::READING)
}

/// The error of a stream: nothing was to be sent, and nothing is known of what others sent.
pub(super) fn unread(error: &GatewayError) -> Status {
    let later = |reason, message, wait| {
        Refusal::new(Code::Unavailable, reason, message, Outlook::Later(wait)).of(Asked::READING)
    };
    match error {
        GatewayError::Ledger(error) => {
            tracing::error!(%error, "the ledger can't be read");
            let message = "the ledger can't be read now; take the stream up again where it ended";
            later("LEDGER_UNAVAILABLE", message, LEDGER_WAIT)
        }
        GatewayError::Stopping => {
            let message = "the gateway is stopping; take the stream up again where it ended";
            later("STOPPING", message, SHORT_WAIT)
        }
        error => gateway_error(error, Asked::READING),
    }
}

/// The deadline of CancelCalls passed; the work goes on.
pub(super) fn cancel_too_late() -> Status {
    let message = "the deadline passed; the calls are being taken back, as far as that is still \
                   possible: cancel them again to learn what became of each";
    Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message, Outlook::Doubt)
        .in_doubt()
        .of(Asked::READING)
}

/// The error of CancelCalls. What was to be taken back may be, or may be sent yet.
pub(super) fn uncanceled(error: &GatewayError) -> Status {
    match error {
        GatewayError::Ledger(error) => {
            tracing::error!(%error, "calls can't be taken back");
            let message = "the ledger is not available, and it is not known whether the calls are \
                           taken back; cancel them again";
            let outlook = Outlook::Later(LEDGER_WAIT);
            Refusal::new(Code::Unavailable, "LEDGER_UNAVAILABLE", message, outlook)
                .in_doubt()
                .of(Asked::READING)
        }
        error => gateway_error(error, Asked::READING),
    }
}

/// An error that ends an RPC.
pub(super) fn gateway_error(error: &GatewayError, asked: Asked<'_>) -> Status {
    let message = error.to_string();
    let later = |code, reason, message, wait| {
        Refusal::new(code, reason, message, Outlook::Later(wait)).found_by(asked.request_id)
    };
    let refusal = match error {
        GatewayError::UnknownRoute { name, .. } => {
            let resource = missing("route", shorten(name, 128), shorten(&message, 160));
            Refusal::wrong(Code::NotFound, "ROUTE_NOT_FOUND", &message).with([resource])
        }
        GatewayError::NoSuchCalls(ids) => {
            let description = format!("{} of the call ids have no call", ids.len());
            let resource = missing("call", shorten(&ids.join(","), 512), description);
            Refusal::wrong(Code::NotFound, "CALL_NOT_FOUND", &message).with([resource])
        }
        GatewayError::RequestIdReused { id, field } => {
            reused(&message, field.as_deref()).found_by(Some(id))
        }
        GatewayError::Ledger(LedgerError::Overloaded(_)) => {
            later(Code::ResourceExhausted, "LEDGER_OVERLOADED", &message, SHORT_WAIT)
                .with([quota("ledger", &message)])
        }
        GatewayError::Overloaded => {
            later(Code::ResourceExhausted, "OVERLOADED", &message, SHORT_WAIT)
                .with([quota("gateway", &message)])
        }
        GatewayError::NoTurn { vendor, wait, .. } => {
            let outlook = wait.map_or(Outlook::Same, Outlook::TooLate);
            let subject = format!("vendor:{vendor}");
            let mut refusal =
                Refusal::new(Code::ResourceExhausted, "PACE_EXHAUSTED", &message, outlook)
                    .found_by(asked.request_id)
                    .with([quota(&subject, &message)]);
            refusal.metadata.push(("vendor", vendor.clone()));
            refusal
        }
        GatewayError::Ledger(LedgerError::Uncertain(_)) => {
            tracing::error!(error = %message, "the ledger can't tell whether it recorded a request");
            return uncertain(asked);
        }
        GatewayError::Ledger(_) => {
            tracing::error!(error = %message, "the ledger is not available");
            // Where the file lies is the operator's business.
            let message = "the ledger is not available, so nothing was sent";
            later(Code::Unavailable, "LEDGER_UNAVAILABLE", message, LEDGER_WAIT)
        }
        GatewayError::Unasked(error) => {
            tracing::error!(%error, "the ledger could not be asked about a request id");
            later(Code::Unavailable, "LEDGER_UNAVAILABLE", &message, LEDGER_WAIT).in_doubt()
        }
        // Its repetition joins the other one, or is the first.
        GatewayError::BeingPlaced(_) => {
            later(Code::Unavailable, "BEING_PLACED", &message, SHORT_WAIT).in_doubt()
        }
        GatewayError::TooManySelected(most) => {
            // Ids and requests never name as many.
            let description = format!("have more than {most} calls; name fewer references");
            let violation = Violation::new("client_references", description);
            return invalid_request(&[violation]);
        }
        GatewayError::Stopping => later(Code::Unavailable, "STOPPING", &message, SHORT_WAIT),
        // Not INTERNAL, which proxies repeat: its calls may have been sent.
        GatewayError::Broken => Refusal::new(Code::Unknown, "INTERNAL", &message, Outlook::Doubt)
            .found_by(asked.request_id)
            .in_doubt(),
    };
    refusal.of(asked)
}

/// The calls may be on disk, though nothing was sent: they are placed once the disk shows them,
/// or by the next start. Who named the request gets their answer by repeating it; another one would place them twice.
fn uncertain(asked: Asked<'_>) -> Status {
    const REASON: &str = "LEDGER_UNAVAILABLE";
    let refusal = if asked.repeatable {
        let message = "the ledger is not available, and it is not known whether the request is \
                       recorded; repeat the very same request";
        Refusal::new(Code::Unavailable, REASON, message, Outlook::Later(LEDGER_WAIT))
    } else {
        let message = "the ledger is not available, and it is not known whether the calls are \
                       recorded; look for them by this request_id before they are placed again";
        Refusal::new(Code::Unknown, REASON, message, Outlook::Doubt)
    };
    refusal.found_by(asked.request_id).in_doubt().of(asked)
}

fn missing(kind: &str, name: String, description: String) -> Any {
    let resource = pb::ResourceInfo {
        resource_type: kind.to_owned(),
        resource_name: name,
        owner: String::new(),
        description,
    };
    any("ResourceInfo", &resource)
}

fn reused<'a>(message: &'a str, field: Option<&'a str>) -> Refusal<'a> {
    let refusal = Refusal::wrong(Code::AlreadyExists, "REQUEST_ID_REUSED", message);
    let Some(field) = field else { return refusal };
    let violation =
        Violation::new(field, "is not what the request_id was used with; it has to be the same");
    let mut refusal = refusal.with(bad_request(vec![field_violation(&violation, "")]));
    refusal.metadata.push(("field", field.to_owned()));
    refusal
}

fn quota(subject: &str, message: &str) -> Any {
    let violation = pb::quota_failure::Violation {
        subject: subject.to_owned(),
        description: message.to_owned(),
        ..Default::default()
    };
    any("QuotaFailure", &pb::QuotaFailure { violations: vec![violation] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Envoy can be told to repeat, and client libraries.
    const REPEATED: [Code; 5] = [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Internal,
        Code::ResourceExhausted,
        Code::Unavailable,
    ];

    #[test]
    fn what_is_in_doubt_is_not_repeated_by_itself() {
        let id: RequestId = "one".parse().unwrap();
        let failed = || LedgerError::Failed("disk full".into());
        let reused = |field| GatewayError::RequestIdReused { id: id.clone(), field };
        // By whom the request was named, its code, whether it is in doubt, the wait in ms.
        let table = [
            (GatewayError::Stopping, Code::Unavailable, "no", 1_000),
            (GatewayError::Overloaded, Code::ResourceExhausted, "no", 1_000),
            (LedgerError::Overloaded(7).into(), Code::ResourceExhausted, "no", 1_000),
            (failed().into(), Code::Unavailable, "no", 5_000),
            (GatewayError::Unasked(failed()), Code::Unavailable, "maybe", 5_000),
            (GatewayError::BeingPlaced(id.clone()), Code::Unavailable, "maybe", 1_000),
            (GatewayError::Broken, Code::Unknown, "maybe", -1),
            (GatewayError::TooManySelected(5_000), Code::InvalidArgument, "no", -1),
            (reused(None), Code::AlreadyExists, "no", -1),
            (reused(Some("calls[3].to".into())), Code::AlreadyExists, "no", -1),
            (GatewayError::NoSuchCalls(Vec::new()), Code::NotFound, "no", -1),
            (
                GatewayError::UnknownRoute { name: "x".into(), known: Vec::new() },
                Code::NotFound,
                "no",
                -1,
            ),
        ];
        for (error, code, dialed, wait) in table {
            for named in [true, false] {
                let status = gateway_error(&error, Asked::placing(&id, named));
                assert_eq!(status.code(), code, "{error:?}");
                let told = status.metadata().get("grpc-retry-pushback-ms").unwrap();
                let expected = if named { wait } else { -1 };
                assert_eq!(told, expected.to_string().as_str(), "{error:?}, named: {named}");
                assert_eq!(dialed_of(&status), dialed, "{error:?}");
            }
            // Only a caller's own id is looked up before anything else.
            let is_of_a_name =
                matches!(error, GatewayError::Unasked(_) | GatewayError::BeingPlaced(_));
            assert!(dialed == "no" || is_of_a_name || !REPEATED.contains(&code), "{error:?}");
        }
    }

    #[test]
    fn what_may_be_recorded_is_repeated_by_its_name_only() {
        let id: RequestId = "one".parse().unwrap();
        let error = LedgerError::Uncertain("disk I/O error".into()).into();
        for (named, code, wait) in [(true, Code::Unavailable, "5000"), (false, Code::Unknown, "-1")]
        {
            let status = gateway_error(&error, Asked::placing(&id, named));
            assert_eq!((status.code(), dialed_of(&status).as_str()), (code, "maybe"));
            assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), wait);
        }
    }

    fn dialed_of(status: &Status) -> String {
        use prost::Message;
        let details = pb::Status::decode(status.details()).unwrap().details;
        let info = ErrorInfo::decode(details[0].value.as_slice()).unwrap();
        info.metadata["dialed"].clone()
    }
}
