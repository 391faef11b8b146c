//! Page tokens of the do-not-call list: right after a number, in the answer to one filter.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use crate::{
    api::page_token::{HASH, short_hash},
    call::E164,
};

/// The token of the place after a number.
pub(super) fn write(filter: &[E164], last: &E164) -> String {
    let mut bytes = Vec::from(of(filter));
    bytes.extend(last.digits().bytes());
    BASE64.encode(bytes)
}

/// The number after which to go on, when the token is one of this filter: none at the start,
/// which has an empty token.
pub(super) fn read(filter: &[E164], token: &str) -> Option<Option<E164>> {
    if token.is_empty() {
        return Some(None);
    }
    let bytes = BASE64.decode(token).ok()?;
    let (hash, last) = bytes.split_at_checked(HASH)?;
    let last = std::str::from_utf8(last).ok()?.parse().ok()?;
    (hash == of(filter)).then_some(Some(last))
}

fn of(filter: &[E164]) -> [u8; HASH] {
    let numbers = filter.iter().flat_map(|number| [number.digits().as_bytes(), b"\0"]);
    short_hash(std::iter::once(&b"suppressions\0"[..]).chain(numbers))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_filter_only() {
        let number: E164 = "+919900000001".parse().unwrap();
        let other: E164 = "+919900000002".parse().unwrap();
        let token = write(&[], &number);
        assert_eq!(read(&[], &token), Some(Some(number.clone())));
        assert_eq!(read(&[], ""), Some(None));
        assert_eq!(read(std::slice::from_ref(&number), &token), None);
        let both = [number.clone(), other];
        assert_eq!(read(&both, &write(&both, &number)), Some(Some(number)));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_none(text in ".{0,64}") {
            let _ = read(&[], &text);
        }
    }
}
