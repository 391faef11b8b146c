use std::time::Duration;

use serde_json::{Value, json};

use super::read_push;
use crate::call::{CallState, Cause, Dialed, E164, Report};

const UUID: &str = "66666666-7777-4888-8999-aaaaaaaaaaaa";

fn to() -> Vec<E164> {
    ["919900000001", "919900000002"].map(|text| text.parse().unwrap()).to_vec()
}

fn report(value: &Value) -> Report {
    let (uuid, report) = read_push(value, &to()).unwrap();
    assert_eq!(uuid.as_deref(), Some(UUID));
    report
}

fn row(status: &str, legs: Value) -> Report {
    report(&json!({ "phonon-uuid": UUID, "flowStatus": status, "callDetails": legs }))
}

/// The person's leg, answered.
fn answered() -> Value {
    json!({
        "startTime": "2024-07-01T10:15:00.08+05:30", "connectTime": "2024-07-01T10:15:13.901+05:30",
        "endTime": "2024-07-01T10:17:19.131+05:30", "calleeNumber": "919900000001",
        "calleeType": "VISITOR", "hangupCause": "16", "duration": "125230",
    })
}

/// A leg of the person's that nobody answered.
fn unanswered(cause: &str) -> Value {
    json!({
        "startTime": "2024-07-01T10:10:00+05:30", "endTime": "2024-07-01T10:10:35+05:30",
        "calleeNumber": "919900000001", "calleeType": "VISITOR", "hangupCause": cause, "duration": "0",
    })
}

fn agent() -> Value {
    let mut leg = answered();
    leg["calleeType"] = json!("HARD_PHONE");
    leg
}

/// phonon.md 5b: the newest push.
fn push() -> Value {
    json!({ "body": {
        "phonon-uuid": UUID,
        "callDetails": [
            {
                "cdrId": "81e30000-7b55-4142-9493-000000000000##pbx-1",
                "startTime": "2024-07-01T10:15:00.08+05:30",
                "connectTime": "2024-07-01T10:15:13.901+05:30",
                "endTime": "2024-07-01T10:17:19.131+05:30",
                "calleeNumber": "919900000001", "didNumber": "912200000000",
                "hangupCause": "16", "duration": "125230",
                "dtmfPressesd": [
                    { "key": "6", "eventTime": "2024-07-01T10:15:19.912+05:30", "label": "" },
                    { "key": "1", "eventTime": "2024-07-01T10:15:29.912+05:30", "label": "" },
                ],
                "incoming": false, "calleeType": "VISITOR", "remoteHangup": true,
                "is_ringing": "true", "ringingStartTime": "2024-07-01T10:15:05.014+05:30",
                "foreignCallIds": [],
            },
            {
                "cdrId": "81e30000-7b55-4142-9493-000000000001##pbx-1",
                "startTime": "2024-07-01T10:15:14+05:30", "endTime": "2024-07-01T10:15:49+05:30",
                "calleeNumber": "912200000009", "didNumber": "+912200000000",
                "hangupCause": "5", "duration": "0", "incoming": false, "calleeType": "HARD_PHONE",
            },
        ],
        "smsDetails": [{ "id": "s", "text": "secret", "to": "919900000001" }],
        "emailDetails": [],
    } })
}

#[test]
fn the_newest_push_is_read_in_full() {
    let report = report(&push());
    assert_eq!((report.state, report.error), (Some(CallState::Answered), None));
    let [attempt] = report.attempts.as_slice() else { panic!("{:?}", report.attempts) };
    assert_eq!((attempt.state, attempt.to.as_str()), (CallState::Answered, "+919900000001"));
    let time = |text: &str| Some(text.parse().unwrap());
    assert_eq!(attempt.ring_time, time("2024-07-01T10:15:05.014+05:30"));
    assert_eq!(attempt.answer_time, time("2024-07-01T10:15:13.901+05:30"));
    assert_eq!(attempt.end_time, time("2024-07-01T10:17:19.131+05:30"));
    assert_eq!(attempt.talk_duration, Some(Duration::from_millis(125_230)));
    assert_eq!((attempt.dtmf.as_str(), attempt.hangup_cause.as_str()), ("61", "16"));
    assert_eq!((attempt.answered_by, attempt.recording_uri.as_str()), (None, ""));
    assert_eq!(Value::from(report.data), json!({ "did_number": "912200000000" }));
}

