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
#[path = "leg_tests.rs"]
mod tests;
