//! MobTexting's answers and call states as tables, on the gateway's rows. The
//! documentation's tables are tested against these.

use crate::{
    call::{CallState, Cause, Fault},
    http::HttpReply,
    vendors::{Reading, fault_of_status},
};

/// Something an answer to `outgoing/send` may say other than yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// The status of the HTTP answer, or, of a 2xx answer, `code` or `status` in its
    /// body.
    Status(u16),
    /// A redirect to the portal's login, or its page: what a bad token gets
    /// (mobtexting.md 6 #4).
    Login,
    /// 2xx with the body status `ERROR` and no code.
    Error,
    /// 2xx with a body status that nobody documented, or none, or one that
    /// contradicts the rest of the body; or a refusal that names a call.
    UnknownStatus,
    /// 2xx with the body status `OK` or `200`, but no call.
    NoCallId,
    /// 2xx with a body that can't be read.
    Unreadable,
}

const fn row(observed: Observed, reason: &'static str, cause: Cause) -> Reading<Observed> {
    Reading { observed, reason, cause }
}

/// Answers to `outgoing/send` (mobtexting.md 4; 6 #3, #4). A status that is not here
/// is read as for every vendor. There is no idempotency key, so whatever does not
/// refuse for certain leaves the call in doubt: 409 tells of another update under
/// way, and that may be this call.
pub const READINGS: &[Reading<Observed>] = &[
    row(Observed::Status(400), "BAD_REQUEST", Cause::InvalidCall),
    row(Observed::Status(401), "UNAUTHORIZED", Cause::Operator),
    row(Observed::Status(402), "INSUFFICIENT_BALANCE", Cause::Exhausted),
    row(Observed::Status(403), "FORBIDDEN", Cause::Operator),
    row(Observed::Status(404), "NOT_FOUND", Cause::Operator),
    row(Observed::Status(405), "METHOD_NOT_ALLOWED", Cause::Operator),
    row(Observed::Status(408), "REQUEST_TIMEOUT", Cause::InDoubt),
    row(Observed::Status(409), "CONFLICT", Cause::InDoubt),
    row(Observed::Status(422), "UNPROCESSABLE_ENTITY", Cause::InvalidCall),
    row(Observed::Status(429), "TOO_MANY_REQUESTS", Cause::Exhausted),
    row(Observed::Status(500), "INTERNAL_SERVER_ERROR", Cause::InDoubt),
    row(Observed::Status(502), "BAD_GATEWAY", Cause::InDoubt),
    row(Observed::Status(503), "SERVICE_UNAVAILABLE", Cause::InDoubt),
    row(Observed::Status(504), "GATEWAY_TIMEOUT", Cause::InDoubt),
    row(Observed::Login, "UNAUTHORIZED", Cause::Operator),
    row(Observed::Error, "ERROR", Cause::Unreadable),
    row(Observed::UnknownStatus, "UNKNOWN_STATUS", Cause::InDoubt),
    row(Observed::NoCallId, "NO_CALL_ID", Cause::InDoubt),
    row(Observed::Unreadable, "UNREADABLE_ANSWER", Cause::InDoubt),
];

/// The fault that was seen in an answer, with `seen` for its message.
pub fn fault(observed: Observed, reply: &HttpReply, seen: &str) -> Fault {
    let status = match observed {
        Observed::Status(status) => status,
        _ => reply.status,
    };
    let mut fault = match READINGS.iter().find(|row| row.observed == observed) {
        Some(row) => Fault::new(row.cause, row.reason, seen),
        None => {
            let mut fault = fault_of_status(&HttpReply { status, ..reply.clone() });
            seen.clone_into(&mut fault.message);
            fault
        }
    };
    fault.code = Some(status.to_string());
    fault.retry_after = reply.retry_after;
    fault
}

/// A word for where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateWord {
    /// As the vendor writes it; read in any case.
    pub word: &'static str,
    /// None while the call is not over.
    pub state: Option<CallState>,
}

const fn word(word: &'static str, state: Option<CallState>) -> StateWord {
    StateWord { word, state }
}

/// Every documented call status (mobtexting.md 5c). A word that is not here says
/// nothing: it must not end a call.
///
/// `CONGESTION` is told to be, usually, a number that was not recognised; `CANCEL` is
/// the calling side giving up while it rang; `CHANUNAVAIL` is the vendor's lack of a
/// line: nobody's phone rang, see [`CHANUNAVAIL_CAUSE`].
pub const STATES: &[StateWord] = &[
    word("queued", None),
    word("ANSWER", Some(CallState::Answered)),
    word("BUSY", Some(CallState::Busy)),
    word("NOANSWER", Some(CallState::NoAnswer)),
    word("CANCEL", Some(CallState::NoAnswer)),
    word("CONGESTION", Some(CallState::InvalidNumber)),
    word("CHANUNAVAIL", Some(CallState::Failed)),
    word("RECEIVED", Some(CallState::Answered)),
    word("MISSED", Some(CallState::NoAnswer)),
    word("COMPLETED", Some(CallState::Answered)),
];

/// Why a call failed whose status is `CHANUNAVAIL`, the only one that fails a call:
/// no channel was free, or none is registered.
pub const CHANUNAVAIL_CAUSE: Cause = Cause::Exhausted;

/// Reads a call status. None when it is unknown.
pub fn state_word(text: &str) -> Option<StateWord> {
    let text = text.trim();
    STATES.iter().copied().find(|row| row.word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_observation_and_word_has_one_row() {
        for (i, row) in READINGS.iter().enumerate() {
            assert!(READINGS.iter().skip(i + 1).all(|other| other.observed != row.observed));
            assert!(row.reason.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{row:?}");
        }
        for (i, row) in STATES.iter().enumerate() {
            assert!(
                STATES.iter().skip(i + 1).all(|other| !other.word.eq_ignore_ascii_case(row.word))
            );
        }
    }

    #[test]
    fn no_status_is_surer_of_a_refusal_than_the_common_table() {
        for status in 100..600 {
            let reply = HttpReply::json(status, "");
            let common = fault_of_status(&reply).cause;
            if common == Cause::InDoubt {
                assert_eq!(fault(Observed::Status(status), &reply, "").cause, common, "{status}");
            }
        }
    }

    #[test]
    fn words_are_read_in_any_case_and_unknown_ones_are_not_read() {
        for row in STATES {
            for text in
                [row.word.to_lowercase(), row.word.to_uppercase(), format!(" {} ", row.word)]
            {
                assert_eq!(state_word(&text), Some(*row), "{text}");
            }
            let fails = row.state == Some(CallState::Failed);
            assert_eq!(fails, row.word == "CHANUNAVAIL");
        }
        for text in ["", "DONTCALL", "TORTURE", "INVALIDARGS", "ANSWERED", "NO ANSWER"] {
            assert_eq!(state_word(text), None, "{text}");
        }
    }
}
