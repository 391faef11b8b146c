//! Telephone numbers: a person's, in E.164, and the one shown to them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A person's number in E.164: 7 to 15 digits with the country code first. Prints
/// masked; [`E164::digits`] and [`E164::plus`] give it in full, for API answers and
/// vendor requests only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct E164(String);

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing there.
    #[error("is empty; expected an E.164 number such as +919900000001")]
    Empty,
    /// A character that is neither a digit nor a leading "+".
    #[error(
        "has characters other than digits and a leading +; expected an E.164 number such as +919900000001"
    )]
    NotDigits,
    /// Too short or too long for E.164.
    #[error("has {0} digits; expected 7 to 15 with the country code first, such as +919900000001")]
    Length(usize),
    /// No country code starts with 0: a national number or an international prefix.
    #[error("starts with 0; expected the country code first and no prefix, such as +919900000001")]
    LeadingZero,
    /// Not a number to show.
    #[error("expected 2 to 15 digits, with an optional +")]
    CallerId,
}

fn digits_of(text: &str) -> Result<&str, NumberError> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty() {
        return Err(NumberError::Empty);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NumberError::NotDigits);
    }
    Ok(digits)
}

impl E164 {
    /// Country code and number, digits only: what Phonon and MobTexting take
    /// (phonon.md 6.14, mobtexting.md 6 #15).
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// With the leading "+", as the API returns it.
    pub fn plus(&self) -> String {
        format!("+{}", self.0)
    }
}

impl FromStr for E164 {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let digits = digits_of(text)?;
        if digits.starts_with('0') {
            return Err(NumberError::LeadingZero);
        }
        if !(7..=15).contains(&digits.len()) {
            return Err(NumberError::Length(digits.len()));
        }
        Ok(Self(digits.to_owned()))
    }
}

impl TryFrom<String> for E164 {
    type Error = NumberError;

    fn try_from(text: String) -> Result<Self, NumberError> {
        text.parse()
    }
}

impl From<E164> for String {
    fn from(number: E164) -> Self {
        number.plus()
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", mask_digits(&self.0))
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The number shown to the person called: a DID, a bridge or a short extension, 2
/// to 15 digits with an optional "+", kept as it was given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallerId(String);

impl CallerId {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the "+".
    pub fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or(&self.0)
    }
}

impl FromStr for CallerId {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        // What may be shown is not bound to E.164, and neither is what is said of it.
        let digits = digits_of(text).map_err(|_| NumberError::CallerId)?;
        if !(2..=15).contains(&digits.len()) {
            return Err(NumberError::CallerId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CallerId {
    type Error = NumberError;

    fn try_from(text: String) -> Result<Self, NumberError> {
        text.parse()
    }
}

impl From<CallerId> for String {
    fn from(id: CallerId) -> Self {
        id.0
    }
}

impl fmt::Debug for CallerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask_digits(self.digits()))
    }
}

/// Covers the middle of a number: `9198*****001`. Of a short one less is left.
pub fn mask_digits(digits: &str) -> String {
    let count = digits.chars().count();
    let (head, tail) = match count {
        0..=4 => (0, 0),
        5..=9 => (1, 2),
        _ => (4, 3),
    };
    digits
        .chars()
        .enumerate()
        .map(|(i, c)| if i < head || i + tail >= count { c } else { '*' })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_numbers_with_and_without_plus() {
        let number: E164 = "+919900000001".parse().unwrap();
        assert_eq!(number, "919900000001".parse().unwrap());
        assert_eq!((number.digits(), number.plus().as_str()), ("919900000001", "+919900000001"));
    }

    #[test]
    fn says_what_is_wrong() {
        let cases = [
            ("", NumberError::Empty),
            ("+", NumberError::Empty),
            ("+91 99000 00001", NumberError::NotDigits),
            ("++919900000001", NumberError::NotDigits),
            ("٩١٩٩٠٠٠٠٠٠٠١", NumberError::NotDigits),
            ("09900000001", NumberError::LeadingZero),
            ("00919900000001", NumberError::LeadingZero),
            ("123456", NumberError::Length(6)),
            ("+1234567890123456", NumberError::Length(16)),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<E164>(), Err(error), "{text}");
        }
    }

    #[test]
    fn prints_masked() {
        let number: E164 = "+919812345001".parse().unwrap();
        assert_eq!(format!("{number} {number:?}"), "+9198*****001 +9198*****001");
        let extension: CallerId = "200".parse().unwrap();
        assert_eq!(format!("{extension:?}"), "***");
    }

    #[test]
    fn caller_ids_may_be_extensions() {
        for text in ["200", "+918000000001", "42"] {
            assert_eq!(text.parse::<CallerId>().unwrap().as_str(), text);
        }
        for text in ["", "2", "desk", "1234567890123456"] {
            let error = text.parse::<CallerId>().unwrap_err();
            assert_eq!(error.to_string(), "expected 2 to 15 digits, with an optional +", "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_or_an_error(text in ".{0,24}") {
            if let Ok(number) = text.parse::<E164>() {
                prop_assert_eq!(number.plus().parse::<E164>().unwrap(), number);
            }
            let _ = text.parse::<CallerId>();
            prop_assert_eq!(mask_digits(&text).chars().count(), text.chars().count());
        }

        #[test]
        fn a_mask_hides_at_least_half_of_what_matters(digits in "[1-9][0-9]{6,14}") {
            let shown = digits.parse::<E164>().unwrap().to_string();
            prop_assert!(shown.matches('*').count() >= digits.len().saturating_sub(7));
            prop_assert!(!shown.contains(&digits));
        }
    }
}