#[test]
fn every_spelling_and_wrapping_says_the_same() {
    let wrapped = push();
    let bare = wrapped["body"].clone();
    let kebab = json!({ "phonon-uuid": UUID, "call-details": [{
        "cdr-id": "81e30000-7b55-4142-9493-000000000000##pbx-1",
        "start-time": "2024-07-01T10:15:00.08+05:30",
        "connect-time": "2024-07-01T10:15:13.901+05:30", "end-time": "2024-07-01T10:17:19.131+05:30",
        "callee-number": 919_900_000_001_u64, "did-number": 912_200_000_000_u64, "hangup-cause": 16,
        "duration": 125_230, "dtmf-pressed": [{ "key": 6 }, { "key": 1 }], "incoming": "false",
        "callee-type": "VISITOR", "is-ringing": true, "flow-status": null,
        "ringing-start-time": "2024-07-01T10:15:05.014+05:30",
    }] });
    let snake = json!({ "phonon_uuid": UUID, "call_details": kebab["call-details"] });
    assert_eq!(report(&bare), report(&wrapped));
    assert_eq!(report(&kebab), report(&wrapped));
    assert_eq!(report(&snake), report(&wrapped));
}

#[test]
fn the_older_push_is_read() {
    // phonon.md 5c: no types, seconds, recordings.
    let report = report(&json!({
        "callDetails": [{
            "calleeNumber": "919900000001", "connectTime": "2024-07-01T10:15:13+05:30",
            "didNumber": "912200000000", "duration": 126, "endTime": "2024-07-01T10:17:19+05:30",
            "hangupCause": 16, "incoming": false, "startTime": "2024-07-01T10:15:00+05:30",
        }],
        "keys": [{ "name": "$flow.key.name", "value": "Asha" }],
        "phonon-uuid": UUID,
        "recordingUrls": [{ "recordedFileName": "a.wav", "recordedFilePublicPath": "https://r.example.com/a.wav" }],
    }));
    assert_eq!(report.state, Some(CallState::Answered));
    assert_eq!(report.attempts[0].talk_duration, Some(Duration::from_secs(126)));
    assert_eq!(report.attempts[0].recording_uri, "https://r.example.com/a.wav");
    assert!(!report.data.contains_key("recording_urls"));
}

#[test]
fn every_status_has_its_state() {
    use CallState::{Answered, Busy, Failed, InProgress, InvalidNumber, NoAnswer};
    let (ended, busy, talked) =
        (json!([unanswered("16")]), json!([unanswered("17")]), json!([answered()]));
    // Without legs, unanswered, busy, answered.
    let cases = [
        ("SCHEDULED", [None, None, None]),
        ("UNPROCESSED", [None, None, None]),
        ("REATTEMPT_SCHEDULED", [None, None, None]),
        ("IN_PROGRESS", [Some(InProgress); 3]),
        ("COMPLETED", [None, Some(NoAnswer), Some(Busy)]),
        ("completed ", [None, Some(NoAnswer), Some(Busy)]),
        ("PARTIAL_COMPLETE", [None, Some(NoAnswer), Some(Busy)]),
        ("FAILURE", [Some(Failed); 3]),
        ("REJECTED", [Some(Failed); 3]),
        ("INVALID_CONTACT_NUMBER", [Some(InvalidNumber); 3]),
        ("INVALID_CALL_START_TIME", [Some(Failed); 3]),
        ("INTERNATIONAL_CALLS_DISABLED", [Some(Failed); 3]),
        ("PHONE_NOT_WHITELISTED", [Some(Failed); 3]),
        ("NCPR_CHECK_FAILED", [Some(Failed); 3]),
        ("MASK_ALLOCATED", [None, None, None]),
        ("ANSWERED", [None, None, None]),
        ("SUCCESS", [None, None, None]),
    ];
    for (status, states) in cases {
        let found = [&json!([]), &ended, &busy].map(|legs| row(status, legs.clone()).state);
        assert_eq!(found, states, "{status}");
        // Somebody was reached, whatever the flow did besides.
        let reached = row(status, talked.clone());
        assert_eq!((reached.state, reached.error), (Some(Answered), None), "{status}");
        assert_eq!(reached.attempts[0].vendor_state, status.trim());
        assert_eq!(reached.data["flow_status"], status.trim());
    }
}

