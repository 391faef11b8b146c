//! Lengths of time as the configuration writes them.

use std::time::Duration;

/// `"250ms"`, `"5s"`, `"1m"`, `"2h"`, `"1d"`: a whole number and one unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: u64 = number.parse().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// A length of time as the configuration writes it.
pub fn show_duration(duration: Duration) -> String {
    let (ms, s) = (duration.as_millis(), duration.as_secs());
    if ms == 0 {
        "0s".to_owned()
    } else if !ms.is_multiple_of(1_000) {
        format!("{ms}ms")
    } else if s.is_multiple_of(86_400) {
        format!("{}d", s / 86_400)
    } else if s.is_multiple_of(3_600) {
        format!("{}h", s / 3_600)
    } else if s.is_multiple_of(60) {
        format!("{}m", s / 60)
    } else {
        format!("{s}s")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        let cases = [
            ("0s", Some(0)),
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("1m", Some(60_000)),
            ("2h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("-5s", None),
            ("1.5s", None),
            ("5 s", None),
            ("5S", None),
            ("1m30s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ];
        for (text, ms) in cases {
            assert_eq!(parse_duration(text), ms.map(Duration::from_millis), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read(ms in 0..1_000_000_000_000_u64) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Some(duration));
        }

        #[test]
        fn any_text_is_read(text in "\\PC*") {
            let _ = parse_duration(&text);
        }
    }
}
