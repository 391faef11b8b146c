use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    call::E164,
    vendors::knovvu::codes::{READINGS, STATES},
};

fn reply(status: u16, body: &str) -> HttpReply {
    HttpReply::json(status, body.to_owned())
}

fn seen(status: u16, body: &str) -> (String, Cause) {
    match placement(&reply(status, body), &[]) {
        Placement::Fault(fault) => (fault.reason.into_owned(), fault.cause),
        accepted => panic!("{accepted:?}"),
    }
}

fn accepted(status: u16, body: &str) -> String {
    match placement(&reply(status, body), &[]) {
        Placement::Accepted { vendor_call_id: Some(id), vendor_request_id: None, data } => {
            assert!(data.is_empty());
            id
        }
        other => panic!("{other:?}"),
    }
}

fn numbers() -> Vec<E164> {
    vec!["+905000000000".parse().unwrap()]
}

fn placed<'a>(ids: &[Option<&'a str>], to: &'a [E164]) -> Vec<Placed<'a>> {
    let call = |id: &Option<&'a str>| Placed {
        vendor_call_id: *id,
        to,
        script: None,
        create_time: Timestamp::UNIX_EPOCH,
        retries: false,
    };
    ids.iter().map(call).collect()
}

fn reports(ids: &[Option<&str>], rows: serde_json::Value) -> Vec<Report> {
    let to = numbers();
    let body = json!({"CallResults": rows}).to_string();
    answer(&placed(ids, &to), &reply(200, &body), &[]).unwrap()
}

