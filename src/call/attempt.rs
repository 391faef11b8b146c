//! One ringing of one phone.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::CallState;

/// One attempt, as the vendor tells it. What it does not tell is none or empty.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What tells this attempt from the call's others when it is told of again: the
    /// vendor's id of it, or what else of it never changes. Empty when there is nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// Which dial of the call it is of, from 0, where the gateway dials again
    /// ([`super::Call::dials`]); adapters leave it.
    #[serde(default, skip_serializing_if = "is_first")]
    pub dial: u32,
    /// The number dialled, "+" and digits where it can be read as E.164, else the
    /// vendor's text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// How it ended, or where it stands.
    pub state: CallState,
    /// When ringing began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_time: Option<Timestamp>,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_time: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// From answer to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub talk_duration: Option<Duration>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<AnsweredBy>,
    /// Keys pressed, in order.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dtmf: String,
    /// Where the recording is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub recording_uri: String,
    /// The vendor's word for the state, verbatim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub vendor_state: String,
    /// The vendor's hang-up cause, verbatim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hangup_cause: String,
}

impl Attempt {
    /// An attempt of which nothing but its state is known.
    pub fn new(state: CallState) -> Self {
        Self {
            key: String::new(),
            dial: 0,
            to: String::new(),
            state,
            ring_time: None,
            answer_time: None,
            end_time: None,
            talk_duration: None,
            answered_by: None,
            dtmf: String::new(),
            recording_uri: String::new(),
            vendor_state: String::new(),
            hangup_cause: String::new(),
        }
    }

    /// Keeps what was known of it and is not told again.
    fn keep(&mut self, before: Self) {
        let Self {
            key: _,
            dial: _,
            to,
            state: _,
            ring_time,
            answer_time,
            end_time,
            talk_duration,
            answered_by,
            dtmf,
            recording_uri,
            vendor_state,
            hangup_cause,
        } = before;
        self.ring_time = self.ring_time.or(ring_time);
        self.answer_time = self.answer_time.or(answer_time);
        self.end_time = self.end_time.or(end_time);
        self.talk_duration = self.talk_duration.or(talk_duration);
        self.answered_by = self.answered_by.or(answered_by);
        for (text, before) in [
            (&mut self.to, to),
            (&mut self.dtmf, dtmf),
            (&mut self.recording_uri, recording_uri),
            (&mut self.vendor_state, vendor_state),
            (&mut self.hangup_cause, hangup_cause),
        ] {
            if text.is_empty() {
                *text = before;
            }
        }
    }

    /// Somebody was reached, or may have been.
    pub(super) fn shows_an_answer(&self) -> bool {
        matches!(self.state, CallState::Answered | CallState::InProgress)
            || self.answer_time.is_some()
            || self.talk_duration.is_some_and(|talk| !talk.is_zero())
    }

    /// One that the vendor told nothing of but how the dial ended.
    pub(super) fn untold(state: CallState, dial: u32) -> Self {
        Self { key: UNTOLD.to_owned(), dial, ..Self::new(state) }
    }

    fn is_untold(&self) -> bool {
        self.key == UNTOLD
    }

    /// The earliest that is known of it.
    fn began(&self) -> Option<Timestamp> {
        [self.ring_time, self.answer_time, self.end_time].into_iter().flatten().min()
    }
}

/// The key of an attempt that only the gateway put there. Not what a vendor's id looks like.
const UNTOLD: &str = "not told of";

/// Attempts of one call: what is more is dropped, oldest first.
const MAX_ATTEMPTS: usize = 64;

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_first(dial: &u32) -> bool {
    *dial == 0
}

/// Takes in what is told of the attempts of one dial, and says whether that was news. Those
/// of other dials stay as they are.
pub(super) fn take_in_of(
    known: &mut Vec<Attempt>,
    mut told: Vec<Attempt>,
    dial: u32,
    behind: bool,
) -> bool {
    told.iter_mut().for_each(|attempt| attempt.dial = dial);
    if known.iter().all(|attempt| attempt.dial == dial && !attempt.is_untold()) {
        return take_in(known, told, behind);
    }
    if told.is_empty() {
        return false;
    }
    let before = known.clone();
    let (mut own, mut all): (Vec<_>, Vec<_>) =
        std::mem::take(known).into_iter().partition(|attempt| attempt.dial == dial);
    // Whatever is told is more than that there was one.
    if own.iter().all(Attempt::is_untold) {
        own = told;
    } else {
        take_in(&mut own, told, behind);
    }
    all.append(&mut own);
    all.sort_by_key(|attempt| attempt.dial);
    let surplus = all.len().saturating_sub(MAX_ATTEMPTS);
    all.drain(..surplus);
    *known = all;
    *known != before
}

/// Takes in what is told of attempts, and says whether that was news. One that can be told
/// from the others ([`Attempt::key`]) is added, or brought up to date; where that is not
/// so, a list replaces the known one if it is no shorter, or longer when it lies `behind`
/// what is known.
pub(super) fn take_in(known: &mut Vec<Attempt>, told: Vec<Attempt>, behind: bool) -> bool {
    if told.is_empty() || told == *known {
        return false;
    }
    if known.iter().chain(&told).any(|attempt| attempt.key.is_empty()) {
        let least = known.len() + usize::from(behind);
        let longer = told.len() >= least;
        if longer {
            *known = told;
        }
        return longer;
    }
    let before = known.clone();
    for attempt in told {
        match known.iter_mut().find(|other| other.key == attempt.key) {
            None => known.push(attempt),
            Some(other)
                if other.state.moves_to(attempt.state)
                    || (!behind && other.state == attempt.state) =>
            {
                let before = std::mem::replace(other, attempt);
                other.keep(before);
            }
            Some(_) => {}
        }
    }
    // However they came in: in the order in which the phones rang.
    known.sort_by(|a, b| (a.began(), &a.key).cmp(&(b.began(), &b.key)));
    let surplus = known.len().saturating_sub(MAX_ATTEMPTS);
    known.drain(..surplus);
    *known != before
}

// The number, the keys pressed and the recording are the person's.
impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("state", &self.state)
            .field("vendor_state", &self.vendor_state)
            .field("hangup_cause", &self.hangup_cause)
            .finish_non_exhaustive()
    }
}

/// Who answered, where the vendor can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AnsweredBy {
    /// A person.
    Human,
    /// A mailbox or an answering machine.
    Machine,
}
