//! Answers that no vendor gives on purpose.

use proptest::prelude::*;
use serde_json::{Map, Value};

/// Bodies that say nothing.
pub const GARBAGE: [&[u8]; 14] = [
    b"",
    b" \r\n",
    b"null",
    b"true",
    b"200",
    b"\"OK\"",
    b"[]",
    b"{}",
    b"[{\"id\":\"v-0\"}]",
    b"Service unavailable",
    b"<html><body><h1>504 Gateway Time-out</h1></body></html>",
    b"<?xml version=\"1.0\"?><status>OK</status>",
    b"\xff\xfe\x00\x01",
    b"\xef\xbb\xbf{}",
];

/// What a gateway in front of a vendor says when the vendor does not answer.
pub const SILENCE: [u16; 5] = [408, 500, 502, 503, 504];

/// Any bytes but those that vendors' answers begin with.
pub fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..64)
        .prop_filter("may be an answer", |bytes| !bytes.trim_ascii().starts_with(b"{"))
}

/// Every name that means something to a vendor, with any value in its place.
pub fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![0, 1, 200, 201, 202, 209, 401, 429, 500, -1])
            .prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "",
            " ",
            "OK",
            "200",
            "202",
            "ERROR",
            "Accepted",
            "ANSWER",
            "Answered",
            "COMPLETED",
            "reached",
            "v-0",
            "u-1",
            "2023-03-01 10:00:00",
            "\u{0}",
        ])
        .prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "api-response-code",
        "api-response-message",
        "request-id",
        "call-details",
        "client-identifier",
        "phonon-uuid",
        "flow-status",
        "connect-time",
        "duration",
        "body",
        "status",
        "code",
        "message",
        "data",
        "id",
        "start_at",
        "UniqueId",
        "CallResults",
        "CallState",
        "taken",
        "states",
        "v-0",
    ]);
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::vec((key.clone(), inner), 0..5).prop_map(|fields| {
                let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
                Value::Object(fields.collect::<Map<_, _>>())
            }),
        ]
    })
}

/// An answer with another value somewhere in it.
pub fn spoilt(body: &[u8], place: usize, value: Value) -> String {
    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(fields) => fields.values().map(count).sum(),
            _ => 0,
        }
    }
    fn put(into: &mut Value, left: &mut usize, value: &Value) {
        if *left == 0 {
            *into = value.clone();
        }
        *left = left.wrapping_sub(1);
        match into {
            Value::Array(items) => items.iter_mut().for_each(|item| put(item, left, value)),
            Value::Object(fields) => fields.values_mut().for_each(|field| put(field, left, value)),
            _ => {}
        }
    }
    let mut whole: Value = serde_json::from_slice(body).unwrap();
    let mut left = place % count(&whole);
    put(&mut whole, &mut left, &value);
    whole.to_string()
}

/// Few cases: each is run for every subject.
pub fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { cases: count, failure_persistence: None, ..ProptestConfig::default() }
}
