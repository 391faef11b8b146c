//! What is known of every call, on disk. Written before a vendor hears of a call and
//! after it answered; everything a caller was told is in it.

use std::fmt::Debug;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::call::{
    Call, CallId, CallState, E164, Fingerprint, Observation, Position, RequestId, Selection,
    Selector, Suppression,
};

pub mod sqlite;

/// The store of calls. Several gateways may share one: nothing here assumes that a
/// call is changed by this process alone, and each method is one transaction.
/// A method that returns `Ok` after a change has it on disk; one that returns an error
/// has changed nothing, unless the error is [`LedgerError::Uncertain`]. A change that
/// was begun is made even if its caller leaves: who drops the future does not know what
/// became of it.
///
/// What every implementation does is held down by the suite in `tests/ledger`.
#[async_trait]
pub trait Ledger: Debug + Send + Sync + 'static {
    /// Records a request and all its calls, unless its id was used before; then nothing
    /// is changed, whatever the calls are. Of several at once with the same id one
    /// records.
    async fn record(&self, request: NewRequest) -> Result<Recorded, LedgerError>;

    /// What is known of a request id.
    async fn request(&self, id: &RequestId) -> Result<Option<RequestRecord>, LedgerError>;

    /// Applies news to calls ([`Call::apply_to`]), each read and written within the
    /// transaction. Gives the calls as each piece of news left them, in its order. Of
    /// one call there may be several; of an unknown one there may be none
    /// ([`LedgerError::NoSuchCall`]), and then none of the news is applied.
    async fn observe(&self, news: Vec<News>) -> Result<Vec<Call>, LedgerError>;

    /// Takes calls for being handed over now: what is scheduled becomes dispatching, or
    /// expired when its time has passed, or failed ([`crate::call::suppressed`]) when one of
    /// its numbers is on the do-not-call list. Whoever else wants the same call, here or in
    /// another process, does not get it as well. So a claim that was kept although it was
    /// answered [`LedgerError::Uncertain`] gives its calls to nobody the second time: they
    /// are in [`Claim::others`], dispatching, and were not sent. A call that is named twice
    /// is given once. What waits for another dial ([`Call::dials`]) and is held is taken up
    /// first: until then it is among the others, scheduled.
    ///
    /// With an outbox entry, which is written for exactly these calls (others that it names
    /// do not keep it), it is all or none of them: if one can't be taken the entry is not kept, and the others are told of as
    /// [`Claim::left`] and stay as they are.
    async fn claim(
        &self,
        calls: Vec<CallId>,
        at: Timestamp,
        outbox: Option<OutboxEntry>,
    ) -> Result<Claim, LedgerError>;

    /// Removes requests with their calls and changes, those first that were over first: such
    /// as were recorded before this time, and have no call that is open or has changed since.
    /// One step of a few that `limit` bounds, in calls that are looked at or removed (at
    /// least 1, and never more than 1,000); [`Removed::more`] says that another step would
    /// find something to do. One that is still open may be looked at again only when `before`
    /// is a day later, so that what can't be removed costs next to nothing.
    ///
    /// What is removed is as if it had never been: its request id is new, its calls and
    /// references are not found, by whichever id. All of a request vanishes at once, however
    /// many steps its removal takes. Its changes are gone, and others keep their numbers, which
    /// are not given again: [`Ledger::changes`] after any number, of a change that is there or
    /// is not, goes on with what is left. Who has not read them by then never will. A
    /// [`Position`] stays good as well: the page goes on with the next call that is left.
    async fn remove_old(&self, before: Timestamp, limit: usize) -> Result<Removed, LedgerError>;

    /// The outbox entries of calls, each once, in the order of the calls; of calls that have
    /// none there is nothing. An entry is kept with [`Ledger::record`] or
    /// [`Ledger::claim`], and removed once none of its calls is dispatching or unconfirmed.
    async fn outbox(&self, calls: Vec<CallId>) -> Result<Vec<OutboxEntry>, LedgerError>;

    /// Up to `limit` (at least 1) of the selected calls, from `after` on: what one
    /// moment shows. Only the last page has fewer, and [`Page::next`] says that there is
    /// one more call, not that there may be.
    async fn page(
        &self,
        selector: &Selector,
        after: Position,
        limit: usize,
    ) -> Result<Page, LedgerError>;

    /// Up to `limit` calls in one of the states that are not final, in the order of
    /// their ids, after `after`. Final states among those asked for are passed over;
    /// what is over costs nothing.
    async fn open_calls(
        &self,
        states: &[CallState],
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, LedgerError>;

    /// The calls of a vendor, by the vendor's ids: for each list of ways to write one, the
    /// call that has any of them, the one recorded last if there are several; else the one of
    /// which an earlier dial has ([`Call::dials`]).
    async fn find(
        &self,
        vendor: &str,
        ids: Vec<Vec<String>>,
    ) -> Result<Vec<Option<Call>>, LedgerError>;

    /// Keeps news of calls that are not known by their vendor's ids yet; that is looked up
    /// again within the transaction, and what is known by now is not kept. Gives for each,
    /// in its order, the call if there is one. What was kept longest makes room where there
    /// is none, and what has no id or is longer than 64 KiB of JSON is not kept at all
    /// ([`Ledger::drop_kept`] counts both). So of a push and of the answer that makes its
    /// call known, in whichever order, one finds the other: whoever learned an id looks
    /// with [`Ledger::kept`] once that is on disk.
    async fn keep(&self, strays: Vec<Stray>) -> Result<Vec<Option<Call>>, LedgerError>;

    /// What is kept of a vendor's ids, in the order in which it was kept: the first 1,000
    /// pieces or 4 MiB. There may be more after those are forgotten. As long as nothing at
    /// all is kept this costs nothing.
    async fn kept(&self, vendor: &str, ids: Vec<String>) -> Result<Vec<Kept>, LedgerError>;

    /// Of whose ids something is kept, in the order in which it was, after a key (0 is before
    /// all).
    async fn strays(&self, after: i64, limit: usize) -> Result<Vec<StrayName>, LedgerError>;

    /// Removes what was kept and is dealt with. Keys of what is gone do no harm.
    async fn forget(&self, keys: Vec<i64>) -> Result<(), LedgerError>;

    /// Removes what is from before this time ([`Stray::at`]). Gives how much was dropped
    /// since somebody was last told, for want of room included; that is counted on disk.
    async fn drop_kept(&self, before: Timestamp) -> Result<u64, LedgerError>;

    /// Up to `limit` calls of a vendor whose time ([`Call::due`]) is not after `by`,
    /// earliest first, and when the next one's comes. What is due later, or never, costs
    /// nothing. Whoever takes them up says when to look again ([`News::due`]), or gets them
    /// again.
    async fn due(&self, vendor: &str, by: Timestamp, limit: usize) -> Result<Due, LedgerError>;

    /// Takes up calls of a vendor that wait and are held until a time that is not after `by`
    /// ([`Call::held_until`]), up to `limit`, earliest first: from then on nobody else gets
    /// them here, and whoever took them up claims them or holds them again; else they are let
    /// go at the next start. And when the next one's time comes, after those. What is held
    /// longer costs nothing.
    ///
    /// Whoever was answered [`LedgerError::Uncertain`] may have taken up calls, and gets those
    /// that still wait with the same ticket again. Every other time takes a new one.
    async fn take_up(
        &self,
        vendor: &str,
        by: Timestamp,
        limit: usize,
        ticket: u32,
    ) -> Result<Held, LedgerError>;

    /// Lets go up to `limit` (at least 1) waiting calls that somebody has, of every vendor:
    /// they are held until this time, and can be taken up. Gives how many there were; fewer
    /// than `limit` means that there are no more. For a start, when those who had them are
    /// gone.
    async fn let_go(&self, until: Timestamp, limit: usize) -> Result<usize, LedgerError>;

    /// The names of the vendors for whom calls wait, in order.
    async fn waited_for(&self) -> Result<Vec<String>, LedgerError>;

    /// Puts numbers on the do-not-call list. One that is there stays as it is, but for a new
    /// reason that is not empty: the same again changes nothing. Gives them as they are now,
    /// in their order. A call that is claimed afterwards is refused; one that is dispatching by
    /// then is not touched. [`Ledger::remove_old`] leaves the list alone.
    async fn suppress(&self, numbers: Vec<Suppression>) -> Result<Vec<Suppression>, LedgerError>;

    /// Takes numbers off the list. Gives those that were on it, in their order.
    async fn unsuppress(&self, numbers: Vec<E164>) -> Result<Vec<E164>, LedgerError>;

    /// Those of these numbers that are on the list, in their order. As long as nothing is on
    /// it this costs nothing, and otherwise one look into an index for each.
    async fn suppressed(&self, numbers: Vec<E164>) -> Result<Vec<Suppression>, LedgerError>;

    /// Up to `limit` (at least 1) numbers of the list after a number, in their order
    /// ([`E164`]'s), and whether there are more.
    async fn suppressions(
        &self,
        after: Option<E164>,
        limit: usize,
    ) -> Result<(Vec<Suppression>, bool), LedgerError>;

    /// Changes of the selected calls in the order in which they were made, after the change
    /// with the number `after` (0 is before all), at most `limit` (at least 1): what one
    /// moment shows. Every change that a caller can see is one: each revision of each call,
    /// from the one it was recorded with. One whose record can't be read is passed over, as
    /// it is by [`Ledger::due`]. A page may be shorter, even empty, and not the
    /// last: [`Changes::more`] tells. Its [`Changes::through`] is always beyond `after` then.
    /// After a number that this ledger never gave there is nothing.
    async fn changes(
        &self,
        selection: &Selection,
        after: u64,
        limit: usize,
    ) -> Result<Changes, LedgerError>;

    /// The number of the newest change on disk, as it rises: before whoever made the change
    /// is answered. Whatever has a number up to it is seen by any read that begins
    /// afterwards, and nothing with such a number comes later. Changes of another process
    /// show with the next one of this.
    fn newest(&self) -> watch::Receiver<u64>;

    /// Tells this ledger from any other: numbers of changes mean nothing elsewhere. A copy
    /// has the identity of what it was copied from.
    fn identity(&self) -> [u8; 8];

    /// Whether a change would be taken now, as far as can be told without making one.
    async fn ready(&self) -> Result<(), LedgerError>;

    /// Finishes what is queued and closes the store; whatever comes later fails with
    /// [`LedgerError::Closed`].
    async fn close(&self);
}

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
    /// What is about to be sent of them: of calls that are dispatching, each in one entry at
    /// most. Other calls that an entry names do not keep it.
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

