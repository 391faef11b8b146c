//! What is kept of a vendor's words at most: a call that a vendor made huge could
//! not be told to anybody any more.

use serde_json::{Map, Value};

use crate::call::{Attempt, Report};

/// Attempts that are kept of a call: the latest.
const MAX_ATTEMPTS: usize = 64;
/// Of a vendor's word: a state, a cause, the keys pressed.
const MAX_WORD_BYTES: usize = 256;
/// Of an address.
const MAX_ADDRESS_BYTES: usize = 2_048;
/// Of everything else a vendor said of a call, as JSON.
const MAX_DATA_BYTES: usize = 8 * 1024;
/// Of an id: what is longer is no id of any vendor known.
pub(super) const MAX_ID_BYTES: usize = 128;

/// A report within the bounds.
pub(super) fn report(mut report: Report) -> Report {
    let surplus = report.attempts.len().saturating_sub(MAX_ATTEMPTS);
    report.attempts.drain(..surplus);
    report.attempts.iter_mut().for_each(attempt);
    report.data = data(report.data);
    report
}

fn attempt(attempt: &mut Attempt) {
    for word in
        [&mut attempt.to, &mut attempt.dtmf, &mut attempt.vendor_state, &mut attempt.hangup_cause]
    {
        cut(word, MAX_WORD_BYTES);
    }
    // Half an address leads nowhere.
    if attempt.recording_uri.len() > MAX_ADDRESS_BYTES {
        attempt.recording_uri.clear();
    }
}

/// As many entries as fit, in the order of their names.
pub(super) fn data(data: Map<String, Value>) -> Map<String, Value> {
    let mut left = MAX_DATA_BYTES;
    data.into_iter()
        .filter(|(key, value)| {
            let size = key.len() + value.to_string().len();
            let fits = size <= left;
            left = left.saturating_sub(if fits { size } else { 0 });
            fits
        })
        .collect()
}

fn cut(text: &mut String, max: usize) {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::CallState;

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
            kept.attempts.iter().all(|a| a.vendor_state.len() <= 256 && a.recording_uri.is_empty())
        );
        assert_eq!(kept.data.get("charges"), Some(&"0.5".into()));
        assert!(Value::Object(kept.data).to_string().len() < 2 * MAX_DATA_BYTES);
    }
}
