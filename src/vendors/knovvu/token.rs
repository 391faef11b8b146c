//! Access tokens by client credentials (knovvu.md 1, K3).

use std::time::Duration;

use serde_json::Value;
use url::form_urlencoded;

use super::{
    message::said,
    settings::Client,
    wire::{field, object, text},
};
use crate::{
    call::{Cause, Fault},
    config::Secret,
    http::{Body, Header, HttpReply, HttpRequest, Method},
    vendors::Token,
};

/// How long a token lives whose answer does not tell.
const DEFAULT_LIFE: Duration = Duration::from_secs(3_600);
/// The longest life that is believed: a week; Knovvu's live for a day.
const LONGEST_LIFE: u64 = 7 * 86_400;
/// Of a token; a signed one with many claims has a few thousand.
const MAX_TOKEN_BYTES: usize = 16_384;

/// The request for a token.
pub fn request(client: &Client) -> Option<HttpRequest> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &client.id)
        .append_pair("client_secret", client.secret.expose());
    if let Some(scope) = &client.scope {
        form.append_pair("scope", scope);
    }
    Some(HttpRequest {
        method: Method::Post,
        url: client.identity_url.join("connect/token").ok()?,
        headers: vec![("Accept", Header::from("application/json"))],
        body: Body::Form(form.finish().into()),
    })
}

/// Reads the answer. Nothing was to be dialled yet, so nothing is in doubt.
///
/// # Errors
/// When there is no token in it.
pub fn read(client: &Client, reply: &HttpReply) -> Result<Token, Fault> {
    let fields = object(&reply.body).unwrap_or_default();
    if !(200..300).contains(&reply.status) {
        return Err(refusal(client, reply, text(&fields, "error")));
    }
    let token = text(&fields, "access_token").filter(|token| is_token(token));
    let Some(token) = token else {
        let mut fault = Fault::new(
            Cause::Operator,
            "NO_TOKEN",
            "the identity server's answer holds no access token",
        );
        fault.code = Some(reply.status.to_string());
        return Err(fault);
    };
    let life = match field(&fields, "expires_in") {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let expires_in = match life {
        None | Some(0) => DEFAULT_LIFE,
        Some(seconds) => Duration::from_secs(seconds.min(LONGEST_LIFE)),
    };
    Ok(Token { secret: Secret::new(token), expires_in })
}

/// What may stand in an `Authorization` header (RFC 6749, A.12): with anything else, each order would
/// fail with no word of why.
fn is_token(text: &str) -> bool {
    text.len() <= MAX_TOKEN_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}

/// OAuth names its errors, such as `invalid_client`.
fn refusal(client: &Client, reply: &HttpReply, error: Option<String>) -> Fault {
    let cause = match reply.status {
        429 => Cause::Exhausted,
        408 | 425 | 500..=599 => Cause::Unreachable,
        _ => Cause::Operator,
    };
    let named = error.filter(|name| {
        name.len() <= 64 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    });
    let mut fault = Fault::new(cause, "TOKEN_REFUSED", said(reply, &[&client.secret]));
    if let Some(name) = named {
        fault.reason = name.to_ascii_uppercase().into();
    }
    fault.code = Some(reply.status.to_string());
    fault.retry_after = reply.retry_after;
    fault
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn client(scope: Option<&str>) -> Client {
        Client {
            identity_url: Url::parse("https://identity.test/realm/").unwrap(),
            id: "dial plane".to_owned(),
            secret: Secret::new("s&cret=ü"),
            scope: scope.map(str::to_owned),
        }
    }

    fn read_text(status: u16, body: &str) -> Result<Token, Fault> {
        read(&client(None), &HttpReply::json(status, body.to_owned()))
    }

    #[test]
    fn the_form_is_written() {
        let written = request(&client(Some("orchestrator_external"))).unwrap();
        assert_eq!(written.method, Method::Post);
        assert_eq!(written.url.as_str(), "https://identity.test/realm/connect/token");
        assert!(matches!(written.body, Body::Form(_)));
        let least = "grant_type=client_credentials&client_id=dial+plane\
                     &client_secret=s%26cret%3D%C3%BC";
        assert_eq!(
            std::str::from_utf8(written.body.bytes()).unwrap(),
            format!("{least}&scope=orchestrator_external")
        );
        assert_eq!(request(&client(None)).unwrap().body.bytes(), least.as_bytes());
    }

    #[test]
    fn tokens_have_a_life() {
        for (expires_in, seconds) in [
            (r#","expires_in":86399"#, 86_399),
            (r#","expires_in":"600""#, 600),
            (r#","expires_in":" 60 ""#, 60),
            ("", 3_600),
            (r#","expires_in":null"#, 3_600),
            (r#","expires_in":0"#, 3_600),
            (r#","expires_in":-5"#, 3_600),
            (r#","expires_in":"soon""#, 3_600),
            (r#","expires_in":99999999999"#, 604_800),
        ] {
            let token =
                read_text(200, &format!(r#"{{"access_token":"tok"{expires_in}}}"#)).unwrap();
            assert_eq!(token.secret.expose(), "tok");
            assert_eq!(token.expires_in.as_secs(), seconds, "{expires_in}");
            assert!(!format!("{token:?}").contains("tok\""));
        }
    }

    #[test]
    fn refusals_have_a_name() {
        for (status, body, cause, reason) in [
            (400, r#"{"error":"invalid_client"}"#, Cause::Operator, "INVALID_CLIENT"),
            (401, "", Cause::Operator, "TOKEN_REFUSED"),
            (400, r#"{"error":"Not A Name!"}"#, Cause::Operator, "TOKEN_REFUSED"),
            (302, "", Cause::Operator, "TOKEN_REFUSED"),
            (429, "", Cause::Exhausted, "TOKEN_REFUSED"),
            (503, "", Cause::Unreachable, "TOKEN_REFUSED"),
            (200, "", Cause::Operator, "NO_TOKEN"),
            (200, r#"{"access_token":""}"#, Cause::Operator, "NO_TOKEN"),
            (200, "{\"access_token\":\"a\\r\\nb\"}", Cause::Operator, "NO_TOKEN"),
            (200, "{\"access_token\":\"two words\"}", Cause::Operator, "NO_TOKEN"),
            (200, r#"{"access_token":null}"#, Cause::Operator, "NO_TOKEN"),
        ] {
            let fault = read_text(status, body).unwrap_err();
            assert_eq!((fault.cause, &*fault.reason), (cause, reason), "{status} {body}");
        }
        let fault = read_text(400, "s&cret=ü is wrong").unwrap_err();
        assert_eq!(fault.message, "*** is wrong");
    }

    proptest! {
        #[test]
        fn any_answer_is_read(status in 100_u16..600, body: Vec<u8>) {
            let read = read(&client(None), &HttpReply::json(status, body));
            if let Err(fault) = read {
                prop_assert_ne!(fault.cause, Cause::InDoubt);
            }
        }
    }
}
