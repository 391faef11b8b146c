use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    call::{CallState, E164, Report},
    vendors::{
        Vendor,
        phonon::testing::{bulk, id, phonon},
    },
};

const UUID: &str = "66666666-7777-4888-8999-aaaaaaaaaaaa";

fn login() -> Login {
    Login { user: Secret::new("vendor"), password: Secret::new("hunter:2") }
}

fn with_body(content_type: &str, body: &str) -> Delivery {
    Delivery {
        content_type: content_type.to_owned(),
        body: body.to_owned().into(),
        ..Delivery::default()
    }
}

fn json_of(value: &Value) -> Delivery {
    // Whatever it is called.
    with_body("text/plain", &value.to_string())
}

fn form_of(fields: &[(&str, &str)]) -> Delivery {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    with_body("application/x-www-form-urlencoded", &form.extend_pairs(fields).finish())
}

fn pieces(delivery: &Delivery) -> Vec<Pushed> {
    match login().read(delivery).unwrap() {
        Push::News(pieces) => pieces,
        Push::Handshake { .. } => panic!(),
    }
}

fn only(delivery: &Delivery) -> Pushed {
    let mut pieces = pieces(delivery);
    assert_eq!(pieces.len(), 1);
    pieces.remove(0)
}

fn told(said: &Value, known: Option<&str>) -> Told {
    let to: [E164; 1] = ["919900000001".parse().unwrap()];
    let create_time = Timestamp::UNIX_EPOCH;
    let call = Placed { vendor_call_id: known, to: &to, script: None, create_time, retries: false };
    login().told(said, &call)
}

fn report(said: &Value) -> Report {
    match told(said, Some(UUID)) {
        Told::Result(report) => report,
        other => panic!("{other:?}"),
    }
}

fn leg() -> Value {
    json!({
        "cdrId": "81e30000-7b55-4142-9493-000000000000##pbx-1",
        "startTime": "2024-07-01T10:15:00.08+05:30",
        "connectTime": "2024-07-01T10:15:13.901+05:30",
        "endTime": "2024-07-01T10:17:19.131+05:30", "calleeNumber": "919900000001",
        "didNumber": "912200000000", "hangupCause": "16", "duration": "125230",
        "incoming": false, "calleeType": "VISITOR",
    })
}

/// phonon.md 5b.
fn newer() -> Value {
    json!({ "body": {
        "phonon-uuid": UUID, "callDetails": [leg()],
        "smsDetails": [{ "text": "your code is 4711" }], "emailDetails": [{ "content": "x" }],
    } })
}

/// phonon.md 5c.
fn older() -> Value {
    let keys = json!([
        { "name": "$flow.key.name", "value": "Asha" },
        { "name": "$flow.key.dialplane_call_id", "value": id(7).to_string() },
    ]);
    json!({ "phonon-uuid": UUID, "callDetails": [leg()], "keys": keys, "recordingUrls": [] })
}

/// phonon.md 5d.
fn custom(status: &str) -> Value {
    json!({ "flowStatus": status, "phonon-uuid": UUID, "method": "POST", "callDetails": [leg()] })
}

#[test]
fn every_format_says_the_same() {
    let call_details = json!([leg()]).to_string();
    let fields =
        [("flowStatus", "COMPLETED"), ("phonon-uuid", UUID), ("callDetails", &call_details)];
    let quoted = json!({ "phonon_uuid": UUID, "callDetails": call_details });
    let text = newer()["body"].to_string();
    for delivery in [
        json_of(&newer()),
        json_of(&older()),
        json_of(&custom("COMPLETED")),
        json_of(&json!([custom("COMPLETED")])),
        json_of(&quoted),
        json_of(&json!({ "body": text })),
        form_of(&fields),
        form_of(&[("body", &text)]),
        with_body("", std::str::from_utf8(&form_of(&fields).body).unwrap()),
    ] {
        let pushed = only(&delivery);
        assert_eq!(pushed.vendor_call_id.as_deref(), Some(UUID));
        let report = report(&pushed.said);
        assert_eq!(report.state, Some(CallState::Answered));
        let [attempt] = report.attempts.as_slice() else { panic!() };
        assert_eq!(attempt.key, "81e30000-7b55-4142-9493-000000000000##pbx-1");
        assert_eq!(attempt.talk_duration, Some(Duration::from_millis(125_230)));
    }
}

