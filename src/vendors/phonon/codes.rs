//! Phonon's code table as data (phonon.md 4), and what each code means for a call.

use crate::call::Cause;

/// One code of Phonon's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `api-response-code`.
    pub code: u16,
    /// The vendor's name of it, which is the `reason` of the error.
    pub name: &'static str,
    /// The vendor's text of it.
    pub message: &'static str,
    /// What it means for a call of the request. None is success. For 209 it is that of
    /// a call the answer does not list.
    pub cause: Option<Cause>,
}

/// Success.
pub(super) const SUCCESS: u16 = 200;
/// "Accepted" on the bulk lane, "Invalid Security ID" everywhere else.
pub(super) const ACCEPTED_OR_INVALID_SECURITY_ID: u16 = 202;
/// Some calls were taken.
pub(super) const PARTIAL_SUCCESS: u16 = 209;
/// The pull API knows nothing of the calls, or nothing yet.
pub(super) const NO_DATA_AVAILABLE: u16 = 213;
/// No such flow.
pub(super) const INVALID_FLOW_ID: u16 = 301;
/// The address the request came from is not on the account's list.
pub(super) const IP_NOT_WHITELISTED: u16 = 401;

/// The reason given for a code that is not in [`CODES`].
pub(super) const UNRECOGNIZED_CODE: &str = "UNRECOGNIZED_CODE";

/// Every documented code, in order.
pub const CODES: &[Code] = &[
    row(SUCCESS, "SUCCESS", "Success", None),
    row(201, "CHECKSUM_REPEATED", "Checksum Repeated", Some(Cause::Duplicate)),
    row(
        ACCEPTED_OR_INVALID_SECURITY_ID,
        "INVALID_SECURITY_ID",
        "Invalid Security ID",
        Some(Cause::Operator),
    ),
    row(203, "INVALID_API_VERSION", "API Version not Supported", Some(Cause::Operator)),
    row(204, "INVALID_GATEWAY_ID", "Invalid SMS Gateway", Some(Cause::Operator)),
    row(205, "INVALID_CONTACT_NUMBER", "Invalid Contact Number", Some(Cause::InvalidCall)),
    // The vendor's own line failed: it may have dialled before it did.
    row(206, "FAILURE_FROM_GATEWAY", "Failure from Gateway", Some(Cause::InDoubt)),
    row(207, "DID_NOT_MAPPED", "DID Not Mapped", Some(Cause::Operator)),
    row(208, "NO_MASK_AVAILABLE", "No Mask Available", Some(Cause::Exhausted)),
    row(PARTIAL_SUCCESS, "PARTIAL_SUCCESS", "Partial Success", Some(Cause::InDoubt)),
    row(
        210,
        "INVALID_MANDATORY_PARAMETERS",
        "Invalid Mandatory Parameters",
        Some(Cause::InvalidCall),
    ),
    row(211, "VALIDITY_EXPIRED", "Validity Expired", Some(Cause::Operator)),
    row(212, "INSUFFICIENT_BALANCE", "Insufficient Balance", Some(Cause::Exhausted)),
    // Documented for questions only: as the answer to an order it makes no sense, and so
    // refuses nothing.
    row(NO_DATA_AVAILABLE, "NO_DATA_AVAILABLE", "No Data Available", Some(Cause::InDoubt)),
    row(INVALID_FLOW_ID, "INVALID_FLOW_ID", "Invalid Flow ID", Some(Cause::NotFound)),
    row(302, "EMPTY_CALL_LIST", "Empty Call List", Some(Cause::InvalidCall)),
    row(
        303,
        "MAX_DATA_LIST_SIZE_EXCEEDED",
        "Max Data List Size Exceeded",
        Some(Cause::InvalidCall),
    ),
    row(304, "INVALID_FLOW_VERSION", "Invalid Flow Version", Some(Cause::Operator)),
    row(400, "INVALID_FORMAT", "Invalid Format", Some(Cause::InvalidCall)),
    row(IP_NOT_WHITELISTED, "IP_NOT_WHITELISTED", "IP Not Whitelisted", Some(Cause::Operator)),
    row(402, "PHONE_NOT_WHITELISTED", "Phone Not Whitelisted", Some(Cause::NotAllowed)),
    row(500, "FAILURE", "Failure", Some(Cause::InDoubt)),
];

const fn row(code: u16, name: &'static str, message: &'static str, cause: Option<Cause>) -> Code {
    Code { code, name, message, cause }
}

impl Code {
    /// The row of a code. None when it is not documented.
    pub fn find(code: u16) -> Option<&'static Self> {
        CODES.iter().find(|row| row.code == code)
    }

    /// The field of the call that the code is about, where it is about one.
    pub fn field(&self) -> Option<&'static str> {
        // The code does not say which of the numbers: the first is the person's.
        (self.name == "INVALID_CONTACT_NUMBER").then_some("to[0]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_complete_and_found_again() {
        let codes: Vec<_> = CODES.iter().map(|row| row.code).collect();
        let documented: Vec<u16> =
            (200..=213).chain(301..=304).chain([400, 401, 402, 500]).collect();
        assert_eq!(codes, documented);
        for row in CODES {
            assert_eq!(Code::find(row.code), Some(row));
            assert_eq!(row.cause.is_none(), row.code == SUCCESS);
            assert!(row.name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{}", row.name);
        }
        assert_eq!(Code::find(299), None);
    }
}
