//! A request to a vendor as it is kept in the outbox: the very same bytes come back, and
//! until then the credentials are not among them.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    config::Secret,
    http::{Body, HttpRequest, Method},
};

/// What stands before the body, on a line of its own.
#[derive(Serialize, Deserialize)]
struct Head {
    url: String,
    form: bool,
    cuts: Vec<Cut>,
    /// SHA-256 of address and body as they were sent.
    digest: [u8; 32],
}

/// A credential that was taken out.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Cut {
    /// Where, in what is left.
    at: usize,
    /// Which, of the account's.
    secret: usize,
}

/// The letter of a request. None for one that is not all in its address and body: nobody
/// could send that again from here.
pub(super) fn seal(request: &HttpRequest, secrets: &[Secret]) -> Option<Vec<u8>> {
    let form = match (&request.method, &request.body) {
        (Method::Post, Body::Json(_)) => false,
        (Method::Post, Body::Form(_)) => true,
        _ => return None,
    };
    if !request.headers.is_empty() {
        return None;
    }
    let body = request.body.bytes();
    let (mut left, mut cuts, mut from) = (Vec::with_capacity(body.len()), Vec::new(), 0);
    for (start, secret, length) in found(body, secrets) {
        // One within another: the first is the longer or equal one.
        let Some(before) = body.get(from..start) else { continue };
        left.extend_from_slice(before);
        cuts.push(Cut { at: left.len(), secret });
        from = start + length;
    }
    left.extend_from_slice(body.get(from..)?);
    let digest = digest(request.url.as_str(), body);
    let mut letter =
        serde_json::to_vec(&Head { url: request.url.as_str().to_owned(), form, cuts, digest })
            .ok()?;
    letter.push(b'\n');
    letter.append(&mut left);
    Some(letter)
}

/// Where the secrets are, in order: start, which one, how long.
fn found(body: &[u8], secrets: &[Secret]) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    for (which, secret) in secrets.iter().enumerate() {
        let secret = secret.expose().as_bytes();
        if !secret.is_empty() {
            let places = memchr::memmem::find_iter(body, secret);
            found.extend(places.map(|start| (start, which, secret.len())));
        }
    }
    found.sort_by_key(|(start, _, length)| (*start, usize::MAX - length));
    found
}

/// The request of a letter. None when it can't be the same any more: a credential was
/// changed meanwhile, or the letter is damaged.
pub(super) fn open(letter: &[u8], secrets: &[Secret]) -> Option<HttpRequest> {
    let end = memchr::memchr(b'\n', letter)?;
    let (head, rest) = letter.split_at_checked(end)?;
    let left = rest.get(1..)?;
    let Head { url, form, cuts, digest: sent } = serde_json::from_slice(head).ok()?;
    let (mut body, mut from) = (Vec::with_capacity(left.len() + 64 * cuts.len()), 0);
    for Cut { at, secret } in cuts {
        body.extend_from_slice(left.get(from..at)?);
        body.extend_from_slice(secrets.get(secret)?.expose().as_bytes());
        from = at;
    }
    body.extend_from_slice(left.get(from..)?);
    if digest(&url, &body) != sent {
        return None;
    }
    let body = Bytes::from(body);
    let body = if form { Body::Form(body) } else { Body::Json(body) };
    let url = Url::parse(&url).ok()?;
    Some(HttpRequest { method: Method::Post, url, headers: Vec::new(), body })
}

fn digest(url: &str, body: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(url.as_bytes());
    context.update(b"\n");
    context.update(body);
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(body: &[u8]) -> HttpRequest {
        HttpRequest {
            method: Method::Post,
            url: "https://vendor.example/create".parse().unwrap(),
            headers: Vec::new(),
            body: Body::Json(Bytes::copy_from_slice(body)),
        }
    }

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new(*text)).collect()
    }

    #[test]
    fn credentials_are_not_kept() {
        let secrets = secrets(&["hunter2", "", "unter"]);
        let sent = request(br#"{"id":"hunter2","again":"hunter2","calls":["unter"]}"#);
        let letter = seal(&sent, &secrets).unwrap();
        let kept = String::from_utf8(letter.clone()).unwrap();
        assert!(!kept.contains("unter"), "{kept}");
        let opened = open(&letter, &secrets).unwrap();
        assert_eq!(opened.body.bytes(), sent.body.bytes());
        assert_eq!(opened.url, sent.url);
    }

    #[test]
    fn what_is_not_the_same_any_more_is_not_opened() {
        let before = secrets(&["hunter2"]);
        let letter = seal(&request(b"{\"id\":\"hunter2\"}"), &before).unwrap();
        for after in [secrets(&["hunter3"]), secrets(&[]), secrets(&["", "hunter2"])] {
            assert!(open(&letter, &after).is_none());
        }
        let mut damaged = letter.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(open(&damaged, &before).is_none());
        for length in 0..letter.len() {
            assert!(open(&letter[..length], &before).is_none());
        }
    }

    #[test]
    fn a_request_with_more_than_a_body_is_not_kept() {
        let mut with_header = request(b"{}");
        with_header.headers.push(("x", "y".into()));
        assert!(seal(&with_header, &[]).is_none());
        let mut empty = request(b"{}");
        empty.body = Body::Empty;
        assert!(seal(&empty, &[]).is_none());
    }

    proptest! {
        #[test]
        fn any_body_comes_back(
            body in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'\n'), any::<u8>()], 0..200),
            texts in proptest::collection::vec("[ab]{0,3}", 0..4),
        ) {
            let secrets: Vec<_> = texts.into_iter().map(Secret::new).collect();
            let letter = seal(&request(&body), &secrets).unwrap();
            let opened = open(&letter, &secrets).unwrap();
            prop_assert_eq!(opened.body.bytes(), body.as_slice());
        }

        #[test]
        fn any_bytes_are_a_letter_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = open(&bytes, &[]);
        }
    }
}
