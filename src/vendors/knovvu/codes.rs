//! Knovvu's answers and call states as tables, on the gateway's rows. The
//! documentation's tables are tested against these.

use crate::{
    call::{CallState, Cause, Fault},
    http::HttpReply,
    vendors::{Reading, fault_of_status},
};

/// Something an answer to `/v2/call` may say other than yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// The status of the HTTP answer: Knovvu documents no error bodies.
    Status(u16),
    /// 2xx with a JSON object that has no `UniqueId`, or an empty one.
    NoUniqueId,
    /// 2xx with a body, or a `UniqueId`, that can't be read; or a refusal with a `UniqueId`.
    Unreadable,
}

const fn row(observed: Observed, reason: &'static str, cause: Cause) -> Reading<Observed> {
    Reading { observed, reason, cause }
}

/// Answers to `/v2/call` (knovvu.md 4). A status that is not here is read as for every
/// vendor. Nothing says that a `ConversationId` is called only once, so whatever does
/// not refuse for certain leaves the call in doubt. 429 does refuse: whoever sends it
/// says that it did not take the request in.
pub const READINGS: &[Reading<Observed>] = &[
    row(Observed::Status(400), "BAD_REQUEST", Cause::InvalidCall),
    row(Observed::Status(401), "UNAUTHORIZED", Cause::Operator),
    row(Observed::Status(402), "PAYMENT_REQUIRED", Cause::Exhausted),
    row(Observed::Status(403), "FORBIDDEN", Cause::Operator),
    // The path is the gateway's, host and prefix the operator's.
    row(Observed::Status(404), "NOT_FOUND", Cause::Operator),
    row(Observed::Status(405), "METHOD_NOT_ALLOWED", Cause::Operator),
    row(Observed::Status(408), "REQUEST_TIMEOUT", Cause::InDoubt),
    row(Observed::Status(409), "CONFLICT", Cause::InDoubt),
    // JSON is what the vendor takes: something else answers at this address.
    row(Observed::Status(415), "UNSUPPORTED_MEDIA_TYPE", Cause::Operator),
    row(Observed::Status(422), "UNPROCESSABLE_ENTITY", Cause::InvalidCall),
    row(Observed::Status(429), "TOO_MANY_REQUESTS", Cause::Exhausted),
    row(Observed::Status(500), "INTERNAL_SERVER_ERROR", Cause::InDoubt),
    row(Observed::Status(502), "BAD_GATEWAY", Cause::InDoubt),
    row(Observed::Status(503), "SERVICE_UNAVAILABLE", Cause::InDoubt),
    row(Observed::Status(504), "GATEWAY_TIMEOUT", Cause::InDoubt),
    row(Observed::NoUniqueId, "NO_UNIQUE_ID", Cause::InDoubt),
    row(Observed::Unreadable, "UNREADABLE_ANSWER", Cause::InDoubt),
];

/// The fault that was seen in an answer, with `seen` for its message.
pub fn fault(observed: Observed, reply: &HttpReply, seen: String) -> Fault {
    let mut fault = match READINGS.iter().find(|row| row.observed == observed) {
        Some(row) => Fault::new(row.cause, row.reason, seen),
        None => Fault { message: seen, ..fault_of_status(reply) },
    };
    fault.code = Some(reply.status.to_string());
    fault.retry_after = reply.retry_after;
    fault
}

/// A word for where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateWord {
    /// As the vendor's page writes it.
    pub word: &'static str,
    /// Every documented word ends the call.
    pub state: CallState,
}

const fn word(word: &'static str, state: CallState) -> StateWord {
    StateWord { word, state }
}

/// Every documented call state (knovvu.md 5a). A word that is not here says nothing:
/// it must not end a call, and least of all as answered.
pub const STATES: &[StateWord] = &[
    word("Answered", CallState::Answered),
    word("Busy", CallState::Busy),
    word("Error", CallState::Failed),
    word("Invalid Number", CallState::InvalidNumber),
    word("No Answer", CallState::NoAnswer),
    word("Rejected", CallState::Rejected),
    word("Temporarily Unavailable", CallState::Unreachable),
];

/// Why a call failed whose state is `Error`, the only one that fails a call: an error
/// while connecting. The vendor had the call and gave up on it, which is not the same
/// as a vendor that can't be reached; what went wrong there, nobody can read.
pub const ERROR_CAUSE: Cause = Cause::Unreadable;

/// Reads a call state, however its words are joined (knovvu.md 6.1). None when it is
/// unknown.
pub fn state_word(text: &str) -> Option<StateWord> {
    let text = joined(text);
    STATES.iter().copied().find(|row| joined(row.word) == text)
}

fn joined(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
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
            assert!(STATES.iter().skip(i + 1).all(|other| joined(other.word) != joined(row.word)));
            assert!(row.state.is_final());
            assert_eq!(row.state == CallState::Failed, row.word == "Error");
        }
    }

    #[test]
    fn no_status_is_surer_of_a_refusal_than_the_common_table() {
        for status in 100..600 {
            let reply = HttpReply::json(status, "");
            let common = fault_of_status(&reply).cause;
            if common == Cause::InDoubt {
                let read = fault(Observed::Status(status), &reply, String::new());
                assert_eq!(read.cause, common, "{status}");
            }
        }
    }

    #[test]
    fn words_are_read_however_they_are_joined() {
        for row in STATES {
            for joint in [" ", "", "-", "_", "  "] {
                let text = row.word.replace(' ', joint);
                for text in [text.to_lowercase(), text.to_uppercase(), text] {
                    assert_eq!(state_word(&text), Some(*row), "{text}");
                }
            }
        }
        for text in ["", " ", "Queued", "Ringing", "Answer", "Not Answered", "Answered!", "Errors"]
        {
            assert_eq!(state_word(text), None, "{text}");
        }
    }
}
