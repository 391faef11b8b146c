//! One leg of a call, as Phonon tells it after the fact (phonon.md 5b, 5c).

use std::time::Duration;

use jiff::{Timestamp, civil::DateTime};
use serde_json::Value;

use super::{
    place::india,
    wire::{Fields, text_of},
};
use crate::{
    call::{Attempt, CallState, E164},
    vendors::bounds::{cut, cut_text},
};

/// One leg: the vendor's line to one phone, the person's or an agent's.
#[derive(Clone)]
pub(super) struct Leg {
    /// The vendor's id of the leg.
    pub(super) id: Option<String>,
    pub(super) did: Option<String>,
    start: Option<Timestamp>,
    /// The answer was told of, even if its time can't be read.
    connected: bool,
    connect: Option<Timestamp>,
    end: Option<Timestamp>,
    ringing: Option<Timestamp>,
    is_ringing: bool,
    callee: Option<String>,
    kind: Kind,
    incoming: bool,
    hangup_cause: String,
    duration: Option<Duration>,
    /// The length was told, and is none.
    is_silent: bool,
    dtmf: String,
}

/// Whose phone (`calleeType`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `VISITOR`.
    Person,
    /// `HARD_PHONE`.
    Agent,
    /// Not told, or a word that is not documented, which tells as little.
    Unknown,
}

/// What a duration is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Seconds,
}

/// How long somebody talked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Talk {
    /// Nobody answered.
    Never,
    /// Answered, and not over, or the end is not told.
    Open,
    /// Answered and over.
    Over(Duration),
    /// Answered by times that can't be true.
    Unclear,
}

/// No call lasts longer: such times are edited or mixed up, as some of the vendor's own
/// sample are (phonon.md 5b).
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

impl Leg {
    /// None when the value is not an object.
    pub(super) fn read(value: &Value, unit: Unit) -> Option<Self> {
        let fields = Fields::of(value)?;
        let time = |name| fields.text(name).and_then(|text| parse_time(&text));
        let text = |name, most| fields.text(name).map(|text| cut(&text, most));
        let kind = match fields.text("calleetype").map(|kind| kind.to_ascii_uppercase()).as_deref()
        {
            Some("VISITOR") => Kind::Person,
            Some("HARD_PHONE") => Kind::Agent,
            _ => Kind::Unknown,
        };
        Some(Self {
            id: text("cdrid", 128),
            did: text("didnumber", 32),
            start: time("starttime"),
            connected: fields.text("connecttime").is_some(),
            connect: time("connecttime"),
            end: time("endtime"),
            ringing: time("ringingstarttime"),
            is_ringing: fields.flag("isringing") == Some(true),
            callee: text("calleenumber", 32),
            kind,
            incoming: fields.flag("incoming") == Some(true),
            hangup_cause: text("hangupcause", 64).unwrap_or_default(),
            duration: match unit {
                Unit::Milliseconds => fields.number("duration").map(Duration::from_millis),
                // Half a second is not none.
                Unit::Seconds => fields
                    .text("duration")
                    .and_then(|text| text.parse().ok())
                    .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            },
            is_silent: fields.text("duration").and_then(|text| text.parse().ok()) == Some(0.0),
            dtmf: read_dtmf(&fields),
        })
    }

    /// Whether it is the phone of the person called. Without a type the number tells
    /// (phonon.md 6.10).
    pub(super) fn is_person(&self, to: &[E164]) -> bool {
        match self.kind {
            Kind::Person => true,
            Kind::Agent => false,
            Kind::Unknown => !self.incoming && self.calls_one_of(to),
        }
    }

    /// Whether it may be the phone of the person called.
    pub(super) fn is_agent(&self) -> bool {
        self.kind == Kind::Agent
    }

    fn calls_one_of(&self, to: &[E164]) -> bool {
        let callee = self.callee.as_deref().unwrap_or_default();
        let digits: String = callee.chars().filter(char::is_ascii_digit).collect();
        let national = digits.trim_start_matches('0');
        // Numbers are seen with and without "+", and ten digits stand for Indian ones
        // (phonon.md 2a, 5b).
        to.iter().any(|number| {
            number.digits() == national
                || (national.len() >= 10 && number.digits().ends_with(national))
        })
    }

