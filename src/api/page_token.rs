//! Page tokens: a place in the answer to one selection, and to no other.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use crate::call::{CallId, Position, Selector};

/// Bytes of the selection's hash that a token carries: enough to notice a mix-up.
pub(super) const HASH: usize = 8;

/// The token of a place.
pub(super) fn write(selector: &Selector, position: Position) -> String {
    let mut bytes = Vec::with_capacity(HASH + 4 + 16);
    bytes.extend(fingerprint(selector));
    bytes.extend(position.entries.to_be_bytes());
    if let Some(id) = position.within {
        bytes.extend(id.as_bytes());
    }
    BASE64.encode(bytes)
}

/// The place of a token, when it is one of this selection. An empty token is the
/// start.
pub(super) fn read(selector: &Selector, token: &str) -> Option<Position> {
    if token.is_empty() {
        return Some(Position { entries: 0, within: None });
    }
    let bytes = BASE64.decode(token).ok()?;
    let (hash, rest) = bytes.split_at_checked(HASH)?;
    let (entries, within) = rest.split_at_checked(4)?;
    if hash != fingerprint(selector) {
        return None;
    }
    let within = match within {
        [] => None,
        id => Some(CallId::from_bytes(id.try_into().ok()?)),
    };
    Some(Position { entries: u32::from_be_bytes(entries.try_into().ok()?), within })
}

fn fingerprint(selector: &Selector) -> [u8; HASH] {
    let kind = |kind: &'static str| std::iter::once(kind.as_bytes());
    match selector {
        Selector::Calls(ids) => {
            short_hash(kind("calls\0").chain(ids.iter().map(|id| &id.as_bytes()[..])))
        }
        Selector::Request(id) => {
            short_hash(kind("request\0").chain(std::iter::once(id.as_str().as_bytes())))
        }
        Selector::References(references) => {
            let each = references.iter().flat_map(|one| [one.as_str().as_bytes(), b"\0"]);
            short_hash(kind("references\0").chain(each))
        }
    }
}

/// The first bytes of the SHA-256 of these parts, one after the other.
pub(super) fn short_hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> [u8; HASH] {
    let mut context = Context::new(&SHA256);
    parts.for_each(|part| context.update(part));
    let mut short = [0; HASH];
    for (to, from) in short.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(id: &str) -> Selector {
        Selector::Request(id.parse().unwrap())
    }

    #[test]
    fn a_token_is_good_for_its_selection_only() {
        let id = CallId::generate();
        for within in [None, Some(id)] {
            let position = Position { entries: 4_711, within };
            let token = write(&request("a"), position);
            assert_eq!(read(&request("a"), &token), Some(position));
            assert_eq!(read(&request("b"), &token), None);
            assert_eq!(read(&Selector::Calls(vec![id]), &token), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_none(text in ".{0,64}") {
            let _ = read(&request("a"), &text);
        }
    }
}
