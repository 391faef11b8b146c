//! From what was asked for to calls that are ready to be recorded: route and vendor
//! chosen, defaults filled in, everything checked that can be checked without
//! asking a vendor. Nothing is recorded and nothing is sent here.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Announced, Configured, Gateway, GatewayError, account::Account, lane::TOO_LATE,
    suppress::refuse_listed,
};
use crate::{
    call::{
        Call, CallError, CallId, CallState, Cause, E164, Fallback, Fingerprint, Order, RequestId,
        Retry, Violation,
    },
    config::Route,
    vendors::Objection,
};

/// A CreateCalls request, parsed.
#[derive(Debug, Clone)]
pub struct CreateOrder {
    /// Its idempotency key.
    pub request_id: RequestId,
    /// What was asked for, in short.
    pub fingerprint: Fingerprint,
    /// The route's name.
    pub route: String,
    /// The calls, in their order.
    pub drafts: Vec<Draft>,
    /// One wrong call refuses all.
    pub all_or_nothing: bool,
}

/// One call as it was asked for, with whatever was wrong with it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What could be read of it.
    pub order: Order,
    /// What could not; fields are relative to the call.
    pub violations: Vec<Violation>,
}

/// A request that is ready to be recorded and sent.
#[derive(Debug)]
pub struct Prepared {
    pub(super) request_id: RequestId,
    pub(super) fingerprint: Fingerprint,
    pub(super) create_time: Timestamp,
    /// Set for one whose caller gave it its id.
    pub(super) announced: Option<Announced>,
    /// Its id may have been used before, and was not looked up.
    pub(super) may_be_known: bool,
    /// When its caller has to be answered.
    pub(super) deadline: Option<Instant>,
    pub(super) route: String,
    pub(super) all_or_nothing: bool,
    /// Its calls wait in the ledger if there is no turn for them.
    pub(super) queues: bool,
    /// What it was made ready by: all of it is of one configuration.
    pub(super) configured: Arc<Configured>,
    /// In the order of the request. Those that are wrong have failed already.
    pub calls: Vec<Call>,
}

impl Prepared {
    /// Of a request whose id its caller gave it: one that may have been used before.
    pub fn announced(self, announced: Announced) -> Self {
        Self { announced: Some(announced), may_be_known: true, ..self }
    }

    /// Of a caller who has to be answered by then: its calls are refused that would get their
    /// turn too late.
    pub fn within(self, deadline: Option<Instant>) -> Self {
        Self { deadline, ..self }
    }

    /// Refuses its calls to numbers that must not be called.
    pub(super) fn refuse_listed(&mut self, listed: &HashSet<E164>, now: Timestamp) {
        refuse_listed(&mut self.calls, listed, now);
        if self.all_or_nothing {
            refuse_all_if_one_is_wrong(&mut self.calls, now);
        }
    }

    /// How long its calls may wait for their turn.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        let left = |deadline: Instant| deadline.saturating_duration_since(now);
        self.deadline.map_or(Duration::MAX, |deadline| left(deadline).saturating_sub(TOO_LATE))
    }
}

impl Gateway {
    /// Checks a request, and chooses a vendor for each call.
    ///
    /// # Errors
    /// [`GatewayError::UnknownRoute`]; or [`GatewayError::Ledger`] when it can't be asked which
    /// numbers must not be called.
    pub async fn prepare(&self, request: CreateOrder) -> Result<Prepared, GatewayError> {
        let configured = self.configured();
        let route = configured.route_for(&request.route)?;
        let now = self.inner.clock.now();
        let CreateOrder { request_id, fingerprint, drafts, all_or_nothing, .. } = request;
        let mut calls = Vec::with_capacity(drafts.len());
        for (position, draft) in (0..).zip(drafts) {
            let chosen = configured.choose(route, draft, now);
            let mut call = chosen.into_call(&request_id, position, route, now);
            configured.hold_until_its_turn(&mut call, route, now);
            configured.pass_over_the_shut(&mut call, route, now);
            calls.push(call);
        }
        self.refuse_suppressed(&mut calls, now).await?;
        if all_or_nothing {
            refuse_all_if_one_is_wrong(&mut calls, now);
        }
        Ok(Prepared {
            request_id,
            fingerprint,
            create_time: now,
            announced: None,
            may_be_known: false,
            deadline: None,
            route: request.route,
            all_or_nothing,
            queues: route.queue,
            calls,
            configured: Arc::clone(&configured),
        })
    }
}

impl Configured {
    /// The route of this name.
    pub(super) fn route_for(&self, name: &str) -> Result<&Route, GatewayError> {
        let routes = &self.routes;
        routes.get(name).ok_or_else(|| GatewayError::UnknownRoute {
            name: name.to_owned(),
            known: routes.keys().cloned().collect(),
        })
    }

    /// The first vendor of the route that can do what is asked, and those that can after it;
    /// when none can, the first one and its objections.
    fn choose(&self, route: &Route, draft: Draft, now: Timestamp) -> Chosen {
        let mut accounts = route.vendors.iter().filter_map(|name| self.account(name));
        let Some(first) = accounts.next() else {
            // The configuration does not let this happen.
            let error = CallError::new(Cause::Operator, "NO_VENDOR", "the route has no vendor");
            return Chosen::wrong(draft.order, String::new(), error);
        };
        let (order, mut objections) = fit(first, route, &draft.order, now);
        let vendor = first.name().to_owned();
        let mut chosen = None;
        if !draft.violations.is_empty() {
            let error = verdict(&vendor, draft.violations, objections);
            return Chosen { order, vendor, fallbacks: Vec::new(), redials: false, error };
        } else if objections.is_empty() {
            chosen = Some(Chosen::of(order.clone(), first));
        }
        for account in accounts {
            let (order, others) = fit(account, route, &draft.order, now);
            if others.is_empty() {
                let chosen = match &mut chosen {
                    None => {
                        chosen = Some(Chosen::of(order, account));
                        continue;
                    }
                    Some(chosen) => chosen,
                };
                // All else is the same for every vendor.
                let fallback = Fallback {
                    vendor: account.name().to_owned(),
                    redials: redials(account, &order),
                    caller_id: order.caller_id,
                };
                chosen.fallbacks.push(fallback);
                continue;
            }
            // What is wrong for any vendor is told before what only some can't do.
            if objections.iter().all(|o| o.cause == Cause::Unsupported) {
                objections.extend(others.into_iter().filter(|o| o.cause == Cause::InvalidCall));
            }
        }
        chosen.unwrap_or_else(|| {
            let error = verdict(&vendor, Vec::new(), objections);
            Chosen { order, vendor, fallbacks: Vec::new(), redials: false, error }
        })
    }
}

