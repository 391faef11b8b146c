//! Why a call failed, or why it is in doubt.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

/// What went wrong, by who has to do something about it. Every vendor's codes are
/// mapped onto these rows, and the API edge maps each row to one gRPC code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A mistake in the call itself: the caller changes it. INVALID_ARGUMENT.
    InvalidCall,
    /// No such flow or scenario. NOT_FOUND.
    NotFound,
    /// Credentials, whitelist, DID mapping, validity: the operator must fix it.
    /// FAILED_PRECONDITION.
    Operator,
    /// The vendor may not call this number. PERMISSION_DENIED.
    NotAllowed,
    /// Nobody may be called now. FAILED_PRECONDITION.
    NotNow,
    /// Seen before. ALREADY_EXISTS.
    Duplicate,
    /// No balance, line, mask or rate left. RESOURCE_EXHAUSTED.
    Exhausted,
    /// The vendor can't be reached and did not dial. UNAVAILABLE.
    Unreachable,
    /// The vendor may have dialled. UNKNOWN.
    InDoubt,
    /// The vendor certainly refused, but what it says can't be read. INTERNAL.
    Unreadable,
    /// The vendor can't do what was asked. UNIMPLEMENTED.
    Unsupported,
    /// Another call of an all-or-nothing request was wrong. ABORTED.
    Aborted,
}

impl Cause {
    /// Every row.
    pub const ALL: [Self; 12] = [
        Self::InvalidCall,
        Self::NotFound,
        Self::Operator,
        Self::NotAllowed,
        Self::NotNow,
        Self::Duplicate,
        Self::Exhausted,
        Self::Unreachable,
        Self::InDoubt,
        Self::Unreadable,
        Self::Unsupported,
        Self::Aborted,
    ];

    /// Its name, for machines: `not_allowed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidCall => "invalid_call",
            Self::NotFound => "not_found",
            Self::Operator => "operator",
            Self::NotAllowed => "not_allowed",
            Self::NotNow => "not_now",
            Self::Duplicate => "duplicate",
            Self::Exhausted => "exhausted",
            Self::Unreachable => "unreachable",
            Self::InDoubt => "in_doubt",
            Self::Unreadable => "unreadable",
            Self::Unsupported => "unsupported",
            Self::Aborted => "aborted",
        }
    }

    /// Whether a person's phone may have rung when an order is answered with this. A
    /// duplicate was taken when it came for the first time.
    pub fn dialed(self) -> Dialed {
        match self {
            Self::InDoubt | Self::Duplicate => Dialed::Maybe,
            _ => Dialed::No,
        }
    }
}

/// Whether a person's phone may have rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialed {
    /// Certainly not.
    No,
    /// Perhaps.
    Maybe,
}

impl Dialed {
    /// As in `ErrorInfo.metadata["dialed"]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
        }
    }
}

/// A vendor's "no", or its silence, as its adapter reads it. The gateway adds who
/// the vendor is, and makes a [`CallError`] of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The row of the error table. [`Cause::InDoubt`] leaves the call unconfirmed,
    /// any other row fails it.
    pub cause: Cause,
    /// The vendor's name of it in UPPER_SNAKE_CASE.
    pub reason: Cow<'static, str>,
    /// The vendor's code, verbatim.
    pub code: Option<String>,
    /// What the vendor said, or, where it said nothing, what was seen. The edge
    /// cuts it to size and masks numbers in it.
    pub message: String,
    /// The vendor's id of the exchange.
    pub request_id: Option<String>,
    /// The exact wait, where the vendor names one.
    pub retry_after: Option<Duration>,
    /// The field of the call that is wrong, relative to the call (`to[0]`), where
    /// the vendor's error names one.
    pub field: Option<&'static str>,
    /// What is missing, for [`Cause::NotFound`].
    pub resource: Option<Resource>,
    /// Whether a phone may have rung, where the fault itself tells. Otherwise the cause
    /// says it of an answer to an order, and of a call whose result is a failure it
    /// counts as open.
    pub dialed: Option<Dialed>,
    /// What came back can't be read at all, and so is as good as no answer.
    pub unanswered: bool,
}

impl Fault {
    /// A fault of which nothing else is known.
    pub fn new(
        cause: Cause,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            cause,
            reason: reason.into(),
            code: None,
            message: message.into(),
            request_id: None,
            retry_after: None,
            field: None,
            resource: None,
            dialed: None,
            unanswered: false,
        }
    }
}

/// A thing that was named and does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// `flow`, `audio`, `route`.
    pub kind: Cow<'static, str>,
    /// Its name; empty when it is the configured one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// A field of a call and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Relative to the call: `to[0]`, `variables["name"]`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub description: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// Why a call failed, or why it is unconfirmed. Kept with the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// The row of the error table.
    pub cause: Cause,
    /// UPPER_SNAKE_CASE; the vendor's name of it when [`CallError::vendor`] is set.
    pub reason: Cow<'static, str>,
    /// One sentence for a developer. Holds no secret and no full number.
    pub message: String,
    /// Whether a person's phone may have rung.
    pub dialed: Dialed,
    /// Set when a vendor had a part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorFault>,
    /// What is wrong with which field, for a mistake of the caller's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    /// Wait this long before trying again, where waiting helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
    /// What is missing, for [`Cause::NotFound`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// No answer that can be read came back: what a vendor with a duplicate check may be
    /// sent once more. An answer that leaves a doubt is an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unanswered: bool,
}

impl CallError {
    /// An error of the gateway's own.
    pub fn new(cause: Cause, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            cause,
            reason: Cow::Borrowed(reason),
            message: message.into(),
            dialed: cause.dialed(),
            vendor: None,
            violations: Vec::new(),
            retry_after: None,
            resource: None,
            unanswered: false,
        }
    }
}

/// The vendor's part in an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorFault {
    /// The vendor's configured name.
    pub vendor: String,
    /// The vendor's domain: `phonon.io`.
    pub domain: Cow<'static, str>,
    /// The vendor's code, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What the vendor said, cut to size, numbers masked.
    pub message: String,
    /// The status of the HTTP answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The vendor's id of the exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}
