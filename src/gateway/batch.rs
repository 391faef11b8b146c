//! Calls that go to a vendor together, and what goes out of them.

use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;

use super::{
    account::Account,
    lane::{Apart, Grant, Owners},
    letter,
};
use crate::{
    call::{Call, CallId},
    http::HttpRequest,
    ledger::OutboxEntry,
    vendors::{Context, Outgoing},
};

/// Calls that go to their vendor in one exchange, which has its turn.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whose.
    pub account: Arc<Account>,
    /// The right to send it now.
    pub grant: Grant,
    /// In the state of the ledger when it is handed over: dispatching.
    pub calls: Vec<Call>,
    /// What goes out, where it is in the outbox: these bytes or none.
    pub written: Option<HttpRequest>,
    /// Those of them that waited for their time: no caller waits for what comes of them.
    pub taken_up: HashSet<CallId>,
    /// They go with nobody else, because their vendor refused them with others.
    pub apart: Option<Apart>,
    /// Whose the calls are, as long as that is of interest here.
    pub owners: Owners,
}

impl Batch {
    /// A batch without calls.
    pub fn of(account: &Arc<Account>, grant: Grant) -> Self {
        Self {
            account: Arc::clone(account),
            grant,
            calls: Vec::new(),
            written: None,
            taken_up: HashSet::new(),
            apart: None,
            owners: Owners::default(),
        }
    }

    /// Writes what goes out, to be kept before it does, for a vendor that may be sent the
    /// same again. What can't be written now fails when it is sent.
    pub fn write(&mut self, now: Timestamp) -> Option<OutboxEntry> {
        self.written = None;
        let adapter = self.account.adapter();
        adapter.duplicate_check().filter(|_| self.grant.turn.is_some())?;
        let batch: Vec<_> = self.calls.iter().map(outgoing).collect();
        let request = adapter.place(&batch, &Context { now, token: None }).ok()?;
        let letter = letter::seal(&request, self.account.secrets())?;
        self.written = Some(request);
        Some(OutboxEntry {
            vendor: self.account.name().to_owned(),
            calls: self.calls.iter().map(|call| call.id).collect(),
            written: now,
            letter,
        })
    }
}

/// A call as its adapter gets it.
pub(super) fn outgoing(call: &Call) -> Outgoing<'_> {
    Outgoing { id: call.id, dial: call.dial(), order: &call.order }
}

/// Calls of one vendor, cut to what it takes at a time.
pub(super) fn cut(account: &Arc<Account>, calls: Vec<Call>) -> Vec<Vec<Call>> {
    let outgoing: Vec<_> = calls.iter().map(outgoing).collect();
    let plan = account.adapter().batches(&outgoing);
    let mut slots: Vec<Option<Call>> = calls.into_iter().map(Some).collect();
    // Taken out of its slot, a call can't be in two batches, whatever the plan says.
    let mut batches: Vec<Vec<Call>> = plan
        .into_iter()
        .map(|members| members.into_iter().filter_map(|i| slots.get_mut(i)?.take()).collect())
        .filter(|calls: &Vec<_>| !calls.is_empty())
        .collect();
    let forgotten: Vec<_> = slots.into_iter().flatten().collect();
    if !forgotten.is_empty() {
        tracing::error!(
            vendor = account.name(),
            calls = forgotten.len(),
            "the adapter's plan leaves calls out"
        );
        batches.extend(forgotten.into_iter().map(|call| vec![call]));
    }
    batches
}