struct Chosen {
    order: Order,
    vendor: String,
    fallbacks: Vec<Fallback>,
    redials: bool,
    error: Option<CallError>,
}

impl Chosen {
    fn of(order: Order, account: &Account) -> Self {
        let (vendor, redials) = (account.name().to_owned(), redials(account, &order));
        Self { order, vendor, fallbacks: Vec::new(), redials, error: None }
    }

    fn wrong(order: Order, vendor: String, error: CallError) -> Self {
        Self { order, vendor, fallbacks: Vec::new(), redials: false, error: Some(error) }
    }

    fn into_call(
        self,
        request_id: &RequestId,
        position: u32,
        route: &Route,
        now: Timestamp,
    ) -> Call {
        let expired = self.order.expire_time.is_some_and(|end| end <= now);
        let state = match (&self.error, expired) {
            (Some(_), _) => CallState::Failed,
            (None, true) => CallState::Expired,
            (None, false) => CallState::Scheduled,
        };
        Call {
            id: CallId::generate(),
            request_id: request_id.clone(),
            position,
            order: Arc::new(self.order),
            route: route.name.clone(),
            vendor: self.vendor,
            vendor_call_id: None,
            vendor_request_id: None,
            failovers: Vec::new(),
            fallbacks: if state.is_final() { Vec::new() } else { self.fallbacks },
            state,
            error: self.error,
            attempts: Vec::new(),
            vendor_data: serde_json::Map::new(),
            create_time: now,
            update_time: now,
            end_time: state.is_final().then_some(now),
            asked_time: None,
            due: None,
            held_until: None,
            holds: 0,
            dispatch_time: None,
            handed_over: false,
            redials: self.redials && !state.is_final(),
            dials: Vec::new(),
            revision: 1,
        }
    }
}

/// Who does not dial again by itself has it done by the gateway.
fn redials(account: &Account, order: &Order) -> bool {
    !account.adapter().capabilities().retries && order.retry.is_some_and(Retry::is_wanted)
}

/// The order as this vendor would get it, and what speaks against that.
fn fit(account: &Account, route: &Route, asked: &Order, now: Timestamp) -> (Order, Vec<Objection>) {
    let adapter = account.adapter();
    let can = adapter.capabilities();
    let mut order = asked.clone();
    if order.caller_id.is_none() && can.caller_id {
        order.caller_id.clone_from(&route.caller_id);
    }
    if order.script.is_none() {
        order.script.clone_from(&route.script);
    }
    // "Past means now": a vendor need not hear of it.
    order.start_time = order.start_time.filter(|start| *start > now);
    let objections = adapter.check(&order);
    (order, objections)
}

fn verdict(
    vendor: &str,
    violations: Vec<Violation>,
    objections: Vec<Objection>,
) -> Option<CallError> {
    let wrong = |o: &Objection| o.cause == Cause::InvalidCall;
    if violations.is_empty() && objections.is_empty() {
        return None;
    }
    // A mistake comes before an inability: it has to be mended for any vendor.
    let (cause, reason, violations) = if !violations.is_empty() || objections.iter().any(wrong) {
        let mut all = violations;
        for objection in objections.into_iter().filter(wrong) {
            // An empty list is no news of a number that could not be read.
            if !all.iter().any(|v| v.field.starts_with(&objection.violation.field)) {
                all.push(objection.violation);
            }
        }
        (Cause::InvalidCall, "INVALID_CALL", all)
    } else {
        let all = objections.into_iter().map(|o| o.violation).collect();
        (Cause::Unsupported, "UNSUPPORTED_BY_VENDOR", all)
    };
    let message = violations.first().map_or_else(String::new, |first: &Violation| {
        let more = match violations.len() - 1 {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        match cause {
            Cause::Unsupported => {
                format!("{vendor} can't do this: {}: {}{more}", first.field, first.description)
            }
            _ => format!("{}: {}{more}", first.field, first.description),
        }
    });
    Some(CallError { violations, ..CallError::new(cause, reason, message) })
}

/// Of a call that is not recorded yet.
pub(super) fn refuse(call: &mut Call, error: CallError, now: Timestamp) {
    call.state = CallState::Failed;
    call.held_until = None;
    call.redials = false;
    call.fallbacks = Vec::new();
    call.end_time = Some(now);
    call.error = Some(error);
}

fn refuse_all_if_one_is_wrong(calls: &mut [Call], now: Timestamp) {
    let Some(wrong) = calls.iter().find(|call| call.error.is_some()).map(|call| call.position)
    else {
        return;
    };
    for call in calls.iter_mut().filter(|call| call.error.is_none()) {
        let message = format!(
            "not placed, because calls[{wrong}] is wrong and the request is all_or_nothing"
        );
        refuse(call, CallError::new(Cause::Aborted, "ALL_OR_NOTHING", message), now);
    }
}
