//! What Phonon tells of one call, in a pull answer or a push: one reader for every
//! format in print (phonon.md 5, 6.8 to 6.12).

use serde_json::{Map, Value};

use super::{
    leg::{Leg, Talk, Unit},
    wire::{Fields, text_of},
};
use crate::{
    call::{Attempt, CallState, Cause, Dialed, E164, Fault, Report},
    vendors::bounds::{MAX_RECORDINGS, cut, cut_address, keep_latest},
};

/// What is told of one call.
pub(super) struct Row {
    /// Which call, where it is told.
    pub(super) uuid: Option<String>,
    request_id: Option<String>,
    status: Option<String>,
    legs: Vec<Leg>,
    recordings: Vec<String>,
}

/// Reads one push: which call of the vendor's it is about, if it names one, and what it
/// says of it. None when it is no object. `to` are the numbers asked for: where legs have
/// no type they tell the person's phone from an agent's.
pub(super) fn read_push(value: &Value, to: &[E164]) -> Option<(Option<String>, Report)> {
    let is_wrapped = Fields::of(value)?.get("body").is_some_and(Value::is_object);
    // The newer format has the wrapper and milliseconds, the older one neither (phonon.md
    // 6.11).
    let row = Row::read(value, if is_wrapped { Unit::Milliseconds } else { Unit::Seconds })?;
    let report = row.report(to);
    Some((row.uuid, report))
}

impl Row {
    /// None when it is no object. `unit` is that of durations.
    pub(super) fn read(value: &Value, unit: Unit) -> Option<Self> {
        let outer = Fields::of(value)?;
        let inner = outer.get("body").and_then(Fields::of);
        let places = [inner.as_ref(), Some(&outer)];
        let find = |name: &str| places.into_iter().flatten().find(|f| f.get(name).is_some());
        let id = |name: &str| find(name)?.id(name).readable();
        let status = find("flowstatus").and_then(|fields| fields.text("flowstatus"));
        // A bare "status" may be another thing's: only a flow's word counts.
        let status = status.or_else(|| {
            let word = find("status")?.text("status")?;
            (Status::read(&word) != Status::Unknown).then_some(word)
        });
        let legs = find("calldetails").map_or(&[][..], |fields| fields.list("calldetails"));
        let recordings =
            find("recordingurls").map_or(&[][..], |fields| fields.list("recordingurls"));
        Some(Self {
            uuid: id("phononuuid"),
            request_id: id("requestid"),
            status: status.map(|status| cut(&status, 64)),
            legs: legs.iter().filter_map(|leg| Leg::read(leg, unit)).collect(),
            recordings: recordings.iter().filter_map(read_recording).take(MAX_RECORDINGS).collect(),
        })
    }

    /// Takes in another row of the same call: "every attempt" may come as one row
    /// each. Where the rows differ, the one with the latest leg counts.
    pub(super) fn absorb(&mut self, other: Self) {
        let latest = |row: &Self| row.legs.iter().filter_map(Leg::latest).max();
        if latest(&other) >= latest(self) {
            self.status = other.status.or(self.status.take());
            self.request_id = other.request_id.or(self.request_id.take());
        } else {
            self.status = self.status.take().or(other.status);
            self.request_id = self.request_id.take().or(other.request_id);
        }
        for leg in other.legs {
            match self.legs.iter_mut().find(|known| known.is_same(&leg)) {
                Some(known) => *known = leg,
                None => self.legs.push(leg),
            }
        }
        for recording in other.recordings {
            let is_new = !self.recordings.contains(&recording);
            if is_new && self.recordings.len() < MAX_RECORDINGS {
                self.recordings.push(recording);
            }
        }
    }

    /// What it says of the call, given the numbers asked for.
    pub(super) fn report(&self, to: &[E164]) -> Report {
        let status = self.status.as_deref().map(Status::read);
        let mut legs: Vec<_> = self.legs.iter().filter(|leg| leg.is_person(to)).collect();
        legs.sort_by_key(|leg| leg.began());
        let over = status.is_some_and(Status::is_over);
        let vendor_state = self.status.as_deref().unwrap_or_default();
        let mut attempts: Vec<_> = legs.iter().map(|leg| leg.attempt(over, vendor_state)).collect();
        let data = self.data(&legs, &mut attempts);
        let state = self.state(status, &legs, &attempts, to);
        keep_latest(&mut attempts);
        let error = match (state, status) {
            (Some(CallState::Failed), Some(status)) => {
                status.fault(vendor_state, self.legs.is_empty())
            }
            _ => None,
        };
        Report { state, attempts, data, error }
    }

    fn state(
        &self,
        status: Option<Status>,
        legs: &[&Leg],
        attempts: &[Attempt],
        to: &[E164],
    ) -> Option<CallState> {
        // Whatever the flow did besides: somebody was reached (phonon.md 6.9, 6.10).
        if attempts.iter().any(|attempt| attempt.state == CallState::Answered) {
            return Some(CallState::Answered);
        }
        let open = legs.iter().any(|leg| leg.talk() == Talk::Open);
        let unclear = legs.iter().any(|leg| leg.talk() == Talk::Unclear);
        let last = attempts.last().map(|attempt| attempt.state);
        match status {
            Some(Status::Pending | Status::Unknown) => None,
            Some(Status::InProgress) => Some(CallState::InProgress),
            Some(Status::InvalidNumber) => Some(CallState::InvalidNumber),
            Some(Status::Failed(_)) => Some(CallState::Failed),
            // Connected, and nothing says for how long: neither can be claimed.
            Some(Status::Over) if open || unclear || self.connected_stranger(to) => None,
            // Without a leg of the person's nothing tells that their phone rang.
            Some(Status::Over) => last,
            None if unclear => None,
            None if open => Some(CallState::InProgress),
            None if legs.iter().all(|leg| leg.is_over()) => last,
            None => last.filter(|state| *state == CallState::Ringing),
        }
    }

