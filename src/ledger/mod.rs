//! What is known of every call, on disk. Written before a vendor hears of a call and
//! after it answered; everything a caller was told is in it.

use std::fmt::Debug;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    call::{Call, CallId, CallState, E164, Position, RequestId, Selection, Selector, Suppression},
    telemetry::metrics::Snapshot,
};

mod error;
mod exchanged;
mod restored;
pub mod sqlite;

pub use error::LedgerError;
pub use exchanged::{
    Change, Changes, Claim, Due, Held, Kept, NewRequest, News, OutboxEntry, Page, Recorded,
    Removed, RequestRecord, Stray, StrayName,
};
pub use restored::doubt_what_waits;

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
    /// Records requests with all their calls, unless an id was used before; then nothing
    /// is changed, whatever the calls are: those whose id it was are told so, and the others
    /// are [`Recorded::Left`]. Of several at once with the same id one records; in one change
    /// there may be no two of them. An outbox entry of any of the requests may name calls of
    /// all of them. What came of each, in their order.
    async fn record_all(&self, requests: Vec<NewRequest>) -> Result<Vec<Recorded>, LedgerError>;

    /// The same of a single one.
    async fn record(&self, request: NewRequest) -> Result<Recorded, LedgerError> {
        let recorded = self.record_all(vec![request]).await?.pop();
        recorded.ok_or_else(|| LedgerError::Failed("nothing was said of a request".to_owned()))
    }

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
    /// is given once, and one that is not there, or can't be read, not at all. What waits for
    /// another dial ([`Call::dials`]) and is held is taken up
    /// first: until then it is among the others, scheduled.
    ///
    /// With an outbox entry, which is written for exactly these calls (others that it names
    /// do not keep it), it is all or none of them: if one can't be taken, or is not there, the
    /// entry is not kept, and the others are told of as [`Claim::left`] and stay as they are.
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

    /// The names of the vendors who have open calls, or may have, in order.
    async fn looked_after(&self) -> Result<Vec<String>, LedgerError>;

    /// Puts numbers on the do-not-call list. One that is there stays as it is, but for a new
    /// reason that is not empty: the same again changes nothing. Gives them as they are now,
    /// in their order. A call that is claimed afterwards is refused; one that is dispatching by
    /// then is not touched. [`Ledger::remove_old`] leaves the list alone.
    async fn suppress(&self, numbers: Vec<Suppression>) -> Result<Vec<Suppression>, LedgerError>;

    /// Takes numbers off the list. Gives those that were on it, in their order.
    async fn unsuppress(&self, numbers: Vec<E164>) -> Result<Vec<E164>, LedgerError>;

    /// Whether there may be anything for [`Ledger::suppressed`] to find, or to fail of.
    fn may_suppress(&self) -> bool {
        true
    }

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

    /// Adds this ledger's own numbers to others; of these vendors and routes also where nothing
    /// has happened yet. One that counts nothing adds nothing.
    fn measure(&self, _known: &[(&str, &str)], _snapshot: &mut Snapshot) {}

    /// Finishes what is queued and closes the store; whatever comes later fails with
    /// [`LedgerError::Closed`].
    async fn close(&self);
}
