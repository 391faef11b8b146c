//! What an answer says as a whole, and what the answer to `outgoing/send` says of
//! the call.

use serde_json::{Map, Value};

use super::{
    codes::{self, Observed},
    wire::{Envelope, Row, Says, text},
};
use crate::{
    call::{Cause, Fault},
    http::HttpReply,
    vendors::{
        Placement,
        bounds::{MAX_ID_BYTES, cut_text},
    },
};

/// The longest status that is worth showing.
const MAX_WORD_BYTES: usize = 64;

/// Whatever else of an accepted call is worth keeping, in both forms of the answer.
const KEPT: &[&str] = &["charges", "credits", "status", "submitted_at", "created_at"];

/// Opens an answer. The HTTP status tells the class; a 2xx answer still has to be
/// read: [`verdict`].
///
/// # Errors
/// When it is not 2xx, is the portal's login, or can't be read.
pub fn open(reply: &HttpReply) -> Result<Envelope, Fault> {
    if is_login(reply) {
        return Err(codes::fault(
            Observed::Login,
            reply,
            "the vendor answers with its login page, as it does when the access token is wrong",
        ));
    }
    let envelope = Envelope::read(&reply.body);
    if (200..300).contains(&reply.status) {
        return envelope.ok_or_else(|| {
            codes::fault(Observed::Unreadable, reply, "the answer is not a JSON object")
        });
    }
    let said = envelope.map(|envelope| envelope.message).unwrap_or_default();
    Err(codes::fault(Observed::Status(reply.status), reply, &or_status(said, reply.status)))
}

/// What the body of a 2xx answer says as a whole (mobtexting.md 6 #3).
///
/// # Errors
/// When it is not yes. A no that names a call contradicts itself, and is no refusal.
pub fn verdict(envelope: &Envelope, reply: &HttpReply) -> Result<(), Fault> {
    let observed = match envelope.says() {
        Says::Yes => return Ok(()),
        Says::No(code) => Observed::Status(code),
        Says::Error => Observed::Error,
        Says::Other => Observed::UnknownStatus,
    };
    let seen = or_status(envelope.message.clone(), reply.status);
    let mut fault = unless_contradicted(codes::fault(observed, reply, &seen), envelope, reply);
    // The vendor's own word, where it is no HTTP status.
    if !matches!(observed, Observed::Status(_))
        && let Some(word) = envelope.status.as_ref().filter(|word| word.len() <= MAX_WORD_BYTES)
    {
        fault.code = Some(word.clone());
    }
    Err(fault)
}

/// A refusal that names a call contradicts itself, and refuses nothing.
fn unless_contradicted(fault: Fault, envelope: &Envelope, reply: &HttpReply) -> Fault {
    let names_a_call = envelope.rows.iter().any(|row| text(row, "id").is_some());
    if !names_a_call || fault.cause == Cause::InDoubt {
        return fault;
    }
    codes::fault(Observed::UnknownStatus, reply, &fault.message)
}

fn or_status(message: String, status: u16) -> String {
    if message.is_empty() { format!("HTTP {status} without a message") } else { message }
}

/// A redirect to the portal's login, or its page where JSON was asked for
/// (mobtexting.md 6 #4).
fn is_login(reply: &HttpReply) -> bool {
    match reply.status {
        300..=399 => reply.location.as_deref().is_some_and(|location| {
            let path = location.split(['?', '#']).next().unwrap_or_default();
            path.split('/').any(|part| part == "login")
        }),
        200..=299 => {
            const LOGIN: &[u8] = b"/login";
            let body = reply.body.trim_ascii();
            // A page from end to end: a warning in front of JSON is none.
            let is_page = body.starts_with(b"<") && body.ends_with(b">");
            is_page && body.windows(LOGIN.len()).any(|window| window == LOGIN)
        }
        _ => false,
    }
}

/// Reads the answer to `outgoing/send`: forms A and B (mobtexting.md 3a to 3c).
pub fn placement(reply: &HttpReply) -> Placement {
    accepted(reply).unwrap_or_else(Placement::Fault)
}

fn accepted(reply: &HttpReply) -> Result<Placement, Fault> {
    let envelope = open(reply).map_err(|fault| match Envelope::read(&reply.body) {
        Some(envelope) => unless_contradicted(fault, &envelope, reply),
        None => fault,
    })?;
    verdict(&envelope, reply)?;
    let named = envelope.rows.iter().find_map(|row| text(row, "id").map(|id| (id, row)));
    let Some((id, row)) = named.filter(|(id, _)| !id.trim().is_empty()) else {
        return Err(codes::fault(
            Observed::NoCallId,
            reply,
            "the vendor says that it took the call, but gives no id of it",
        ));
    };
    if id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(codes::fault(Observed::Unreadable, reply, "the id of the call can't be read"));
    }
    Ok(Placement::Accepted {
        vendor_call_id: Some(id),
        vendor_request_id: None,
        data: kept(row, KEPT),
    })
}

