//! Phonon's answers by code (`phonon.md 4`).

use serde_json::{Value, json};

use crate::sandbox::traffic::Reply;

/// A code of Phonon's answers. Any number, so that codes nobody documented can be
/// provoked too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) u16);

impl Code {
    pub(super) const SUCCESS: Self = Self(200);
    pub(super) const CHECKSUM_REPEATED: Self = Self(201);
    pub(super) const INVALID_SECURITY_ID: Self = Self(202);
    pub(super) const INVALID_API_VERSION: Self = Self(203);
    pub(super) const INVALID_CONTACT_NUMBER: Self = Self(205);
    pub(super) const PARTIAL_SUCCESS: Self = Self(209);
    pub(super) const INVALID_MANDATORY_PARAMETERS: Self = Self(210);
    pub(super) const INSUFFICIENT_BALANCE: Self = Self(212);
    pub(super) const NO_DATA_AVAILABLE: Self = Self(213);
    pub(super) const INVALID_FLOW_ID: Self = Self(301);
    pub(super) const EMPTY_CALL_LIST: Self = Self(302);
    pub(super) const MAX_DATA_LIST_SIZE_EXCEEDED: Self = Self(303);
    pub(super) const INVALID_FORMAT: Self = Self(400);
    pub(super) const IP_NOT_WHITELISTED: Self = Self(401);
    pub(super) const PHONE_NOT_WHITELISTED: Self = Self(402);
    pub(super) const FAILURE: Self = Self(500);

    /// The code that a flow id such as `CODE0207` asks for. `CODE0200` asks for
    /// nothing: its calls are taken as any other's.
    pub(super) fn asked_for_by(flow_id: &str) -> Option<Self> {
        let digits = flow_id.strip_prefix("CODE").filter(|digits| digits.len() == 4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().map(Self).filter(|code| *code != Self::SUCCESS)
    }

    pub(super) fn message(self) -> String {
        let message = match self.0 {
            200 => "Success",
            201 => "Checksum Repeated",
            202 => "Invalid Security ID",
            203 => "API Version not Supported",
            204 => "Invalid SMS Gateway",
            205 => "Invalid Contact Number",
            206 => "Failure from Gateway",
            207 => "DID Not Mapped",
            208 => "No Mask Available",
            209 => "Partial Success",
            210 => "Invalid Mandatory Parameters",
            211 => "Validity Expired",
            212 => "Insufficient Balance",
            213 => "No Data Available",
            301 => "Invalid Flow ID",
            302 => "Empty Call List",
            303 => "Max Data List Size Exceeded",
            304 => "Invalid Flow Version",
            400 => "Invalid Format",
            401 => "IP Not Whitelisted",
            402 => "Phone Not Whitelisted",
            500 => "Failure",
            other => return format!("Code {other}"),
        };
        message.to_owned()
    }

    /// The HTTP status that goes with it, which Phonon doesn't document: the code
    /// itself where it is an HTTP error (400 to 599), else 200.
    fn http_status(self) -> u16 {
        if (400..600).contains(&self.0) { self.0 } else { 200 }
    }

    /// The code and its message alone.
    pub(super) fn reply(self) -> Reply {
        Reply::json(self.http_status(), &self.body())
    }

    /// The refusal of a question for results: without rows.
    pub(super) fn reply_without_rows(self) -> Reply {
        let mut body = self.body();
        if let Some(object) = body.as_object_mut() {
            object.insert("data".to_owned(), json!([]));
        }
        Reply::json(self.http_status(), &body)
    }

    fn body(self) -> Value {
        json!({ "api-response-code": self.0, "api-response-message": self.message() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_id_can_ask_for_any_code() {
        for (flow, code) in [
            ("CODE0207", Some(207)),
            ("CODE0999", Some(999)),
            ("CODE0000", Some(0)),
            ("CODE0200", None),
            ("CODE02x7", None),
            ("CODE+207", None),
            ("AbCd1234", None),
            ("code0207", None),
        ] {
            assert_eq!(Code::asked_for_by(flow), code.map(Code), "{flow}");
        }
    }

    #[test]
    fn only_http_errors_become_an_http_status() {
        for (code, status) in
            [(201, 200), (304, 200), (400, 400), (402, 402), (500, 500), (999, 200)]
        {
            assert_eq!(Code(code).reply().status, status, "{code}");
        }
    }
}
