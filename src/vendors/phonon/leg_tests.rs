use proptest::prelude::*;
use serde_json::json;

use super::*;

fn leg(value: Value) -> Leg {
    Leg::read(&value, Unit::Milliseconds).unwrap()
}

#[test]
fn times_are_read_in_every_form_in_print() {
    let utc = "2024-07-01T04:45:00.08Z".parse::<Timestamp>().unwrap();
    for text in [
        "2024-07-01T10:15:00.08+05:30",
        "2024-07-01T10:15:00.080+0530",
        "2024-07-01T10:15:00.08Z+05:30",
        "2024-07-01 10:15:00.08+05:30",
        "2024-07-01T10:15:00.08",
        " 2024-07-01T04:45:00.08Z ",
    ] {
        assert_eq!(parse_time(text), Some(utc), "{text}");
    }
    for text in ["", "0", "NA", "10:15", "2024-13-01T10:15:00Z", "Z", "ZZ", "2024-07-01T10:15Zx"] {
        assert_eq!(parse_time(text), None, "{text}");
    }
}

#[test]
fn talk_needs_a_connection_and_a_length() {
    let (at, later) = ("2024-07-01T10:15:13.901+05:30", "2024-07-01T10:17:19.131+05:30");
    let over = |ms| Talk::Over(Duration::from_millis(ms));
    let cases = [
        // Both times: the field is not believed, whatever its unit.
        (json!({ "connectTime": at, "endTime": later, "duration": "125" }), over(125_230)),
        (json!({ "connectTime": at, "endTime": later }), over(125_230)),
        (json!({ "connectTime": at, "endTime": at, "duration": 9 }), Talk::Never),
        (json!({ "connectTime": later, "endTime": at, "duration": 9 }), Talk::Unclear),
        (json!({ "connectTime": later, "endTime": at, "duration": 0 }), Talk::Never),
        (json!({ "connectTime": at, "endTime": later, "duration": 0 }), Talk::Never),
        (json!({ "connectTime": at, "endTime": later, "duration": "0.0" }), Talk::Never),
        (json!({ "connectTime": at, "endTime": later, "duration": "0.9" }), over(125_230)),
        (json!({ "startTime": later, "connectTime": at, "duration": 9 }), Talk::Unclear),
        (json!({ "startTime": at, "connectTime": at, "duration": 9 }), over(9)),
        (json!({ "connectTime": at, "duration": 86_400_000 }), over(86_400_000)),
        (json!({ "connectTime": at, "duration": 86_400_001 }), Talk::Unclear),
        (json!({ "connectTime": at, "endTime": "2024-07-02T10:15:13.902+05:30" }), Talk::Unclear),
        (json!({ "connectTime": at, "duration": "125230" }), over(125_230)),
        (json!({ "connectTime": at, "duration": 0 }), Talk::Never),
        (json!({ "connectTime": at }), Talk::Open),
        (json!({ "endTime": later, "duration": 125_230 }), Talk::Never),
        (json!({ "connectTime": null, "endTime": later, "duration": 5 }), Talk::Never),
        (json!({ "connectTime": "", "duration": 5 }), Talk::Never),
        (json!({ "connectTime": "soon", "endTime": later, "duration": 5 }), over(5)),
    ];
    for (value, talk) in cases {
        assert!(leg(value.clone()).talk() == talk, "{value}");
    }
}

#[test]
fn seconds_are_read_where_durations_are_seconds() {
    let at = "2024-07-01T10:15:13+05:30";
    for (duration, talk) in [
        (json!(126), Talk::Over(Duration::from_secs(126))),
        (json!("126"), Talk::Over(Duration::from_secs(126))),
        (json!("0.5"), Talk::Over(Duration::from_millis(500))),
        (json!(0), Talk::Never),
        (json!("86401"), Talk::Unclear),
        (json!("-1"), Talk::Open),
        (json!("NaN"), Talk::Open),
        (json!("1e300"), Talk::Open),
        (json!("two"), Talk::Open),
    ] {
        let value = json!({ "connectTime": at, "duration": duration });
        assert!(Leg::read(&value, Unit::Seconds).unwrap().talk() == talk, "{value}");
    }
    let both = json!({ "connectTime": at, "endTime": "2024-07-01T10:15:23+05:30", "duration": 9 });
    for unit in [Unit::Seconds, Unit::Milliseconds] {
        let talk = Leg::read(&both, unit).unwrap().talk();
        assert!(talk == Talk::Over(Duration::from_secs(10)));
    }
}

#[test]
fn the_person_is_told_by_type_then_by_number() {
    let to = ["919900000001".parse().unwrap(), "+918000000002".parse().unwrap()];
    let cases = [
        (json!({ "calleeType": "VISITOR" }), true),
        (json!({ "calleeType": "visitor", "calleeNumber": "1", "incoming": true }), true),
        (json!({ "calleeType": "HARD_PHONE", "calleeNumber": "919900000001" }), false),
        (json!({ "calleeNumber": "919900000001", "incoming": false }), true),
        (json!({ "calleeNumber": "+91 80000 00002", "incoming": "false" }), true),
        (json!({ "calleeNumber": "09900000001" }), true),
        (json!({ "calleeNumber": 919_900_000_001_u64 }), true),
        (json!({ "calleeNumber": "919900000001", "incoming": "true" }), false),
        (json!({ "calleeNumber": "919900000003", "incoming": false }), false),
        (json!({ "calleeNumber": "0001", "incoming": false }), false),
        (json!({ "incoming": false }), false),
    ];
    for (value, person) in cases {
        assert_eq!(leg(value.clone()).is_person(&to), person, "{value}");
    }
}

#[test]
fn ringing_is_believed_within_the_leg_only() {
    let (start, end) = ("2024-07-01T10:15:00+05:30", "2024-07-01T10:16:00+05:30");
    let ring = |at: &str, start: Option<&str>, end: Option<&str>| {
        let value = json!({ "startTime": start, "endTime": end, "ringingStartTime": at });
        leg(value).ring_time().is_some()
    };
    assert!(ring("2024-07-01T10:15:05+05:30", Some(start), Some(end)));
    assert!(ring("2024-07-01T10:15:05+05:30", Some(start), None));
    assert!(!ring("2024-07-01T10:15:05+05:30", None, Some(end)));
    assert!(!ring("2024-11-01T10:15:05+05:30", Some(start), Some(end)));
    assert!(!ring("2023-11-01T10:15:05+05:30", Some(start), Some(end)));
}

#[test]
fn keys_pressed_are_read_in_either_spelling() {
    let cases = [
        (json!({ "dtmfPressesd": [{ "key": "6" }, { "key": 1 }, { "label": "x" }] }), "61"),
        (json!({ "dtmfPressed": [{ "key": "#" }] }), "#"),
        (json!({ "dtmfPressesd": [], "dtmf-pressed": ["1", 2, null] }), "12"),
        (json!({ "dtmfPressed": "42" }), "42"),
        (json!({}), ""),
    ];
    for (value, keys) in cases {
        assert_eq!(leg(value.clone()).dtmf, keys, "{value}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_time_or_not(text in ".{0,40}", tail in "[-0-9TZ:.+]{0,40}") {
        let _ = (parse_time(&text), parse_time(&tail));
    }
}
