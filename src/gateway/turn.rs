//! Whether a call may go to its vendor now: its time, its route's calling window, and the time
//! at which it must not be dialled any more. Looked at when it is created, when it gets its
//! turn, and once more right before it is sent.

use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use super::{Configured, Gateway, account::Account, prepare::refuse, settle::later};
use crate::{
    call::{Call, CallError, CallState, Cause, Observation, Opening, Order, Resource, Violation},
    config::{OutsideWindow, Route, Schedule},
};

/// How long a call is held each time whose route is not configured any more.
const UNTIL_ROUTE_IS_BACK: Duration = Duration::from_secs(15 * 60);

/// When a call may be handed over.
#[derive(Debug)]
pub(super) enum Turn {
    /// Now.
    Now,
    /// Not before its start time.
    At(Timestamp),
    /// Not before its route's calling window opens.
    Opens(Timestamp),
    /// Not at all.
    Never(Box<CallError>),
}

impl Gateway {
    /// What becomes of a call that must not be handed over now; none of one that may.
    pub(super) fn not_now(
        &self,
        account: &Account,
        call: &Call,
        now: Timestamp,
    ) -> Option<Observation> {
        let expires = call.order.expire_time.unwrap_or(Timestamp::MAX);
        if expires <= now {
            return Some(Observation::Expired);
        }
        let turn = match self.configured().route(&call.route) {
            Some(route) => turn(account, route, &call.order, now),
            // When it may be used is not known any more: nobody is called by mistake, and the
            // route may be back with the next start.
            None => Turn::At(later(now, UNTIL_ROUTE_IS_BACK)),
        };
        match turn {
            Turn::Now => None,
            // It expires on time, though its turn never comes.
            Turn::At(until) | Turn::Opens(until) => {
                let until = until.min(expires);
                Some(Observation::Held { until, holds: call.holds })
            }
            Turn::Never(error) => Some(Observation::Failed(*error)),
        }
    }
}

impl Configured {
    /// Of a call that is not recorded yet: it waits until it may be handed over, or is refused.
    pub(super) fn hold_until_its_turn(&self, call: &mut Call, route: &Route, now: Timestamp) {
        if call.state != CallState::Scheduled {
            return;
        }
        let Some(account) = self.account(&call.vendor) else { return };
        match turn(account, route, &call.order, now) {
            Turn::Now => {}
            Turn::Opens(until) if call.order.expire_time.is_some_and(|end| end <= until) => {
                let why = format!("does not open before the call's expire_time, but at {until}");
                refuse(call, outside(route, "OUTSIDE_CALLING_WINDOW", &why), now);
            }
            Turn::At(until) | Turn::Opens(until) => call.held_until = Some(until),
            Turn::Never(error) => refuse(call, *error, now),
        }
    }
}

/// When an order that has not expired may be handed over.
fn turn(account: &Account, route: &Route, order: &Order, now: Timestamp) -> Turn {
    let start = order.start_time.filter(|start| *start > now);
    let vendor_waits =
        route.schedule == Schedule::Vendor && account.adapter().capabilities().schedules;
    let dialed_at = start.unwrap_or(now);
    let opening = route.window.as_ref().map(|window| window.look(&order.to, dialed_at));
    match opening.unwrap_or(Opening::Open) {
        Opening::Open if start.is_none() || vendor_waits => Turn::Now,
        Opening::Open => Turn::At(to_the_millisecond(dialed_at)),
        Opening::At(open) if route.outside_window == OutsideWindow::Wait => Turn::Opens(open),
        Opening::At(open) => {
            let error = outside(route, "OUTSIDE_CALLING_WINDOW", &format!("opens at {open}"));
            let wait = Duration::try_from(open.duration_since(now)).ok();
            Turn::Never(Box::new(CallError { retry_after: wait, ..error }))
        }
        Opening::Never => Turn::Never(Box::new(outside(
            route,
            "NEVER_IN_CALLING_WINDOW",
            "is at no moment open in all the time zones where these numbers may be",
        ))),
        Opening::UnknownZone { number } => {
            let violation = Violation::new(
                format!("to[{number}]"),
                "is in a time zone that can't be told; expected a number of a country or region",
            );
            let why = format!("is by the callee's clock, and to[{number}] does not tell its zone");
            let error = outside(route, "CALLEE_ZONE_UNKNOWN", &why);
            Turn::Never(Box::new(CallError { violations: vec![violation], ..error }))
        }
    }
}

/// A route's calling window lets nobody be called.
fn outside(route: &Route, reason: &'static str, why: &str) -> CallError {
    let resource = Resource { kind: "route".into(), name: route.name.clone() };
    let message = format!("the calling window of route {} {why}", route.name);
    CallError { resource: Some(resource), ..CallError::new(Cause::NotNow, reason, message) }
}

/// As it is kept: rounded up.
pub(super) fn to_the_millisecond(time: Timestamp) -> Timestamp {
    let up = TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Ceil);
    time.round(up).unwrap_or(time)
}
