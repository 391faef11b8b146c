//! ListVendors.

use super::{CallApi, render, status};
use crate::{
    call::{Script, Window},
    config::{self, Schedule},
    gateway::{self, Account, Scope},
    proto::{
        BreakerState, CallingWindow, Capabilities, Limits, ListVendorsResponse, OutsideWindow,
        Route, ScheduledBy, Vendor, VendorHealth, route,
    },
};

impl CallApi {
    /// What somebody may use.
    pub(super) fn vendors(&self, scope: &Scope) -> ListVendorsResponse {
        let configured = self.gateway.configured();
        let routes: Vec<_> = configured.routes().filter(|r| scope.has(&r.name)).collect();
        let is_of_these = |account: &&Account| {
            scope.is_all() || routes.iter().any(|r| r.vendors.iter().any(|v| v == account.name()))
        };
        ListVendorsResponse {
            vendors: configured.accounts().filter(is_of_these).map(vendor).collect(),
            routes: routes.into_iter().map(route).collect(),
        }
    }
}

fn vendor(account: &Account) -> Vendor {
    let adapter = account.adapter();
    let can = adapter.capabilities();
    let rate = account.rate();
    let health = account.health();
    let subject = status::Subject { vendor: account.name(), prefix: "", request_id: None };
    let (last_error, last_error_time) = health.last_error.unzip();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Vendor {
        name: account.name().to_owned(),
        kind: adapter.kind().to_owned(),
        domain: adapter.domain().to_owned(),
        capabilities: Some(Capabilities {
            flows: can.flows,
            audio: can.audio,
            schedules: can.schedules,
            retries: can.retries,
            caller_id: can.caller_id,
            pull_results: can.pull_results,
            push_results: can.push_results,
            cancels: can.cancels,
            max_numbers_per_call: count(can.max_numbers),
            max_calls_per_exchange: count(can.max_batch),
        }),
        limits: Some(Limits {
            rate_calls: rate.calls.unwrap_or_default(),
            rate_requests: rate.requests.unwrap_or_default(),
            rate_window: rate.per.try_into().ok(),
            max_in_flight: account.max_in_flight(),
        }),
        health: Some(VendorHealth {
            breaker: breaker(account.breaker()).into(),
            last_error: last_error.map(|error| status::render(&error, subject)),
            last_error_time: last_error_time.map(render::timestamp),
            last_success_time: health.last_success.map(render::timestamp),
            in_flight: account.in_flight(),
            pace_left: account.pace_left().map(|left| u32::try_from(left).unwrap_or(u32::MAX)),
            waiting_calls: count(account.waiting_calls()),
            rest: account.rest().and_then(|rest| rest.try_into().ok()),
        }),
    }
}

fn breaker(state: Option<gateway::BreakerState>) -> BreakerState {
    match state {
        None => BreakerState::Unspecified,
        Some(gateway::BreakerState::Closed) => BreakerState::Closed,
        Some(gateway::BreakerState::Open) => BreakerState::Open,
        Some(gateway::BreakerState::HalfOpen) => BreakerState::HalfOpen,
    }
}

fn route(route: &config::Route) -> Route {
    let outside_window = match (&route.window, route.outside_window) {
        (None, _) => OutsideWindow::Unspecified,
        (Some(_), config::OutsideWindow::Wait) => OutsideWindow::Wait,
        (Some(_), config::OutsideWindow::Refuse) => OutsideWindow::Refuse,
    };
    let scheduled_by = match route.schedule {
        Schedule::Gateway => ScheduledBy::Gateway,
        Schedule::Vendor => ScheduledBy::Vendor,
    };
    Route {
        name: route.name.clone(),
        vendors: route.vendors.clone(),
        caller_id: route.caller_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        script: route.script.as_ref().map(|script| match script {
            Script::Flow(id) => route::Script::Flow(id.clone()),
            Script::Audio(audio) => route::Script::Audio(audio.clone()),
        }),
        window: route.window.as_ref().map(window),
        outside_window: outside_window.into(),
        scheduled_by: scheduled_by.into(),
        queue: route.queue,
    }
}

/// In the words of the configuration.
fn window(window: &Window) -> CallingWindow {
    CallingWindow {
        from: window.from().to_string(),
        to: window.to().to_string(),
        days: window.days().names().map(str::to_owned).collect(),
        zone: window.zone().to_string(),
    }
}
