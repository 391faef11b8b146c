//! What the body of an undocumented error says, made fit to be shown. The request
//! holds the access token in its body, so an answer that quotes the request would
//! show it.

use crate::{config::Secret, http::HttpReply};

/// As much as is worth reading.
const MAX_CHARS: usize = 200;

/// A run of this many characters without a space is a token, not a word: a UUID has
/// 36. A token that was fetched is not at hand when an answer is read.
const TOKEN_CHARS: usize = 40;

/// The body, one line of it, without `secrets` and without whatever looks like a
/// token; what was seen, when it is no text.
pub fn said(reply: &HttpReply, secrets: &[&Secret]) -> String {
    let status = reply.status;
    let Some(text) = printable(&reply.body) else {
        return format!("HTTP {status} without a readable body");
    };
    if text.starts_with('<') {
        return format!("HTTP {status} with a web page");
    }
    cut(&without_runs(&without_secrets(text, secrets)))
}

fn printable(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_text = !text.is_empty() && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    is_text.then_some(text)
}

/// As they are, and as JSON writes them.
fn without_secrets(text: &str, secrets: &[&Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().map(|secret| secret.expose()).filter(|s| !s.is_empty()) {
        let escaped = serde_json::to_string(secret).unwrap_or_default();
        let escaped = escaped.trim_matches('"');
        if !escaped.is_empty() {
            text = text.replace(escaped, "***");
        }
        text = text.replace(secret, "***");
    }
    text
}

fn without_runs(text: &str) -> String {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=\\".contains(c);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.find(|c| !is_of_token(c)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(run);
        clean.push_str(if token.len() >= TOKEN_CHARS { "***" } else { token });
        let next = after.chars().next();
        clean.extend(next);
        rest = next.and_then(|c| after.get(c.len_utf8()..)).unwrap_or_default();
    }
    clean
}

fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said_of(body: impl Into<bytes::Bytes>, secret: &str) -> String {
        said(&HttpReply::json(500, body), &[&Secret::new(secret)])
    }

    #[test]
    fn shows_text_on_one_line_and_nothing_else() {
        assert_eq!(
            said_of("  {\"Message\":\n\t\"no  line\"} ", "tok"),
            "{\"Message\": \"no line\"}"
        );
        for body in [&b""[..], b" \n ", b"\xff\xfe", b"a\0b", b"\x1b[31m"] {
            assert_eq!(said_of(body.to_vec(), "tok"), "HTTP 500 without a readable body");
        }
        assert_eq!(said_of("<html>x</html>", "tok"), "HTTP 500 with a web page");
        let long = said_of("é ".repeat(300), "tok");
        assert_eq!(long.chars().count(), MAX_CHARS + 3);
    }

    #[test]
    fn shows_no_secret() {
        for (body, secret) in [
            ("bad token s3cret, really s3cret", "s3cret"),
            (r#"{"AccessToken":"a\"b\\c"}"#, r#"a"b\c"#),
        ] {
            let text = said_of(body, secret);
            assert!(!text.contains(secret) && text.contains("***"), "{text}");
            assert!(!text.contains(r"b\\c"), "{text}");
        }
    }

    #[test]
    fn shows_nothing_that_looks_like_a_token() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJkaWFscGxhbmUifQ.c2lnbmF0dXJl_-x";
        let text = said_of(format!("{{\"AccessToken\":\"{jwt}\",\"Tenant\":\"Default\"}}"), "tok");
        assert_eq!(text, r#"{"AccessToken":"***","Tenant":"Default"}"#);
        let trace = "trace 3f0c2b1e-0000-4000-8000-000000000001 é end";
        assert_eq!(said_of(trace, "tok"), trace);
    }

    proptest! {
        #[test]
        fn any_body_is_shown_short_and_without_the_secret(
            before in ".{0,300}", after in ".{0,300}", body: Vec<u8>,
        ) {
            let secret = "S3cr3tT0k3n";
            let text = said_of(format!("{before}{secret}{after}"), secret);
            prop_assert!(!text.contains(secret));
            prop_assert!(text.chars().count() <= MAX_CHARS + 3);
            let _ = said_of(body, secret);
        }
    }
}