    /// Whether anybody answered (phonon.md 6.10, 6.11). The times are believed before
    /// the duration, whose unit differs between formats; but a duration of none is none in
    /// every unit.
    pub(super) fn talk(&self) -> Talk {
        if !self.connected || self.is_silent {
            return Talk::Never;
        }
        let is_before = |a: Option<Timestamp>, b: Option<Timestamp>| {
            a.zip(b).is_some_and(|(earlier, later)| earlier < later)
        };
        if is_before(self.connect, self.start) || is_before(self.end, self.connect) {
            return Talk::Unclear;
        }
        let length = match (self.connect, self.end) {
            (Some(connect), Some(end)) => Duration::try_from(end.duration_since(connect)).ok(),
            _ => self.duration,
        };
        match length {
            None => Talk::Open,
            Some(Duration::ZERO) => Talk::Never,
            Some(length) if length > LONGEST => Talk::Unclear,
            Some(length) => Talk::Over(length),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_some() || matches!(self.talk(), Talk::Over(_))
    }

    /// Its place in time.
    pub(super) fn began(&self) -> Option<Timestamp> {
        self.start.or(self.connect).or(self.end)
    }

    /// The last that is known of it.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.end.or(self.connect).or(self.start)
    }

    /// Whether two tellings are of the same leg.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.id.is_some() && self.id == other.id && self.start == other.start
    }

    /// As the API has it. `over` says that the whole call is.
    pub(super) fn attempt(&self, over: bool, vendor_state: &str) -> Attempt {
        let mut attempt = Attempt::new(self.state(over));
        attempt.key = self.id.clone().unwrap_or_default();
        let callee = self.callee.as_deref().unwrap_or_default();
        attempt.to = callee.parse::<E164>().map_or_else(|_| callee.to_owned(), |n| n.plus());
        attempt.ring_time = self.ring_time();
        attempt.end_time = self.end;
        match self.talk() {
            Talk::Never | Talk::Unclear => {}
            Talk::Open => attempt.answer_time = self.connect,
            Talk::Over(length) => {
                attempt.answer_time = self.connect;
                attempt.talk_duration = Some(length);
            }
        }
        attempt.dtmf.clone_from(&self.dtmf);
        attempt.vendor_state = vendor_state.to_owned();
        attempt.hangup_cause.clone_from(&self.hangup_cause);
        attempt
    }

    fn state(&self, over: bool) -> CallState {
        match self.talk() {
            Talk::Over(_) => CallState::Answered,
            Talk::Open | Talk::Unclear => CallState::InProgress,
            // The only cause that can be relied on besides 16, which says nothing of
            // a leg that nobody answered (phonon.md 5g, 6.10).
            Talk::Never if (over || self.is_over()) && self.hangup_cause == "17" => CallState::Busy,
            Talk::Never if over || self.is_over() => CallState::NoAnswer,
            Talk::Never if self.rings() => CallState::Ringing,
            Talk::Never => CallState::Accepted,
        }
    }

    fn rings(&self) -> bool {
        self.is_ringing || self.ringing.is_some()
    }

    /// Believed only within the leg: the vendor's own sample has it months off.
    fn ring_time(&self) -> Option<Timestamp> {
        let ringing = self.ringing?;
        let fits = self.start? <= ringing && self.end.is_none_or(|end| ringing <= end);
        fits.then_some(ringing)
    }
}

fn read_dtmf(fields: &Fields<'_>) -> String {
    // The first name is the vendor's, misspelt.
    ["dtmfpressesd", "dtmfpressed"]
        .into_iter()
        .find_map(|name| {
            let keys = match fields.text(name) {
                Some(keys) => keys.into_owned(),
                None => fields.list(name).iter().filter_map(dtmf_key).collect(),
            };
            Some(cut_text(&keys)).filter(|keys| !keys.is_empty())
        })
        .unwrap_or_default()
}

fn dtmf_key(value: &Value) -> Option<String> {
    let key = match Fields::of(value) {
        Some(fields) => fields.text("key"),
        None => text_of(value),
    };
    key.map(std::borrow::Cow::into_owned)
}

/// A time with its offset, with "Z" and an offset (which is in print, phonon.md 6.3),
/// or without either, which is India's.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Some((local, offset)) = text.split_once('Z')
        && !offset.is_empty()
    {
        return format!("{local}{offset}").parse().ok();
    }
    let local: DateTime = text.parse().ok()?;
    india().to_timestamp(local).ok()
}

#[cfg(test)]
mod tests {
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
        for text in
            ["", "0", "NA", "10:15", "2024-13-01T10:15:00Z", "Z", "ZZ", "2024-07-01T10:15Zx"]
        {
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
            (
                json!({ "connectTime": at, "endTime": "2024-07-02T10:15:13.902+05:30" }),
                Talk::Unclear,
            ),
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
        let both =
            json!({ "connectTime": at, "endTime": "2024-07-01T10:15:23+05:30", "duration": 9 });
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
}
