//! How much of what a vendor tells of a call is kept: its answers are as long as it likes,
//! and a call's record is not.

use crate::call::Attempt;

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
}
