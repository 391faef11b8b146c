use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::call::Cause;
use crate::vendors::mobtexting::codes::STATES;

const ID: &str = "11111111-2222-4333-8444-555555555555:1";

fn kolkata() -> TimeZone {
    TimeZone::get("Asia/Kolkata").unwrap()
}

fn read_status(status: u16, body: &str) -> Result<Report, Fault> {
    read_call(false, status, body)
}

fn read_call(retries: bool, status: u16, body: &str) -> Result<Report, Fault> {
    let to = ["919900000002".parse().unwrap()];
    let call = Placed {
        vendor_call_id: Some(ID),
        to: &to,
        script: None,
        create_time: Timestamp::UNIX_EPOCH,
        retries,
    };
    read(&call, &HttpReply::json(status, body.to_owned()), &kolkata())
}

fn rows(rows: serde_json::Value) -> Report {
    let body = json!({"status": 200, "message": "OK", "data": rows});
    read_status(200, &body.to_string()).unwrap()
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().unwrap())
}

#[test]
fn the_older_form_is_read() {
    let report = rows(json!([{
        "id": ID, "mobile": "919900000002", "caller_id": "918000000001", "duration": "00:00:19",
        "pulsing": "30", "status": "ANSWER", "charges": "0.1500", "dtmf": null, "location": "IN",
        "provider": "RJ", "start_at": "2023-03-01 10:00:00", "end_at": "2023-03-01 10:00:19",
    }]));
    assert_eq!(report.state, Some(CallState::Answered));
    assert_eq!(report.error, None);
    let [attempt] = &report.attempts[..] else { panic!() };
    let mut expected = Attempt::new(CallState::Answered);
    expected.key = "+919900000002 2023-03-01 10:00:00".to_owned();
    expected.to = "+919900000002".to_owned();
    expected.end_time = at("2023-03-01T04:30:19Z");
    expected.talk_duration = Some(Duration::from_secs(19));
    expected.vendor_state = "ANSWER".to_owned();
    assert!(*attempt == expected);
    assert_eq!(
        Value::Object(report.data),
        json!({
            "status": "ANSWER", "duration": "00:00:19", "pulsing": "30", "charges": "0.1500",
            "location": "IN", "provider": "RJ", "start_at": "2023-03-01 10:00:00",
            "end_at": "2023-03-01 10:00:19",
        })
    );
}

#[test]
fn the_newer_form_is_read_and_its_duration_is_marked_as_computed() {
    // The newer form drops the ":<n>" of the id.
    let report = rows(json!([{
        "id": "11111111-2222-4333-8444-555555555555", "channel": "outgoing",
        "from": "918000000001", "to": 919_900_000_002_u64,
        "created_at": "2024-07-10 08:00:00", "foreign_id": "", "status": "ANSWER",
        "start_at": "2024-07-10 08:00:12", "end_at": "2024-07-10 08:00:15", "dtmf": "12#",
    }]));
    let [attempt] = &report.attempts[..] else { panic!() };
    assert_eq!(attempt.to, "+919900000002");
    assert_eq!(attempt.dtmf, "12#");
    assert_eq!(attempt.talk_duration, Some(Duration::from_secs(3)));
    assert_eq!(attempt.end_time, at("2024-07-10T02:30:15Z"));
    // Nothing says whether start_at is when it rang or when it was answered.
    assert_eq!((attempt.ring_time, attempt.answer_time), (None, None));
    assert_eq!(report.data["duration_computed"], true);
    assert_eq!(report.data["start_at"], "2024-07-10 08:00:12");
    assert!(!report.data.contains_key("foreign_id"));
}

#[test]
fn every_word_is_read_in_both_forms() {
    for row in STATES {
        for number in ["to", "mobile"] {
            for word in [row.word.to_owned(), row.word.to_lowercase(), row.word.to_uppercase()] {
                let report = rows(json!([{"id": ID, number: "919900000002", "status": word}]));
                assert_eq!(report.state, row.state, "{word}");
                assert_eq!(report.data["status"], word);
                assert_eq!(report.attempts.len(), usize::from(row.state.is_some()));
                for attempt in &report.attempts {
                    assert_eq!((&attempt.vendor_state, attempt.talk_duration), (&word, None));
                    assert_eq!(attempt.to, "+919900000002");
                }
            }
        }
    }
}

#[test]
fn no_channel_is_the_vendors_failure() {
    let report = rows(json!([{"id": ID, "status": "CHANUNAVAIL"}]));
    let fault = report.error.unwrap();
    assert_eq!((fault.cause, &*fault.reason), (Cause::Exhausted, "CHANUNAVAIL"));
    assert_eq!(rows(json!([{"id": ID, "status": "BUSY"}])).error, None);
}

