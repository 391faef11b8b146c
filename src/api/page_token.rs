//! Page tokens: a place in the answer to one selection, and to no other.

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use crate::call::{CallId, Position, Selector};

/// Bytes of the selection's hash that a token carries: enough to notice a mix-up.
const HASH: usize = 8;

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
    let mut context = Context::new(&SHA256);
    match selector {
        Selector::Calls(ids) => {
            context.update(b"calls\0");
            for id in ids {
                context.update(id.as_bytes());
            }
        }
        Selector::Request(id) => {
            context.update(b"request\0");
            context.update(id.as_str().as_bytes());
        }
        Selector::References(references) => {
            context.update(b"references\0");
            for reference in references {
                context.update(reference.as_str().as_bytes());
                context.update(b"\0");
            }
        }
    }
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
