use std::{path::Path, time::Duration};

use jiff::Timestamp;
use proptest::prelude::*;
use toml::de::DeTable;

use super::*;
use crate::{
    call::{CallState, E164, Report},
    config::{Section, Source},
    vendors::{Vendor, mobtexting::settings},
};

const ID: &str = "11111111-2222-4333-8444-555555555555";
const BOTH: &str = "callback = { secret = \"sesame\", token = \"hand-shake\" }";
const SECRET: &str = "callback = { secret = \"sesame\" }";

fn vendor(keys: &str) -> MobTexting {
    let text = format!("access_token = \"t\"\n{keys}");
    let source = Source::new(&text, Path::new("."), &|_| None);
    let table = DeTable::parse(&text).unwrap();
    let mut section = Section::new(&source, "vendors.m", 0, table.get_ref());
    MobTexting::new(settings::read(&mut section).unwrap())
}

fn json_of(body: &Value) -> Delivery {
    Delivery {
        content_type: "application/json".to_owned(),
        authorization: Some("Bearer sesame".to_owned()),
        body: body.to_string().into(),
        ..Delivery::default()
    }
}

fn to() -> Vec<E164> {
    vec!["919900000002".parse().unwrap()]
}

fn told(said: &Value, id: Option<&str>, retries: bool) -> Told {
    let to = to();
    let create_time = Timestamp::UNIX_EPOCH;
    let call = Placed { vendor_call_id: id, to: &to, script: None, create_time, retries };
    vendor(BOTH).told(said, &call)
}

fn result(said: &Value) -> Report {
    match told(said, Some(ID), false) {
        Told::Result(report) => report,
        other => panic!("{other:?}"),
    }
}

/// mobtexting.md 5b, with its numbers as they are there.
fn standard() -> Value {
    json!({
        "bridge": 918_000_000_001_u64, "from": 918_000_000_001_u64, "to": 919_900_000_002_u64,
        "source": "OBD", "mid": "1234-1333-abcde", "flow_id": 77,
        "start_at": "2024-07-10 10:00:00", "end_at": "2024-07-10 10:00:16", "duration": "23",
        "status": "ANSWER", "recording_url": "https://example.test/r.mp3",
    })
}

fn composed(status: &str) -> Value {
    json!({
        "id": ID, "to": "919900000002", "status": status, "start_at": "2024-07-10 10:00:00",
        "end_at": "2024-07-10 10:00:16", "duration": 23, "dtmf": "12",
        "recording_url": "https://example.test/r.mp3",
    })
}

