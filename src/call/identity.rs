//! Names by which calls are found again.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The gateway's own id of a call, given before a vendor hears of it. A UUIDv7, so
/// ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Uuid);

impl CallId {
    /// A fresh one.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The sixteen bytes, in sorting order.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// What names a dial of the call to its vendor, from 0: the first has the call's own id,
    /// each later one another, so that no vendor takes it for a repetition. Always the same
    /// for the same dial, and (as a UUIDv8) never the id of a call.
    #[must_use]
    pub fn of_dial(self, dial: u32) -> Self {
        const VERSION: u128 = 0xf << 76;
        const EIGHT: u128 = 0x8 << 76;
        match dial {
            0 => self,
            _ => Self(Uuid::from_u128((self.0.as_u128() & !VERSION | EIGHT) ^ u128::from(dial))),
        }
    }

    /// From [`CallId::as_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CallId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        // Only the form that is given out: others would come back as another text.
        if text.len() != 36 {
            return Err(IdentityError::NotUuid);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| IdentityError::NotUuid)
    }
}

/// Why a text can't name something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Not a UUID.
    #[error("is not a UUID; expected a call_id as CreateCalls returned it")]
    NotUuid,
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Longer than what is kept.
    #[error("has {0} characters; at most 128 are allowed")]
    TooLong(usize),
    /// Something that would not survive a header or a log line.
    #[error("has characters other than printable ASCII without spaces; a UUID is recommended")]
    NotPrintable,
    /// A control character in a reference.
    #[error("has control characters")]
    Control,
}

const MAX_CHARACTERS: usize = 128;

fn bounded(text: &str) -> Result<(), IdentityError> {
    if text.is_empty() {
        return Err(IdentityError::Empty);
    }
    // Counted only when the bytes could hold too many: most texts are short.
    if text.len() > MAX_CHARACTERS {
        let count = text.chars().count();
        if count > MAX_CHARACTERS {
            return Err(IdentityError::TooLong(count));
        }
    }
    Ok(())
}

/// The idempotency key of a CreateCalls request: 1 to 128 printable ASCII
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// A fresh one, for a caller that gave none.
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        bounded(text)?;
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(IdentityError::NotPrintable);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The caller's own reference of a call: 1 to 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientReference(String);

impl ClientReference {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientReference {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        bounded(text)?;
        if text.chars().any(char::is_control) {
            return Err(IdentityError::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dial_of_a_call_has_a_name_of_its_own() {
        let id = CallId::generate();
        assert_eq!(id.of_dial(0), id);
        let names: Vec<_> = (0..300).map(|dial| id.of_dial(dial).to_string()).collect();
        for (dial, name) in names.iter().enumerate().skip(1) {
            assert_eq!((name.len(), name.as_bytes()[14]), (36, b'8'), "{name}");
            assert!(!names[..dial].contains(name));
        }
    }

    #[test]
    fn call_ids_sort_by_time_and_survive_their_text() {
        let (first, second) = (CallId::generate(), CallId::generate());
        assert!(first < second);
        assert_eq!(first.to_string().parse::<CallId>().unwrap(), first);
        assert_eq!(CallId::from_bytes(*first.as_bytes()), first);
        assert_eq!("4711".parse::<CallId>(), Err(IdentityError::NotUuid));
    }

    #[test]
    fn request_ids_are_printable_and_bounded() {
        assert_eq!("a".repeat(128).parse::<RequestId>().unwrap().as_str().len(), 128);
        assert_eq!("a".repeat(129).parse::<RequestId>(), Err(IdentityError::TooLong(129)));
        assert_eq!("".parse::<RequestId>(), Err(IdentityError::Empty));
        assert_eq!("two words".parse::<RequestId>(), Err(IdentityError::NotPrintable));
        assert_eq!("straße".parse::<RequestId>(), Err(IdentityError::NotPrintable));
    }

    #[test]
    fn references_count_characters_not_bytes() {
        assert!("ß".repeat(128).parse::<ClientReference>().is_ok());
        assert_eq!("ß".repeat(129).parse::<ClientReference>(), Err(IdentityError::TooLong(129)));
        assert_eq!("a\nb".parse::<ClientReference>(), Err(IdentityError::Control));
    }
}
