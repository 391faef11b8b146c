//! `dialplane vendors`: the configured vendors and routes, and how they are.

use clap::Args;

use super::{How, Out, to_the_second};
use crate::{
    cli::{
        client::{Failed, brief, plain},
        table,
    },
    proto::{
        BreakerState, ListVendorsRequest, ListVendorsResponse, OutsideWindow, Route, ScheduledBy,
        Vendor, route::Script,
    },
};

/// How they are shown.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    how: How,
}

pub(in crate::cli) async fn run(Arguments { how }: &Arguments) -> Result<u8, Failed> {
    let mut client = how.client().await?;
    let answer =
        how.ask(ListVendorsRequest {}, async |request| client.list_vendors(request).await).await?;
    let mut out = how.out();
    match out.is_json() {
        true => objects(&mut out, answer),
        false => tables(&answer).iter().for_each(crate::cli::say),
    }
    Ok(0)
}

/// Each vendor and each route as a list that has nothing else, so that what a line is of can be
/// told by its only field.
fn objects(out: &mut Out, answer: ListVendorsResponse) {
    let ListVendorsResponse { vendors, routes } = answer;
    let vendors = vendors
        .into_iter()
        .map(|vendor| ListVendorsResponse { vendors: vec![vendor], routes: Vec::new() });
    let routes = routes
        .into_iter()
        .map(|route| ListVendorsResponse { vendors: Vec::new(), routes: vec![route] });
    for one in vendors.chain(routes) {
        let _ = out.show(&one, "", |_| String::new());
    }
}

fn tables(answer: &ListVendorsResponse) -> Vec<String> {
    let heading = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut vendors: Vec<Vec<String>> =
        vec![heading(&["VENDOR", "KIND", "ORDERS", "PACE LEFT", "UNDER WAY", "LAST ERROR"])];
    vendors.extend(answer.vendors.iter().map(vendor));
    let mut routes: Vec<Vec<String>> = vec![heading(&[
        "ROUTE",
        "VENDORS",
        "SCRIPT",
        "CALLER ID",
        "QUEUE",
        "SCHEDULED BY",
        "HOURS",
    ])];
    routes.extend(answer.routes.iter().map(route));
    let mut lines = table::columns(&vendors);
    lines.push(String::new());
    lines.extend(table::columns(&routes));
    lines
}

/// What is empty, so that columns can be told apart by their words.
fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { plain(text) }
}

fn vendor(vendor: &Vendor) -> Vec<String> {
    let health = vendor.health.clone().unwrap_or_default();
    let orders = match health.breaker() {
        BreakerState::Unspecified | BreakerState::Closed => "open",
        BreakerState::Open => "held back",
        BreakerState::HalfOpen => "one to try",
    };
    let pace = health.pace_left.map_or_else(|| "no limit".to_owned(), |left| left.to_string());
    let error = health.last_error.as_ref().map(|error| {
        let when = health.last_error_time.as_ref().map(to_the_second).unwrap_or_default();
        format!("{when} {}", brief(error))
    });
    vec![
        or_dash(&vendor.name),
        or_dash(&vendor.kind),
        orders.to_owned(),
        pace,
        health.in_flight.to_string(),
        or_dash(&error.unwrap_or_default()),
    ]
}

fn route(route: &Route) -> Vec<String> {
    let script = match &route.script {
        Some(Script::Flow(id)) => format!("flow {id}"),
        Some(Script::Audio(id)) => format!("audio {id}"),
        None => String::new(),
    };
    let hours = route.window.as_ref().map(|window| {
        let outside = match route.outside_window() {
            OutsideWindow::Refuse => "else refused",
            OutsideWindow::Wait | OutsideWindow::Unspecified => "else waits",
        };
        let days = window.days.join(" ");
        format!("{}-{} {days} {}, {outside}", window.from, window.to, window.zone)
    });
    let by = match route.scheduled_by() {
        ScheduledBy::Vendor => "vendor",
        ScheduledBy::Gateway | ScheduledBy::Unspecified => "gateway",
    };
    vec![
        or_dash(&route.name),
        or_dash(&route.vendors.join(", ")),
        or_dash(&script),
        or_dash(&route.caller_id),
        if route.queue { "yes" } else { "no" }.to_owned(),
        by.to_owned(),
        or_dash(&hours.unwrap_or_else(|| "any time".to_owned())),
    ]
}