#[test]
fn what_says_nothing_ends_no_call() {
    for body in [
        r#"{"status":200,"data":[]}"#,
        r#"{"status":200,"data":null}"#,
        r#"{"status":200}"#,
        r#"{"status":"ERROR","code":404,"message":"not found"}"#,
        r#"{"status":404}"#,
    ] {
        assert_eq!(read_status(200, body), Ok(Report::default()), "{body}");
    }
    for body in ["", "<html>", r#"{"status":"ERROR"}"#] {
        assert_eq!(read_status(404, body), Ok(Report::default()), "{body}");
    }
    for status in [json!(null), json!(""), json!("DONTCALL"), json!(7), json!(["ANSWER"])] {
        let report = rows(json!([{"id": ID, "status": status}]));
        assert_eq!((report.state, report.attempts.len()), (None, 0), "{status}");
    }
    // The raw word is kept.
    assert_eq!(rows(json!([{"id": ID, "status": "DONTCALL"}])).data["status"], "DONTCALL");
    assert_eq!(rows(json!([{"id": ID}])), Report::default());
}

#[test]
fn rows_of_other_calls_are_passed_over() {
    for row in [
        json!({"id": "11111111-2222-4333-8444-555555555555:2", "status": "ANSWER"}),
        json!({"id": "other:1", "status": "ANSWER", "to": "919900000002"}),
        json!({"id": "11111111-2222-4333-8444-555555555555:", "status": "ANSWER"}),
        json!({"status": "ANSWER"}),
        json!({"status": "ANSWER", "to": "919900000009"}),
        json!("ANSWER"),
    ] {
        assert_eq!(rows(json!([row])), Report::default(), "{row}");
    }
    // Without an id the number tells.
    let report = rows(json!([{"status": "BUSY", "mobile": "+919900000002"}]));
    assert_eq!(report.state, Some(CallState::Busy));
}

#[test]
fn the_latest_of_several_rows_decides_and_all_are_kept() {
    let early = json!({"id": ID, "status": "NOANSWER", "end_at": "2024-07-10 08:00:00"});
    let late = json!({"id": ID, "status": "ANSWER", "end_at": "2024-07-10 08:15:00",
        "start_at": "2024-07-10 08:14:00"});
    for order in [json!([early, late]), json!([late, early])] {
        let report = rows(order);
        assert_eq!(report.state, Some(CallState::Answered));
        let states: Vec<_> = report.attempts.iter().map(|a| a.state).collect();
        assert_eq!(states, [CallState::NoAnswer, CallState::Answered]);
        assert_eq!(report.data["end_at"], "2024-07-10 08:15:00");
    }
    // A retry that waits or rings: the call is not over.
    for waiting in [json!("queued"), json!("RINGING"), json!(null)] {
        let report = rows(json!([{"id": ID, "status": waiting}, early]));
        assert_eq!((report.state, report.attempts.len()), (None, 1), "{waiting}");
    }
    let report = rows(json!([
        {"id": ID, "status": "DONTCALL", "end_at": "2024-07-10 07:00:00"},
        early,
    ]));
    assert_eq!(report.state, Some(CallState::NoAnswer));
    assert_eq!(report.data["unknown_statuses"], json!(["DONTCALL"]));
    // Without any times the later row counts.
    let report = rows(json!([{"id": ID, "status": "BUSY"}, {"id": ID, "status": "ANSWER"}]));
    assert_eq!(report.state, Some(CallState::Answered));
}

#[test]
fn with_retries_only_an_answer_ends_the_call() {
    let row = |word: &str, end: &str| json!({"id": ID, "status": word, "end_at": end});
    let with_retries = |rows: serde_json::Value| {
        read_call(true, 200, &json!({"status": 200, "data": rows}).to_string()).unwrap()
    };
    let (early, late) = ("2024-07-10 08:00:00", "2024-07-10 08:15:00");
    for word in ["BUSY", "NOANSWER", "CANCEL", "MISSED", "CHANUNAVAIL", "CONGESTION"] {
        let report = with_retries(json!([row(word, early)]));
        assert_eq!((report.state, report.error), (None, None), "{word}");
        assert_eq!(report.attempts[0].vendor_state, word);
        assert!(rows(json!([row(word, early)])).state.is_some());
        for answered in [[early, late], [late, early]] {
            let rows = json!([row(word, answered[0]), row("ANSWER", answered[1])]);
            let report = with_retries(rows);
            assert_eq!((report.state, report.error), (Some(CallState::Answered), None), "{word}");
            assert_eq!(report.attempts.len(), 2);
        }
    }
}