/// The fields of a row that say something, as the vendor wrote them, but not longer than
/// is kept.
pub fn kept(row: &Row, keys: &[&str]) -> Map<String, Value> {
    keys.iter()
        .filter_map(|key| {
            text(row, key)?;
            let value = match row.get(*key)? {
                Value::String(text) => Value::String(cut_text(text)),
                value => value.clone(),
            };
            Some(((*key).to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::vendors::mobtexting::codes::READINGS;

    const FORM_A: &str = r#"{"status":200,"message":"1 numbers accepted for delivery.","data":[
        {"id":"11111111-2222-4333-8444-555555555555:1","mobile":"919900000002",
         "charges":"0.5000","customid":"","customid1":"","iso_code":null,
         "submitted_at":"2023-03-01 10:00:00"}]}"#;
    const FORM_B: &str = r#"{"status":"OK","message":"Calls queued successfully","data":[
        {"id":"11111111-2222-4333-8444-555555555555","channel":"outgoing",
         "caller_id":"918000000001","mobile":"919900000002","flow_id":"77","credits":1,
         "created_at":"2024-07-10T06:00:00.000000Z","foreign_id":null,"options":null,
         "status":"queued"}]}"#;

    fn fault(reply: &HttpReply) -> Fault {
        match placement(reply) {
            Placement::Fault(fault) => fault,
            accepted => panic!("{accepted:?}"),
        }
    }

    fn seen(status: u16, body: &str) -> (String, Cause) {
        let fault = fault(&HttpReply::json(status, body.to_owned()));
        (fault.reason.into_owned(), fault.cause)
    }

    fn accepted_id(status: u16, body: &str) -> Option<String> {
        match placement(&HttpReply::json(status, body.to_owned())) {
            Placement::Accepted { vendor_call_id, .. } => vendor_call_id,
            Placement::Fault(_) => None,
        }
    }

    #[test]
    fn both_forms_are_read_verbatim() {
        let Placement::Accepted { vendor_call_id, vendor_request_id, data } =
            placement(&HttpReply::json(200, FORM_A))
        else {
            panic!()
        };
        assert_eq!(vendor_call_id.as_deref(), Some("11111111-2222-4333-8444-555555555555:1"));
        assert_eq!(vendor_request_id, None);
        assert_eq!(
            Value::Object(data),
            serde_json::json!({"charges": "0.5000", "submitted_at": "2023-03-01 10:00:00"})
        );

        let Placement::Accepted { vendor_call_id, data, .. } =
            placement(&HttpReply::json(200, FORM_B))
        else {
            panic!()
        };
        assert_eq!(vendor_call_id.as_deref(), Some("11111111-2222-4333-8444-555555555555"));
        assert_eq!(
            Value::Object(data),
            serde_json::json!({
                "credits": 1, "created_at": "2024-07-10T06:00:00.000000Z", "status": "queued",
            })
        );
    }

    #[test]
    fn yes_in_any_spelling_and_ids_in_any_type() {
        for status in ["200", "\"200\"", "\"OK\"", "\"ok\"", "\"Ok\""] {
            for http in [200, 202] {
                let body = format!(r#"{{"status":{status},"data":[{{"id":"x:1"}}]}}"#);
                assert_eq!(accepted_id(http, &body).as_deref(), Some("x:1"), "{body}");
            }
        }
        let number = r#"{"status":200,"data":[{"id":18446744073709551615}]}"#;
        assert_eq!(accepted_id(200, number).as_deref(), Some("18446744073709551615"));
        let bare = r#"{"status":200,"data":{"id":"x"}}"#;
        assert_eq!(accepted_id(200, bare).as_deref(), Some("x"));
    }

    #[test]
    fn a_yes_without_a_call_is_in_doubt() {
        for body in [
            r#"{"status":200}"#,
            r#"{"status":"OK","data":[]}"#,
            r#"{"status":"OK","data":null}"#,
            r#"{"status":"OK","data":[{}]}"#,
            r#"{"status":"OK","data":[{"id":""}]}"#,
            r#"{"status":"OK","data":[{"id":"  "}]}"#,
            r#"{"status":"OK","data":[{"id":null}]}"#,
        ] {
            assert_eq!(seen(200, body), ("NO_CALL_ID".to_owned(), Cause::InDoubt), "{body}");
        }
        let long = format!(r#"{{"status":"OK","data":[{{"id":"{}"}}]}}"#, "x".repeat(129));
        assert_eq!(seen(200, &long), ("UNREADABLE_ANSWER".to_owned(), Cause::InDoubt));
        let just = format!(r#"{{"status":"OK","data":[{{"id":"{}"}}]}}"#, "x".repeat(128));
        assert!(accepted_id(200, &just).is_some());
    }

    #[test]
    fn every_row_of_the_table_is_read_from_the_http_status_and_from_the_body() {
        for row in READINGS {
            let Observed::Status(status) = row.observed else { continue };
            let expected = (row.reason.to_owned(), row.cause);
            for body in ["", "<html>", r#"{"status":"ERROR","message":"m"}"#, r#"{"status":200}"#] {
                assert_eq!(seen(status, body), expected, "{status} {body}");
            }
            for body in [
                format!(r#"{{"status":{status},"message":"m"}}"#),
                format!(r#"{{"status":"{status}"}}"#),
                format!(r#"{{"status":"ERROR","code":{status}}}"#),
                format!(r#"{{"status":"failed","code":"{status}"}}"#),
            ] {
                assert_eq!(seen(200, &body), expected, "{body}");
            }
        }
    }

    #[test]
    fn a_body_that_does_not_say_yes_is_no_acceptance() {
        assert_eq!(
            seen(200, r#"{"status":"ERROR","message":"m"}"#),
            ("ERROR".to_owned(), Cause::Unreadable)
        );
        for body in [
            r#"{"status":"queued","data":[{"id":"x"}]}"#,
            r#"{"data":[{"id":"x"}]}"#,
            r#"{"status":"OK","code":500,"data":[{"id":"x"}]}"#,
            // A refusal that names a call: someone's phone may ring.
            r#"{"status":"ERROR","data":[{"id":"x"}]}"#,
            r#"{"status":422,"data":[{"id":"x"}]}"#,
        ] {
            assert_eq!(seen(200, body), ("UNKNOWN_STATUS".to_owned(), Cause::InDoubt), "{body}");
        }
        for status in [400, 401, 402, 403, 404, 405, 413, 422, 429] {
            let body = r#"{"status":"ERROR","message":"m","data":[{"id":"x"}]}"#;
            let fault = fault(&HttpReply::json(status, body));
            assert_eq!((fault.cause, &*fault.reason), (Cause::InDoubt, "UNKNOWN_STATUS"));
            assert_eq!((fault.code, fault.message.as_str()), (Some(status.to_string()), "m"));
        }
        for body in ["", "[]", "null", "{", "<html>busy</html>", "OK"] {
            assert_eq!(seen(200, body), ("UNREADABLE_ANSWER".to_owned(), Cause::InDoubt), "{body}");
        }
    }

    #[test]
    fn the_login_page_means_a_bad_token() {
        let denied = ("UNAUTHORIZED".to_owned(), Cause::Operator);
        let html = r#"<html><form action="https://portal.mobtexting.com/login">"#;
        assert_eq!(seen(200, html), denied);
        for (location, login) in [
            ("https://portal.mobtexting.com/login", true),
            ("/login?next=%2Fapi", true),
            ("https://portal.mobtexting.com/loginish", false),
            ("https://elsewhere.test/?from=/login", false),
        ] {
            for status in [301, 302, 303] {
                let reply = HttpReply {
                    location: Some(location.to_owned()),
                    ..HttpReply::json(status, "")
                };
                let fault = fault(&reply);
                assert_eq!(fault.cause == Cause::Operator, login, "{location}");
                assert_eq!(fault.cause == Cause::InDoubt, !login, "{location}");
            }
        }
        let spoilt = "<br>Notice in /var/www/login.php on line 7<br>{\"status\":\"OK\"";
        assert_eq!(seen(200, spoilt), ("UNREADABLE_ANSWER".to_owned(), Cause::InDoubt));
        // In a readable answer it is a word like any other.
        let body = r#"{"status":"OK","message":"see /login","data":[{"id":"x"}]}"#;
        assert_eq!(accepted_id(200, body).as_deref(), Some("x"));
    }

    #[test]
    fn code_message_and_wait_are_handed_on() {
        let reply = HttpReply {
            retry_after: Some(Duration::from_secs(30)),
            ..HttpReply::json(429, r#"{"status":"ERROR","message":"Too Many Attempts."}"#)
        };
        let fault = fault(&reply);
        assert_eq!(fault.code.as_deref(), Some("429"));
        assert_eq!(fault.message, "Too Many Attempts.");
        assert_eq!(fault.retry_after, Some(Duration::from_secs(30)));
        let reply = HttpReply::json(200, r#"{"status":"ERROR","code":402,"message":"low"}"#);
        let fault = super::accepted(&reply).unwrap_err();
        assert_eq!((fault.code.as_deref(), fault.message.as_str()), (Some("402"), "low"));
        for (body, code) in [
            (r#"{"status":"Error"}"#, "Error"),
            (r#"{"status":"paused","data":[]}"#, "paused"),
            (r#"{"message":"m"}"#, "200"),
        ] {
            let fault = super::accepted(&HttpReply::json(200, body)).unwrap_err();
            assert_eq!(fault.code.as_deref(), Some(code), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read(status in 100_u16..600, body: Vec<u8>) {
            let said = placement(&HttpReply::json(status, body));
            let is_yes = matches!(said, Placement::Accepted { .. });
            prop_assert!(!is_yes || (200..300).contains(&status));
        }

        #[test]
        fn any_json_is_read(status in "[A-Za-z0-9]{0,5}", id in ".{0,140}", code in 0_u16..700) {
            let body = serde_json::json!({"status": status, "code": code, "data": [{"id": id}]});
            if let Placement::Accepted { vendor_call_id, .. } =
                placement(&HttpReply::json(200, body.to_string()))
            {
                prop_assert_eq!(vendor_call_id, Some(id));
                prop_assert!(status.eq_ignore_ascii_case("ok") || status == "200");
            }
        }
    }
}