#[test]
fn ids_are_texts_or_numbers_kept_verbatim() {
    assert_eq!(accepted(200, r#"{"UniqueId":"a1b2c3"}"#), "a1b2c3");
    assert_eq!(accepted(200, r#"{"UniqueId":1234567890123456789,"x":1}"#), "1234567890123456789");
    assert_eq!(accepted(202, r#"{"uniqueId":" a "}"#), " a ");
    let long = "x".repeat(128);
    assert_eq!(accepted(200, &format!(r#"{{"UniqueId":"{long}"}}"#)), long);
}

#[test]
fn a_yes_without_an_id_is_in_doubt() {
    for body in [
        "{}",
        r#"{"UniqueId":""}"#,
        r#"{"UniqueId":"  "}"#,
        r#"{"UniqueId":null}"#,
        r#"{"UniqueId":true}"#,
        r#"{"UniqueId":["a"]}"#,
        r#"{"Error":"no line"}"#,
    ] {
        assert_eq!(seen(200, body), ("NO_UNIQUE_ID".to_owned(), Cause::InDoubt), "{body}");
    }
    let long = format!(r#"{{"UniqueId":"{}"}}"#, "x".repeat(129));
    let control = r#"{"UniqueId":"a\u0000b"}"#;
    for body in ["", "[]", "a1b2c3", "<html>", "{", &long, control] {
        assert_eq!(seen(200, body), ("UNREADABLE_ANSWER".to_owned(), Cause::InDoubt), "{body}");
    }
}

#[test]
fn every_row_of_the_table_is_read_whatever_the_body() {
    for row in READINGS {
        let Observed::Status(status) = row.observed else { continue };
        for body in ["", "<html>", "{}", r#"{"UniqueId":""}"#, "no"] {
            assert_eq!(seen(status, body), (row.reason.to_owned(), row.cause), "{status} {body}");
        }
        // A refusal with a call in it refuses nothing.
        assert_eq!(seen(status, r#"{"UniqueId":"a1"}"#).1, Cause::InDoubt, "{status}");
    }
    let unreadable = ("UNREADABLE_ANSWER".to_owned(), Cause::InDoubt);
    assert_eq!(seen(302, ""), unreadable);
    assert_eq!(seen(418, ""), unreadable);
    assert_eq!(seen(413, r#"{"UniqueId":7}"#), unreadable);
}

#[test]
fn code_text_and_wait_are_handed_on_without_secrets() {
    let reply =
        HttpReply { retry_after: Some(Duration::from_secs(9)), ..reply(429, "slow down, s3cret") };
    let Placement::Fault(fault) = placement(&reply, &[&Secret::new("s3cret")]) else { panic!() };
    assert_eq!(fault.code.as_deref(), Some("429"));
    assert_eq!(fault.message, "slow down, ***");
    assert_eq!(fault.retry_after, Some(Duration::from_secs(9)));
}

#[test]
fn what_is_kept_of_a_row_is_bounded() {
    let long = "x".repeat(5_000);
    let rows = json!([{"UniqueId": "a1", "CallRequestId": long, "CallState": long}]);
    let [report] = &reports(&[Some("a1")], rows)[..] else { panic!() };
    for key in ["call_state", "call_request_id"] {
        assert_eq!(report.data[key].as_str().unwrap().len(), 256);
    }
}

#[test]
fn every_state_is_read_in_every_spelling() {
    for row in STATES {
        for raw in [
            row.word.to_owned(),
            row.word.replace(' ', ""),
            row.word.replace(' ', "_").to_uppercase(),
            row.word.replace(' ', "-").to_lowercase(),
        ] {
            let rows = json!([{"UniqueId": "a1", "CallRequestId": "", "CallState": raw}]);
            let [report] = &reports(&[Some("a1")], rows)[..] else { panic!() };
            assert_eq!(report.state, Some(row.state), "{raw}");
            let mut attempt = Attempt::new(row.state);
            attempt.to = "+905000000000".to_owned();
            attempt.vendor_state.clone_from(&raw);
            assert!(report.attempts == [attempt]);
            assert_eq!(Value::Object(report.data.clone()), json!({"call_state": raw}));
            match (&report.error, row.state) {
                (Some(fault), CallState::Failed) => {
                    assert_eq!((fault.cause, &*fault.reason), (Cause::Unreadable, "ERROR"));
                    assert_eq!(fault.code.as_deref(), Some(&*raw));
                }
                (None, state) => assert_ne!(state, CallState::Failed),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn what_says_nothing_ends_no_call() {
    for state in [json!(null), json!(""), json!("Ringing"), json!("Unknown"), json!(7), json!({})] {
        let rows = json!([{"UniqueId": "a1", "CallState": state}]);
        let [report] = &reports(&[Some("a1")], rows)[..] else { panic!() };
        assert_eq!((report.state, report.attempts.len()), (None, 0), "{state}");
        assert_eq!(report.error, None);
    }
    let rows = json!([{"UniqueId": "a1", "CallState": "Ringing", "CallRequestId": "r1"}]);
    assert_eq!(
        Value::Object(reports(&[Some("a1")], rows)[0].data.clone()),
        json!({"call_state": "Ringing", "call_request_id": "r1"})
    );
    for rows in [json!([]), json!(null), json!([{"CallState": "Answered"}]), json!(["a1", 7])] {
        assert_eq!(reports(&[Some("a1")], rows), [Report::default()]);
    }
}

#[test]
fn rows_are_matched_by_id_and_never_by_place() {
    let rows = json!([
        {"UniqueId": 12, "CallState": "Busy"},
        {"UniqueId": "other", "CallState": "Rejected"},
        {"UniqueId": "a1", "CallState": "Answered"},
    ]);
    let found = reports(&[Some("a1"), None, Some("A1"), Some("12"), Some("zz")], rows);
    let states: Vec<_> = found.iter().map(|report| report.state).collect();
    assert_eq!(states, [Some(CallState::Answered), None, None, Some(CallState::Busy), None]);
}

#[test]
fn of_rows_about_one_call_the_last_that_says_something_counts() {
    let row = |state: &str| json!({"UniqueId": "a1", "CallState": state});
    for (rows, expected) in [
        (json!([row("Busy"), row("Answered")]), Some(CallState::Answered)),
        (json!([row("Busy"), row("Ringing")]), Some(CallState::Busy)),
        (json!([row("Ringing"), row("Busy")]), Some(CallState::Busy)),
        (json!([row("Ringing"), row("")]), None),
    ] {
        assert_eq!(reports(&[Some("a1")], rows)[0].state, expected);
    }
}

#[test]
fn refused_questions_are_faults_without_doubt() {
    let to = numbers();
    for (status, body, cause, reason) in [
        (401, "", Cause::Operator, "UNAUTHORIZED"),
        (400, "", Cause::Unreadable, "BAD_REQUEST"),
        (404, "", Cause::Operator, "NOT_FOUND"),
        (429, "", Cause::Exhausted, "TOO_MANY_REQUESTS"),
        (500, r#"{"CallResults":[]}"#, Cause::Unreachable, "INTERNAL_SERVER_ERROR"),
        (520, "", Cause::Unreachable, "UNREADABLE_ANSWER"),
        (200, "", Cause::Unreachable, "UNREADABLE_ANSWER"),
        (200, "{}", Cause::Unreachable, "UNREADABLE_ANSWER"),
        (200, r#"{"CallResults":"none"}"#, Cause::Unreachable, "UNREADABLE_ANSWER"),
    ] {
        let calls = placed(&[Some("a1")], &to);
        let fault = answer(&calls, &reply(status, body), &[]).unwrap_err();
        assert_eq!((fault.cause, &*fault.reason), (cause, reason), "{status} {body}");
    }
}

proptest! {
    #[test]
    fn any_answer_is_read(status in 100_u16..600, body: Vec<u8>) {
        let reply = HttpReply::json(status, body);
        let said = placement(&reply, &[]);
        prop_assert!(matches!(said, Placement::Fault(_)) || (200..300).contains(&status));
        let to = numbers();
        if let Ok(reports) = answer(&placed(&[Some("a"), None], &to), &reply, &[]) {
            prop_assert_eq!(reports.len(), 2);
        }
    }

    #[test]
    fn as_many_reports_as_calls(
        ids in proptest::collection::vec(proptest::option::of("[ab]{0,2}"), 0..6),
        rows in proptest::collection::vec(("[ab]{0,2}", "(Busy|Answered|Error|.{0,4})"), 0..6),
    ) {
        let rows: Vec<_> = rows
            .iter()
            .map(|(id, state)| json!({"UniqueId": id, "CallState": state}))
            .collect();
        let ids: Vec<_> = ids.iter().map(Option::as_deref).collect();
        prop_assert_eq!(reports(&ids, json!(rows)).len(), ids.len());
    }
}