#[test]
fn refusals_after_the_fact_say_why() {
    let cases = [
        ("FAILURE", Cause::Unreadable, None),
        ("REJECTED", Cause::Unreadable, None),
        ("INVALID_CALL_START_TIME", Cause::InvalidCall, Some("start_time")),
        ("INTERNATIONAL_CALLS_DISABLED", Cause::Operator, None),
        ("PHONE_NOT_WHITELISTED", Cause::NotAllowed, None),
        ("NCPR_CHECK_FAILED", Cause::NotAllowed, None),
    ];
    for (status, cause, field) in cases {
        let fault = row(status, json!([])).error.unwrap();
        assert_eq!((fault.cause, &*fault.reason, fault.field), (cause, status, field));
        assert_eq!(fault.code.as_deref(), Some(status));
        // Only what precedes dialling for certain says that nobody was dialled.
        let certain = !["FAILURE", "REJECTED"].contains(&status);
        assert_eq!(fault.dialed, certain.then_some(Dialed::No), "{status}");
        for leg in [unanswered("16"), agent()] {
            assert_eq!(row(status, json!([leg])).error.unwrap().dialed, None, "{status}");
        }
    }
    for status in ["COMPLETED", "INVALID_CONTACT_NUMBER", "IN_PROGRESS", "?"] {
        assert_eq!(row(status, json!([])).error, None, "{status}");
    }
}

#[test]
fn another_attempt_to_come_keeps_those_made() {
    let report = row("REATTEMPT_SCHEDULED", json!([unanswered("17")]));
    assert_eq!(report.state, None);
    assert_eq!(report.attempts[0].state, CallState::Busy);
    assert_eq!(report.attempts[0].hangup_cause, "17");
}

#[test]
fn without_a_status_the_legs_tell() {
    let legs = |legs: Value| report(&json!({ "phonon-uuid": UUID, "callDetails": legs })).state;
    let open = json!({ "calleeType": "VISITOR", "connectTime": "2024-07-01T10:15:13+05:30" });
    let rings = json!({ "calleeType": "VISITOR", "startTime": "2024-07-01T10:15:13+05:30", "is_ringing": "true" });
    let begun = json!({ "calleeType": "VISITOR", "startTime": "2024-07-01T10:15:13+05:30" });
    assert_eq!(legs(json!([])), None);
    assert_eq!(legs(json!(null)), None);
    assert_eq!(legs(json!([agent()])), None, "nobody called the person yet");
    assert_eq!(legs(json!([answered()])), Some(CallState::Answered));
    assert_eq!(legs(json!([unanswered("5")])), Some(CallState::NoAnswer));
    assert_eq!(legs(json!([unanswered("17")])), Some(CallState::Busy));
    assert_eq!(legs(json!([unanswered("17"), open])), Some(CallState::InProgress));
    assert_eq!(legs(json!([unanswered("17"), rings])), Some(CallState::Ringing));
    assert_eq!(legs(json!([begun])), None);
}

#[test]
fn an_agents_phone_is_no_attempt() {
    let report = row("COMPLETED", json!([agent(), unanswered("16")]));
    assert_eq!((report.state, report.attempts.len()), (Some(CallState::NoAnswer), 1));
    assert_eq!(row("COMPLETED", json!([agent()])).state, None, "was the person called at all?");
}

#[test]
fn what_cannot_be_told_is_not_claimed() {
    let mut stranger = answered();
    stranger["calleeType"] = json!("SOFT_PHONE");
    stranger["calleeNumber"] = json!("912200000009");
    let told = row("COMPLETED", json!([stranger]));
    assert_eq!((told.state, told.attempts.len()), (None, 0), "whose phone was it?");
    let open = json!({ "calleeType": "VISITOR", "connectTime": "2024-07-01T10:15:13+05:30" });
    assert_eq!(row("COMPLETED", json!([open])).state, None, "for how long?");
    let mut early = answered();
    early["startTime"] = json!("2024-07-01T10:16:00+05:30");
    let mut endless = answered();
    endless["endTime"] = json!("2024-11-01T10:17:19+05:30");
    for unclear in [early, endless] {
        for legs in [json!([unclear]), json!([unclear, unanswered("16")])] {
            assert_eq!(row("COMPLETED", legs.clone()).state, None, "{legs}");
            let told = report(&json!({ "phonon-uuid": UUID, "callDetails": legs }));
            assert_eq!(told.state, None, "{legs}");
        }
        let reached = row("COMPLETED", json!([unclear, answered()]));
        assert_eq!(reached.state, Some(CallState::Answered));
    }
    let mut silent = answered();
    silent["duration"] = json!("0");
    assert_eq!(row("COMPLETED", json!([silent])).state, Some(CallState::NoAnswer));
}

