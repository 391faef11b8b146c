//! How much of what a vendor tells of a call is kept: its answers are as long as it likes,
//! and a call that a vendor made huge could not be told to anybody any more. Adapters use
//! these where they take an answer apart, and the gateway for all that comes out of them.

use serde_json::{Map, Value};

use crate::call::{Attempt, Report};

/// The longest id, in bytes: what is longer is no id of any vendor known.
pub const MAX_ID_BYTES: usize = 128;

/// Everything else a vendor said of a call, as JSON, in bytes.
const MAX_DATA_BYTES: usize = 8 * 1024;

/// Recordings of a call that name no attempt.
pub const MAX_RECORDINGS: usize = 16;

/// Attempts of a call.
const MAX_ATTEMPTS: usize = 64;

/// The longest address, in bytes.
const MAX_ADDRESS_BYTES: usize = 2_048;

/// The longest other text, in bytes.
const MAX_TEXT_BYTES: usize = 256;

/// At most so many bytes of a text, in whole characters.
pub fn cut(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    text.get(..end).unwrap_or_default().to_owned()
}

/// A text, as much of it as is kept.
pub fn cut_text(text: &str) -> String {
    cut(text, MAX_TEXT_BYTES)
}

/// An address, as much of it as is kept.
pub fn cut_address(text: &str) -> String {
    cut(text, MAX_ADDRESS_BYTES)
}

/// The latest attempts of a list with the oldest first.
pub fn keep_latest(attempts: &mut Vec<Attempt>) {
    let surplus = attempts.len().saturating_sub(MAX_ATTEMPTS);
    attempts.drain(..surplus);
}

/// A report within the bounds.
pub fn report(mut report: Report) -> Report {
    keep_latest(&mut report.attempts);
    for attempt in &mut report.attempts {
        for text in [
            &mut attempt.key,
            &mut attempt.to,
            &mut attempt.dtmf,
            &mut attempt.vendor_state,
            &mut attempt.hangup_cause,
        ] {
            text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        }
        let uri = &mut attempt.recording_uri;
        uri.truncate(uri.floor_char_boundary(MAX_ADDRESS_BYTES));
    }
    report.data = data(report.data);
    report
}

/// As many entries as fit, in the order of their names.
pub fn data(data: Map<String, Value>) -> Map<String, Value> {
    let mut left = MAX_DATA_BYTES;
    data.into_iter()
        .filter(|(key, value)| {
            let size = key.len() + value.to_string().len();
            let fits = size <= left;
            left -= if fits { size } else { 0 };
            fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallState;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(
            (cut("aéb", 3), cut("aéb", 2), cut("aéb", 9)),
            ("aé".into(), "a".into(), "aéb".into())
        );
        assert_eq!(cut_text(&"é".repeat(500)).len(), 256);
        assert_eq!(cut_address(&"x".repeat(5_000)).len(), 2_048);
    }

    #[test]
    fn the_latest_attempts_are_kept() {
        let attempt = |to: usize| Attempt { to: to.to_string(), ..Attempt::new(CallState::Busy) };
        let mut attempts: Vec<_> = (0..100).map(attempt).collect();
        keep_latest(&mut attempts);
        assert_eq!((attempts.len(), attempts[0].to.as_str()), (64, "36"));
        keep_latest(&mut attempts);
        assert_eq!(attempts.len(), 64);
    }

    #[test]
    fn a_huge_report_becomes_a_small_one() {
        let long = "ß".repeat(5_000);
        let huge = Attempt {
            vendor_state: long.clone(),
            recording_uri: format!("https://example.test/{long}"),
            ..Attempt::new(CallState::Busy)
        };
        let mut last = huge.clone();
        last.hangup_cause = "17".to_owned();
        let mut attempts = vec![huge; 10_000];
        attempts.push(last);
        let data = (0..10_000).map(|i| (format!("key-{i:05}"), long.clone().into()));
        let mut data: Map<_, _> = data.collect();
        data.insert("charges".to_owned(), "0.5".into());
        let kept = report(Report { attempts, data, ..Report::default() });
        assert_eq!(kept.attempts.len(), MAX_ATTEMPTS);
        assert_eq!(kept.attempts[MAX_ATTEMPTS - 1].hangup_cause, "17");
        assert!(
            kept.attempts
                .iter()
                .all(|a| a.vendor_state.len() <= 256 && a.recording_uri.len() <= 2_048)
        );
        assert_eq!(kept.data.get("charges"), Some(&"0.5".into()));
        assert!(Value::Object(kept.data).to_string().len() < 2 * MAX_DATA_BYTES);
    }
}
