//! Takes in what vendors post by themselves: proven to be theirs first, found to be of a
//! call, on disk before the vendor is told that it arrived.

use std::{collections::BTreeMap, future::Future, sync::atomic::Ordering, time::Duration};

use serde_json::{Map, Value};
use tokio::time::sleep;

use super::{
    Gateway, GatewayError, PushCounts,
    account::Account,
    ask::{placed, reported},
    insist::is_final,
    spoken::{Spoken, names, spoken_of},
    traced::COMMIT,
};
use crate::{
    call::{Call, CallId, CallState, Observation, Position, Report, Selector},
    http::Delivery,
    ledger::{Kept, LedgerError, News, Stray},
    telemetry::{Traced, waited},
    vendors::{Callback, Placed, Push, Pushed, Told, bounds::MAX_ID_BYTES},
};

/// Pieces that are dealt with in one transaction.
const PIECES: usize = 256;
/// The longest piece that is kept until its call is known, as JSON, in bytes.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// How long news is kept whose call is not known: no vendor takes as long to answer.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// The pause before a ledger that failed is tried again, once: the vendor waits, and
/// will post again.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of a delivery.
#[derive(Debug)]
pub enum Delivered {
    /// There is no such vendor, or it was not told how the vendor proves who it is.
    NoSuchCallback,
    /// It does not prove to be the vendor's. How the vendor is asked for its proof.
    Unauthentic {
        /// The `WWW-Authenticate`, if its proof is in a header.
        challenge: Option<&'static str>,
    },
    /// The vendor's, and none of its forms.
    Malformed(&'static str),
    /// The vendor wants to see this JSON.
    Answer(Value),
    /// All of it is on disk.
    Taken,
    /// Some of it may not be on disk. The same once more does no harm.
    TryLater(GatewayError),
}

/// A piece, and the call it is of.
struct Known<'a> {
    call: &'a Call,
    vendor_call_id: Option<&'a str>,
    said: &'a Value,
}

/// What pieces come to.
#[derive(Default)]
struct Heard {
    news: Vec<News>,
    /// The vendor should be asked now.
    ask: bool,
    counts: PushCounts,
}

impl Gateway {
    /// Whether anything is taken from the vendor with this name.
    pub fn has_callback(&self, vendor: &str) -> bool {
        self.account(vendor).is_some_and(|a| a.adapter().callback().is_some())
    }

    /// Takes in a delivery. Once it is proven to be the vendor's the work goes on to its
    /// end when the future is dropped: a vendor that hangs up stops nothing.
    pub async fn deliver(&self, vendor: &str, delivery: Delivery) -> Delivered {
        // Counted before the look at it, so that a stop waits for what it did not prevent.
        let counted = self.inner.tasks.token();
        let Some(account) = self.account(vendor) else {
            return Delivered::NoSuchCallback;
        };
        let Some(callback) = account.adapter().callback() else {
            return Delivered::NoSuchCallback;
        };
        if self.is_stopping() {
            account.meter.put_off.one();
            return Delivered::TryLater(GatewayError::Stopping);
        }
        let push = callback.read(&delivery);
        if !callback.is_authentic(&delivery, push.as_ref().ok()) {
            if let Some(count) = account.pushes.unauthentic() {
                tracing::warn!(vendor, count, "a delivery did not prove to be the vendor's");
            }
            return Delivered::Unauthentic { challenge: callback.challenge() };
        }
        let pieces = match push {
            Ok(Push::News(pieces)) => pieces,
            Ok(Push::Handshake { answer, .. }) => {
                account.meter.handshakes.one();
                return Delivered::Answer(answer);
            }
            Err(why) => {
                if let Some(count) = account.pushes.malformed() {
                    tracing::warn!(vendor, count, %why, "a delivery can't be read");
                }
                return Delivered::Malformed(why.0);
            }
        };
        let gateway = self.clone();
        let take_in = async move {
            let taken = gateway.take_in(&account, pieces).await;
            match &taken {
                Ok(()) => account.meter.taken.one(),
                Err(_) => account.meter.put_off.one(),
            }
            drop(counted);
            taken
        };
        let work = tokio::spawn(take_in.here());
        match work.await {
            Ok(Ok(())) => Delivered::Taken,
            Ok(Err(error)) => {
                tracing::error!(%error, vendor, "a delivery could not be recorded; the vendor has to repeat it");
                Delivered::TryLater(error.into())
            }
            Err(_) => Delivered::TryLater(GatewayError::Broken),
        }
    }