/// What became of [`Ledger::record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is on disk.
    New,
    /// The id was used before.
    Before(RequestRecord),
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
    /// The call as the change left it. [`Call::due`] and [`Call::asked_time`], which no
    /// caller sees, may be those of another moment.
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

/// Why the ledger did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The address in the configuration is not one of a ledger.
    #[error("{0:?} is not a ledger address; expected \"sqlite:PATH\" or \"sqlite::memory:\"")]
    Address(String),
    /// It can't be opened.
    #[error("can't open the ledger {path}: {reason}")]
    Open {
        /// Which file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Written by a later version of the gateway.
    #[error(
        "the ledger has schema {found}, this version knows up to {known}: use a newer dialplane"
    )]
    Newer {
        /// The schema of the file.
        found: u32,
        /// The newest one known.
        known: u32,
    },
    /// It can't be written or read: disk full, permissions, I/O. Nothing was changed, and
    /// nothing of it will show up later.
    #[error("the ledger failed: {0}")]
    Failed(String),
    /// The disk failed in the middle of a commit, and did not take another one either: the
    /// change may be on it, to be found by the next start. As long as this one lives it most
    /// likely shows nothing of it. The very same again does no harm.
    #[error("the ledger failed while it committed, so what it was to keep may be on disk: {0}")]
    Uncertain(String),
    /// A record can't be read.
    #[error("the ledger's record of {id} can't be read: {reason}")]
    Unreadable {
        /// Whose record.
        id: String,
        /// Why not.
        reason: String,
    },
    /// News of a call that is not there.
    #[error("the ledger has no call {0}")]
    NoSuchCall(CallId),
    /// Too much is waiting to be written. News is counted apart from new calls, so that
    /// a flood of those does not cost what a vendor answered.
    #[error("the ledger has {0} changes waiting, which is all it takes")]
    Overloaded(usize),
    /// Closed already.
    #[error("the ledger is closed")]
    Closed,
}
