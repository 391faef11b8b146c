//! Numbers that must not be called.

use std::str::FromStr;

use jiff::Timestamp;

use super::{CallError, Cause, E164, Violation};

/// The most characters of a [`SuppressionReason`]: 5,000 of the longest fit into one answer.
pub const MAX_SUPPRESSION_REASON: usize = 128;

/// A number on the do-not-call list. The number prints masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Nobody is to call it.
    pub number: E164,
    /// Why, as far as it was told.
    pub reason: SuppressionReason,
    /// Since when it is on the list.
    pub create_time: Timestamp,
}

/// Why a number is on the list, in words of whoever put it there: up to
/// [`MAX_SUPPRESSION_REASON`] characters on one line, or nothing. Prints its length only:
/// it may be of a person.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SuppressionReason(String);

/// Why a text is no reason to keep with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SuppressionReasonError {
    /// Too long.
    #[error("has {0} characters; at most {MAX_SUPPRESSION_REASON} are allowed")]
    Length(usize),
    /// A line break, or another character that moves a terminal.
    #[error("has a control character; expected one line of text")]
    Control,
}

impl SuppressionReason {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// None was given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for SuppressionReason {
    type Err = SuppressionReasonError;

    fn from_str(text: &str) -> Result<Self, SuppressionReasonError> {
        match text.chars().count() {
            0..=MAX_SUPPRESSION_REASON => {}
            count => return Err(SuppressionReasonError::Length(count)),
        }
        if text.chars().any(char::is_control) {
            return Err(SuppressionReasonError::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for SuppressionReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SuppressionReason({} bytes)", self.0.len())
    }
}

/// The error of a call of whose numbers those at these places, counted from 0, are on the
/// list; none when there are no such places. A call rings whichever of its numbers is picked,
/// so one of them refuses the call.
pub fn suppressed(places: &[usize]) -> Option<CallError> {
    let first = places.first()?;
    let violation = |place| Violation::new(format!("to[{place}]"), "is on the do-not-call list");
    let message = match places.len() - 1 {
        0 => format!("to[{first}] is on the do-not-call list"),
        more => format!("to[{first}] is on the do-not-call list (and {more} more)"),
    };
    Some(CallError {
        violations: places.iter().map(violation).collect(),
        ..CallError::new(Cause::NotAllowed, "SUPPRESSED", message)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::Dialed, *};

    #[test]
    fn an_error_names_the_places_and_no_number() {
        assert_eq!(suppressed(&[]), None);
        let one = suppressed(&[1]).unwrap();
        assert_eq!(
            (one.cause, &*one.reason, one.dialed),
            (Cause::NotAllowed, "SUPPRESSED", Dialed::No)
        );
        assert_eq!((one.violations.len(), one.violations[0].field.as_str()), (1, "to[1]"));
        assert_eq!((one.vendor, one.retry_after, one.unanswered), (None, None, false));
        let two = suppressed(&[0, 3]).unwrap();
        assert_eq!(two.message, "to[0] is on the do-not-call list (and 1 more)");
        let fields: Vec<_> = two.violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["to[0]", "to[3]"]);
    }

    #[test]
    fn a_reason_is_a_short_line() {
        let longest = "ü".repeat(MAX_SUPPRESSION_REASON);
        for text in ["", "asked us to stop", &longest] {
            assert_eq!(text.parse::<SuppressionReason>().unwrap().as_str(), text);
        }
        let error = |text: &str| text.parse::<SuppressionReason>().unwrap_err();
        assert_eq!(error(&"x".repeat(129)), SuppressionReasonError::Length(129));
        assert_eq!(error("a\nb"), SuppressionReasonError::Control);
        assert_eq!(error("\u{1b}[2J"), SuppressionReasonError::Control);
    }

    #[test]
    fn nothing_of_a_person_is_printed() {
        let suppression = Suppression {
            number: "+919812345001".parse().unwrap(),
            reason: "Asha asked".parse().unwrap(),
            create_time: Timestamp::UNIX_EPOCH,
        };
        let printed = format!("{suppression:?}");
        assert!(printed.contains("+9198*****001"), "{printed}");
        assert!(!printed.contains("12345") && !printed.contains("Asha"), "{printed}");
    }
}