    /// Applies what is kept of calls that are known by now: those of a run that ended right
    /// between learning a vendor's id and looking what was kept under it.
    pub(super) async fn apply_strays(&self) {
        let mut after = 0;
        loop {
            let names = match self.inner.ledger.strays(after, PIECES).await {
                Ok(names) => names,
                Err(error) => {
                    tracing::warn!(%error, "news of unknown calls can't be looked through");
                    return;
                }
            };
            let Some(last) = names.last() else { return };
            after = last.key;
            for account in self.configured().accounts.values() {
                let own = names.iter().filter(|name| name.vendor == account.name());
                let ids: Vec<_> =
                    own.map(|name| account.adapter().aliases(&name.vendor_call_id)).collect();
                if ids.is_empty() {
                    continue;
                }
                match self.inner.ledger.find(account.name(), ids).await {
                    Ok(calls) => {
                        let mut calls: Vec<_> = calls.into_iter().flatten().collect();
                        calls.sort_by_key(|call| call.id);
                        calls.dedup_by_key(|call| call.id);
                        self.apply_kept(account, calls).await;
                    }
                    Err(error) => {
                        tracing::warn!(%error, vendor = account.name(), "news that came early can't be looked up");
                    }
                }
            }
        }
    }

    /// Drops what was kept for too long. To be called every few minutes.
    pub async fn drop_strays(&self) {
        let now = self.inner.clock.now();
        let before = now.checked_sub(KEPT_FOR).unwrap_or(now);
        match self.inner.ledger.drop_kept(before).await {
            Ok(0) => {}
            Ok(count) => {
                self.inner.dropped_strays.fetch_add(count, Ordering::Relaxed);
                tracing::warn!(count, "news of calls that never became known was dropped");
            }
            Err(error) => tracing::warn!(%error, "news of unknown calls can't be looked through"),
        }
    }

    /// How many pieces of news were kept and dropped later, since the gateway started.
    pub fn dropped_strays(&self) -> u64 {
        self.inner.dropped_strays.load(Ordering::Relaxed)
    }

    /// Lets the account's calls be looked at now.
    pub(super) fn wake(&self, account: &Account) {
        account.agenda.is_due(self.inner.clock.now());
    }