#[test]
fn what_is_kept_of_an_answer_is_bounded() {
    let long = "é".repeat(5_000);
    let row = |status: &str| {
        json!({"id": ID, "status": status, "to": long, "dtmf": long, "recording_url": long,
            "location": long, "created_at": "2024-07-10 08:00:00"})
    };
    let report = rows(json!(vec![row("BUSY"); 100]));
    assert_eq!(report.attempts.len(), 64);
    let attempt = &report.attempts[0];
    assert_eq!(
        (attempt.to.len(), attempt.dtmf.len(), attempt.recording_uri.len()),
        (256, 256, 2_048)
    );
    assert_eq!(report.data["location"].as_str().unwrap().len(), 256);
    let report = rows(json!(vec![row(&long); 100]));
    assert_eq!(report.data["status"].as_str().unwrap().len(), 256);
    assert_eq!(report.data["unknown_statuses"].as_array().unwrap().len(), 16);
}

#[test]
fn refused_questions_are_faults_without_doubt() {
    for (status, body, cause, reason) in [
        (401, "", Cause::Operator, "UNAUTHORIZED"),
        (403, "{}", Cause::Operator, "FORBIDDEN"),
        (422, "", Cause::Unreadable, "UNPROCESSABLE_ENTITY"),
        (429, "", Cause::Exhausted, "TOO_MANY_REQUESTS"),
        (500, r#"{"status":200,"data":[]}"#, Cause::Unreachable, "INTERNAL_SERVER_ERROR"),
        (599, "", Cause::Unreachable, "UNREADABLE_ANSWER"),
        (302, "", Cause::Unreachable, "UNREADABLE_ANSWER"),
        (200, "", Cause::Unreachable, "UNREADABLE_ANSWER"),
        (200, "<html>/login</html>", Cause::Operator, "UNAUTHORIZED"),
        (200, r#"{"status":"ERROR","data":[]}"#, Cause::Unreadable, "ERROR"),
        (200, r#"{"status":429}"#, Cause::Exhausted, "TOO_MANY_REQUESTS"),
        (200, "{}", Cause::Unreachable, "UNKNOWN_STATUS"),
    ] {
        let fault = read_status(status, body).unwrap_err();
        assert_eq!((fault.cause, &*fault.reason), (cause, reason), "{status} {body}");
    }
    // Rows need no status around them.
    let report = read_status(200, &json!({"data": [{"id": ID, "status": "BUSY"}]}).to_string());
    assert_eq!(report.unwrap().state, Some(CallState::Busy));
}

#[test]
fn times_are_in_the_zone_of_the_account_unless_they_name_one() {
    for (text, expected) in [
        ("2023-03-01 10:00:00", at("2023-03-01T04:30:00Z")),
        (" 2023-03-01 10:00:00 ", at("2023-03-01T04:30:00Z")),
        ("2024-07-10T06:00:00.000000Z", at("2024-07-10T06:00:00Z")),
        ("2024-07-10T06:00:00+02:00", at("2024-07-10T04:00:00Z")),
        ("0000-00-00 00:00:00", None),
        ("0001-01-01 00:00:00", None),
        ("-2023-03-01 10:00:00", None),
        ("2023-02-30 10:00:00", None),
        ("2023-03-01", None),
        ("10:00:00", None),
        ("yesterday", None),
        ("", None),
    ] {
        assert_eq!(time(text, &kolkata()), expected, "{text}");
    }
    // An hour that does not exist, where clocks change.
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    assert_eq!(time("2024-03-31 02:30:00", &berlin), at("2024-03-31T01:30:00Z"));
}

#[test]
fn durations_have_three_forms() {
    for (text, seconds) in [
        ("00:00:19", Some(19)),
        ("01:02:03", Some(3_723)),
        ("23", Some(23)),
        ("0", Some(0)),
        ("00:61:00", None),
        ("1:2", None),
        ("1:2:3:4", None),
        ("-1", None),
        ("1.5", None),
        ("999999", None),
        ("99999999999999999999", None),
        ("", None),
    ] {
        assert_eq!(duration(text), seconds.map(Duration::from_secs), "{text}");
    }
    // An end before the start gives none.
    let report = rows(json!([{"id": ID, "status": "ANSWER", "start_at": "2024-07-10 08:00:12",
        "end_at": "2024-07-10 08:00:10"}]));
    assert_eq!(report.attempts[0].talk_duration, None);
    assert!(!report.data.contains_key("duration_computed"));
}

proptest! {
    #[test]
    fn any_answer_is_read(status in 100_u16..600, body: Vec<u8>) {
        let text = String::from_utf8_lossy(&body).into_owned();
        let _ = read_status(status, &text);
    }

    #[test]
    fn any_row_is_read(
        status in "(ANSWER|BUSY|queued|[A-Za-z]{0,8})",
        start in ".{0,24}",
        end in "([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}|.{0,24})",
        length in "([0-9]{0,9}|[0-9:]{0,9}|.{0,9})",
    ) {
        let report = rows(json!([
            {"id": ID, "status": status, "start_at": start, "end_at": end, "duration": length},
        ]));
        prop_assert_eq!(report.state.is_some(), report.attempts.len() == 1);
    }
}
