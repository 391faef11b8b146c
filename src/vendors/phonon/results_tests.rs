use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    call::{CallState, Cause, E164, Fault, Report, Script},
    http::HttpReply,
    vendors::{
        Context, Placed, Vendor,
        phonon::testing::{SECURITY_ID, phonon, pulling, realtime, reply},
    },
};

fn context() -> Context<'static> {
    Context { now: Timestamp::UNIX_EPOCH, token: None }
}

fn placed<'a>(id: Option<&'a str>, to: &'a [E164], script: Option<&'a Script>) -> Placed<'a> {
    Placed { vendor_call_id: id, to, script, create_time: Timestamp::UNIX_EPOCH, retries: false }
}

fn numbers() -> Vec<E164> {
    vec!["919900000001".parse().unwrap()]
}

/// Asks about two calls and reads this answer.
fn read(reply: &HttpReply) -> Result<Vec<Report>, Fault> {
    let to = numbers();
    let calls = [placed(Some("u-1"), &to, None), placed(Some("u-2"), &to, None)];
    let reports = pulling().read_answer(&calls, reply);
    assert!(reports.as_ref().map_or(2, Vec::len) == 2);
    reports
}

fn rows(data: Value) -> Vec<Option<CallState>> {
    let body = json!({ "api-response-code": 200, "api-response-message": "Success", "data": data });
    read(&reply(200, &body)).unwrap().into_iter().map(|report| report.state).collect()
}

fn leg(start: &str, connected: bool) -> Value {
    let time = |second: u8| format!("2024-07-01T{start}:{second:02}+05:30");
    json!({
        "cdrId": start, "startTime": time(0), "endTime": time(30), "calleeType": "VISITOR",
        "connectTime": connected.then(|| time(10)),
    })
}

#[test]
fn a_question_has_exactly_the_documented_bytes() {
    let to = numbers();
    let calls = [placed(Some("u-1"), &to, None), placed(Some("u-2"), &to, None)];
    let request = pulling().ask(&calls, &context()).unwrap();
    assert_eq!(request.url.as_str(), "https://pull.example.com/v2/results");
    let golden = format!(
        r#"{{"security-id":"{SECURITY_ID}","flow-id":"AbCd1234","phonon-uuids":["u-1","u-2"],"fetch-attempt":"ALL"}}"#
    );
    assert_eq!(str::from_utf8(request.body.bytes()).unwrap(), golden);
    let first = phonon("dialer", "results = { url = \"https://pull.example.com\", version = 1 }");
    let request = first.ask(&calls, &context()).unwrap();
    assert_eq!(
        str::from_utf8(request.body.bytes()).unwrap(),
        r#"{"phonon-uuids":["u-1","u-2"],"fetch-attempt":"ALL"}"#
    );
}

