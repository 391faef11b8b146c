//! The answer to `outgoing/callstatus` (mobtexting.md 5a): where a call stands.

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};
use serde_json::Value;

use super::{
    answer::{kept, open, verdict},
    codes::{CHANUNAVAIL_CAUSE, StateWord, state_word},
    wire::{Row, text},
};
use crate::{
    call::{Attempt, CallState, E164, Fault, Report},
    http::HttpReply,
    vendors::{
        Placed,
        bounds::{cut_address, cut_text, keep_latest},
        of_a_question,
    },
};

/// What is kept of the row that decides, as the vendor wrote it: times have no zone of
/// their own there, and `start_at` may be when it was dialled or when it was answered.
const KEPT: &[&str] = &[
    "status",
    "start_at",
    "end_at",
    "created_at",
    "duration",
    "pulsing",
    "charges",
    "credits",
    "channel",
    "location",
    "provider",
    "foreign_id",
];

/// Unknown statuses that are worth showing.
const MAX_UNKNOWN: usize = 16;

/// No call lasts longer than a week.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Reads the answer about one call. What a queued or ringing call looks like is not
/// documented: no row, no status, an unknown status and 404 all mean that the call is
/// not over (mobtexting.md 6 #10). That a call is too old for it is for whoever knows
/// the time to say, and an address that is wrong shows when a call is placed.
///
/// # Errors
/// When the vendor refused to answer, or the answer can't be read. A question dials
/// nobody, so nothing is in doubt then.
pub fn read(call: &Placed<'_>, reply: &HttpReply, zone: &TimeZone) -> Result<Report, Fault> {
    if reply.status == 404 {
        return Ok(Report::default());
    }
    let envelope = open(reply).map_err(of_a_question)?;
    if (envelope.status.is_some() || envelope.rows.is_empty())
        && let Err(fault) = verdict(&envelope, reply)
    {
        return match fault.code.as_deref() {
            Some("404") => Ok(Report::default()),
            _ => Err(of_a_question(fault)),
        };
    }
    let mut rows: Vec<Reading<'_>> = envelope
        .rows
        .iter()
        .filter(|row| is_about(call, row))
        .map(|row| Reading::new(row, zone))
        .collect();
    // Stable: of two that say nothing of their time, the later one in the answer counts.
    rows.sort_by_key(Reading::age);
    Ok(report(&rows, call.retries))
}

/// Reads what was posted of one call as the one row of an answer: it has the same names.
/// None when it has no status that can be read.
pub fn pushed(call: &Placed<'_>, row: &Row, zone: &TimeZone) -> Option<Report> {
    let reading = Reading::new(row, zone);
    reading.word?;
    Some(report(&[reading], call.retries))
}

/// A row for each attempt is expected of a call with retries; the latest decides
/// (mobtexting.md 6 #11).
///
/// With retries only an answer is an end: how often the vendor dials is documented as
/// little as which attempt is the last, and after any other the phone may ring again. Such
/// a call ends by an answer or by `give_up_after`.
fn report(rows: &[Reading<'_>], retries: bool) -> Report {
    let Some(latest) = rows.last() else { return Report::default() };
    let mut data = kept(latest.row, KEPT);
    if latest.duration_computed {
        data.insert("duration_computed".to_owned(), Value::Bool(true));
    }
    let unread: Vec<Value> = rows
        .iter()
        .filter(|row| row.word.is_none() && !row.status.is_empty())
        .map(|row| Value::String(row.status.clone()))
        .take(MAX_UNKNOWN)
        .collect();
    if rows.len() > 1 && !unread.is_empty() {
        data.insert("unknown_statuses".to_owned(), Value::Array(unread));
    }
    let is_answered = |row: &Reading<'_>| row.state() == Some(CallState::Answered);
    let state = match latest.state() {
        _ if retries => rows.iter().any(is_answered).then_some(CallState::Answered),
        state => state,
    };
    let mut attempts = rows.iter().filter_map(Reading::attempt).collect();
    keep_latest(&mut attempts);
    Report {
        state,
        attempts,
        data,
        error: (state == Some(CallState::Failed)).then(|| latest.fault()),
    }
}

/// Whether two ids are one: verbatim, or where one side lacks the `:<n>` (mobtexting.md
/// 6 #2).
pub fn is_same_id(one: &str, other: &str) -> bool {
    one == other || stem(one) == Some(other) || stem(other) == Some(one)
}

/// Whether a row is about the call that was asked about: by its id, or by its number when
/// it has none.
fn is_about(call: &Placed<'_>, row: &Row) -> bool {
    let Some(asked) = call.vendor_call_id else { return false };
    match text(row, "id") {
        Some(id) => is_same_id(&id, asked),
        None => number(row).is_some_and(|number| call.to.contains(&number)),
    }
}

/// An id without its `:<n>`; none when it has none.
pub fn stem(id: &str) -> Option<&str> {
    let (stem, index) = id.rsplit_once(':')?;
    (!index.is_empty() && index.bytes().all(|b| b.is_ascii_digit())).then_some(stem)
}

/// The number called: `to` in the newer form, `mobile` in the older one.
pub fn number_text(row: &Row) -> Option<String> {
    text(row, "to").or_else(|| text(row, "mobile"))
}

fn number(row: &Row) -> Option<E164> {
    number_text(row)?.parse().ok()
}

/// A row, read.
struct Reading<'a> {
    row: &'a Row,
    /// Verbatim.
    status: String,
    word: Option<StateWord>,
    /// The end, or, of a call that ended without saying when, what is nearest to it.
    end: Option<Timestamp>,
    near: Option<Timestamp>,
    duration: Option<Duration>,
    duration_computed: bool,
}

