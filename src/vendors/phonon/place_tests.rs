use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::{MAX_BODY_BYTES, MAX_CALLS, start_time};
use crate::{
    call::{Cause, Order, Retry, Script},
    http::{Body, Method},
    vendors::{
        Context, Outgoing, Vendor,
        phonon::{
            Phonon,
            encryption::{
                Padding,
                tests::{decrypt, public_key_pem},
            },
            testing::{SECURITY_ID, body, id, order, orders, outgoing, phonon, read, realtime},
        },
    },
};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2024-07-01T10:15:00.9+05:30";

fn context() -> Context<'static> {
    Context { now: time(NOW), token: None }
}

fn encrypted() -> Phonon {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("key.pem"), public_key_pem()).unwrap();
    let text = format!(
        "product = \"dialer\"\nsecurity_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\n\
         encryption = {{ public_key_file = \"key.pem\" }}"
    );
    read(&text, directory.path()).0.unwrap()
}

fn with_variables(pairs: &[(&str, &str)]) -> Order {
    let mut order = order("+919900000001");
    order.variables = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    order
}

#[test]
fn a_request_has_exactly_the_documented_bytes() {
    let mut first = with_variables(&[
        ("name", "Asha \"A\" \n क"),
        ("$flow.key.amount", "10"),
        ("$flow.syskey.x", "y"),
        ("zone", ""),
    ]);
    first.to.push("919900000002".parse().unwrap());
    let mut second = order("918000000001");
    second.start_time = Some(time("2024-07-02T00:00:00.000000001Z"));
    let request = realtime().place(&outgoing(&[first, second]), &context()).unwrap();
    assert_eq!(request.method, Method::Post);
    assert_eq!(request.url.as_str(), "https://central.phonon.io/kairos-apis/outbound/create");
    assert!(matches!(request.body, Body::Json(_)) && request.headers.is_empty());
    let golden = format!(
        concat!(
            r#"{{"api-version":"1.0","security-id":"{}","flow-id":"AbCd1234","calls":["#,
            r#"{{"client-identifier":"01900000-0000-7000-8000-000000000000","start-time":"2024-07-01T10:15:00+05:30","#,
            r#""contact-numbers":["919900000001","919900000002"],"keys":["#,
            r#"{{"name":"$flow.key.amount","value":"10"}},"#,
            r#"{{"name":"$flow.key.name","value":"Asha \"A\" \n क"}},"#,
            r#"{{"name":"$flow.key.zone","value":""}},"#,
            r#"{{"name":"$flow.syskey.x","value":"y"}}]}},"#,
            r#"{{"client-identifier":"01900000-0000-7000-8000-000000000001","start-time":"2024-07-02T05:30:01+05:30","#,
            r#""contact-numbers":["918000000001"],"keys":[]}}]}}"#
        ),
        SECURITY_ID
    );
    assert_eq!(str::from_utf8(request.body.bytes()).unwrap(), golden);
}

#[test]
fn requests_follow_the_settings_and_the_call() {
    let dialer = phonon("dialer", "api_version = \"TEST\"");
    let mut orders = orders(1);
    orders[0].script = Some(Script::Flow("ZzZz9999".to_owned()));
    let request = dialer.place(&outgoing(&orders), &context()).unwrap();
    let body = body(&request);
    assert_eq!((&body["api-version"], &body["flow-id"]), (&json!("TEST"), &json!("ZzZz9999")));
    orders[0].script = Some(Script::Audio("a".to_owned()));
    let fault = dialer.place(&outgoing(&orders), &context()).unwrap_err();
    assert_eq!((fault.cause, &*fault.reason), (Cause::InvalidCall, "NO_FLOW"));
    assert!(dialer.place(&[], &context()).is_err());
}

#[test]
fn an_encrypted_request_is_the_plain_one_inside() {
    let orders = orders(2);
    let request = encrypted().place(&outgoing(&orders), &context()).unwrap();
    let plain = phonon("dialer", "").place(&outgoing(&orders), &context()).unwrap();
    assert_eq!(decrypt(request.body.bytes(), Padding::Pkcs1v15), plain.body.bytes());
    assert_eq!(request.url.path(), "/kairos-apis/enc/outbounddialer/create");
    assert!(!String::from_utf8_lossy(request.body.bytes()).contains(SECURITY_ID));
}