#[test]
fn questions_have_one_flow_and_only_calls_with_an_id() {
    let to = numbers();
    let flow = |name: &str| Script::Flow(name.to_owned());
    let (other, same, audio) = (flow("ZzZz9999"), flow("AbCd1234"), Script::Audio("a".to_owned()));
    let calls = [
        placed(Some("u-0"), &to, None),
        placed(Some("u-1"), &to, Some(&other)),
        placed(None, &to, None),
        placed(Some("u-3"), &to, Some(&same)),
        placed(Some("u-4"), &to, Some(&audio)),
        placed(Some("u-5"), &to, Some(&other)),
    ];
    assert_eq!(pulling().questions(&calls), [vec![0, 3], vec![1, 5]]);
    let request = pulling().ask(&calls[1..2], &context()).unwrap();
    assert!(str::from_utf8(request.body.bytes()).unwrap().contains(r#""flow-id":"ZzZz9999""#));
    assert!(pulling().ask(&calls[2..3], &context()).is_none());
    assert!(pulling().ask(&[], &context()).is_none());
    let many: Vec<_> = (0..250).map(|_| placed(Some("u"), &to, None)).collect();
    let sizes: Vec<_> = pulling().questions(&many).iter().map(Vec::len).collect();
    assert_eq!(sizes, [100, 100, 50]);
}

#[test]
fn without_the_pull_api_nothing_is_asked() {
    let to = numbers();
    let calls = [placed(Some("u-1"), &to, None)];
    assert!(realtime().questions(&calls).is_empty());
    assert!(realtime().ask(&calls, &context()).is_none());
}

#[test]
fn rows_are_found_by_the_vendors_id() {
    let answered = json!({ "phonon-uuid": "U-2", "call-details": [leg("10:15", true)] });
    let foreign = json!({ "phonon-uuid": "u-9", "call-details": [leg("10:15", true)] });
    assert_eq!(rows(json!([foreign, 7, null, answered])), [None, Some(CallState::Answered)]);
    assert_eq!(rows(answered), [None, Some(CallState::Answered)], "a lone row");
    assert_eq!(rows(json!([])), [None, None]);
    assert_eq!(rows(json!(null)), [None, None]);
}

#[test]
fn rows_of_one_call_are_read_together() {
    let row = |status: Value, leg: Value| json!({ "phonon-uuid": "u-1", "flowStatus": status, "callDetails": [leg] });
    let (first, second) = (leg("10:15", false), leg("10:45", false));
    let pending = row(json!("REATTEMPT_SCHEDULED"), first.clone());
    let done = row(json!("COMPLETED"), second.clone());
    // Whichever order they come in, the latest counts.
    assert_eq!(rows(json!([pending, done]))[0], Some(CallState::NoAnswer));
    assert_eq!(rows(json!([done, pending]))[0], Some(CallState::NoAnswer));
    let waiting = row(json!("REATTEMPT_SCHEDULED"), second.clone());
    assert_eq!(rows(json!([row(json!("COMPLETED"), first.clone()), waiting]))[0], None);
    let reached = row(json!(null), leg("10:15", true));
    assert_eq!(rows(json!([reached, waiting]))[0], Some(CallState::Answered));
    // A status is not lost to a row that has none.
    let bare = json!({ "phonon-uuid": "u-1", "flowStatus": "REATTEMPT_SCHEDULED" });
    let mute = row(json!(null), second.clone());
    for data in [json!([bare, mute]), json!([mute, bare]), json!([pending, mute])] {
        assert_eq!(rows(data.clone())[0], None, "{data}");
    }
    let body =
        json!({ "api-response-code": 200, "data": [pending, done, row(json!(null), first)] });
    let reports = read(&reply(200, &body)).unwrap();
    assert_eq!(reports[0].attempts.len(), 2, "a leg told twice is one attempt");
}

#[test]
fn no_data_is_no_news() {
    for code in [json!(213), json!("213")] {
        let body = json!({ "api-response-code": code, "api-response-message": "No Data Available", "data": [] });
        for status in [200, 404] {
            assert_eq!(
                read(&reply(status, &body)).unwrap(),
                [Report::default(), Report::default()]
            );
        }
    }
}

#[test]
fn a_question_is_refused_by_the_table_and_never_in_doubt() {
    let cases = [
        (201, Cause::Duplicate),
        (202, Cause::Operator),
        (206, Cause::Unreachable),
        (301, Cause::NotFound),
        (303, Cause::InvalidCall),
        (401, Cause::Operator),
        (500, Cause::Unreachable),
        (999, Cause::Unreachable),
    ];
    for (code, cause) in cases {
        let body =
            json!({ "api-response-code": code, "api-response-message": "said", "request-id": "r" });
        let fault = read(&reply(200, &body)).unwrap_err();
        assert_eq!((fault.cause, fault.message.as_str()), (cause, "said"), "{code}");
        assert_eq!((fault.code, fault.request_id.as_deref()), (Some(code.to_string()), Some("r")));
    }
    let cases = [
        (200, Cause::Unreachable),
        (403, Cause::Operator),
        (429, Cause::Exhausted),
        (500, Cause::Unreachable),
        (503, Cause::Unreachable),
    ];
    for (status, cause) in cases {
        let mut reply = HttpReply::json(status, "<html>");
        assert_eq!(read(&reply).unwrap_err().cause, cause, "{status}");
        reply.retry_after = Some(Duration::from_secs(3));
        let waits = matches!(cause, Cause::Unreachable | Cause::Exhausted);
        assert_eq!(read(&reply).unwrap_err().retry_after.is_some(), waits);
    }
    let body = json!({ "api-response-code": 200, "data": "none" });
    assert_eq!(read(&reply(200, &body)).unwrap_err().cause, Cause::Unreachable);
}

/// Rows that look like the vendor's, with anything in any place.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("u-1")),
        Just(json!("COMPLETED")),
        Just(json!("VISITOR")),
        Just(json!("2024-07-01T10:15:00.08+05:30")),
        Just(json!("9999-12-30T22:00:00Z")),
        Just(json!("-009999-01-02T01:59:59Z")),
        Just(json!(u64::MAX)),
    ];
    let name = prop::sample::select(vec![
        "body",
        "phonon-uuid",
        "flowStatus",
        "callDetails",
        "startTime",
        "connectTime",
        "endTime",
        "ringingStartTime",
        "duration",
        "calleeType",
        "calleeNumber",
        "dtmfPressesd",
        "key",
        "recordingUrls",
        "hangupCause",
        "status",
    ]);
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Err(fault) = read(&HttpReply::json(status, body)) {
            prop_assert_ne!(fault.cause, Cause::InDoubt);
        }
    }

    #[test]
    fn any_rows_give_one_report_for_each_call(data in anything(), legs in anything(), status in anything()) {
        let row = json!({ "phonon-uuid": "u-1", "flowStatus": status, "callDetails": [legs, legs] });
        for data in [data.clone(), json!([row.clone(), data, row])] {
            let body = json!({ "api-response-code": 200, "data": data });
            if let Ok(reports) = read(&reply(200, &body)) {
                prop_assert_eq!(reports.len(), 2);
                prop_assert!(reports[0].error.is_none() || reports[0].state == Some(CallState::Failed));
            }
        }
    }
}
