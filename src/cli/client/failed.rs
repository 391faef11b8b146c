//! Errors, in words a person can act on, and the exit codes of commands.

use std::fmt::{self, Write as _};

use tonic::{Code, Status};
use tonic_types::{RpcStatusExt, pb};

use super::{turn_of, wait_of};
use crate::{api::DOMAIN, cli::WRONG_INPUT, config::show_duration};

/// Exit code of a command that was refused or failed.
pub(in crate::cli) const FAILED: u8 = 1;
/// Exit code of a command that did what it could: a call failed, or was not there.
pub(in crate::cli) const SOME_FAILED: u8 = 3;
/// Exit code of a command that did not reach the gateway, or was to come again: it may be
/// repeated.
pub(in crate::cli) const NOT_REACHED: u8 = 4;

/// Why a command ends, and with which exit code.
#[derive(Debug)]
pub(in crate::cli) struct Failed {
    message: String,
    code: u8,
}

impl Failed {
    pub(in crate::cli) fn new(message: impl Into<String>, code: u8) -> Self {
        Self { message: message.into(), code }
    }

    /// By what was given.
    pub(in crate::cli) fn input(message: impl Into<String>) -> Self {
        Self::new(message, WRONG_INPUT)
    }

    /// With one more line.
    pub(in crate::cli) fn and(mut self, line: impl fmt::Display) -> Self {
        let _ = write!(self.message, "\n{line}");
        self
    }

    pub(in crate::cli) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        let code = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => WRONG_INPUT,
            _ if wait_of(&status).or_else(|| turn_of(&status)).is_some() => NOT_REACHED,
            _ => FAILED,
        };
        Self::new(explain(&status), code)
    }
}

/// What a gateway refused, for people.
pub(in crate::cli) fn explain(status: &Status) -> String {
    use prost::Message as _;
    let whole = match pb::Status::decode(status.details()) {
        Ok(whole) if !whole.details.is_empty() => whole,
        _ => pb::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    };
    words(&whole)
}

/// The code, the reason and the message.
pub(in crate::cli) fn brief(status: &pb::Status) -> String {
    let code = name(Code::from_i32(status.code));
    let message = plain(&status.message);
    match status.get_details_error_info() {
        Some(info) => format!("{code}, {}: {message}", plain(&info.reason)),
        None => format!("{code}: {message}"),
    }
}

/// All that there is to act on: the code, the reason and the message, each wrong field, what the
/// vendor said, whether somebody was dialled, how long to wait, and where to look.
pub(in crate::cli) fn words(status: &pb::Status) -> String {
    let mut text = brief(status);
    let mut line = |words: String| {
        let _ = write!(text, "\n  {}", plain(&words));
    };
    for wrong in status.get_details_bad_request().iter().flat_map(|bad| &bad.field_violations) {
        let words = format!("{}: {}", wrong.field, wrong.description);
        // The first one is the message already.
        if words != status.message {
            line(words);
        }
    }
    if let Some(info) = status.get_details_error_info() {
        let of = |key: &str| info.metadata.get(key).filter(|value| !value.is_empty());
        if let Some(vendor) = of("vendor").filter(|_| info.domain != DOMAIN) {
            let said = |words: &str, key: &str| {
                of(key).map_or_else(String::new, |value| format!("{words}{value}"))
            };
            line(format!(
                "vendor {vendor} ({}){}{}{}",
                info.domain,
                said(", code ", "vendor_code"),
                said(", HTTP ", "http_status"),
                said(": ", "vendor_message"),
            ));
        }
        match of("dialed").map(String::as_str) {
            Some("no") => line("nobody was dialled".to_owned()),
            Some("maybe") => line("somebody may have been dialled".to_owned()),
            _ => {}
        }
        if let Some(field) = of("field") {
            line(format!("what differs: {field}"));
        }
        if let Some(id) = of("request_id") {
            line(format!("its calls: --request-id {id}"));
        }
    }
    for needed in status.get_details_precondition_failure().iter().flat_map(|p| &p.violations) {
        if needed.description != status.message {
            line(format!("{}: {}", needed.subject, needed.description));
        }
    }
    if let Some(resource) = status.get_details_resource_info() {
        line(format!("{}: {}", resource.resource_type, resource.resource_name));
    }
    if let Some(wait) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
        line(format!("may go well after {}", show_duration(wait)));
    }
    text
}

/// Without what a terminal would obey: vendors' words come through here.
pub(in crate::cli) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// As it is written everywhere else: `INVALID_ARGUMENT`.
fn name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn an_error_is_one_to_read() {
        let mut details = ErrorDetails::with_bad_request_violation("numbers[3]", "is empty");
        details.add_bad_request_violation("reason", "is too long");
        details.set_error_info("INVALID_REQUEST", "dialplane", [("a".to_owned(), "b".to_owned())]);
        let status =
            Status::with_error_details(Code::InvalidArgument, "numbers[3]: is empty", details);
        assert_eq!(
            explain(&status),
            "INVALID_ARGUMENT, INVALID_REQUEST: numbers[3]: is empty\n  reason: is too long"
        );
        assert_eq!(Failed::from(status).code(), WRONG_INPUT);
        assert_eq!(explain(&Status::unavailable("gone")), "UNAVAILABLE: gone");
        assert_eq!(Failed::from(Status::unavailable("gone")).code(), NOT_REACHED);
        assert_eq!(Failed::from(Status::permission_denied("no")).code(), FAILED);
    }

    #[test]
    fn a_vendors_words_are_told_and_do_nothing_to_the_terminal() {
        let meta = [
            ("vendor", "one"),
            ("vendor_code", "201"),
            ("vendor_message", "\x1b[2Jno\nline"),
            ("http_status", "200"),
            ("dialed", "maybe"),
            ("request_id", "r"),
        ];
        let meta = meta.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut details = ErrorDetails::with_error_info("NO_LINE", "phonon.io", meta);
        details.set_retry_info(Some(Duration::from_secs(90)));
        let status = Status::with_error_details(Code::ResourceExhausted, "no line", details);
        assert_eq!(
            explain(&status),
            "RESOURCE_EXHAUSTED, NO_LINE: no line\n  \
             vendor one (phonon.io), code 201, HTTP 200:  [2Jno line\n  \
             somebody may have been dialled\n  its calls: --request-id r\n  may go well after 90s"
        );
    }
}
