//! From what an adapter or the HTTP edge reports to the error that is kept with a
//! call: who it came from is added, texts are cut to size, numbers in them masked.

use std::{borrow::Cow, time::Duration};

use super::account::Account;
use crate::{
    call::{CallError, Cause, Dialed, Fault, VendorFault, Violation, mask_digits},
    http::Failure,
    vendors::bounds::MAX_ID_BYTES,
};

/// The most of a vendor's text that is kept.
const MAX_MESSAGE: usize = 200;
/// The most of a vendor's code and reason that is kept.
const MAX_CODE: usize = 48;

/// How long to wait before an unreachable vendor is tried again.
pub(super) const UNREACHABLE_WAIT: Duration = Duration::from_secs(5);

impl Account {
    /// A vendor's refusal, or an answer that leaves a call in doubt.
    pub(super) fn vendor_error(&self, fault: Fault, http_status: Option<u16>) -> CallError {
        // Credentials first: the digits of one may look like a number.
        let said = tidy(&self.without_secrets(&fault.message), MAX_MESSAGE);
        let name = self.name();
        let reason = cut(&fault.reason, MAX_CODE);
        let message = match fault.cause {
            Cause::InDoubt => {
                format!(
                    "{name} may have placed the call, but did not say so in a way that can be read: {said}"
                )
            }
            _ if said.is_empty() => format!("{name} refused the call: {reason}"),
            _ => format!("{name} refused the call: {said}"),
        };
        CallError {
            cause: fault.cause,
            dialed: fault.dialed.unwrap_or(fault.cause.dialed()),
            reason: Cow::Owned(reason),
            message,
            violations: fault
                .field
                .filter(|_| fault.cause == Cause::InvalidCall)
                .map(|field| Violation::new(field, format!("{name} does not take it: {said}")))
                .into_iter()
                .collect(),
            retry_after: fault
                .retry_after
                .or_else(|| (fault.cause == Cause::Unreachable).then_some(UNREACHABLE_WAIT)),
            unanswered: fault.unanswered && fault.cause == Cause::InDoubt,
            resource: fault.resource,
            vendor: Some(VendorFault {
                vendor: name.to_owned(),
                domain: Cow::Borrowed(self.adapter().domain()),
                code: fault.code.map(|code| tidy(&self.without_secrets(&code), MAX_CODE)),
                message: said,
                http_status,
                request_id: fault.request_id.filter(|id| id.len() <= MAX_ID_BYTES),
            }),
        }
    }

    /// A failure that is the result of a call the vendor had taken. Unless its word says
    /// otherwise, a phone may have rung before it failed.
    pub(super) fn reported_error(&self, fault: Fault) -> CallError {
        let dialed = fault.dialed.unwrap_or(Dialed::Maybe);
        let mut error = self.vendor_error(fault, None);
        error.dialed = dialed;
        // Waiting helps a request that was refused; this one was not.
        error.retry_after = None;
        if let Some(said) = error.vendor.as_ref().map(|v| v.message.as_str()) {
            error.message = format!("{} reports that the call failed: {said}", self.name());
        }
        error
    }

    /// No answer at all: the vendor had no part in this error, so it is the gateway's.
    pub(super) fn line_error(&self, failure: &Failure) -> CallError {
        let name = self.name();
        match failure {
            Failure::NotSent { .. } => CallError {
                retry_after: Some(UNREACHABLE_WAIT),
                ..CallError::new(
                    Cause::Unreachable,
                    "VENDOR_UNREACHABLE",
                    format!("{name} can't be reached: {failure}; nothing was sent"),
                )
            },
            Failure::InDoubt { status, .. } => CallError {
                // As far as a failure was told, it is an answer.
                unanswered: status.is_none_or(|status| matches!(status, 200..=299)),
                ..CallError::new(
                    Cause::InDoubt,
                    "VENDOR_ANSWER_LOST",
                    format!(
                        "the request went out to {name}, and no readable answer came back: {failure}"
                    ),
                )
            },
        }
    }
}

/// One line of printable text, no longer than `max` bytes, with every number of seven
/// or more digits masked, also when it is written in groups: vendors repeat people's
/// numbers in their messages.
pub(super) fn tidy(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max + 16));
    // Digits and what stands between them, until it is known whether they are a number.
    let mut group = String::new();
    // What lies far behind the cut can't show.
    for c in text.chars().take(max * 2) {
        let between =
            c.is_whitespace() || matches!(c, '-' | '.' | '(' | ')' | '/' | '\u{2010}'..='\u{2015}');
        if c.is_ascii_digit() || (between && !group.is_empty()) {
            group.push(if c.is_whitespace() { ' ' } else { c });
            continue;
        }
        flush(&mut out, &mut group);
        if !(c.is_control() || c == ' ') {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    flush(&mut out, &mut group);
    cut(out.trim(), max)
}

fn flush(out: &mut String, group: &mut String) {
    let digits: String = group.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < 7 {
        out.push_str(group);
    } else {
        let masked = mask_digits(&digits);
        let mut masked = masked.chars();
        out.extend(
            group
                .chars()
                .map(|c| if c.is_ascii_digit() { masked.next().unwrap_or('*') } else { c }),
        );
    }
    group.clear();
}

fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_masked_and_codes_are_not() {
        assert_eq!(
            tidy("Invalid number\n +919812345001 (code 205)", 200),
            "Invalid number +9198*****001 (code 205)"
        );
    }

    #[test]
    fn numbers_in_groups_are_masked_too() {
        for text in
            ["98123-45001", "(981) 234 5001", "+91 98123 45001", "98.12.34.50.01", "98123\n45001"]
        {
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            let tidied = tidy(text, 200);
            let shown: String =
                tidied.chars().filter(|c| c.is_ascii_digit() || *c == '*').collect();
            assert_eq!(shown, mask_digits(&digits), "{text}");
        }
        assert_eq!(tidy("code 402, HTTP 402", 200), "code 402, HTTP 402");
    }

    proptest! {
        #[test]
        fn any_text_becomes_short_and_printable(text in ".{0,600}") {
            let tidied = tidy(&text, 200);
            prop_assert!(tidied.len() <= 200);
            prop_assert!(!tidied.chars().any(char::is_control));
        }
    }
}