#[test]
fn start_times_are_indias_without_a_fraction() {
    // Now, asked for, expires, start-time.
    let cases = [
        (NOW, None, None, "2024-07-01T10:15:00+05:30"),
        ("2024-07-01T04:45:00Z", None, None, "2024-07-01T10:15:00+05:30"),
        (NOW, Some("2024-07-01T10:14:00+05:30"), None, "2024-07-01T10:15:00+05:30"),
        (NOW, Some("2023-07-01T10:14:00+05:30"), None, "2024-07-01T10:15:00+05:30"),
        (NOW, Some("2024-07-01T08:00:00Z"), None, "2024-07-01T13:30:00+05:30"),
        // Never earlier than asked.
        (NOW, Some("2024-07-01T08:00:00.000000001Z"), None, "2024-07-01T13:30:01+05:30"),
        (NOW, Some("2024-07-01T18:29:59.5Z"), None, "2024-07-02T00:00:00+05:30"),
        (NOW, Some("2024-07-01T18:29:58Z"), None, "2024-07-01T23:59:58+05:30"),
        // Close to midnight in India the date may be past when the vendor reads it.
        ("2024-07-01T23:58:59.999+05:30", None, None, "2024-07-01T23:58:59+05:30"),
        ("2024-07-01T23:59:00+05:30", None, None, "2024-07-02T00:00:00+05:30"),
        ("2024-07-01T23:59:58+05:30", None, None, "2024-07-02T00:00:00+05:30"),
        ("2024-07-01T23:59:59.999999999+05:30", None, None, "2024-07-02T00:00:00+05:30"),
        ("2024-07-02T00:00:00+05:30", None, None, "2024-07-02T00:00:00+05:30"),
        ("2024-12-31T23:59:59+05:30", None, None, "2025-01-01T00:00:00+05:30"),
        ("2024-02-28T18:29:59Z", None, None, "2024-02-29T00:00:00+05:30"),
        ("2024-07-01T23:59:59Z", None, None, "2024-07-02T05:29:59+05:30"),
        (
            "2024-07-01T23:59:30+05:30",
            Some("2024-07-01T23:59:58+05:30"),
            None,
            "2024-07-02T00:00:00+05:30",
        ),
        (
            "2024-07-01T23:59:30+05:30",
            Some("2024-07-02T09:00:00+05:30"),
            None,
            "2024-07-02T09:00:00+05:30",
        ),
        // A call that expires at midnight is not put off until then.
        (
            "2024-07-01T23:59:30+05:30",
            None,
            Some("2024-07-02T00:00:00+05:30"),
            "2024-07-01T23:59:30+05:30",
        ),
        (
            "2024-07-01T23:59:30+05:30",
            None,
            Some("2024-07-02T00:00:01+05:30"),
            "2024-07-02T00:00:00+05:30",
        ),
    ];
    for (now, asked, expires, expected) in cases {
        let text = start_time(time(now), asked.map(time), expires.map(time));
        assert_eq!(text, expected, "now {now}, asked {asked:?}, expires {expires:?}");
    }
}

#[test]
fn objections_name_the_field() {
    type Change = fn(&mut Order);
    let cases: [(&str, Cause, Change); 10] = [
        ("audio", Cause::Unsupported, |o| o.script = Some(Script::Audio("hello".to_owned()))),
        ("flow", Cause::InvalidCall, |o| o.script = Some(Script::Flow("AbCd123".to_owned()))),
        ("flow", Cause::InvalidCall, |o| o.script = Some(Script::Flow("AbCd-234".to_owned()))),
        ("flow", Cause::InvalidCall, |o| o.script = Some(Script::Flow("äbCd123".to_owned()))),
        ("caller_id", Cause::Unsupported, |o| o.caller_id = Some("200".parse().unwrap())),
        ("to", Cause::Unsupported, |o| o.to = vec![o.to[0].clone(); 11]),
        ("variables", Cause::InvalidCall, |o| {
            o.variables.insert("text".to_owned(), "x".repeat(MAX_BODY_BYTES));
        }),
        ("variables[\"\"]", Cause::InvalidCall, |o| {
            o.variables.insert(String::new(), "x".to_owned());
        }),
        ("variables[\"$flow.key.\"]", Cause::InvalidCall, |o| {
            o.variables.insert("$flow.key.".to_owned(), "x".to_owned());
        }),
        ("variables[\"$flow.key.name\"]", Cause::InvalidCall, |o| {
            for name in ["name", "$flow.key.name"] {
                o.variables.insert(name.to_owned(), "x".to_owned());
            }
        }),
    ];
    for (field, cause, change) in cases {
        let mut order = order("+919900000001");
        change(&mut order);
        let objections = realtime().check(&order);
        assert_eq!(objections.len(), 1, "{field}: {objections:?}");
        assert_eq!((objections[0].cause, &*objections[0].violation.field), (cause, field));
    }
}

