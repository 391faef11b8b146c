//! "Did you mean …?"

use std::collections::BTreeSet;

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
    fn counts_letters() {
        let cases = [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("äb", "ab", 1)];
        for (a, b, steps) in cases {
            assert_eq!((distance(a, b), distance(b, a)), (steps, steps), "{a} {b}");
        }
    }
}