#[test]
fn our_id_is_found_wherever_it_is_put() {
    let ours = id(7).to_string();
    for said in [
        json!({ "client-identifier": ours }),
        json!({ "clientIdentifier": ours }),
        json!({ "DIALPLANE_CALL_ID": ours }),
        json!({ "dialplane-call-id": ours, "client-identifier": id(8).to_string() }),
        json!({ "$flow.key.dialplane_call_id": ours }),
        json!({ "body": { "dialplaneCallId": ours } }),
        json!({ "body": { "keys": [{ "name": "dialplane_call_id", "value": ours }] } }),
        json!({ "keys": [7, { "name": "x" }, { "name": "$flow.key.dialplane_call_id", "value": ours }] }),
        json!({ "keys": [
            { "name": "client_identifier", "value": id(8).to_string() },
            { "Name": "$Flow.Key.Dialplane-Call-Id", "Value": ours },
        ] }),
        json!({ "client-identifier": "order-4711", "keys": [{ "name": "client-identifier", "value": ours }] }),
        json!({ "keys": json!([{ "name": "dialplane_call_id", "value": ours }]).to_string() }),
    ] {
        let pushed = only(&json_of(&said));
        assert_eq!((pushed.call_id, pushed.vendor_call_id), (Some(id(7)), None), "{said}");
    }
    let both = only(&json_of(&older()));
    assert_eq!((both.call_id, both.vendor_call_id.as_deref()), (Some(id(7)), Some(UUID)));
    let form = only(&form_of(&[("dialplane_call_id", &ours), ("flowStatus", "FAILURE")]));
    assert_eq!(form.call_id, Some(id(7)));
    let Told::Result(report) = told(&form.said, None) else { panic!() };
    assert_eq!(report.state, Some(CallState::Failed));
}

#[test]
fn a_try_of_the_address_is_news_of_nothing() {
    for body in ["", " \r\n", "{}", "[]"] {
        assert_eq!(login().read(&with_body("text/plain", body)), Ok(Push::News(Vec::new())));
    }
}

#[test]
fn what_names_no_call_is_malformed() {
    let many = vec![custom("COMPLETED"); 501];
    for body in [
        "null",
        "7",
        "garbage",
        "<html>",
        "[{}]",
        "a=1",
        r#"{"flowStatus":"COMPLETED"}"#,
        r#"{"phonon-uuid":""}"#,
        r#"{"phonon-uuid":7}"#,
        r#"{"phonon-uuid":"a\u0000"}"#,
        r#"{"client-identifier":"order-4711"}"#,
        &json!({ "phonon-uuid": "x".repeat(129) }).to_string(),
        &Value::from(many).to_string(),
    ] {
        assert!(login().read(&with_body("", body)).is_err(), "{body}");
    }
    assert!(login().read(&with_body("text/plain", "phonon-uuid=x")).is_err());
    assert_eq!(pieces(&json_of(&vec![custom("COMPLETED"); 500].into())).len(), 500);
    assert_eq!(pieces(&json_of(&json!([{}, custom("COMPLETED"), 7]))).len(), 1);
}

#[test]
fn what_was_written_to_people_is_not_kept() {
    let mut bare = newer()["body"].clone();
    bare["sms_details"] = json!("4711");
    for said in [newer(), bare] {
        let kept = only(&json_of(&said)).said.to_string();
        assert!(kept.contains("callDetails") && !kept.contains("4711"), "{kept}");
    }
}

#[test]
fn an_attempt_before_another_is_not_final() {
    let mut pending = custom("REATTEMPT_SCHEDULED");
    pending["callDetails"][0]["connectTime"] = Value::Null;
    let report_of = report(&pending);
    assert_eq!((report_of.state, report_of.attempts[0].state), (None, CallState::NoAnswer));
    pending["flowStatus"] = json!("COMPLETED");
    assert_eq!(report(&pending).state, Some(CallState::NoAnswer));
    // Whatever is planned: somebody was reached.
    assert_eq!(report(&custom("REATTEMPT_SCHEDULED")).state, Some(CallState::Answered));
}

