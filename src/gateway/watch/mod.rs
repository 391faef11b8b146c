//! Watching calls: what is recorded of them first, then each change as it is made.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};

use super::{Gateway, GatewayError, Scope};
use crate::{
    call::{CallId, MAX_SELECTED, Position, Selection, Selector},
    ledger::{Change, Changes},
};

mod hub;

pub(super) use hub::Hub;
use hub::Live;

/// Changes read from the ledger at a time for all watchers.
const STRETCH: usize = 1_000;
/// The same for one of them: what one that does not read on keeps in memory.
const PAGE: usize = 100;
/// The pause after a ledger that can't be read.
const PAUSE: Duration = Duration::from_millis(200);

impl Gateway {
    /// Watches calls: after the change with this number if there is one; else everything
    /// that is recorded of calls that are named, and of others what comes from now on.
    ///
    /// # Errors
    /// When a call or the route is not there, or the ledger can't be read.
    pub async fn watch(
        &self,
        selection: Selection,
        after: Option<u64>,
    ) -> Result<Watch, GatewayError> {
        self.watch_in(Scope::default(), selection, after).await
    }

    /// The same for somebody to whom the calls of other routes are not there.
    ///
    /// # Errors
    /// The same.
    pub async fn watch_in(
        &self,
        scope: Scope,
        selection: Selection,
        after: Option<u64>,
    ) -> Result<Watch, GatewayError> {
        if self.is_stopping() {
            return Err(GatewayError::Stopping);
        }
        match &selection {
            Selection::Named(selector @ Selector::Calls(_)) => {
                let start = Position { entries: 0, within: None };
                let page = self.page_in(&scope, selector, start, MAX_SELECTED).await?;
                if !page.not_found.is_empty() {
                    return Err(GatewayError::NoSuchCalls(page.not_found));
                }
            }
            Selection::Route(name) => {
                self.configured().route_for(name)?;
            }
            Selection::Named(_) | Selection::All => {}
        }
        let metrics = self.metrics();
        match after {
            Some(_) => metrics.watches_resumed.one(),
            None => metrics.watches_begun.one(),
        }
        let from_the_start = matches!(selection, Selection::Named(_));
        let after = match after {
            Some(after) => after,
            None if from_the_start => 0,
            None => self.newest_change(),
        };
        Ok(Watch {
            gateway: self.clone(),
            scope,
            selection,
            after,
            found: VecDeque::new(),
            stage: Stage::Behind,
            live: None,
        })
    }

    /// The number of the newest change on disk.
    pub fn newest_change(&self) -> u64 {
        *self.inner.ledger.newest().borrow()
    }

    /// Tells the ledger from any other, so that a place in another one's changes is noticed.
    pub fn ledger_identity(&self) -> [u8; 8] {
        self.inner.ledger.identity()
    }

    /// How many streams watch at this moment.
    pub fn watchers(&self) -> usize {
        self.inner.hub.watchers()
    }

    /// Hands changes to those who watch, until the gateway stops. Costs nothing while
    /// nobody does.
    pub(super) async fn hand_out_changes(self) {
        let stopping = self.inner.stopping.clone();
        stopping.run_until_cancelled(self.hand_out_forever()).await;
    }

