//! What must be so in every world, whatever happens in it.

use std::collections::BTreeMap;

use dialplane::{
    call::{Call, CallId, CallState, Dialed},
    sandbox,
};
use jiff::Timestamp;

use crate::timing::Timing;

#[derive(Debug, Default)]
pub struct Checker {
    /// The first thing that is not so.
    wrong: Option<String>,
    /// How much of the dial log was looked at.
    pub dials: usize,
    numbers: BTreeMap<String, Number>,
    calls: BTreeMap<CallId, Seen>,
    /// The last change that was looked at.
    pub through: u64,
    /// When people may be called, and are.
    pub timing: Timing,
}

/// A person.
#[derive(Debug, Default)]
struct Number {
    dialed: bool,
    /// Some caller wants this person called, and was not told that nothing came of it.
    wanted: bool,
    /// Why this person is never called any more, whoever asks again.
    never: Option<String>,
}

/// A call as it was last seen in the ledger.
#[derive(Debug)]
struct Seen {
    state: CallState,
    revision: u64,
    /// It waits for this time.
    held_until: Option<Timestamp>,
}

/// The same person, however a vendor writes the number.
pub fn person(number: &str) -> String {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    digits[digits.len().saturating_sub(8)..].to_owned()
}

impl Checker {
    /// What is not so, if anything is.
    pub fn verdict(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    pub fn wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// A caller asks for calls to these numbers, for the first time or again.
    pub fn placed(&mut self, numbers: &[String]) {
        for number in numbers {
            let number = self.numbers.entry(person(number)).or_default();
            number.wanted |= number.never.is_none();
        }
    }

    /// A vendor takes a call.
    /// At this time it was sent.
    pub fn dialed(&mut self, dial: &sandbox::Dialed, sent: Timestamp) {
        if let Some(wrong) = self.timing.dialed(dial, sent) {
            self.wrong(wrong);
        }
        for number in &dial.numbers {
            let known = self.numbers.entry(person(number)).or_default();
            let wrong = if known.dialed {
                Some(format!("(1) {number} is dialled twice, now by {}", dial.system.name()))
            } else if !known.wanted {
                let why =
                    known.never.as_deref().unwrap_or("a caller was told that nothing was sent");
                Some(format!("(3) {number} is dialled, though {why}"))
            } else {
                None
            };
            known.dialed = true;
            if let Some(wrong) = wrong {
                self.wrong(wrong);
            }
        }
    }

    /// A caller is told that nobody was dialled; it may ask again.
    pub fn told_no(&mut self, numbers: &[String], why: &str) {
        for number in numbers {
            let known = self.numbers.entry(person(number)).or_default();
            known.wanted = false;
            if known.dialed {
                self.wrong(format!("(3) {number} was dialled, and the caller is told: {why}"));
            }
        }
    }

    /// The same for good.
    pub fn never(&mut self, number: &str, why: &str) {
        self.told_no(&[number.to_owned()], why);
        let known = self.numbers.entry(person(number)).or_default();
        known.never.get_or_insert_with(|| why.to_owned());
    }

    pub fn was_dialed(&self, number: &str) -> bool {
        self.numbers.get(&person(number)).is_some_and(|number| number.dialed)
    }

    /// A change of a call, in the order of the ledger.
    pub fn changed(&mut self, call: &Call) {
        let Call { id, state, revision, .. } = call;
        let number = call.order.to.first().map(|to| to.digits().to_owned()).unwrap_or_default();
        let before = self.calls.get(id).map(|seen| seen.state);
        match self.calls.get(id) {
            None if *revision != 1 => {
                self.wrong(format!("(5) {number} begins with revision {revision}"));
            }
            None => {}
            Some(seen) => {
                if *revision != seen.revision + 1 {
                    let from = seen.revision;
                    self.wrong(format!("(5) {number}: revision {from} is followed by {revision}"));
                } else if seen.state.is_final() && !may_replace(seen.state, *state) {
                    let from = seen.state;
                    self.wrong(format!("(5) {number}: {from:?} is followed by {state:?}"));
                }
            }
        }
        self.calls
            .insert(*id, Seen { state: *state, revision: *revision, held_until: call.held_until });
        // Phonon's duplicate check says that a request was taken, and not that each call in it
        // was: one that was left out of a lost answer counts as accepted until it is given up on.
        let left_out = *state == CallState::Accepted
            && before == Some(CallState::Unconfirmed)
            && number.ends_with("17");
        let rang = matches!(
            state,
            CallState::Accepted
                | CallState::Ringing
                | CallState::InProgress
                | CallState::Answered
                | CallState::Busy
                | CallState::NoAnswer
                | CallState::Rejected
                | CallState::InvalidNumber
                | CallState::Unreachable
        );
        if rang && !left_out && !self.was_dialed(&number) {
            self.wrong(format!("(7) {number} is {state:?}, and no vendor took it"));
        }
        match state {
            CallState::Expired | CallState::Canceled => {
                self.never(&number, &format!("its call is {state:?}"));
            }
            CallState::Failed => {
                if let Some(error) = call.error.as_ref().filter(|e| e.dialed == Dialed::No) {
                    self.never(&number, &format!("its call failed with {}", error.reason));
                }
            }
            _ => {}
        }
    }

    pub fn state_of(&self, id: CallId) -> Option<CallState> {
        self.calls.get(&id).map(|seen| seen.state)
    }

    /// Every call, with its last revision.
    pub fn revisions(&self) -> impl Iterator<Item = (CallId, u64)> + '_ {
        self.calls.iter().map(|(id, seen)| (*id, seen.revision))
    }

    /// The calls that are not over, and do not wait for a time after this one.
    pub fn due_by(&self, time: Timestamp) -> impl Iterator<Item = CallState> + '_ {
        let waits = move |seen: &Seen| seen.held_until.is_some_and(|until| until > time);
        let open = self.calls.values().filter(|seen| !seen.state.is_final());
        open.filter(move |seen| !waits(seen)).map(|seen| seen.state)
    }

    /// The calls that are not over.
    pub fn open(&self) -> impl Iterator<Item = (CallId, CallState)> + '_ {
        self.calls.iter().filter(|(_, seen)| !seen.state.is_final()).map(|(id, s)| (*id, s.state))
    }
}

/// Written down once more, and not taken from the state machine.
pub fn may_replace(end: CallState, by: CallState) -> bool {
    use CallState::{
        Answered, Busy, Failed, InvalidNumber, NoAnswer, Rejected, Unknown, Unreachable,
    };
    match end {
        _ if end == by => true,
        Unknown => by.is_final(),
        Failed | Busy | NoAnswer | Rejected | InvalidNumber | Unreachable => by == Answered,
        _ => false,
    }
}