#[test]
fn what_the_vendor_can_do_is_not_objected_to() {
    let mut order = with_variables(&[("name", "Asha"), ("$flow.key.amount", "1")]);
    order.to = vec![order.to[0].clone(); 10];
    order.script = Some(Script::Flow("ZzZz9999".to_owned()));
    order.start_time = Some(time(NOW));
    order.expire_time = Some(time("2025-01-01T00:00:00Z"));
    order.retry = Some(Retry { interval: Duration::ZERO, max_attempts: 1 });
    order.locale = Some("hi-IN".to_owned());
    assert_eq!(realtime().check(&order), []);
}

const CALLBACK: &str = "callback = { user = \"u\", password = \"p\" }";

#[test]
fn with_a_callback_the_flow_is_told_our_id() {
    let plain = with_variables(&[("name", "Asha"), ("a", "1")]);
    let entry = |adapter: &Phonon| {
        let request =
            adapter.place(&[Outgoing { id: id(7), dial: 0, order: &plain }], &context()).unwrap();
        body(&request)["calls"][0].clone()
    };
    let mut told = entry(&phonon("multicast", CALLBACK));
    let keys = told["keys"].as_array_mut().unwrap();
    let ours = keys.iter().position(|key| key["name"] == "$flow.key.dialplane_call_id").unwrap();
    assert_eq!(keys.remove(ours)["value"], json!(id(7).to_string()));
    // And nothing else is different.
    assert_eq!(told, entry(&realtime()));
}

#[test]
fn our_variable_is_ours() {
    let callback = phonon("multicast", CALLBACK);
    for name in ["dialplane_call_id", "$flow.key.dialplane_call_id", "dialplane-Call-Id"] {
        let order = with_variables(&[(name, "x")]);
        let objections = callback.check(&order);
        assert_eq!(objections.len(), 1, "{objections:?}");
        assert_eq!(objections[0].cause, Cause::InvalidCall);
        assert_eq!(objections[0].violation.field, format!("variables[{name:?}]"));
        assert_eq!(objections[0].violation.description, "is set by the gateway");
        assert_eq!(realtime().check(&order), []);
    }
}

#[test]
fn a_flow_has_to_come_from_somewhere() {
    let text = format!("product = \"multicast\"\nsecurity_id = \"{SECURITY_ID}\"\n");
    let adapter = read(&text, std::path::Path::new(".")).0.unwrap();
    let mut order = order("+919900000001");
    let objections = adapter.check(&order);
    assert_eq!(objections.len(), 1);
    assert_eq!(
        (objections[0].cause, &*objections[0].violation.field),
        (Cause::InvalidCall, "flow")
    );
    order.script = Some(Script::Flow("ZzZz9999".to_owned()));
    assert_eq!(adapter.check(&order), []);
}

#[test]
fn batches_have_one_flow_and_keep_the_order() {
    let mut orders = orders(6);
    for i in [1, 4] {
        orders[i].script = Some(Script::Flow("ZzZz9999".to_owned()));
    }
    // The configured flow, by its name.
    orders[5].script = Some(Script::Flow("AbCd1234".to_owned()));
    assert_eq!(realtime().batches(&outgoing(&orders)), [vec![0, 2, 3, 5], vec![1, 4]]);
    assert!(realtime().batches(&[]).is_empty());
}

#[test]
fn batches_have_at_most_500_calls() {
    let orders = orders(1_001);
    let batches = realtime().batches(&outgoing(&orders));
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_CALLS, MAX_CALLS, 1]);
    assert!(batches.into_iter().flatten().eq(0..1_001));
}

/// How long the body of a batch is.
fn length(adapter: &Phonon, orders: &[Order], batch: &[usize]) -> usize {
    let all = outgoing(orders);
    let batch: Vec<_> = batch.iter().map(|i| all[*i]).collect();
    adapter.place(&batch, &context()).unwrap().body.bytes().len()
}