    async fn hand_out_forever(&self) {
        let mut newest = self.inner.ledger.newest();
        loop {
            let Some(position) = self.inner.hub.position() else {
                self.inner.hub.watched().await;
                continue;
            };
            if *newest.borrow_and_update() <= position {
                // The ledger is closed: there will be no more.
                if newest.changed().await.is_err() {
                    return;
                }
                continue;
            }
            match self.inner.ledger.changes(&Selection::All, position, STRETCH).await {
                Ok(Changes { changes, through, .. }) => self.inner.hub.hand_out(changes, through),
                Err(error) => {
                    tracing::warn!(%error, "changes can't be read; whoever watches waits");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Calls that are watched. Nothing is missed and nothing told twice, however slow its
/// reader is; memory holds a page of changes and a short queue.
#[derive(Debug)]
pub struct Watch {
    gateway: Gateway,
    /// Changes of other calls are passed over.
    scope: Scope,
    selection: Selection,
    /// All up to this number was told.
    after: u64,
    /// Read from the ledger, and not told yet.
    found: VecDeque<Change>,
    stage: Stage,
    live: Option<Live>,
}

/// What comes next for who watches.
#[derive(Debug)]
pub enum Next {
    /// A change.
    Change(Arc<Change>),
    /// Nothing, for as long as there was patience.
    Quiet,
    /// There will be no more: all calls that were named, by id or by their request, are
    /// over.
    Over,
}

#[derive(Debug)]
enum Stage {
    /// The ledger has more than was told.
    Behind,
    /// What was found is the last of it: all up to the number, and these calls are open.
    CatchingUp(u64, Option<Vec<CallId>>),
    /// Changes come as they are made. What is open, if the selection can end.
    Live(Option<HashSet<CallId>>),
}

impl Watch {
    /// What comes next. After so long without a change, if that is said, it is that nothing
    /// came. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the ledger can't be read or the gateway stops. Watching can be begun again
    /// after the last change told.
    pub async fn next(&mut self, patience: Option<Duration>) -> Result<Next, GatewayError> {
        let stopping = self.gateway.inner.stopping.clone();
        let next = stopping.run_until_cancelled(self.advance(patience)).await;
        if matches!(next, Some(Ok(Next::Change(_)))) {
            self.gateway.metrics().changes_sent.one();
        }
        next.unwrap_or(Err(GatewayError::Stopping))
    }

    /// All up to this number was told.
    pub fn position(&self) -> u64 {
        self.after
    }

    async fn advance(&mut self, patience: Option<Duration>) -> Result<Next, GatewayError> {
        // From the moment on at which it is waited for. What is passed over is no change.
        let mut quiet_at = None;
        loop {
            if let Some(change) = self.found.pop_front() {
                self.after = change.number;
                return Ok(Next::Change(Arc::new(change)));
            }
            match &mut self.stage {
                Stage::Behind => self.read_on().await?,
                Stage::CatchingUp(through, open) => {
                    self.after = self.after.max(*through);
                    let open = open.take();
                    self.stage = Stage::Live(open.map(|open| open.into_iter().collect()));
                }
                Stage::Live(Some(open)) if open.is_empty() => return Ok(Next::Over),
                Stage::Live(open) => {
                    // Patience is for quiet, not for a ledger that takes its time.
                    let next = match (&mut self.live, patience) {
                        (Some(live), None) => live.next().await,
                        (Some(live), Some(patience)) => {
                            let at = *quiet_at.get_or_insert_with(|| Instant::now() + patience);
                            match timeout_at(at, live.next()).await {
                                Ok(next) => next,
                                Err(_) => return Ok(Next::Quiet),
                            }
                        }
                        (None, _) => None,
                    };
                    let Some(change) = next else {
                        // Too slow for the queue: the ledger has it all.
                        (self.live, self.stage, quiet_at) = (None, Stage::Behind, None);
                        continue;
                    };
                    if change.number <= self.after {
                        continue;
                    }
                    if !self.scope.has(&change.call.route) {
                        self.after = change.number;
                        continue;
                    }
                    let can_end = matches!(self.selection, Selection::Named(Selector::Request(_)));
                    match open {
                        // The request has just been recorded: the ledger has all of it, and
                        // knows how many calls it is.
                        None if can_end => {
                            self.stage = Stage::Behind;
                            continue;
                        }
                        None => {}
                        Some(open) if change.call.state.is_final() => {
                            open.remove(&change.call.id);
                        }
                        Some(open) => {
                            open.insert(change.call.id);
                        }
                    }
                    self.after = change.number;
                    return Ok(Next::Change(change));
                }
            }
        }
    }

    /// Whether what was named is there for who watches.
    async fn is_there(&self) -> Result<bool, GatewayError> {
        let Selection::Named(selector) = &self.selection else { return Ok(true) };
        let start = Position { entries: 0, within: None };
        let page = self.gateway.page_in(&self.scope, selector, start, 1).await?;
        Ok(!page.calls.is_empty())
    }

    async fn read_on(&mut self) -> Result<(), GatewayError> {
        let ledger = &self.gateway.inner.ledger;
        // Before reading: whatever is written afterwards comes through the hub.
        if self.live.is_none() {
            let newest = || *ledger.newest().borrow();
            self.live = Some(self.gateway.inner.hub.subscribe(&self.selection, newest));
        }
        let page = ledger.changes(&self.selection, self.after, PAGE).await?;
        let Changes { mut changes, through, more, mut open } = page;
        if !self.scope.is_all() {
            changes.retain(|change| self.scope.has(&change.call.route));
            // Of a request that is not there for who watches, nothing can be over.
            if open.is_some() && !self.is_there().await? {
                open = None;
            }
        }
        self.found.extend(changes);
        if !more {
            self.stage = Stage::CatchingUp(through, open);
        } else if self.found.is_empty() {
            self.after = self.after.max(through);
        }
        Ok(())
    }
}
