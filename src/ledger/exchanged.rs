//! What a ledger is given, and what it gives.

use jiff::Timestamp;
use serde_json::Value;

#[allow(unused_imports, reason = "for the documentation")]
use super::{Ledger, LedgerError};
use crate::call::{Call, CallId, Fingerprint, Observation, Position, RequestId};

/// A request that is to be recorded.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// Its idempotency key.
    pub id: RequestId,
    /// What was asked for, to tell a repetition from another request.
    pub fingerprint: Fingerprint,
    /// When it came.
    pub create_time: Timestamp,
    /// Its calls, in its order: [`Call::position`] counts from 0 without gaps.
    pub calls: Vec<Call>,
    /// What is about to be sent of them, and of those that are recorded together with them: of
    /// calls that are dispatching, each in one entry at most. Other calls that an entry names
    /// do not keep it.
    pub outbox: Vec<OutboxEntry>,
}

/// A request to a vendor as it goes out: on disk before it is sent, so that the very same
/// bytes can be sent once more where that is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The configured name of the vendor.
    pub vendor: String,
    /// The calls in it, in its order.
    pub calls: Vec<CallId>,
    /// When it was written.
    pub written: Timestamp,
    /// What it takes to send it again; holds numbers, and no credentials.
    pub letter: Vec<u8>,
}

/// What became of a request in [`Ledger::record_all`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is on disk.
    New,
    /// The id was used before.
    Before(RequestRecord),
    /// It is not, because the id of another one was used before. Without that one it may be.
    Left,
}

/// What is kept of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// What was asked for.
    pub fingerprint: Fingerprint,
    /// When it came.
    pub create_time: Timestamp,
    /// How many calls it has.
    pub calls: u32,
}

/// What became of [`Ledger::claim`]. Each in the order asked for.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    /// Dispatching now, and the claimant's alone.
    pub mine: Vec<Call>,
    /// Not to be sent: expired, suppressed, not to be dialled again yet, or somebody else's
    /// before.
    pub others: Vec<Call>,
    /// Still scheduled: they could have been claimed, had all of them been.
    pub left: Vec<Call>,
}

/// What became of [`Ledger::remove_old`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Requests that are gone since this step.
    pub requests: u64,
    /// Calls that take no more room since this step.
    pub calls: u64,
    /// The step was too short for everything there is to do.
    pub more: bool,
}

/// News of one call.
#[derive(Debug, Clone)]
pub struct News {
    /// Which call.
    pub call: CallId,
    /// What was learned.
    pub observation: Observation,
    /// When.
    pub at: Timestamp,
    /// When the call is to be looked at again if it is not over then
    /// ([`Call::look_again`]). None leaves that as it is. Kept to the millisecond, rounded
    /// up.
    pub due: Option<Timestamp>,
    /// Whose word it is, where that matters: news of a call that another vendor has by then
    /// is none.
    pub vendor: Option<String>,
    /// Which dial of the call it is of ([`Call::dial`]), where that is known: judged within
    /// the transaction ([`Call::apply_to`]). None is for what is of whichever dial is under way
    /// or next.
    pub dial: Option<u32>,
}

/// News of a call that is not known by its vendor's id.
#[derive(Debug, Clone)]
pub struct Stray {
    /// Whose news.
    pub vendor: String,
    /// Every way to write the id; it is kept under the first.
    pub ids: Vec<String>,
    /// What was said.
    pub said: Value,
    /// When.
    pub at: Timestamp,
}

/// Whose news is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayName {
    /// Its place: [`Kept::key`].
    pub key: i64,
    /// Whose id it is.
    pub vendor: String,
    /// The id under which it is kept.
    pub vendor_call_id: String,
}

/// News that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its place, for [`Ledger::forget`].
    pub key: i64,
    /// What was said.
    pub said: Value,
    /// When.
    pub at: Timestamp,
}

/// Calls whose time has come.
#[derive(Debug, Clone, Default)]
pub struct Due {
    /// Earliest first.
    pub calls: Vec<Call>,
    /// When the next one's time comes, after those; it may have come.
    pub next: Option<Timestamp>,
}

/// Calls that were held, and are to be handed over.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Those that were held the shortest first. They are scheduled, and their
    /// [`Call::held_until`] is none.
    pub calls: Vec<Call>,
    /// When the next one's time comes, after those; it may have come.
    pub next: Option<Timestamp>,
}

/// A change of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its place among all changes, from 1, rising.
    pub number: u64,
    /// The call as the change left it. [`Call::due`], [`Call::holds`] and
    /// [`Call::asked_time`], which no caller sees, may be those of another moment.
    pub call: Call,
}

/// Some of the changes of a selection.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// In their order.
    pub changes: Vec<Change>,
    /// All of the selection's up to this number are dealt with: where to go on. At the end
    /// it is the newest number of all, so that nothing is looked at twice.
    pub through: u64,
    /// There may be more at this moment.
    pub more: bool,
    /// When there is not: the calls of the selection that are not over at this moment, if
    /// it is one that can end, by ids (in their order; unknown ones are passed over) or by a
    /// recorded request (in the order of ids).
    pub open: Option<Vec<CallId>>,
}

/// A part of a selection.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The calls, in the order of the selection, each with the position right after
    /// it.
    pub calls: Vec<(Call, Position)>,
    /// Ids and references without a call, of the part this page covers: up to
    /// [`Page::next`].
    pub not_found: Vec<String>,
    /// Where to go on; none at the end of the selection.
    pub next: Option<Position>,
}
