//! What vendors were sent before a restart, which counts against their pace still: the ledger
//! knows when calls were handed over, and by when their vendor had answered.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Gateway, account::Account};
use crate::{
    call::{CallId, CallState, Selection},
    ledger::{Change, LedgerError},
};

/// Numbers of changes that are read at a time.
const BLOCK: u64 = 1_000;
/// So often, at most: a start is not to take long.
const BLOCKS: usize = 10;

impl Gateway {
    /// Counts what was sent within the last window of each account that has a rate, as if it
    /// arrived now. A call is counted from when it was handed over until one window after what
    /// came of that was recorded. Never too few: in how many requests calls went out is
    /// not known, so each is taken to have had its own; and where more is recorded than
    /// can be looked at now, the account has nothing left for one window. Questions are not
    /// counted, nor repetitions (of what is in doubt, or with another token): neither is
    /// recorded by when it was sent. Nothing is read where no account has a rate.
    pub(super) async fn count_what_was_sent(
        &self,
        accounts: impl Iterator<Item = &Account>,
    ) -> Result<(), LedgerError> {
        let mut past = Past::new(accounts, self.inner.clock.now());
        let mut until = match past.accounts.is_empty() {
            true => 0,
            false => *self.inner.ledger.newest().borrow(),
        };
        for _ in 0..BLOCKS {
            if until == 0 || past.is_told() {
                break;
            }
            let from = until.saturating_sub(BLOCK);
            past.take(self.block(from, until).await?);
            until = from;
        }
        past.count(until > 0, Instant::now());
        Ok(())
    }

    /// All changes after `from` up to `until`, newest first.
    async fn block(&self, from: u64, until: u64) -> Result<Vec<Moment>, LedgerError> {
        let (mut block, mut after) = (Vec::new(), from);
        while after < until {
            let limit = usize::try_from(until - after).unwrap_or(usize::MAX);
            let page = self.inner.ledger.changes(&Selection::All, after, limit).await?;
            let within = page.changes.into_iter().filter(|change| change.number <= until);
            block.extend(within.map(Moment::from));
            if !page.more {
                break;
            }
            after = page.through;
        }
        block.reverse();
        Ok(block)
    }
}

/// Of a change, what matters here: whole ones may be long.
struct Moment {
    call: CallId,
    vendor: String,
    state: CallState,
    at: Timestamp,
}

impl From<Change> for Moment {
    fn from(Change { call, .. }: Change) -> Self {
        Self { call: call.id, at: call.update_time, state: call.state, vendor: call.vendor }
    }
}

/// What is known of the time before, reading backwards from now.
struct Past<'a> {
    now: Timestamp,
    /// Those with a rate, by name.
    accounts: HashMap<&'a str, Sent<'a>>,
    /// When each call changed that was met, the time after which is next: as it is read
    /// backwards, that is what came of its being handed over.
    changed: HashMap<CallId, Timestamp>,
    /// The age of the youngest change of the last block that had any.
    youngest: Option<SignedDuration>,
}

/// Of one account.
struct Sent<'a> {
    account: &'a Account,
    window: SignedDuration,
    /// What was handed over longer ago was answered more than a window ago.
    reach: SignedDuration,
    /// More than that make no difference.
    most: usize,
    calls: usize,
}

impl<'a> Past<'a> {
    fn new(accounts: impl Iterator<Item = &'a Account>, now: Timestamp) -> Self {
        let limited = accounts.filter_map(|account| {
            let rate = account.rate();
            let most = rate.calls.max(rate.requests)?;
            let sent = Sent {
                account,
                window: signed(rate.per),
                reach: signed(rate.per.saturating_add(account.longest_exchange())),
                most: usize::try_from(most).unwrap_or(usize::MAX),
                calls: 0,
            };
            Some((account.name(), sent))
        });
        let accounts = limited.collect();
        Self { now, accounts, changed: HashMap::new(), youngest: None }
    }

    /// Whatever is older makes no difference.
    fn is_told(&self) -> bool {
        self.accounts.values().all(|sent| sent.calls >= sent.most || !self.reaches(sent))
    }

    /// What is older than all that was read may have been sent in its window.
    fn reaches(&self, sent: &Sent<'_>) -> bool {
        self.youngest.is_none_or(|age| age < sent.reach)
    }

    fn take(&mut self, newest_first: Vec<Moment>) {
        let mut youngest = None;
        for Moment { call, vendor, state, at } in newest_first {
            let next = self.changed.insert(call, at);
            let sent = self.accounts.get_mut(vendor.as_str());
            let age = match sent.filter(|_| state == CallState::Dispatching) {
                // Its own time says little: a request that waits in memory is recorded with the
                // time at which it came.
                Some(sent) => {
                    let answered =
                        next.map_or(SignedDuration::ZERO, |next| self.now.duration_since(next));
                    if answered < sent.window {
                        sent.calls = sent.calls.saturating_add(1);
                    }
                    answered
                }
                None => self.now.duration_since(at),
            };
            youngest = Some(youngest.map_or(age, |youngest: SignedDuration| youngest.min(age)));
        }
        self.youngest = youngest.or(self.youngest);
    }

    /// Counts it. There is more when not all was read.
    fn count(&self, is_more: bool, now: Instant) {
        for sent in self.accounts.values() {
            let calls = match is_more && self.youngest.is_some() && self.reaches(sent) {
                true => sent.most,
                false => sent.calls.min(sent.most),
            };
            sent.account.pace.known(sent.account.rate(), calls, calls, now);
        }
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
