//! Vendors that are not configured any more, and have calls still: by a reload, or since before
//! the start. Nothing is sent to them and nobody asks them. What waits for them moves on to
//! another vendor, or waits until they are back or it expires; what they have is given up on
//! when its time has come.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Configured, Gateway, account::Account, settle::later};
use crate::{
    call::{Call, CallError, CallId, Cause, Fault, Observation, Order, Report},
    config::VendorConfig,
    http::{Failure, HttpReply, HttpRequest, Line, NotSent},
    ledger::LedgerError,
    vendors::{
        Capabilities, Context, DefaultLimits, Objection, Outgoing, Placed, Placement, Vendor,
    },
};

/// How long a call is held, or put off, each time whose vendor is not configured any more.
pub(super) const UNTIL_VENDOR_IS_BACK: Duration = Duration::from_secs(5 * 60);
/// How often calls are looked at, and when they are given up on, of a vendor whose
/// configuration nobody remembers: the longest that any kind has by default.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const GIVE_UP_AFTER: Duration = Duration::from_secs(86_400);

impl Gateway {
    /// Has those vendors attended to that have calls, and were taken out of the configuration
    /// before the start.
    pub(super) async fn remember_who_is_gone(&self) -> Result<(), LedgerError> {
        let mut names = self.inner.ledger.waited_for().await?;
        names.append(&mut self.inner.ledger.looked_after().await?);
        let before = self.configured();
        names.retain(|name| before.account_or_gone(name).is_none());
        if names.is_empty() {
            return Ok(());
        }
        names.sort();
        names.dedup();
        tracing::warn!(vendors = ?names, "there are open calls of vendors that are not configured any more");
        let mut gone = before.gone.clone();
        gone.extend(names.into_iter().map(|name| {
            let account = Account::new(&nobody(&name), Arc::new(Nobody));
            account.lane.is_left();
            (name, account)
        }));
        let configured = Configured {
            routes: before.routes.clone(),
            accounts: before.accounts.clone(),
            gone,
            ..*before
        };
        self.put_in_place(configured);
        Ok(())
    }

    /// From now on this is what is configured.
    pub(super) fn put_in_place(&self, configured: Configured) {
        let mut place = self.inner.configured.write().unwrap_or_else(PoisonError::into_inner);
        *place = Arc::new(configured);
    }

    /// What becomes of a recorded call whose vendor is gone and that has no other: it waits, and
    /// expires on time. None for one that can move on.
    pub(super) fn held_while_gone(&self, call: &Call, now: Timestamp) -> Option<Observation> {
        if self.next_vendor(call).is_some() {
            return None;
        }
        let expires = call.order.expire_time.unwrap_or(Timestamp::MAX);
        let until = later(now, UNTIL_VENDOR_IS_BACK).min(expires);
        Some(Observation::Held { until, holds: call.holds })
    }

    /// What becomes of calls of an exchange whose vendor is gone: what waited before waits on or
    /// moves on, and what just came moves on or fails.
    pub(super) fn all_while_gone(
        &self,
        account: &Account,
        calls: &[Call],
        taken_up: &HashSet<CallId>,
    ) -> Vec<Observation> {
        let now = self.inner.clock.now();
        let what = |call: &Call| {
            if let Some(not_now) = self.not_now(account, call, now) {
                return not_now;
            }
            let waits = taken_up.contains(&call.id) || call.holds > 0;
            let held = waits.then(|| self.held_while_gone(call, now)).flatten();
            held.unwrap_or_else(|| Observation::Failed(gone(call)))
        };
        calls.iter().map(what).collect()
    }
}

/// Why a call was not dialled whose vendor is not configured any more.
pub(super) fn gone(call: &Call) -> CallError {
    CallError::new(
        Cause::Operator,
        "VENDOR_NOT_CONFIGURED",
        format!("vendor {} is not configured any more", call.vendor),
    )
}

/// An account of which nothing but the name is known.
fn nobody(name: &str) -> VendorConfig {
    VendorConfig::unknown(name, Arc::new(Nobody))
}

/// Speaks for a vendor that nobody speaks with any more.
#[derive(Debug)]
struct Nobody;

const NOTHING: Capabilities = Capabilities {
    flows: false,
    audio: false,
    schedules: false,
    retries: false,
    caller_id: false,
    pull_results: false,
    push_results: false,
    cancels: false,
    max_numbers: 1,
    max_batch: 1,
};

impl Vendor for Nobody {
    fn kind(&self) -> &'static str {
        "nobody"
    }

    fn domain(&self) -> &'static str {
        "dialplane"
    }

    fn capabilities(&self) -> &Capabilities {
        &NOTHING
    }

    fn default_limits(&self) -> DefaultLimits {
        DefaultLimits {
            calls_per_minute: None,
            requests_per_minute: None,
            max_in_flight: 1,
            poll_interval: LOOK_EVERY,
            give_up_after: GIVE_UP_AFTER,
        }
    }

    fn check(&self, _: &Order) -> Vec<Objection> {
        vec![Objection::unsupported("route", "the vendor is not configured any more")]
    }

    fn batches(&self, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>> {
        (0..orders.len()).map(|index| vec![index]).collect()
    }

    fn place(&self, _: &[Outgoing<'_>], _: &Context<'_>) -> Result<HttpRequest, Fault> {
        Err(nobody_is_there())
    }

    fn read_placement(&self, batch: &[Outgoing<'_>], _: &HttpReply) -> Vec<Placement> {
        batch.iter().map(|_| Placement::Fault(nobody_is_there())).collect()
    }

    fn questions(&self, _: &[Placed<'_>]) -> Vec<Vec<usize>> {
        Vec::new()
    }

    fn ask(&self, _: &[Placed<'_>], _: &Context<'_>) -> Option<HttpRequest> {
        None
    }

    fn read_answer(&self, _: &[Placed<'_>], _: &HttpReply) -> Result<Vec<Report>, Fault> {
        Err(nobody_is_there())
    }
}

#[async_trait]
impl Line for Nobody {
    async fn send(&self, _: &HttpRequest) -> Result<HttpReply, Failure> {
        Err(Failure::not_sent(NotSent::Request, "the vendor is not configured any more"))
    }
}

fn nobody_is_there() -> Fault {
    Fault::new(Cause::Operator, "VENDOR_NOT_CONFIGURED", "the vendor is not configured any more")
}
