use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const TOKEN: &str = "0123456789abcdef";

fn webhook() -> PathToken {
    let address = format!("https://gateway.test/callbacks/k/{TOKEN}");
    PathToken::of(&address.parse().unwrap()).unwrap().unwrap()
}

fn delivery(content_type: &str, body: &str) -> Delivery {
    Delivery {
        content_type: content_type.to_owned(),
        body: body.to_owned().into(),
        ..Delivery::default()
    }
}

fn ids(delivery: &Delivery) -> Option<Vec<String>> {
    let Push::News(pieces) = webhook().read(delivery).ok()? else { panic!() };
    assert!(pieces.iter().all(|piece| piece.call_id.is_none()));
    Some(pieces.into_iter().filter_map(|piece| piece.vendor_call_id).collect())
}

#[test]
fn ids_are_found_in_every_form() {
    for (content_type, body) in [
        ("application/json", r#"{"UniqueId":"a1"}"#),
        ("text/plain", r#" {"unique_id":"a1","CallState":"Answered"} "#),
        ("", r#"{"uniqueIds":["a1"]}"#),
        ("", r#"{"UNIQUE-IDS":"a1"}"#),
        ("", r#"{"CallResults":[{"UniqueId":"a1","CallState":"Busy"},7,{}]}"#),
        ("", r#"{"CallResults":{"UniqueId":"a1"},"UniqueId":null,"x":{"UniqueId":"b"}}"#),
        ("", r#"{"UniqueId":"a1","UniqueIds":["a1"],"CallResults":[{"UniqueId":"a1"}]}"#),
        ("", r#"[{"UniqueId":"a1"}]"#),
        ("", r#"["a1"]"#),
        ("", r#""a1""#),
        ("application/x-www-form-urlencoded", "UniqueId=a1&CallState=No+Answer"),
        ("text/plain", "uniqueid=a1"),
        ("application/x-www-form-urlencoded", "UniqueIds=%5B%22a1%22%5D"),
        ("", "CallResults=%5B%7B%22UniqueId%22%3A%22a1%22%7D%5D"),
        ("text/plain", "a1"),
        ("application/octet-stream", "\r\n a1 \r\n\r\na1\n"),
    ] {
        assert_eq!(ids(&delivery(content_type, body)), Some(vec!["a1".to_owned()]), "{body}");
    }
    let query = Delivery {
        query: vec![("x".into(), "y".into()), ("uniqueId".into(), "a1".into())],
        ..Delivery::default()
    };
    assert_eq!(ids(&query), Some(vec!["a1".to_owned()]));
    for (body, id) in [("4711", "4711"), ("12e3", "12e3"), (r#"{"UniqueId":4711}"#, "4711")] {
        assert_eq!(ids(&delivery("", body)), Some(vec![id.to_owned()]), "{body}");
    }
}

#[test]
fn what_names_no_call_is_malformed() {
    let long = format!(r#"{{"UniqueId":"{}"}}"#, "x".repeat(129));
    let many: Vec<_> = (0..101).map(|i| i.to_string()).collect();
    let many = json!({ "UniqueIds": many }).to_string();
    for body in [
        "{}",
        "[]",
        "null",
        "true",
        "Service unavailable",
        "<html>",
        "a=1",
        r#"{"UniqueId":" "}"#,
        r#"{"UniqueId":"a\u0000"}"#,
        r#"{"UniqueId":["a1"]}"#,
        r#"{"CallResults":[]}"#,
        &long,
        &many,
    ] {
        assert_eq!(ids(&delivery("", body)), None, "{body}");
    }
    for tried in ["", " "] {
        assert_eq!(ids(&delivery("", tried)), Some(Vec::new()), "the address is only tried");
    }
    let just = json!({ "UniqueIds": vec!["x".repeat(128); 200] }).to_string();
    assert_eq!(ids(&delivery("", &just)).map(|ids| ids.len()), Some(1));
    let just: Vec<_> = (0..100).map(|i| i.to_string()).collect();
    assert_eq!(ids(&delivery("", &just.join("\n"))), Some(just));
}

#[test]
fn the_token_in_the_address_is_the_proof() {
    let webhook = webhook();
    let with = |token: Option<&str>| Delivery {
        token: token.map(str::to_owned),
        authorization: Some(format!("Bearer {TOKEN}")),
        query: vec![("token".to_owned(), TOKEN.to_owned())],
        ..Delivery::default()
    };
    assert!(webhook.is_authentic(&with(Some(TOKEN)), None));
    for token in [None, Some(""), Some("0123456789abcdeF"), Some("0123456789abcdef0")] {
        assert!(!webhook.is_authentic(&with(token), None), "{token:?}");
    }
    assert_eq!(webhook.challenge(), None);
    assert!(!format!("{webhook:?}").contains(TOKEN));
}

#[test]
fn an_encoded_token_is_compared_decoded() {
    let address = "https://gateway.test/callbacks/k/%C3%A4%200123456789abcd".parse().unwrap();
    let webhook = PathToken::of(&address).unwrap().unwrap();
    let token = Some("ä 0123456789abcd".to_owned());
    assert!(webhook.is_authentic(&Delivery { token, ..Delivery::default() }, None));
}

#[test]
fn every_push_is_a_hint() {
    let call = Placed {
        vendor_call_id: Some("a1"),
        to: &[],
        script: None,
        create_time: Timestamp::UNIX_EPOCH,
        retries: false,
    };
    for said in [Value::Null, json!({ "UniqueId": "a1", "CallState": "Answered" })] {
        assert_eq!(webhook().told(&said, &call), Told::Ask);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read(body: Vec<u8>, name in "\\PC{0,12}", text in "\\PC{0,140}") {
        let query = vec![(name, text.clone()), ("UniqueId".to_owned(), text)];
        let delivery = Delivery { body: body.into(), query, ..Delivery::default() };
        if let Ok(Push::News(pieces)) = webhook().read(&delivery) {
            prop_assert!((1..=MAX_IDS).contains(&pieces.len()));
            prop_assert!(pieces.iter().all(|p| p.vendor_call_id.as_ref().unwrap().len() <= 128));
        }
    }

    #[test]
    fn no_other_token_is_authentic(token in proptest::option::of("\\PC{0,20}")) {
        prop_assume!(token.as_deref() != Some(TOKEN));
        let delivery = Delivery { token, ..Delivery::default() };
        prop_assert!(!webhook().is_authentic(&delivery, None));
    }
}