    /// What came before the vendor's id of its call was known. Gives the calls as they are
    /// then; a failure costs only what it brought.
    pub(super) async fn apply_kept(&self, account: &Account, mut calls: Vec<Call>) -> Vec<Call> {
        let Some(callback) = account.adapter().callback() else { return calls };
        match self.kept_for(account, callback, &calls).await {
            Ok(newer) if newer.is_empty() => {}
            Ok(mut newer) => {
                for call in &mut calls {
                    if let Some(newer) = newer.remove(&call.id) {
                        *call = newer;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, vendor = account.name(), "news that came early can't be looked up");
            }
        }
        calls
    }

    async fn kept_for(
        &self,
        account: &Account,
        callback: &dyn Callback,
        calls: &[Call],
    ) -> Result<BTreeMap<CallId, Call>, LedgerError> {
        let named: Vec<_> = calls
            .iter()
            .flat_map(|call| names(call).map(move |name| (call, name)))
            .map(|(call, name)| (call, name, account.adapter().aliases(name)))
            .collect();
        let mut newer = BTreeMap::new();
        let all: Vec<_> = named.iter().flat_map(|(_, _, ids)| ids.iter().cloned()).collect();
        // Nearly always nothing, of all of them at once.
        if all.is_empty() || self.kept(account, all).await?.is_empty() {
            return Ok(newer);
        }
        for (call, name, ids) in named {
            let kept = self.kept(account, ids).await?;
            let pieces = kept.iter().map(|kept| Known {
                call,
                vendor_call_id: Some(name),
                said: &kept.said,
            });
            let heard = self.hear(account, callback, pieces);
            newer.extend(self.record_heard(account, heard).await?.into_iter().map(|c| (c.id, c)));
            if !kept.is_empty() {
                self.inner.ledger.forget(kept.iter().map(|kept| kept.key).collect()).await?;
            }
        }
        Ok(newer)
    }

    async fn kept(&self, account: &Account, ids: Vec<String>) -> Result<Vec<Kept>, LedgerError> {
        self.twice(|| self.inner.ledger.kept(account.name(), ids.clone())).await
    }

    async fn take_in(&self, account: &Account, pieces: Vec<Pushed>) -> Result<(), LedgerError> {
        for some in pieces.chunks(PIECES) {
            self.take_in_some(account, some).await?;
        }
        Ok(())
    }

    async fn take_in_some(&self, account: &Account, pieces: &[Pushed]) -> Result<(), LedgerError> {
        // Known to be there: it was asked before.
        let Some(callback) = account.adapter().callback() else { return Ok(()) };
        let calls = self.calls_of(account, pieces).await?;
        let these = pieces.iter().zip(&calls);
        let these = these.filter_map(|(piece, call)| known(piece, call.as_ref()));
        let mut heard = self.hear(account, callback, these);

        let (mut strays, mut unknown) = (Vec::new(), Vec::new());
        for (piece, _) in pieces.iter().zip(&calls).filter(|(_, call)| call.is_none()) {
            match self.stray(account, piece) {
                Some(stray) => {
                    strays.push(stray);
                    unknown.push(piece);
                }
                None => heard.counts.dropped += 1,
            }
        }
        if heard.counts.dropped > 0 {
            let count = heard.counts.dropped;
            tracing::warn!(vendor = account.name(), count, "news that is of no call was dropped");
        }
        let mut recorded = self.record_heard(account, heard).await?;
        if !strays.is_empty() {
            // The vendor may have answered in between: then they are known after all.
            let found = self.twice(|| self.inner.ledger.keep(strays.clone())).await?;
            let these =
                unknown.iter().zip(&found).filter_map(|(piece, call)| known(piece, call.as_ref()));
            let mut heard = self.hear(account, callback, these);
            heard.counts.kept = found.iter().filter(|call| call.is_none()).map(|_| 1).sum();
            recorded.extend(self.record_heard(account, heard).await?);
        }
        // Whose id was learned by this: other news may be kept under it.
        let nameless = |id: CallId| {
            calls.iter().flatten().any(|call| call.id == id && call.vendor_call_id.is_none())
        };
        recorded.retain(|call| names(call).next().is_some() && nameless(call.id));
        if !recorded.is_empty() {
            recorded.dedup_by_key(|call| call.id);
            self.apply_kept(account, recorded).await;
        }
        Ok(())
    }

    /// The call of each piece: by our id, or else by the vendor's.
    async fn calls_of(
        &self,
        account: &Account,
        pieces: &[Pushed],
    ) -> Result<Vec<Option<Call>>, LedgerError> {
        let mut ids: Vec<_> = pieces.iter().filter_map(|piece| piece.call_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut ours = BTreeMap::new();
        if !ids.is_empty() {
            let (limit, selector) = (ids.len(), Selector::Calls(ids));
            let start = Position { entries: 0, within: None };
            let page = self.twice(|| self.inner.ledger.page(&selector, start, limit)).await?;
            // What one vendor says of another's call is nothing.
            let own = page.calls.into_iter().filter(|(call, _)| call.vendor == account.name());
            ours.extend(own.map(|(call, _)| (call.id, call)));
        }
        let mut calls: Vec<_> =
            pieces.iter().map(|piece| ours.get(&piece.call_id?).cloned()).collect();
        let (mut places, mut wanted) = (Vec::new(), Vec::new());
        for (piece, call) in pieces.iter().zip(&mut calls) {
            if let (None, Some(id)) = (&call, vendor_call_id(piece)) {
                wanted.push(account.adapter().aliases(id));
                places.push(call);
            }
        }
        if !wanted.is_empty() {
            let find = || self.inner.ledger.find(account.name(), wanted.clone());
            for (place, call) in places.into_iter().zip(self.twice(find).await?) {
                *place = call;
            }
        }
        Ok(calls)
    }

    /// What the pieces come to, in their order.
    fn hear<'a>(
        &self,
        account: &Account,
        callback: &dyn Callback,
        pieces: impl Iterator<Item = Known<'a>>,
    ) -> Heard {
        let at = self.inner.clock.now();
        let mut heard = Heard::default();
        // The call may move on to another vendor before this is recorded.
        let vendor = || Some(account.name().to_owned());
        for Known { call, vendor_call_id, said } in pieces {
            let current = call.dial();
            let (dial, told) = match spoken_of(account, call, vendor_call_id) {
                Spoken::Neither => (current, Told::Nothing),
                Spoken::Either => (current, Told::Ask),
                Spoken::This => (current, callback.told(said, &placed(account, call))),
                Spoken::Earlier(dial, vendor_call_id) => {
                    let vendor_call_id = Some(vendor_call_id);
                    let placed = Placed { vendor_call_id, ..placed(account, call) };
                    match callback.told(said, &placed) {
                        // It is over, and nobody asks about it any more.
                        Told::Ask => (dial, Told::Nothing),
                        told => (dial, told),
                    }
                }
            };
            let is_over = dial != current;
            let dial = Some(dial);
            let (report, due) = match told {
                Told::Nothing => {
                    heard.counts.ignored += 1;
                    continue;
                }
                Told::Result(report) => {
                    // What does not tell the end may be news of it all the same.
                    let unfinished = !report.state.is_some_and(CallState::is_final);
                    let asks =
                        unfinished && !is_over && account.adapter().capabilities().pull_results;
                    (report, asks.then_some(at))
                }
                Told::Ask => (Report::default(), Some(at)),
            };
            heard.counts.applied += 1;
            heard.ask |= due.is_some();
            // News of a call that is being handed over must not leave it without an end: what
            // comes of the handover may never be known, or change nothing any more.
            let askable = call.vendor_call_id.is_some() || vendor_call_id.is_some();
            let unseen = !is_over && call.due.is_none();
            let due = due.or_else(|| unseen.then(|| account.next_look(call, askable, at)));
            let nameless = !is_over && call.vendor_call_id.is_none();
            if let (true, Some(id)) = (nameless, vendor_call_id) {
                let observation = Observation::Accepted {
                    vendor_call_id: Some(id.to_owned()),
                    vendor_request_id: None,
                    data: Map::new(),
                };
                // From now on there is something to ask by.
                let due = Some(account.next_look(call, true, at));
                let vendor = vendor();
                heard.news.push(News { call: call.id, observation, at, due, vendor, dial });
            }
            let report = reported(account, report);
            let observation = Observation::Reported { report, asked: false };
            heard.news.push(News { call: call.id, observation, at, due, vendor: vendor(), dial });
        }
        heard
    }

    async fn record_heard(
        &self,
        account: &Account,
        heard: Heard,
    ) -> Result<Vec<Call>, LedgerError> {
        let Heard { news, ask, counts } = heard;
        let calls = if news.is_empty() {
            Vec::new()
        } else {
            let begun = std::time::Instant::now();
            let recorded = self.twice(|| self.observe(news.clone())).await;
            waited(COMMIT, begun, None);
            recorded?
        };
        account.pushes.add(counts);
        if ask {
            self.wake(account);
        }
        Ok(calls)
    }

    fn stray(&self, account: &Account, piece: &Pushed) -> Option<Stray> {
        let ids = account.adapter().aliases(vendor_call_id(piece)?);
        let fits = piece.said.to_string().len() <= MAX_KEPT_BYTES;
        (fits && piece.keep).then(|| Stray {
            vendor: account.name().to_owned(),
            ids,
            said: piece.said.clone(),
            at: self.inner.clock.now(),
        })
    }

    /// Asks the ledger once more if it fails.
    async fn twice<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        match ask().await {
            Err(error) if !is_final(&error) => {
                sleep(PAUSE).await;
                ask().await
            }
            done => done,
        }
    }
}

/// The vendor's id of a piece, if it can be one.
fn vendor_call_id(piece: &Pushed) -> Option<&str> {
    piece.vendor_call_id.as_deref().filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()))
}

fn known<'a>(piece: &'a Pushed, call: Option<&'a Call>) -> Option<Known<'a>> {
    Some(Known { call: call?, vendor_call_id: vendor_call_id(piece), said: &piece.said })
}
