use std::collections::BTreeMap;

use prost_types::{Any, Duration, Struct, Timestamp, Value, value::Kind};
use tonic_types::pb::{ErrorInfo, RetryInfo, Status};

use super::*;
use crate::proto::{
    Call, CallAttempt, CallState, Limits, Vendor, VendorHealth, WatchCallResultsResponse,
};

fn line<M: Message + Name>(message: &M) -> String {
    let line = Json::new().line(message);
    serde_json::from_str::<serde_json::Value>(&line).unwrap();
    line
}

fn any<M: Message>(name: &str, message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

#[test]
fn a_call_is_written_as_protobuf_writes_it() {
    let value = |kind| Value { kind: Some(kind) };
    let info = ErrorInfo {
        reason: "NO_LINE".into(),
        domain: "phonon.io".into(),
        metadata: [("dialed".to_owned(), "no".to_owned())].into(),
    };
    let retry = RetryInfo { retry_delay: Some(Duration { seconds: 1, nanos: 500_000_000 }) };
    let call = Call {
        call_id: "c".into(),
        to: vec!["+1".into(), "+2".into()],
        state: CallState::Failed.into(),
        error: Some(Status {
            code: 8,
            message: "a \"line\"\n".into(),
            details: vec![
                any("google.rpc.ErrorInfo", &info),
                any("google.rpc.RetryInfo", &retry),
                any("x.Unknown", &info.clone()),
            ],
        }),
        attempts: vec![CallAttempt {
            talk_duration: Some(Duration::default()),
            ..Default::default()
        }],
        vendor_data: Some(Struct {
            fields: BTreeMap::from([
                ("charge".into(), value(Kind::NumberValue(1.5))),
                ("n".into(), value(Kind::NumberValue(12.0))),
                ("none".into(), value(Kind::NullValue(0))),
            ]),
        }),
        labels: BTreeMap::from([("a".into(), String::new()), ("b".into(), "c".into())]),
        create_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 120_000_000 }),
        end_time: Some(Timestamp { seconds: 0, nanos: 0 }),
        revision: u64::MAX,
        ..Default::default()
    };
    let unknown = BASE64_STANDARD.encode(info.encode_to_vec());
    let expected = [
        r#"{"callId":"c","to":["+1","+2"],"state":"CALL_STATE_FAILED","error":{"code":8,"#,
        r#""message":"a \"line\"\n","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","#,
        r#""reason":"NO_LINE","domain":"phonon.io","metadata":{"dialed":"no"}},"#,
        r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"},"#,
        &format!(r#"{{"@type":"type.googleapis.com/x.Unknown","value":"{unknown}"}}]}},"#),
        r#""attempts":[{"talkDuration":"0s"}],"#,
        r#""vendorData":{"charge":1.5,"n":12,"none":null},"labels":{"a":"","b":"c"},"#,
        r#""createTime":"2023-11-14T22:13:20.120Z","endTime":"1970-01-01T00:00:00Z","#,
        r#""revision":"18446744073709551615"}"#,
    ];
    assert_eq!(line(&call), expected.concat());
    let change = WatchCallResultsResponse { call: Some(Call::default()), cursor: "x".into() };
    assert_eq!(line(&change), r#"{"call":{},"cursor":"x"}"#);
}

#[test]
fn an_any_holds_what_is_written_in_a_way_of_its_own_as_a_value() {
    let of = |details: Vec<Any>| {
        let error = Some(Status { details, ..Default::default() });
        let line = line(&Call { error, ..Default::default() });
        line.trim_start_matches("{\"error\":").strip_suffix('}').unwrap().to_owned()
    };
    let wait = any("google.protobuf.Duration", &Duration { seconds: -1, nanos: -500_000 });
    let expected =
        r#"{"@type":"type.googleapis.com/google.protobuf.Duration","value":"-1.000500s"}"#;
    assert_eq!(of(vec![wait.clone()]), format!("{{\"details\":[{expected}]}}"));
    let packed = of(vec![any("google.protobuf.Any", &wait)]);
    assert!(packed.ends_with(&format!(r#","value":{expected}}}]}}"#)), "{packed}");
    assert_eq!(of(vec![Any::default()]), r#"{"details":[{}]}"#);
    let mut deep = Any::default();
    for _ in 0..200 {
        deep = any("google.protobuf.Any", &deep);
    }
    assert!(of(vec![deep]).contains("null"));
}

#[test]
fn what_is_not_in_the_descriptors_and_no_number_of_json_is_written_too() {
    let call = Call {
        state: 99,
        vendor_data: Some(Struct {
            fields: [("a", -0.0), ("b", f64::NAN), ("c", f64::NEG_INFINITY), ("d", 1e300)]
                .map(|(key, n)| (key.to_owned(), Value { kind: Some(Kind::NumberValue(n)) }))
                .into(),
        }),
        ..Default::default()
    };
    let expected = r#"{"state":99,"vendorData":{"a":-0,"b":"NaN","c":"-Infinity","d":1e300}}"#;
    let line = line(&call).replace("1e+300", "1e300");
    assert_eq!(line, expected);
}

#[test]
fn what_is_zero_and_meant_is_there() {
    let vendor = Vendor {
        limits: Some(Limits { rate_calls: 5, ..Default::default() }),
        health: Some(VendorHealth { pace_left: Some(0), ..Default::default() }),
        ..Default::default()
    };
    assert_eq!(line(&vendor), r#"{"limits":{"rateCalls":5},"health":{"paceLeft":0}}"#);
}

#[test]
fn every_field_of_the_api_has_a_kind_that_is_known() {
    let shapes = Shapes::of_the_api();
    for name in ["Call", "CallAttempt", "Failover", "Vendor", "Route", "CancelCallsResponse"] {
        let shape = shapes.message(&format!("dialplane.v1.{name}")).unwrap();
        assert!(shape.fields.iter().all(|f| !matches!(f.kind, shape::Kind::Other)), "{name}");
    }
    for value in ["CALL_STATE_UNSPECIFIED", "CALL_STATE_UNKNOWN"] {
        let number = CallState::from_str_name(value).unwrap() as u64;
        assert_eq!(shapes.value_name("dialplane.v1.CallState", number), Some(value));
    }
}

#[test]
fn no_depth_overflows() {
    let mut status = Status::default();
    for _ in 0..200 {
        status = Status { details: vec![any("google.rpc.Status", &status)], ..Default::default() };
    }
    let call = Call { error: Some(status), ..Default::default() };
    assert!(Json::new().line(&call).contains("null") || line(&call).len() > 1);
}
