//! The part of an answer that all of Phonon's APIs share: a code, a text and the
//! vendor's id of the exchange. The body is read first, the HTTP status only where
//! there is no code in it (phonon.md 6.2).

use serde_json::Value;

use super::{
    codes::{Code, INVALID_FLOW_ID, IP_NOT_WHITELISTED, UNRECOGNIZED_CODE},
    wire::{Fields, VendorId},
};
use crate::{
    call::{Cause, Fault, Resource, Script},
    http::HttpReply,
    vendors::{bounds::cut_text, fault_of_status},
};

/// An answer with a code in it.
pub(super) struct Answer<'a> {
    /// Every field.
    pub(super) fields: Fields<'a>,
    /// The code, when it is a number that codes can have.
    pub(super) code: Option<u16>,
    /// The code, verbatim.
    pub(super) code_text: String,
    /// What the vendor said, verbatim.
    pub(super) message: Option<String>,
    /// The vendor's id of the exchange.
    pub(super) request_id: VendorId,
}

impl<'a> Answer<'a> {
    /// None when there is no code.
    pub(super) fn read(value: &'a Value) -> Option<Self> {
        let fields = Fields::of(value)?;
        let code_text = fields.text("apiresponsecode")?.into_owned();
        // 200.0 and "0200" are 200 for a reader that takes numbers and texts.
        let code = fields.number("apiresponsecode").and_then(|code| u16::try_from(code).ok());
        let message = match fields.get("apiresponsemessage") {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let request_id = fields.id("requestid");
        Some(Self { fields, code, code_text, message, request_id })
    }

    /// What the code says of a call that is not known to be taken.
    pub(super) fn fault(&self, reply: &HttpReply, script: Option<&Script>) -> Fault {
        let row = self.code.and_then(Code::find);
        // A success that does not name the call says nothing certain of it.
        let cause = row.and_then(|row| row.cause).unwrap_or(Cause::InDoubt);
        let reason = row.map_or(UNRECOGNIZED_CODE, |row| row.name);
        let mut fault = self.fault_as(cause, reason, reply);
        fault.field = row.and_then(Code::field);
        if self.code == Some(INVALID_FLOW_ID) {
            let name = match script {
                Some(Script::Flow(flow)) => flow.clone(),
                _ => String::new(),
            };
            fault.resource = Some(Resource { kind: "flow".into(), name });
        }
        fault
    }

    /// A fault with everything that the answer says besides its meaning.
    pub(super) fn fault_as(&self, cause: Cause, reason: &'static str, reply: &HttpReply) -> Fault {
        let row = self.code.and_then(Code::find);
        let message = self.message.as_deref().or(row.map(|row| row.message));
        let message = message.unwrap_or("the answer has a code and no text");
        let mut fault = Fault::new(cause, reason, message);
        fault.code = Some(cut_text(&self.code_text));
        fault.request_id = self.request_id.clone().readable();
        // Elsewhere waiting does not help, or must not lead to another attempt.
        if matches!(cause, Cause::Exhausted | Cause::Unreachable) {
            fault.retry_after = reply.retry_after;
        }
        fault
    }
}

/// What an answer without a code says; the HTTP status stands for the code. The bulk host
/// turns foreign addresses away with a bare 403 (phonon.md 1).
pub(super) fn fault_without_code(reply: &HttpReply) -> Fault {
    let row = Code::find(IP_NOT_WHITELISTED);
    let mut fault = match row.and_then(|row| row.cause.map(|cause| (cause, row.name))) {
        Some((cause, name)) if reply.status == 403 => Fault::new(
            cause,
            name,
            "HTTP 403 without a code: the address the request came from is not on the account's list",
        ),
        _ => fault_of_status(reply),
    };
    fault.code = Some(reply.status.to_string());
    fault
}
