use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    call::{Cause, Fault, Resource, Script},
    http::HttpReply,
    vendors::{
        Placement, Vendor,
        phonon::{
            CODES,
            testing::{bulk, id, orders, outgoing, phonon, placed, realtime, reply},
        },
    },
};

fn fault(placement: Placement) -> Fault {
    match placement {
        Placement::Fault(fault) => fault,
        accepted => panic!("{accepted:?}"),
    }
}

fn ids(placement: Placement) -> (Option<String>, Option<String>) {
    match placement {
        Placement::Accepted { vendor_call_id, vendor_request_id, data } => {
            assert!(data.is_empty());
            (vendor_call_id, vendor_request_id)
        }
        Placement::Fault(fault) => panic!("{fault:?}"),
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Code, cause, reason: the whole of phonon.md 4, written a second time.
const TABLE: [(u16, Cause, &str); 21] = [
    (201, Cause::Duplicate, "CHECKSUM_REPEATED"),
    (202, Cause::Operator, "INVALID_SECURITY_ID"),
    (203, Cause::Operator, "INVALID_API_VERSION"),
    (204, Cause::Operator, "INVALID_GATEWAY_ID"),
    (205, Cause::InvalidCall, "INVALID_CONTACT_NUMBER"),
    (206, Cause::InDoubt, "FAILURE_FROM_GATEWAY"),
    (207, Cause::Operator, "DID_NOT_MAPPED"),
    (208, Cause::Exhausted, "NO_MASK_AVAILABLE"),
    (209, Cause::InDoubt, "PARTIAL_SUCCESS"),
    (210, Cause::InvalidCall, "INVALID_MANDATORY_PARAMETERS"),
    (211, Cause::Operator, "VALIDITY_EXPIRED"),
    (212, Cause::Exhausted, "INSUFFICIENT_BALANCE"),
    (213, Cause::InDoubt, "NO_DATA_AVAILABLE"),
    (301, Cause::NotFound, "INVALID_FLOW_ID"),
    (302, Cause::InvalidCall, "EMPTY_CALL_LIST"),
    (303, Cause::InvalidCall, "MAX_DATA_LIST_SIZE_EXCEEDED"),
    (304, Cause::Operator, "INVALID_FLOW_VERSION"),
    (400, Cause::InvalidCall, "INVALID_FORMAT"),
    (401, Cause::Operator, "IP_NOT_WHITELISTED"),
    (402, Cause::NotAllowed, "PHONE_NOT_WHITELISTED"),
    (500, Cause::InDoubt, "FAILURE"),
];

#[test]
fn every_code_means_what_the_table_says() {
    assert_eq!(TABLE.len() + 1, CODES.len());
    for (code, cause, reason) in TABLE {
        let message = CODES.iter().find(|row| row.code == code).unwrap().message;
        // The HTTP status is not documented: whatever it is, the body counts.
        for status in [200, code, 400, 403, 429, 500] {
            for code in [json!(code), json!(code.to_string())] {
                let body = json!({ "api-response-code": code, "api-response-message": message });
                for adapter in [realtime(), bulk(), phonon("outbound", ""), phonon("dialer", "")] {
                    let fault = fault(placed(&adapter, &reply(status, &body)));
                    assert_eq!((fault.cause, &*fault.reason), (cause, reason), "{status} {body}");
                    assert_eq!(fault.message, message);
                    assert_eq!(fault.code, some(reason_code(&body).as_str()));
                    assert_eq!((fault.request_id, fault.retry_after), (None, None));
                    let field = (reason == "INVALID_CONTACT_NUMBER").then_some("to[0]");
                    assert_eq!(fault.field, field);
                    assert_eq!(fault.resource.is_some(), reason == "INVALID_FLOW_ID");
                }
            }
        }
    }
}

fn reason_code(body: &Value) -> String {
    body["api-response-code"].to_string().trim_matches('"').to_owned()
}

#[test]
fn unknown_codes_leave_the_call_in_doubt() {
    for code in [json!(299), json!("999"), json!(-1), json!(1e300), json!(70_000), json!("NO")] {
        for status in [200, 400, 403, 500] {
            let body = json!({ "api-response-code": code, "api-response-message": "?" });
            let fault = fault(placed(&realtime(), &reply(status, &body)));
            assert_eq!((fault.cause, &*fault.reason), (Cause::InDoubt, "UNRECOGNIZED_CODE"));
            assert_eq!(fault.code.unwrap(), reason_code(&body));
        }
    }
}

#[test]
fn an_accepted_call_has_both_ids() {
    let details = json!([{ "client-identifier": id(0).to_string(), "phonon-uuid": "u-1" }]);
    for (code, status) in [(json!(200), 200), (json!("200"), 200), (json!(209), 500)] {
        let body = json!({
            "api-response-code": code, "api-response-message": "Success", "request-id": "r-1",
            "call-details": details,
        });
        for adapter in [realtime(), bulk(), phonon("dialer", "")] {
            assert_eq!(ids(placed(&adapter, &reply(status, &body))), (some("u-1"), some("r-1")));
        }
    }
}

#[test]
fn code_202_is_read_by_its_words() {
    let accepted = json!({
        "api-response-code": 202, "api-response-message": "Accepted", "request-id": "r-1",
        "call-details": null,
    });
    assert_eq!(ids(placed(&bulk(), &reply(202, &accepted))), (None, some("r-1")));
    let mut text = accepted.clone();
    text["api-response-code"] = json!("202");
    text["api-response-message"] = json!(null);
    assert_eq!(ids(placed(&bulk(), &reply(200, &text))), (None, some("r-1")));
    let unclear = (Cause::InDoubt, "UNCLEAR_202".into());
    let refusal = (Cause::Operator, "INVALID_SECURITY_ID".into());
    let read = |adapter: &_, message: Value, request_id: &Value| {
        let body = json!({
            "api-response-code": 202, "api-response-message": message, "request-id": request_id,
        });
        let fault = fault(placed(adapter, &reply(202, &body)));
        (fault.cause, fault.reason)
    };
    let (id, none) = (json!("r-1"), json!(null));
    for adapter in [realtime(), phonon("outbound", ""), phonon("dialer", "")] {
        for message in [json!("Accepted"), json!("Success"), json!("?"), json!({}), json!(7)] {
            assert_eq!(read(&adapter, message.clone(), &id), unclear, "{message}");
            assert_eq!(read(&adapter, message, &none), unclear);
        }
        assert_eq!(read(&adapter, json!(null), &id), unclear);
    }
    for missing in [json!(null), json!(""), json!("  ")] {
        for message in [json!("Accepted"), json!("success"), json!("?"), json!(true)] {
            assert_eq!(read(&bulk(), message.clone(), &missing), unclear, "{message}");
        }
    }
    for message in [json!("Queued"), json!("Accepted नहीं"), json!({}), json!(7)] {
        assert_eq!(read(&bulk(), message.clone(), &id), unclear, "{message}");
    }
    for message in ["ACCEPTED.", " accepted ", "Success!", ""] {
        let mut body = accepted.clone();
        body["api-response-message"] = json!(message);
        assert_eq!(ids(placed(&bulk(), &reply(202, &body))), (None, some("r-1")), "{message}");
    }
    for adapter in [realtime(), bulk(), phonon("dialer", "")] {
        for message in ["Invalid Security ID", "invalid security-id.", "INVALID_SECURITY_ID"] {
            assert_eq!(read(&adapter, json!(message), &id), refusal, "{message}");
            assert_eq!(read(&adapter, json!(message), &none), refusal, "{message}");
        }
        for message in [json!(null), json!(""), json!(" ")] {
            assert_eq!(read(&adapter, message, &none), refusal);
        }
    }
    for unreadable in [json!("x".repeat(129)), json!(7), json!({})] {
        let mut body = accepted.clone();
        body["request-id"] = unreadable;
        let fault = fault(placed(&bulk(), &reply(202, &body)));
        assert_eq!((fault.cause, fault.request_id), (Cause::InDoubt, None));
    }
}

#[test]
fn the_queue_behind_bulk_answered_for_a_while() {
    let queued = json!({ "SendMessageResponse": {
        "ResponseMetadata": { "RequestId": "q-1" },
        "SendMessageResult": { "MD5OfMessageBody": "m", "MessageId": "m-1", "SequenceNumber": null },
    } });
    assert_eq!(ids(placed(&bulk(), &reply(202, &queued))), (None, None));
    assert_eq!(ids(placed(&bulk(), &reply(200, &queued))), (None, None));
    assert_eq!(fault(placed(&bulk(), &reply(500, &queued))).cause, Cause::InDoubt);
    assert_eq!(fault(placed(&realtime(), &reply(202, &queued))).cause, Cause::InDoubt);
    let empty = json!({ "SendMessageResponse": { "SendMessageResult": { "MessageId": "" } } });
    assert_eq!(fault(placed(&bulk(), &reply(202, &empty))).cause, Cause::InDoubt);
}

/// What becomes of three calls when the answer has these details.
fn three(code: u16, details: Value) -> Vec<Result<String, (Cause, String)>> {
    let orders = orders(3);
    let body = json!({
        "api-response-code": code, "api-response-message": "said", "request-id": "r-1",
        "call-details": details,
    });
    let placements = realtime().read_placement(&outgoing(&orders), &reply(200, &body));
    placements
        .into_iter()
        .map(|placement| match placement {
            Placement::Accepted { vendor_call_id, vendor_request_id, .. } => {
                assert_eq!(vendor_request_id, some("r-1"));
                Ok(vendor_call_id.unwrap())
            }
            Placement::Fault(fault) => {
                assert_eq!((fault.code, fault.request_id), (Some(code.to_string()), some("r-1")));
                assert_eq!(fault.message, "said");
                Err((fault.cause, fault.reason.into_owned()))
            }
        })
        .collect()
}

fn ours(position: usize, uuid: impl Into<Value>) -> Value {
    json!({ "client-identifier": id(position).to_string(), "phonon-uuid": uuid.into() })
}

fn ok(uuid: &str) -> Result<String, (Cause, String)> {
    Ok(uuid.to_owned())
}

fn no(cause: Cause, reason: &str) -> Result<String, (Cause, String)> {
    Err((cause, reason.to_owned()))
}

#[test]
fn details_are_matched_by_our_id_then_by_place() {
    let all = [ok("a"), ok("b"), ok("c")];
    assert_eq!(three(200, json!([ours(0, "a"), ours(1, "b"), ours(2, "c")])), all);
    assert_eq!(three(200, json!([ours(2, "c"), ours(0, "a"), ours(1, "b")])), all, "another order");
    let bare = |uuid: &str| json!({ "client-identifier": null, "phonon-uuid": uuid });
    assert_eq!(three(200, json!([bare("a"), bare("b"), bare("c")])), all, "by place");
    assert_eq!(three(200, json!([bare("a"), ours(1, "b"), { "phonon_uuid": "c" }])), all);
    let upper = json!({ "clientIdentifier": id(0).to_string().to_uppercase(), "phononUuid": "a" });
    assert_eq!(three(200, json!([upper, ours(1, "b"), ours(2, "c")])), all);
    assert_eq!(
        three(200, json!([ours(0, ""), ours(0, "a"), ours(1, "b"), ours(2, "c")])),
        all,
        "the entry with an id counts"
    );
}

#[test]
fn a_call_never_gets_another_calls_id() {
    let missing = || no(Cause::InDoubt, "NOT_IN_CALL_DETAILS");
    let foreign = json!({ "client-identifier": "order-4711", "phonon-uuid": "x" });
    assert_eq!(
        three(200, json!([foreign, ours(1, "b"), ours(2, "c")])),
        [missing(), ok("b"), ok("c")]
    );
    assert_eq!(three(200, json!([ours(1, "b")])), [missing(), ok("b"), missing()]);
    let bare = json!({ "phonon-uuid": "x" });
    assert_eq!(three(200, json!([bare])), [missing(), missing(), missing()], "no places");
    assert_eq!(three(200, json!([bare, bare, bare, bare])), [missing(), missing(), missing()]);
    // The entry at the place of 0 is that of 1.
    assert_eq!(
        three(200, json!([ours(1, "b"), bare, ours(2, "c")])),
        [missing(), ok("b"), ok("c")]
    );
    for nothing in [json!(null), json!([]), json!("x"), json!(1), json!([null, 1, "x"])] {
        assert_eq!(three(200, nothing), [missing(), missing(), missing()]);
    }
}

#[test]
fn partial_success_is_told_per_call() {
    let partial = |cause| no(cause, "PARTIAL_SUCCESS");
    assert_eq!(
        three(209, json!([ours(0, "a"), ours(1, Value::Null)])),
        [ok("a"), partial(Cause::Unreadable), partial(Cause::InDoubt)]
    );
    assert_eq!(
        three(209, json!([ours(0, ""), ours(1, "b"), ours(2, "x".repeat(129))])),
        [partial(Cause::Unreadable), ok("b"), partial(Cause::InDoubt)]
    );
    assert_eq!(
        three(200, json!([ours(0, Value::Null), ours(1, 7), ours(2, "x".repeat(128))])),
        [
            no(Cause::Unreadable, "NO_PHONON_UUID"),
            no(Cause::InDoubt, "UNREADABLE_PHONON_UUID"),
            ok(&"x".repeat(128))
        ]
    );
}

#[test]
fn a_refusal_that_names_a_taken_call_refuses_nothing() {
    let open = || no(Cause::InDoubt, "CONTRADICTORY_ANSWER");
    for code in [201, 202, 205, 212, 213, 301, 401, 402, 500, 999] {
        assert_eq!(three(code, json!([ours(1, "b")])), [open(), ok("b"), open()], "{code}");
        let details = json!([ours(0, Value::Null), ours(2, "c"), ours(1, 7)]);
        assert_eq!(three(code, details), [open(), open(), ok("c")], "{code}");
        let foreign = json!({ "client-identifier": "order-4711", "phonon-uuid": "x" });
        assert_eq!(three(code, json!([foreign])), [open(), open(), open()], "{code}");
    }
    // Nor does one without a code.
    let orders = orders(2);
    let body = json!({ "request-id": "r-1", "call-details": [ours(1, "b")] });
    for status in [200, 400, 401, 403, 404, 429, 500] {
        let placements = realtime().read_placement(&outgoing(&orders), &reply(status, &body));
        let [first, second] = <[Placement; 2]>::try_from(placements).unwrap();
        let fault = fault(first);
        assert_eq!((fault.cause, &*fault.reason), (Cause::InDoubt, "CONTRADICTORY_ANSWER"));
        assert_eq!(fault.field, None);
        assert_eq!(ids(second), (some("b"), some("r-1")));
    }
    // One that lists calls without ids is a refusal like any other.
    let refused = || no(Cause::Exhausted, "INSUFFICIENT_BALANCE");
    assert_eq!(three(212, json!([ours(0, Value::Null)])), [refused(), refused(), refused()]);
}

#[test]
fn an_unknown_flow_is_named_when_the_call_named_it() {
    let mut orders = orders(2);
    orders[1].script = Some(Script::Flow("ZzZz9999".to_owned()));
    let body = json!({ "api-response-code": 301, "api-response-message": "Invalid Flow ID" });
    let resources: Vec<_> = realtime()
        .read_placement(&outgoing(&orders), &reply(200, &body))
        .into_iter()
        .map(|placement| fault(placement).resource.unwrap())
        .collect();
    let flow = |name: &str| Resource { kind: "flow".into(), name: name.to_owned() };
    assert_eq!(resources, [flow(""), flow("ZzZz9999")]);
}

#[test]
fn without_a_code_the_status_counts() {
    let cases = [
        (403, Cause::Operator, "IP_NOT_WHITELISTED"),
        (429, Cause::Exhausted, "TOO_MANY_REQUESTS"),
        (404, Cause::Operator, "ENDPOINT_NOT_FOUND"),
        (200, Cause::InDoubt, "UNREADABLE_ANSWER"),
        (202, Cause::InDoubt, "UNREADABLE_ANSWER"),
        (500, Cause::InDoubt, "UNREADABLE_ANSWER"),
        (504, Cause::InDoubt, "UNREADABLE_ANSWER"),
    ];
    let bodies = [
        "",
        "<html>",
        "{",
        "null",
        "[]",
        "{}",
        r#"{"message":"Forbidden"}"#,
        r#"{"api-response-code":null}"#,
        r#"{"api-response-code":true}"#,
        r#"{"call-details":[]}"#,
    ];
    for (status, cause, reason) in cases {
        for body in bodies {
            for adapter in [realtime(), bulk()] {
                let fault = fault(placed(&adapter, &HttpReply::json(status, body)));
                assert_eq!((fault.cause, &*fault.reason), (cause, reason), "{status} {body}");
                assert_eq!(fault.code, Some(status.to_string()));
            }
        }
    }
}

#[test]
fn a_wait_is_passed_on_where_waiting_helps() {
    let wait = Some(Duration::from_secs(7));
    let with_wait = |code: u16| {
        let body = json!({ "api-response-code": code });
        let mut reply = reply(200, &body);
        reply.retry_after = wait;
        fault(placed(&realtime(), &reply)).retry_after
    };
    assert_eq!([208, 212].map(with_wait), [wait; 2]);
    assert_eq!([201, 205, 206, 301, 401, 500].map(with_wait), [None; 6]);
    let mut limited = HttpReply::json(429, "");
    limited.retry_after = wait;
    assert_eq!(fault(placed(&realtime(), &limited)).retry_after, wait);
}

#[test]
fn a_code_without_a_text_has_the_tables() {
    let body = json!({ "api-response-code": 212 });
    assert_eq!(fault(placed(&realtime(), &reply(200, &body))).message, "Insufficient Balance");
}

/// Answers that look like the vendor's, with anything in any place.
fn answers() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (200u16..=213).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        (0usize..4).prop_map(|i| Value::from(id(i).to_string())),
    ];
    let name = prop_oneof![
        Just("api-response-code".to_owned()),
        Just("request-id".to_owned()),
        Just("call-details".to_owned()),
        Just("client-identifier".to_owned()),
        Just("phonon-uuid".to_owned()),
        Just("SendMessageResponse".to_owned()),
        ".{0,8}",
    ];
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_give_one_placement_for_each_order(
        status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..5,
    ) {
        let orders = orders(count);
        for adapter in [realtime(), bulk()] {
            let reply = HttpReply::json(status, body.clone());
            prop_assert_eq!(adapter.read_placement(&outgoing(&orders), &reply).len(), count);
        }
    }

    #[test]
    fn any_json_gives_one_placement_for_each_order(
        status in 100u16..600, code in 199u16..215, answer in answers(), details in answers(), count in 0usize..5,
    ) {
        let orders = orders(count);
        let outer = json!({ "api-response-code": code, "request-id": answer, "call-details": [details, details] });
        for adapter in [realtime(), bulk()] {
            for body in [&answer, &outer] {
                let placements = adapter.read_placement(&outgoing(&orders), &reply(status, body));
                prop_assert_eq!(placements.len(), count);
                for placement in placements {
                    if let Placement::Accepted { vendor_call_id: Some(id), .. } = placement {
                        prop_assert!(!id.trim().is_empty() && id.len() <= 128);
                    }
                }
            }
        }
    }
}
