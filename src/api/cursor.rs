//! Cursors: a place among all changes of one ledger.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

/// The cursor right after a change.
pub(super) fn write(ledger: [u8; 8], number: u64) -> String {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(ledger.into_iter().chain(number.to_be_bytes())) {
        *to = from;
    }
    BASE64.encode(bytes)
}

/// The number of the change, when the cursor is one of this ledger.
pub(super) fn read(ledger: [u8; 8], cursor: &str) -> Option<u64> {
    let bytes = BASE64.decode(cursor).ok()?;
    let (of, number) = bytes.split_at_checked(8)?;
    if of != ledger {
        return None;
    }
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(ledger: [u8; 8], number: u64) {
            prop_assert_eq!(read(ledger, &write(ledger, number)), Some(number));
        }

        #[test]
        fn other_ledgers_and_other_texts_have_none(ledger: [u8; 8], other: [u8; 8], text in ".*") {
            prop_assume!(ledger != other);
            prop_assert_eq!(read(ledger, &write(other, 7)), None);
            prop_assert!(read(ledger, &text).is_none() || text.len() == 22);
        }
    }
}
