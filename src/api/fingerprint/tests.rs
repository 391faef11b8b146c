use proptest::prelude::*;
use prost_types::{Duration, Timestamp};

use super::*;
use crate::proto::{Recipient, RetryPolicy};

fn text() -> impl Strategy<Value = String> {
    "[a-c+]{0,3}"
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(text(), text(), 0..3)
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((0_i64..3, 0_i32..2).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

fn script() -> impl Strategy<Value = Option<Script>> {
    prop::option::of(prop_oneof![text().prop_map(Script::Flow), text().prop_map(Script::Audio)])
}

fn retry() -> impl Strategy<Value = Option<RetryPolicy>> {
    let interval = prop::option::of((0_i64..3).prop_map(|seconds| Duration { seconds, nanos: 0 }));
    let policy = (interval, 0_u32..3);
    prop::option::of(
        policy.prop_map(|(interval, max_attempts)| RetryPolicy { interval, max_attempts }),
    )
}

fn recipient() -> impl Strategy<Value = Option<Recipient>> {
    prop::option::of((text(), text()).prop_map(|(name, email)| Recipient { name, email }))
}

fn spec() -> impl Strategy<Value = CallSpec> {
    let names = (text(), prop::collection::vec(text(), 0..3), text(), text());
    let more = (script(), texts(), texts(), time(), time(), recipient(), retry());
    (names, more).prop_map(|((client_reference, to, caller_id, locale), more)| {
        let (script, variables, labels, start_time, expire_time, recipient, retry) = more;
        CallSpec {
            client_reference,
            to,
            caller_id,
            script,
            variables,
            start_time,
            expire_time,
            recipient,
            locale,
            retry,
            labels,
        }
    })
}

fn request() -> impl Strategy<Value = CreateCallsRequest> {
    let head = (text(), text(), any::<bool>(), any::<bool>());
    (head, prop::collection::vec(spec(), 1..5)).prop_map(|(head, calls)| {
        let (request_id, route, all_or_nothing, validate_only) = head;
        CreateCallsRequest { request_id, route, calls, all_or_nothing, validate_only }
    })
}

/// Gives one field of the first call that of the second. Its name.
fn change(call: &mut CallSpec, other: CallSpec, field: usize) -> &'static str {
    match field {
        0 => (call.client_reference = other.client_reference, "client_reference").1,
        1 => (call.to = other.to, "to").1,
        2 => (call.caller_id = other.caller_id, "caller_id").1,
        3 => (call.variables = other.variables, "variables").1,
        4 => (call.start_time = other.start_time, "start_time").1,
        5 => (call.expire_time = other.expire_time, "expire_time").1,
        6 => (call.recipient = other.recipient, "recipient").1,
        7 => (call.locale = other.locale, "locale").1,
        8 => (call.retry = other.retry, "retry").1,
        9 => (call.labels = other.labels, "labels").1,
        _ => {
            let is_audio = |script: &Option<Script>| matches!(script, Some(Script::Audio(_)));
            // Of two that differ, the flow is told first.
            let name = match (&call.script, &other.script) {
                (a, b) if (is_audio(a) || a.is_none()) && (is_audio(b) || b.is_none()) => "audio",
                _ => "flow",
            };
            (call.script = other.script, name).1
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn one_changed_field_is_the_one_that_is_named(
        mut first in request(),
        other in spec(),
        at in 0_usize..5,
        field in 0_usize..11,
    ) {
        let mut second = first.clone();
        let at = at % first.calls.len();
        let name = change(&mut second.calls[at], other, field);
        let changed = second.calls != first.calls;
        let (first, second) = (of(&mut first), of(&mut second));
        prop_assert_eq!(first.digest != second.digest, changed);
        // Two values of one mark: what decides is the digest.
        prop_assume!(!changed || first.fields != second.fields);
        let expected = changed.then(|| format!("calls[{at}].{name}"));
        prop_assert_eq!(first.difference(&second), expected);
    }

    #[test]
    fn the_key_and_a_check_change_nothing(mut first in request(), id in text()) {
        let mut second = CreateCallsRequest { request_id: id, validate_only: !first.validate_only, ..first.clone() };
        let (first, second) = (of(&mut first), of(&mut second));
        prop_assert_eq!(first.difference(&second), None);
        prop_assert_eq!(first, second);
    }
}

#[test]
fn each_field_of_a_request_is_named() {
    let call = || CallSpec { to: vec!["+919900000100".into()], ..Default::default() };
    let request = || CreateCallsRequest { calls: vec![call(), call()], ..Default::default() };
    let named = |change: &dyn Fn(&mut CreateCallsRequest)| {
        let mut second = request();
        change(&mut second);
        of(&mut request()).difference(&of(&mut second))
    };
    let spec = |change: &dyn Fn(&mut CallSpec)| named(&|request| change(&mut request.calls[1]));
    let cases = [
        (named(&|r| r.route = "other".into()), "route"),
        (named(&|r| r.all_or_nothing = true), "all_or_nothing"),
        (named(&|r| r.calls.truncate(1)), "calls"),
        (spec(&|c| c.client_reference = "r".into()), "calls[1].client_reference"),
        (spec(&|c| c.to.push("+919900000200".into())), "calls[1].to"),
        (spec(&|c| c.caller_id = "200".into()), "calls[1].caller_id"),
        (spec(&|c| c.script = Some(Script::Flow(String::new()))), "calls[1].flow"),
        (spec(&|c| c.script = Some(Script::Audio("1".into()))), "calls[1].audio"),
        (spec(&|c| drop(c.variables.insert("a".into(), "b".into()))), "calls[1].variables"),
        (spec(&|c| c.start_time = Some(Timestamp::default())), "calls[1].start_time"),
        (spec(&|c| c.expire_time = Some(Timestamp::default())), "calls[1].expire_time"),
        (spec(&|c| c.recipient = Some(Recipient::default())), "calls[1].recipient"),
        (spec(&|c| c.locale = "tr-TR".into()), "calls[1].locale"),
        (spec(&|c| c.retry = Some(RetryPolicy::default())), "calls[1].retry"),
        (spec(&|c| drop(c.labels.insert("a".into(), "b".into()))), "calls[1].labels"),
    ];
    for (found, expected) in cases {
        assert_eq!(found.as_deref(), Some(expected));
    }
    assert_eq!(named(&|r| r.route = "default".into()), None);
    assert_eq!(named(&|_| ()), None);
}

/// Kept on disk: a digest that changes makes every repeated request another one.
#[test]
fn digests_are_the_same_for_ever() {
    let call = CallSpec { to: vec!["+919900000100".into()], ..Default::default() };
    let mut request = CreateCallsRequest { calls: vec![call], ..Default::default() };
    // SHA-256 of route "default" and one call to this number, as protobuf.
    let payload = b"\x12\x07default\x1a\x0f\x12\x0d+919900000100";
    assert_eq!(of(&mut request).digest, digest(&SHA256, payload).as_ref());
}