impl<'a> Reading<'a> {
    fn new(row: &'a Row, zone: &TimeZone) -> Self {
        let status = text(row, "status").map(|status| cut_text(&status)).unwrap_or_default();
        let time = |key| text(row, key).and_then(|text| time(&text, zone));
        let (start, end) = (time("start_at"), time("end_at"));
        let told = text(row, "duration").and_then(|text| duration(&text));
        let computed = match (told, start, end) {
            (None, Some(start), Some(end)) => Duration::try_from(end.duration_since(start)).ok(),
            _ => None,
        };
        let computed = computed.filter(|length| *length <= LONGEST);
        Self {
            row,
            word: state_word(&status),
            status,
            end,
            near: end.or(start).or_else(|| time("created_at")),
            duration: told.or(computed),
            duration_computed: computed.is_some(),
        }
    }

    fn state(&self) -> Option<CallState> {
        self.word.and_then(|word| word.state)
    }

    /// Sorts by time: what has not ended comes last.
    fn age(&self) -> (bool, Option<Timestamp>) {
        (self.state().is_none() && self.end.is_none(), self.near)
    }

    fn attempt(&self) -> Option<Attempt> {
        let state = self.state()?;
        let mut attempt = Attempt::new(state);
        attempt.to = match number(self.row) {
            Some(number) => number.plus(),
            None => cut_text(&number_text(self.row).unwrap_or_default()),
        };
        attempt.key = self.key(&attempt.to);
        attempt.end_time = self.end;
        // Of a call nobody answered it is how long it rang.
        attempt.talk_duration = self.duration.filter(|_| state == CallState::Answered);
        attempt.dtmf = cut_text(&text(self.row, "dtmf").unwrap_or_default());
        attempt.recording_uri = cut_address(&text(self.row, "recording_url").unwrap_or_default());
        attempt.vendor_state.clone_from(&self.status);
        Some(attempt)
    }

    /// The vendor has no id of an attempt. Whatever the start is of, it does not change, and
    /// pushes and answers have it alike; without one two attempts can't be told apart.
    fn key(&self, to: &str) -> String {
        match text(self.row, "start_at") {
            Some(start) => cut_text(&format!("{to} {}", start.trim())),
            None => String::new(),
        }
    }

    fn fault(&self) -> Fault {
        let mut fault = Fault::new(
            CHANUNAVAIL_CAUSE,
            "CHANUNAVAIL",
            "the vendor had no channel for the call, or none is registered",
        );
        fault.code = Some(self.status.clone());
        fault
    }
}

/// `YYYY-MM-DD HH:MM:SS` in the account's zone, or ISO 8601 with one of its own
/// (mobtexting.md 6 #7). Zeros and times outside of any call are no time.
fn time(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    let found = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
        zone.to_ambiguous_timestamp(civil).compatible().ok()
    })?;
    (found >= Timestamp::UNIX_EPOCH).then_some(found)
}

/// `HH:MM:SS` or seconds (mobtexting.md 6 #8).
fn duration(text: &str) -> Option<Duration> {
    let part = |text: &str| {
        let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        if is_number { text.parse::<u64>().ok() } else { None }
    };
    let mut parts = text.trim().split(':');
    let seconds = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(seconds), None, None, None) => part(seconds)?,
        (Some(hours), Some(minutes), Some(seconds), None) => {
            let minutes = part(minutes).filter(|n| *n < 60)?;
            let seconds = part(seconds).filter(|n| *n < 60)?;
            part(hours)? * 3_600 + minutes * 60 + seconds
        }
        _ => return None,
    };
    Some(Duration::from_secs(seconds)).filter(|length| *length <= LONGEST)
}

#[cfg(test)]
mod tests;