fn only(delivery: &Delivery) -> Pushed {
    match vendor(BOTH).read(delivery).unwrap() {
        Push::News(mut pieces) if pieces.len() == 1 => pieces.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_is_named_by_id_then_by_mid() {
    let pushed = only(&json_of(&composed("ANSWER")));
    assert_eq!(pushed.vendor_call_id.as_deref(), Some(ID));
    assert_eq!(only(&json_of(&standard())).vendor_call_id.as_deref(), Some("1234-1333-abcde"));
    let form = Delivery {
        content_type: "application/x-www-form-urlencoded".to_owned(),
        body: format!("id={ID}%3A1&to=919900000002&status=BUSY").into(),
        ..Delivery::default()
    };
    let pushed = only(&form);
    assert_eq!(pushed.vendor_call_id, Some(format!("{ID}:1")));
    let Told::Result(report) = told(&pushed.said, Some(ID), false) else { panic!() };
    assert_eq!(report.state, Some(CallState::Busy));
    assert_eq!(only(&json_of(&json!({ "id": 7 }))).vendor_call_id.as_deref(), Some("7"));
    assert_eq!(
        only(&json_of(&json!({ "id": " ", "mid": 7 }))).vendor_call_id.as_deref(),
        Some("7")
    );
}

#[test]
fn what_names_no_call_is_malformed() {
    for body in [
        "",
        "null",
        "[]",
        "{}",
        "garbage",
        r#"{"id":null,"mid":""}"#,
        r#"{"id":"a\u0000"}"#,
        r#"{"challenge":7,"validation_key":"hand-shake"}"#,
        &json!({ "id": "x".repeat(129) }).to_string(),
        &json!({ "challenge": "x".repeat(1_025) }).to_string(),
    ] {
        let delivery = Delivery { body: body.to_owned().into(), ..Delivery::default() };
        assert!(vendor(BOTH).read(&delivery).is_err(), "{body}");
    }
}

#[test]
fn a_composed_body_is_a_result() {
    let report = result(&composed("ANSWER"));
    assert_eq!(report.state, Some(CallState::Answered));
    let [attempt] = report.attempts.as_slice() else { panic!() };
    assert_eq!(attempt.key, "+919900000002 2024-07-10 10:00:00");
    assert_eq!(attempt.talk_duration, Some(Duration::from_secs(23)));
    assert_eq!((attempt.dtmf.as_str(), attempt.vendor_state.as_str()), ("12", "ANSWER"));
    assert_eq!(attempt.recording_uri, "https://example.test/r.mp3");
    assert_eq!(result(&composed("queued")).state, None);
    for status in ["", "TORTURE"] {
        assert_eq!(told(&composed(status), Some(ID), false), Told::Ask, "{status}");
    }
}

#[test]
fn a_mid_is_a_hint() {
    assert_eq!(told(&standard(), Some("1234-1333-abcde"), false), Told::Ask);
}

#[test]
fn with_retries_only_an_answer_is_an_end() {
    for (status, state) in [("NOANSWER", None), ("ANSWER", Some(CallState::Answered))] {
        let Told::Result(report) = told(&composed(status), Some(ID), true) else { panic!() };
        assert_eq!(report.state, state);
        assert_eq!(report.attempts.len(), 1);
    }
}

#[test]
fn news_of_another_call_is_nothing() {
    for (field, value) in [("id", json!("another")), ("id", json!(format!("{ID}:2:1")))] {
        let mut said = composed("ANSWER");
        said[field] = value;
        assert_eq!(told(&said, Some(ID), false), Told::Nothing, "{said}");
    }
    for number in [
        json!("9199******02"),
        json!("9900000002"),
        json!("00919900000002"),
        json!("919900000003"),
        json!(919_900_000_003_u64),
    ] {
        let mut said = composed("ANSWER");
        said["to"] = number;
        assert_eq!(told(&said, Some(ID), false), Told::Ask, "{said}");
    }
    let mut said = standard();
    said["to"] = json!("919900000003");
    assert_eq!(told(&said, Some("1234-1333-abcde"), false), Told::Nothing);
    assert_eq!(told(&json!("x"), Some(ID), false), Told::Nothing);
    let mut said = composed("ANSWER");
    for number in [json!("+919900000002"), json!(919_900_000_002_u64), json!(null), json!("")] {
        said["to"] = number;
        assert!(matches!(told(&said, Some(ID), false), Told::Result(_)), "{said}");
    }
}

#[test]
fn ids_have_two_forms() {
    let vendor = vendor(SECRET);
    assert_eq!(vendor.aliases("x:1"), ["x:1", "x"]);
    assert_eq!(vendor.aliases("x:2"), ["x:2", "x"]);
    assert_eq!(vendor.aliases("x"), ["x", "x:1"]);
    assert_eq!(vendor.aliases("x:y"), ["x:y", "x:y:1"]);
}

fn handshake(key: Option<&str>, query: &[&str]) -> Delivery {
    let mut body = json!({ "challenge": "abc" });
    if let Some(key) = key {
        body["validation_key"] = json!(key);
    }
    Delivery {
        authorization: None,
        query: query.iter().map(|text| ("token".to_owned(), (*text).to_owned())).collect(),
        ..json_of(&body)
    }
}

fn is_authentic(vendor: &MobTexting, delivery: &Delivery) -> bool {
    let push = vendor.read(delivery).ok();
    vendor.is_authentic(delivery, push.as_ref())
}

#[test]
fn a_handshake_is_answered_with_its_challenge() {
    let push = vendor(BOTH).read(&handshake(Some("hand-shake"), &[])).unwrap();
    let proof = Some("hand-shake".to_owned());
    assert_eq!(push, Push::Handshake { proof, answer: json!({ "challenge": "abc" }) });
}

#[test]
fn a_handshake_proves_itself_with_the_token() {
    let (both, secret) = (vendor(BOTH), vendor(SECRET));
    for (key, query, fine) in [
        (Some("hand-shake"), &[][..], true),
        (Some("hand-shake"), &["hand-shake"], true),
        (Some("hand-shake"), &["hand-shake", "x"], false),
        (Some("hand-shake"), &["x"], false),
        (Some("hand-shake"), &[""], false),
        (Some("x"), &["hand-shake"], false),
        (Some(""), &["hand-shake"], false),
        (None, &["hand-shake"], false),
    ] {
        let delivery = handshake(key, query);
        assert_eq!(is_authentic(&both, &delivery), fine, "{key:?} {query:?}");
        assert!(!is_authentic(&secret, &delivery), "{key:?} {query:?}");
        // The other secret is for the other thing.
        let bearer =
            Delivery { authorization: Some("Bearer sesame".to_owned()), ..handshake(None, query) };
        assert!(!is_authentic(&both, &bearer) && !is_authentic(&secret, &bearer));
    }
    let other = Delivery { token: Some("x".to_owned()), ..handshake(Some("hand-shake"), &[]) };
    assert!(!is_authentic(&both, &other));
}

#[test]
fn a_delivery_proves_itself_with_the_secret() {
    let (both, secret) = (vendor(BOTH), vendor(SECRET));
    for (authorization, fine) in [
        (Some("Bearer sesame"), true),
        (Some("bearer sesame"), true),
        (Some("Bearer Sesame"), false),
        (Some("Bearer "), false),
        (Some("Basic sesame"), false),
        (Some("sesame"), false),
        (Some("Bearer hand-shake"), false),
        (None, false),
    ] {
        let authorization = authorization.map(str::to_owned);
        let delivery = Delivery { authorization, ..json_of(&composed("ANSWER")) };
        assert_eq!(is_authentic(&both, &delivery), fine);
        assert_eq!(is_authentic(&secret, &delivery), fine);
        let with = |token: &str| Delivery { token: Some(token.to_owned()), ..delivery.clone() };
        assert_eq!(is_authentic(&both, &with("hand-shake")), fine);
        for (vendor, token) in [(&both, "x"), (&both, ""), (&secret, "hand-shake"), (&secret, "")] {
            assert!(!is_authentic(vendor, &with(token)), "{token}");
        }
    }
    assert!(vendor("").callback().is_none() && both.callback().is_some());
    assert!(!vendor("").is_authentic(&json_of(&composed("ANSWER")), None));
    assert_eq!(both.challenge(), Some("Bearer"));
}

proptest! {
    #[test]
    fn any_body_is_read(body: Vec<u8>, id in ".{0,140}", status in "\\PC{0,12}", to in ".{0,20}") {
        let vendor = vendor(BOTH);
        let _ = vendor.read(&Delivery { body: body.into(), ..Delivery::default() });
        let said = json!({ "id": id, "status": status, "to": to, "duration": to, "end_at": id });
        let _ = (vendor.read(&json_of(&said)), told(&said, Some(ID), true));
    }

    #[test]
    fn no_other_secret_is_authentic(text in "\\PC{0,20}", key in proptest::option::of("[a-z]{0,6}")) {
        prop_assume!(!text.trim().ends_with("sesame"));
        let vendor = vendor(BOTH);
        let delivery = Delivery { authorization: Some(text), ..json_of(&standard()) };
        prop_assert!(!is_authentic(&vendor, &delivery));
        prop_assert!(!is_authentic(&vendor, &handshake(key.as_deref(), &[])));
    }
}
