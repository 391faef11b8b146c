//! What an HTTP status alone says, for every vendor: read only where the body holds
//! nothing that can be read.

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
        400..=499 if reply.status != 408 && reply.status != 409 && reply.status != 425 => {
            (Cause::Unreadable, "REFUSED")
        }
        _ => (Cause::InDoubt, "UNREADABLE_ANSWER"),
    };
    let mut fault =
        Fault::new(cause, reason, format!("HTTP {} without a readable body", reply.status));
    fault.retry_after = reply.retry_after;
    fault
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_no_is_a_refusal() {
        let in_doubt =
            [100, 200, 201, 202, 204, 301, 302, 303, 304, 408, 409, 425, 500, 502, 503, 504, 599];
        for status in in_doubt {
            assert_eq!(
                fault_of_status(&HttpReply::json(status, "")).cause,
                Cause::InDoubt,
                "{status}"
            );
        }
        for status in [400, 401, 402, 403, 404, 405, 413, 418, 422, 429, 451, 307, 308] {
            assert_ne!(
                fault_of_status(&HttpReply::json(status, "")).cause,
                Cause::InDoubt,
                "{status}"
            );
        }
    }
}