#[test]
fn attempts_come_oldest_first_and_answered_wins() {
    let mut later = unanswered("17");
    later["startTime"] = json!("2024-07-01T11:00:00+05:30");
    later["endTime"] = json!("2024-07-01T11:00:20+05:30");
    let report = row("COMPLETED", json!([later, answered(), unanswered("16")]));
    let states: Vec<_> = report.attempts.iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [CallState::NoAnswer, CallState::Answered, CallState::Busy]);
    assert_eq!(report.state, Some(CallState::Answered));
    let report = row("COMPLETED", json!([later, unanswered("16")]));
    assert_eq!(report.state, Some(CallState::Busy), "the last attempt");
}

#[test]
fn numbers_that_are_none_stay_as_the_vendor_wrote_them() {
    let mut leg = unanswered("16");
    leg["calleeNumber"] = json!("Reception");
    assert_eq!(row("COMPLETED", json!([leg])).attempts[0].to, "Reception");
}

#[test]
fn recordings_go_to_the_only_answered_attempt() {
    let with = |legs: Value, urls: Value| {
        report(&json!({ "phonon-uuid": UUID, "callDetails": legs, "recordingUrls": urls }))
    };
    let one = json!([{ "recordedFilePublicPath": "https://r.example.com/a.wav" }]);
    let report = with(json!([answered(), answered()]), one.clone());
    assert_eq!(report.data["recording_urls"], json!(["https://r.example.com/a.wav"]));
    let report =
        with(json!([answered()]), json!(["https://a.example.com", "https://b.example.com"]));
    assert_eq!(report.data["recording_urls"].as_array().unwrap().len(), 2);
    assert_eq!(with(json!([answered()]), json!([{}])).data.get("recording_urls"), None);
}

#[test]
fn what_is_kept_of_a_row_is_bounded() {
    let long = "é".repeat(5_000);
    let mut leg = unanswered(&long);
    leg["calleeNumber"] = json!(long);
    leg["dtmfPressed"] = json!(long);
    let mut legs = vec![leg; 99];
    legs.push(answered());
    let urls: Vec<_> = (0..40).map(|n| format!("https://r.example.com/{n}/{long}")).collect();
    let row = json!({ "phonon-uuid": UUID, "flowStatus": long, "callDetails": legs, "recordingUrls": urls });
    let report = report(&row);
    assert_eq!((report.state, report.attempts.len()), (Some(CallState::Answered), 64));
    for attempt in &report.attempts {
        let kept = [&attempt.to, &attempt.dtmf, &attempt.hangup_cause, &attempt.vendor_state];
        assert!(kept.iter().all(|text| text.len() <= 256), "{attempt:?}");
    }
    assert!(report.attempts[63].recording_uri.len() <= 2_048);
    let recordings = report.data["recording_urls"].as_array().unwrap();
    assert_eq!(recordings.len(), 16);
    assert!(recordings.iter().all(|url| url.as_str().unwrap().len() <= 2_048));
}

#[test]
fn a_bare_status_counts_when_it_is_a_flows() {
    let state = |value: Value| report(&value).state;
    assert_eq!(
        state(json!({ "phonon-uuid": UUID, "status": "REJECTED" })),
        Some(CallState::Failed)
    );
    let other = json!({ "phonon-uuid": UUID, "status": "OK", "callDetails": [unanswered("16")] });
    assert_eq!(state(other), Some(CallState::NoAnswer));
}

#[test]
fn a_row_without_an_id_is_nobodys() {
    for value in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "phonon-uuid": null }),
        json!({ "phonon-uuid": "" }),
        json!({ "phonon-uuid": "x".repeat(129) }),
        json!({ "body": { "callDetails": [answered()] } }),
    ] {
        let named = read_push(&value, &to()).and_then(|(uuid, _)| uuid);
        assert_eq!(named, None, "{value}");
    }
    let outside = json!({ "phonon-uuid": UUID, "body": { "callDetails": [answered()] } });
    assert_eq!(report(&outside).state, Some(CallState::Answered));
}