#[test]
fn durations_are_counted_by_the_format_only_where_a_time_is_missing() {
    let with = |duration: &str, ended: bool, wrapped: bool| {
        let mut leg = leg();
        leg["duration"] = json!(duration);
        if !ended {
            leg["endTime"] = Value::Null;
        }
        let bare = json!({ "phonon-uuid": UUID, "flowStatus": "COMPLETED", "callDetails": [leg] });
        let said = if wrapped { json!({ "body": bare }) } else { bare };
        report(&said).attempts[0].talk_duration
    };
    for wrapped in [true, false] {
        for duration in ["125", "125230", "1"] {
            let length = Some(Duration::from_millis(125_230));
            assert_eq!(with(duration, true, wrapped), length, "{duration}");
        }
    }
    assert_eq!(with("125230", false, true), Some(Duration::from_millis(125_230)));
    assert_eq!(with("125", false, false), Some(Duration::from_secs(125)));
}

#[test]
fn news_of_another_call_is_nothing() {
    assert_eq!(told(&newer(), Some("another")), Told::Nothing);
    assert_eq!(told(&json!([]), Some(UUID)), Told::Nothing);
    for known in [None, Some(UUID.to_ascii_uppercase())] {
        assert!(matches!(told(&newer(), known.as_deref()), Told::Result(_)));
    }
}

fn basic_of(text: &str) -> Option<String> {
    Some(format!("Basic {}", STANDARD.encode(text)))
}

#[test]
fn the_login_is_the_proof() {
    let with = |authorization| Delivery { authorization, ..json_of(&newer()) };
    let right = basic_of("vendor:hunter:2");
    for authorization in [right.clone(), right.clone().map(|text| text.replace("Basic", "bAsIc"))] {
        assert!(login().is_authentic(&with(authorization), None));
    }
    for wrong in [
        None,
        Some(String::new()),
        Some("Basic".to_owned()),
        Some("Basic !".to_owned()),
        Some("Bearer hunter:2".to_owned()),
        right.clone().map(|text| text.replace("Basic", "Bearer")),
        basic_of(""),
        basic_of(":"),
        basic_of("vendor"),
        basic_of("vendor:"),
        basic_of(":hunter:2"),
        basic_of("vendor:hunter"),
        basic_of("Vendor:hunter:2"),
        basic_of("vendor:hunter:2 "),
    ] {
        assert!(!login().is_authentic(&with(wrong.clone()), None), "{wrong:?}");
    }
    for token in ["", "x", "hunter:2"] {
        let delivery = Delivery { token: Some(token.to_owned()), ..with(right.clone()) };
        assert!(!login().is_authentic(&delivery, None));
    }
    assert_eq!(login().challenge(), Some("Basic realm=\"dialplane\""));
    assert!(bulk().callback().is_none() && !bulk().capabilities().push_results);
    let told = phonon("multicast", "callback = { user = \"u\", password = \"p\" }");
    assert!(told.callback().is_some() && told.capabilities().push_results);
}

#[test]
fn ids_are_one_in_any_case() {
    assert_eq!(bulk().aliases("aB-1"), ["aB-1", "ab-1", "AB-1"]);
    assert_eq!(bulk().aliases("11"), ["11"]);
}

proptest! {
    #[test]
    fn any_body_is_read(body: Vec<u8>, text in "\\PC{0,160}", duration in "\\PC{0,8}") {
        let _ = login().read(&Delivery { body: body.into(), ..Delivery::default() });
        let mut said = custom(&text);
        said["callDetails"][0]["duration"] = json!(duration);
        said["callDetails"][0]["endTime"] = json!(text);
        said["keys"] = json!(text);
        said["body"] = json!(format!("{{{text}"));
        let _ = (login().read(&json_of(&said)), told(&said, None), form_of(&[("body", &text)]));
    }

    #[test]
    fn no_other_login_is_authentic(user in "\\PC{0,8}", password in "\\PC{0,8}") {
        prop_assume!((user.as_str(), password.as_str()) != ("vendor", "hunter:2"));
        for text in [format!("{user}:{password}"), format!("vendor:{password}x"), user.clone()] {
            let with = Delivery { authorization: basic_of(&text), ..Delivery::default() };
            prop_assert!(!login().is_authentic(&with, None));
            let with = Delivery { authorization: Some(text), ..Delivery::default() };
            prop_assert!(!login().is_authentic(&with, None));
        }
    }
}
