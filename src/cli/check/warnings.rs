//! What is allowed, and probably not meant.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::{Warning, listed};
use crate::{
    call::{Cause, Order},
    config::{Config, Listen, Origin, Origins, Route, VendorConfig, show_duration},
    vendors::Objection,
};

fn warning(key: impl Into<String>, message: impl Into<String>) -> Warning {
    Warning { key: key.into(), message: message.into() }
}

/// All of them.
pub(super) fn warnings(config: &Config, origins: &Origins, file: &Path) -> Vec<Warning> {
    let mut all = callback_warnings(config);
    all.extend(config.vendors.values().flat_map(|vendor| of_vendor(config, vendor)));
    all.extend(config.routes.values().flat_map(|route| of_route(config, route)));
    all.extend(of_listeners(config));
    all.extend(of_ledger(config));
    all.extend(of_secrets(origins, file));
    all
}

/// What is configured of callbacks and comes to nothing.
pub(in crate::cli) fn callback_warnings(config: &Config) -> Vec<Warning> {
    let told = |vendor: &&VendorConfig| vendor.adapter.callback().is_some();
    let mut told = config.vendors.values().filter(told).peekable();
    match config.server.callbacks {
        Some(address) if told.peek().is_none() => vec![warning(
            "server.callbacks",
            format!(
                "is {address}, and no vendor was told how it proves who it is: nothing that is \
                 posted there is taken"
            ),
        )],
        Some(_) => Vec::new(),
        None => told
            .map(|vendor| {
                warning(
                    format!("vendors.{}", vendor.name),
                    "can post results, and server.callbacks is not set: nobody listens to it",
                )
            })
            .collect(),
    }
}

fn of_vendor(config: &Config, vendor: &VendorConfig) -> Vec<Warning> {
    let section = format!("vendors.{}", vendor.name);
    let mut found = Vec::new();
    if !config.routes.values().any(|route| route.vendors.contains(&vendor.name)) {
        found.push(warning(&section, "is in no route: it gets no calls"));
    }
    let can = vendor.adapter.capabilities();
    let callback = vendor.adapter.callback();
    let is_heard = callback.is_some() && config.server.callbacks.is_some();
    if !can.pull_results && !is_heard {
        found.push(warning(
            &section,
            format!(
                "posts nothing that is taken, and can't be asked: nothing tells what becomes of its \
                 calls, and each is UNKNOWN after {}",
                show_duration(vendor.give_up_after)
            ),
        ));
    }
    if let Some(name) = callback.and_then(|callback| callback.posts_to())
        && name != vendor.name
    {
        found.push(warning(
            format!("{section}.result_destination"),
            format!(
                "leads to /callbacks/{name}/..., and this gateway takes its posts at \
                 /callbacks/{}/...",
                vendor.name
            ),
        ));
    }
    let give_up = show_duration(vendor.give_up_after);
    if can.pull_results && vendor.give_up_after <= vendor.poll_interval {
        found.push(warning(
            format!("{section}.give_up_after"),
            format!(
                "is {give_up}, and poll_interval {}: the vendor is asked about a call only when that \
                 is given up on",
                show_duration(vendor.poll_interval)
            ),
        ));
    }
    if vendor.give_up_after <= vendor.link.timeout {
        found.push(warning(
            format!("{section}.give_up_after"),
            format!(
                "is {give_up}, and timeout {}: a call may be given up on while it is being placed",
                show_duration(vendor.link.timeout)
            ),
        ));
    }
    if let Some(drain) = config.server.drain.filter(|drain| *drain < vendor.link.timeout) {
        found.push(warning(
            "server.drain",
            format!(
                "is {}, and {section} may take {} to answer: a stop may cut exchanges, whose calls are \
                 UNCONFIRMED then",
                show_duration(drain),
                show_duration(vendor.link.timeout)
            ),
        ));
    }
    found
}

/// Vendors that a call of the route can't go to unless it says more than a number.
fn of_route(config: &Config, route: &Route) -> Vec<Warning> {
    let Ok(anybody) = "+12015550123".parse() else { return Vec::new() };
    let mut order = Order {
        client_reference: None,
        to: vec![anybody],
        caller_id: None,
        script: route.script.clone(),
        variables: Default::default(),
        start_time: None,
        expire_time: None,
        recipient: Default::default(),
        locale: None,
        retry: None,
        labels: Default::default(),
    };
    let mut found = Vec::new();
    for name in &route.vendors {
        let Some(vendor) = config.vendors.get(name) else { continue };
        order.caller_id =
            route.caller_id.clone().filter(|_| vendor.adapter.capabilities().caller_id);
        for Objection { cause, violation } in vendor.adapter.check(&order) {
            // Whom it may call is another matter: the number is nobody's.
            if violation.field.starts_with("to") {
                continue;
            }
            let (field, why) = (violation.field, violation.description);
            let told = match cause {
                Cause::Unsupported => {
                    format!("calls that say nothing else pass over {name}: {why}")
                }
                _ => format!("a call that names no {field} can't go to {name}: {field} {why}"),
            };
            found.push(warning(format!("routes.{}", route.name), told));
        }
    }
    found
}

fn of_listeners(config: &Config) -> Vec<Warning> {
    let mut found = Vec::new();
    let Listen::Tcp(address) = &config.server.listen else { return found };
    let is_far = !address.ip().to_canonical().is_loopback();
    let tokens = config.callers.values().filter(|caller| caller.token.is_some());
    let tokens: Vec<_> = tokens.map(|caller| caller.name.as_str()).collect();
    if is_far && config.server.tls.is_none() && !tokens.is_empty() {
        found.push(warning(
            "server.listen",
            format!(
                "is {address}, without tls: the tokens of {} go over the network in the clear unless \
                 something in front of the gateway encrypts them",
                listed(&tokens)
            ),
        ));
    }
    found
}

fn of_ledger(config: &Config) -> Vec<Warning> {
    let key = "ledger.url";
    let path = config.ledger.strip_prefix("sqlite:").unwrap_or_default();
    if path == ":memory:" {
        return vec![warning(
            key,
            "forgets every call and request_id when the gateway stops: a request that is repeated \
             after that dials again",
        )];
    }
    let fleeting = ["/tmp/", "/dev/shm/", "/run/", "/var/run/"];
    let found = fleeting.iter().find(|folder| path.starts_with(**folder));
    let told = |folder: &&str| {
        warning(key, format!("is in {folder}, which is emptied when the machine starts again"))
    };
    found.map(told).into_iter().collect()
}

/// Secrets that everybody on the machine can read.
fn of_secrets(origins: &Origins, file: &Path) -> Vec<Warning> {
    let within = origins.secrets().iter().filter(|(_, origin)| *origin == Origin::Text);
    let keys: Vec<_> = within.map(|(key, _)| key.as_str()).collect();
    let mode = fs::metadata(file).map(|file| file.permissions().mode()).unwrap_or_default();
    match keys.as_slice() {
        [first, ..] if mode & 0o004 != 0 => vec![warning(
            *first,
            format!(
                "{} written in a file that everybody on this machine can read; expected {{ env = \
                 \"NAME\" }} or {{ file = \"path\" }}, or permissions such as 0640",
                match keys.len() {
                    1 => "is".to_owned(),
                    2 => "and another secret are".to_owned(),
                    more => format!("and {} other secrets are", more - 1),
                }
            ),
        )],
        _ => Vec::new(),
    }
}