#[test]
fn a_body_is_filled_to_the_byte() {
    for adapter in [realtime(), encrypted(), phonon("multicast", CALLBACK)] {
        // As long as a variable may be for a call that is alone.
        let fits = |length: usize| {
            let order = with_variables(&[("text", &"x".repeat(length))]);
            adapter.check(&order).is_empty()
        };
        let longest = (0..MAX_BODY_BYTES).collect::<Vec<_>>().partition_point(|l| fits(*l)) - 1;
        let alone = [with_variables(&[("text", &"x".repeat(longest))])];
        let bytes = length(&adapter, &alone, &[0]);
        // A block of AES is 16 bytes of base64 of base64.
        assert!((MAX_BODY_BYTES - 48..=MAX_BODY_BYTES).contains(&bytes), "{bytes}");
        // Two calls share one body exactly as long as it fits.
        let pair = |length: usize| {
            [order("919900000001"), with_variables(&[("text", &"x".repeat(length))])]
        };
        let together = |length: usize| {
            let pair = pair(length);
            adapter.batches(&outgoing(&pair)).len() == 1
        };
        let longest = (0..longest).collect::<Vec<_>>().partition_point(|l| together(*l)) - 1;
        assert!(length(&adapter, &pair(longest), &[0, 1]) <= MAX_BODY_BYTES);
        assert!(length(&adapter, &pair(longest + 1), &[0, 1]) > MAX_BODY_BYTES);
    }
}

#[test]
fn an_order_too_long_for_any_body_still_has_a_batch() {
    let long = with_variables(&[("text", &"x".repeat(MAX_BODY_BYTES))]);
    let orders = [order("919900000001"), long, order("919900000002")];
    let batches = realtime().batches(&outgoing(&orders));
    assert_eq!(batches, [vec![0], vec![1], vec![2]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_order_is_in_one_batch_that_fits(
        shapes in prop::collection::vec((0usize..3, 0usize..60_000, "\\PC{0,20}"), 0..12), hide: bool,
    ) {
        let adapter = if hide { encrypted() } else { realtime() };
        let orders: Vec<_> = shapes.iter().map(|(flow, length, text)| {
            let mut order = with_variables(&[("text", &"x".repeat(*length)), (text, text)]);
            order.script = Some(Script::Flow(format!("AbCd123{flow}")));
            order
        }).collect();
        let batches = adapter.batches(&outgoing(&orders));
        let mut seen: Vec<_> = batches.iter().flatten().copied().collect();
        seen.sort_unstable();
        prop_assert!(seen.into_iter().eq(0..orders.len()));
        for batch in &batches {
            prop_assert!(batch.is_sorted());
            prop_assert!(batch.iter().all(|i| orders[*i].script == orders[batch[0]].script));
            prop_assert!(length(&adapter, &orders, batch) <= MAX_BODY_BYTES);
        }
    }

    #[test]
    fn a_start_is_never_before_what_was_asked(
        now in 0i64..4_000_000_000, ahead in -90_000i64..90_000, nanos in 0i32..1_000_000_000,
    ) {
        let now = Timestamp::new(now, nanos).unwrap();
        let asked = Timestamp::new(now.as_second() + ahead, nanos / 3).unwrap();
        let start = time(&start_time(now, Some(asked), None));
        prop_assert!(start >= asked.min(Timestamp::from_second(now.as_second()).unwrap()));
        prop_assert!(start.duration_since(now.max(asked)).as_secs() <= 60);
    }
}

#[test]
fn times_at_the_ends_of_time_are_written() {
    for now in [Timestamp::MIN, Timestamp::MAX] {
        for asked in [Timestamp::MIN, Timestamp::MAX] {
            assert!(start_time(now, Some(asked), None).ends_with("+05:30"));
        }
    }
}

#[test]
fn ids_are_the_calls() {
    let orders = orders(3);
    let request = realtime().place(&outgoing(&orders), &context()).unwrap();
    for (i, call) in body(&request)["calls"].as_array().unwrap().iter().enumerate() {
        assert_eq!(call["client-identifier"], id(i).to_string());
        assert_eq!(call["client-identifier"].as_str().unwrap().len(), 36);
    }
}