    /// Whether a phone answered of which it can't be told whose it is.
    fn connected_stranger(&self, to: &[E164]) -> bool {
        let is_stranger = |leg: &&Leg| !leg.is_person(to) && !leg.is_agent();
        self.legs.iter().filter(is_stranger).any(|leg| leg.talk() != Talk::Never)
    }

    fn data(&self, legs: &[&Leg], attempts: &mut [Attempt]) -> Map<String, Value> {
        let mut data = Map::new();
        let mut put = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                data.insert(name.to_owned(), Value::from(value.as_str()));
            }
        };
        put("flow_status", self.status.as_ref());
        put("request_id", self.request_id.as_ref());
        put("did_number", legs.last().and_then(|leg| leg.did.as_ref()));
        // Recordings name no leg. Of one answered attempt there is no doubt.
        let mut answered: Vec<_> =
            attempts.iter_mut().filter(|a| a.state == CallState::Answered).collect();
        match (answered.as_mut_slice(), self.recordings.as_slice()) {
            (_, []) => {}
            ([attempt], [recording]) => attempt.recording_uri.clone_from(recording),
            (_, recordings) => {
                data.insert("recording_urls".to_owned(), Value::from(recordings));
            }
        }
        data
    }
}

fn read_recording(value: &Value) -> Option<String> {
    let path = match Fields::of(value) {
        Some(fields) => fields.text("recordedfilepublicpath"),
        None => text_of(value),
    };
    path.map(|path| cut_address(&path))
}

/// What a flow's status means for its call (phonon.md 5f). The list is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// Nothing yet, or another attempt to come.
    Pending,
    InProgress,
    /// The legs tell how it ended.
    Over,
    InvalidNumber,
    Failed(&'static Refusal),
    /// Not documented, or documented without a meaning.
    Unknown,
}

/// A status of a call that the vendor took, and then did not place or finish.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    name: &'static str,
    cause: Cause,
    message: &'static str,
    field: Option<&'static str>,
    /// It is found before anybody is dialled.
    precedes_dialling: bool,
}

const REFUSALS: &[Refusal] = &[
    Refusal {
        precedes_dialling: false,
        ..refusal("FAILURE", Cause::Unreadable, "the flow failed while it ran", None)
    },
    // "Unknown error", which may be any.
    Refusal {
        precedes_dialling: false,
        ..refusal(
            "REJECTED",
            Cause::Unreadable,
            "the vendor failed while it read the request",
            None,
        )
    },
    refusal(
        "INVALID_CALL_START_TIME",
        Cause::InvalidCall,
        "the vendor takes the start time for past",
        Some("start_time"),
    ),
    refusal(
        "INTERNATIONAL_CALLS_DISABLED",
        Cause::Operator,
        "the account may not call abroad",
        None,
    ),
    refusal(
        "PHONE_NOT_WHITELISTED",
        Cause::NotAllowed,
        "the flow is being tested, and the number is not on its list",
        None,
    ),
    refusal(
        "NCPR_CHECK_FAILED",
        Cause::NotAllowed,
        "the number is on the do-not-disturb register",
        None,
    ),
];

const fn refusal(
    name: &'static str,
    cause: Cause,
    message: &'static str,
    field: Option<&'static str>,
) -> Refusal {
    Refusal { name, cause, message, field, precedes_dialling: true }
}

impl Status {
    fn read(text: &str) -> Self {
        let word = text.trim().to_ascii_uppercase().replace([' ', '-'], "_");
        match word.as_str() {
            "SCHEDULED" | "UNPROCESSED" | "REATTEMPT_SCHEDULED" => Self::Pending,
            "IN_PROGRESS" => Self::InProgress,
            "COMPLETED" | "PARTIAL_COMPLETE" => Self::Over,
            "INVALID_CONTACT_NUMBER" => Self::InvalidNumber,
            word => REFUSALS
                .iter()
                .find(|refusal| refusal.name == word)
                .map_or(Self::Unknown, Self::Failed),
        }
    }

    /// Nothing more happens.
    fn is_over(self) -> bool {
        matches!(self, Self::Over | Self::InvalidNumber | Self::Failed(_))
    }

    /// Why it failed; a leg shows that somebody was dialled after all.
    fn fault(self, verbatim: &str, without_legs: bool) -> Option<Fault> {
        let Self::Failed(refusal) = self else { return None };
        let mut fault = Fault::new(refusal.cause, refusal.name, refusal.message);
        fault.code = Some(verbatim.to_owned());
        fault.field = refusal.field;
        fault.dialed = (refusal.precedes_dialling && without_legs).then_some(Dialed::No);
        Some(fault)
    }
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
