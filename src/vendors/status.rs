//! What an HTTP status alone says, for every vendor: read only where the body holds
//! nothing that can be read. And what is the same for all answers.

use crate::{
    call::{Cause, Fault},
    http::HttpReply,
};

/// Reads the status of an answer to a request that would have placed calls. A status
/// that does not say for certain that nothing was done leaves the calls in doubt.
pub fn fault_of_status(reply: &HttpReply) -> Fault {
    let (cause, reason) = match reply.status {
        400 | 411 | 413 | 414 | 415 | 422 | 431 => (Cause::InvalidCall, "INVALID_REQUEST"),
        401 => (Cause::Operator, "UNAUTHORIZED"),
        402 => (Cause::Exhausted, "PAYMENT_REQUIRED"),
        403 => (Cause::Operator, "FORBIDDEN"),
        // Not the call but the address is wrong: paths are configured.
        404 | 405 | 406 | 410 | 421 | 426 => (Cause::Operator, "ENDPOINT_NOT_FOUND"),
        407 | 511 => (Cause::Operator, "PROXY_AUTHENTICATION_REQUIRED"),
        // Asks to send the same again elsewhere: whoever says so did not act on it.
        307 | 308 => (Cause::Operator, "REDIRECTED"),
        429 => (Cause::Exhausted, "TOO_MANY_REQUESTS"),
        // Also every other 4xx: some are a proxy's word for a client or a server that went
        // away in the middle (460, 499), others of a request that was begun (423, 424).
        _ => (Cause::InDoubt, "UNREADABLE_ANSWER"),
    };
    let mut fault =
        Fault::new(cause, reason, format!("HTTP {} without a readable body", reply.status));
    fault.retry_after = reply.retry_after;
    // What failed at the vendor's was answered, as far as that goes.
    fault.unanswered = matches!(reply.status, 200..=299);
    fault
}

/// A row of a vendor's table of answers: what was seen, what it is called, and whose turn
/// it is. For vendors without codes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<O> {
    /// What was seen.
    pub observed: O,
    /// `ErrorInfo.reason`.
    pub reason: &'static str,
    /// The row of the gateway's error table.
    pub cause: Cause,
}

/// The causes of an answer to a question. Nothing was to be dialled, so no doubt is
/// left, and no call is wrong.
pub fn of_a_question(mut fault: Fault) -> Fault {
    fault.cause = match fault.cause {
        Cause::InDoubt => Cause::Unreachable,
        Cause::InvalidCall => Cause::Unreadable,
        cause => cause,
    };
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_no_is_a_refusal() {
        let certain = [
            307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 410, 411, 413, 414, 415, 421, 422,
            426, 429, 431, 511,
        ];
        for status in (100..600).filter(|status| !certain.contains(status)) {
            assert_eq!(
                fault_of_status(&HttpReply::json(status, "")).cause,
                Cause::InDoubt,
                "{status}"
            );
        }
        for status in certain {
            assert_ne!(
                fault_of_status(&HttpReply::json(status, "")).cause,
                Cause::InDoubt,
                "{status}"
            );
        }
    }
}
