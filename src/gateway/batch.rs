//! Calls that go to a vendor together, and what goes out of them.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::OwnedSemaphorePermit;

use super::{account::Account, letter};
use crate::{
    call::Call,
    http::HttpRequest,
    ledger::OutboxEntry,
    vendors::{Context, Outgoing},
};

/// Calls that go to their vendor in one exchange.
#[derive(Debug)]
pub(super) struct Batch {
    /// Whose.
    pub account: Arc<Account>,
    /// In the state of the ledger: dispatching when the batch has its turn, scheduled
    /// when it waits.
    pub calls: Vec<Call>,
    /// The right to send it now.
    pub turn: Option<OwnedSemaphorePermit>,
    /// What goes out, where it is in the outbox: these bytes or none.
    pub written: Option<HttpRequest>,
    /// A claim of them failed in a way that may have kept it: those of them that are
    /// dispatching were not sent.
    pub maybe_claimed: bool,
    /// They waited for their time: no caller waits for what comes of them.
    pub taken_up: bool,
}

impl Batch {
    /// A batch that waits for its turn.
    pub fn waiting(account: &Arc<Account>, calls: Vec<Call>) -> Self {
        Self {
            account: Arc::clone(account),
            calls,
            turn: None,
            written: None,
            maybe_claimed: false,
            taken_up: false,
        }
    }

    /// Writes what goes out, to be kept before it does, for a vendor that may be sent the
    /// same again. What can't be written now fails when it is sent.
    pub fn write(&mut self, now: Timestamp) -> Option<OutboxEntry> {
        self.written = None;
        let adapter = self.account.adapter();
        adapter.duplicate_check()?;
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

/// The batches of one vendor.
pub(super) fn cut(account: &Arc<Account>, calls: Vec<Call>) -> Vec<Batch> {
    let outgoing: Vec<_> = calls.iter().map(outgoing).collect();
    let plan = account.adapter().batches(&outgoing);
    let mut slots: Vec<Option<Call>> = calls.into_iter().map(Some).collect();
    let batch = |calls| Batch::waiting(account, calls);
    // Taken out of its slot, a call can't be in two batches, whatever the plan says.
    let mut batches: Vec<_> = plan
        .into_iter()
        .map(|members| members.into_iter().filter_map(|i| slots.get_mut(i)?.take()).collect())
        .filter(|calls: &Vec<_>| !calls.is_empty())
        .map(batch)
        .collect();
    let forgotten: Vec<_> = slots.into_iter().flatten().collect();
    if !forgotten.is_empty() {
        tracing::error!(
            vendor = account.name(),
            calls = forgotten.len(),
            "the adapter's plan leaves calls out"
        );
        batches.extend(forgotten.into_iter().map(|call| batch(vec![call])));
    }
    batches
}
