//! "Did you mean …?"

use std::{collections::BTreeSet, time::Duration};

use super::duration::{parse_duration, show_duration};

/// What to add to a mistake.
pub(super) fn did_you_mean(meant: Option<impl std::fmt::Display>) -> String {
    meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default()
}

/// A length of time that was written in another way: without a unit, with a space, or with a
/// unit's whole name.
pub(super) fn meant_duration(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_lowercase().replace('_', "");
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let unit = match unit.trim() {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    parse_duration(&format!("{number}{unit}"))
}

/// The same as the configuration writes it, if it may be that long.
pub(super) fn duration_hint(text: &str, is_right: impl Fn(Duration) -> bool) -> String {
    let meant = meant_duration(text).filter(|meant| is_right(*meant)).map(show_duration);
    did_you_mean(meant.map(|meant| format!("{meant:?}")))
}

/// The known word that is closest to a mistyped one, when one is close.
pub(super) fn nearest<'k>(text: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    let near = |steps: usize, key: &str| {
        // Half a word is a hint as well: `flow` for `flow_id`.
        let begun = text.len() >= 3 && (key.starts_with(text) || text.starts_with(key));
        begun || steps <= 2.max(key.len() / 3)
    };
    known
        .iter()
        .copied()
        .map(|key| (distance(text, key), key))
        .filter(|(steps, key)| near(*steps, key))
        .min()
        .map(|(_, key)| key)
}

/// How many letters have to be added, dropped or changed (Levenshtein).
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for ((y, diagonal), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(x != *y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = BTreeSet::from(["flow_id", "timeout", "ca_file", "rate", "callback"]);
        let cases = [
            ("flow", Some("flow_id")),
            ("flowid", Some("flow_id")),
            ("time_out", Some("timeout")),
            ("Timeout", Some("timeout")),
            ("rates", Some("rate")),
            ("callbacks", Some("callback")),
            ("ca-file", Some("ca_file")),
            ("security_id", None),
            ("", None),
            ("ключ", None),
        ];
        for (text, meant) in cases {
            assert_eq!(nearest(text, &known), meant, "{text}");
        }
    }

    #[test]
    fn knows_times_that_are_written_otherwise() {
        let cases = [
            ("30", Some("30s")),
            ("1_000", Some("1000s")),
            ("30 s", Some("30s")),
            ("5 Minutes", Some("5m")),
            ("250msec", Some("250ms")),
            ("2hrs", Some("2h")),
            ("1w", None),
            ("1.5h", None),
            ("soon", None),
            ("", None),
            ("é", None),
        ];
        for (text, meant) in cases {
            let meant = meant.map(|text| parse_duration(text).unwrap());
            assert_eq!(meant_duration(text), meant, "{text}");
        }
        let short = |meant: Duration| meant < Duration::from_secs(60);
        assert_eq!(duration_hint("30", short), "; did you mean \"30s\"?");
        assert_eq!(duration_hint("90", short), "");
    }

    #[test]
    fn counts_letters() {
        let cases = [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("äb", "ab", 1)];
        for (a, b, steps) in cases {
            assert_eq!((distance(a, b), distance(b, a)), (steps, steps), "{a} {b}");
        }
    }
}
