//! What each vendor is sent, how fast, and how results come.

use std::time::Duration;

use super::{Topic, listeners::secrets};
use crate::config::{Config, Origins, Rate, VendorConfig, show_duration};

/// `[vendors.*]`.
pub(super) fn topics(config: &Config, origins: &Origins) -> Vec<Topic> {
    config.vendors.values().map(|vendor| topic(config, vendor, origins)).collect()
}

fn topic(config: &Config, vendor: &VendorConfig, origins: &Origins) -> Topic {
    let mut topic = Topic::new(format!("vendors.{}", vendor.name));
    let can = vendor.adapter.capabilities();
    let is_given = |key: &str| origins.is_given(&format!("vendors.{}.{key}", vendor.name));
    let kind = vendor.adapter.kind();
    topic.say(match can.max_batch {
        1 => format!("An account with {kind}, which takes one call in each exchange."),
        most => format!("An account with {kind}, which takes up to {most} calls in an exchange."),
    });
    topic.say(pace(vendor, is_given("rate")));
    let in_flight = match vendor.max_in_flight {
        1 => "One exchange is under way at a time".to_owned(),
        most => format!("Up to {most} exchanges are under way at the same time"),
    };
    topic.say(match vendor.max_delay {
        _ if can.max_batch == 1 => format!("{in_flight}."),
        none if none.is_zero() => {
            format!("{in_flight}; calls of several requests never share one.")
        }
        delay => format!(
            "{in_flight}; calls of several requests share one, for which they wait {} at most.",
            show_duration(delay)
        ),
    });
    topic.say(format!(
        "An exchange may take {}, of that {} to connect.{}",
        show_duration(vendor.link.timeout),
        show_duration(vendor.link.connect_timeout),
        match vendor.adapter.duplicate_check() {
            Some(window) => format!(
                " If no answer comes, the same bytes are sent again for up to {}: the vendor tells them from a new order.",
                show_duration(window)
            ),
            None => " If no answer comes, its calls are UNCONFIRMED, and never sent again.".to_owned(),
        }
    ));
    topic.say(match &vendor.breaker {
        Some(breaker) => format!(
            "After {} of its own{} it gets no calls for {}, and {}.",
            match breaker.failures {
                1 => "a failure".to_owned(),
                more => format!("{more} failures"),
            },
            if breaker.failures == 1 { "" } else { " in a row" },
            show_duration(breaker.pause),
            match breaker.longest() {
                longest if longest == breaker.pause => "again as long while it fails on".to_owned(),
                longest =>
                    format!("for longer while it fails on, up to {}", show_duration(longest)),
            }
        ),
        None => "It gets calls however often it fails: its breaker is off.".to_owned(),
    });
    results(config, vendor, &mut topic);
    secrets(&mut topic, origins);
    topic
}

/// In words, and whose limits they are.
fn pace(vendor: &VendorConfig, is_given: bool) -> String {
    let published = vendor.adapter.default_limits();
    let published = Rate {
        calls: published.calls_per_minute,
        requests: published.requests_per_minute,
        per: Duration::from_secs(60),
    };
    let words = match (vendor.rate.calls, vendor.rate.requests) {
        (None, None) => "It is sent calls as fast as they come".to_owned(),
        (calls, requests) => {
            let limits = [(calls, "calls"), (requests, "requests")];
            let limits = limits.map(|(limit, what)| limit.map(|limit| format!("{limit} {what}")));
            let limits: Vec<_> = limits.into_iter().flatten().collect();
            let questions = match requests {
                Some(_) if vendor.adapter.capabilities().pull_results => {
                    ", questions for results among them, which take half of the requests at most"
                }
                _ => "",
            };
            format!(
                "It is sent no more than {} in any {}{questions}",
                limits.join(" and "),
                show_duration(vendor.rate.per),
            )
        }
    };
    let whose = match (is_given, published == vendor.rate) {
        (_, true) if published.calls.is_none() && published.requests.is_none() => {
            "it publishes no limit, and rate sets none".to_owned()
        }
        (_, true) => "the vendor's published limit, read strictly".to_owned(),
        (true, false) => format!("your rate, in place of {published}"),
        (false, false) => "the default".to_owned(),
    };
    format!("{words}: {whose}.")
}

fn results(config: &Config, vendor: &VendorConfig, topic: &mut Topic) {
    let name = &vendor.name;
    match (vendor.adapter.callback(), config.server.callbacks) {
        (None, _) => {
            topic.say("Nothing that it posts is taken: it was not told how it proves who it is.");
        }
        (Some(_), None) => {
            topic.say("It may post results, and nobody listens: server.callbacks is not set.");
        }
        (Some(callback), Some(address)) => {
            let tls = config.server.callbacks_tls.is_some();
            let host =
                if tls { format!("YOUR-HOST:{}", address.port()) } else { "YOUR-HOST".to_owned() };
            let proxy = if tls {
                String::new()
            } else {
                format!(", from where a proxy with TLS passes it on to {address}")
            };
            topic.say(match callback.challenge() {
                None => format!(
                    "Each call tells it where to post results: https://{host}/callbacks/{}/TOKEN, as configured{proxy}. The token proves that it is the vendor.",
                    callback.posts_to().unwrap_or(name)
                ),
                Some(challenge) => {
                    let proof = challenge.split(' ').next().unwrap_or_default();
                    format!(
                        "Have its portal post results to https://{host}/callbacks/{name} with HTTP {proof} authentication, as in callback{proxy}."
                    )
                }
            });
        }
    }
    let (poll, give_up) =
        (show_duration(vendor.poll_interval), show_duration(vendor.give_up_after));
    topic.say(if vendor.adapter.capabilities().pull_results {
        format!(
            "It is asked about each call that is not over, first after {poll}, then after longer and longer pauses, and once more after {give_up}; then the call is UNKNOWN."
        )
    } else {
        format!("It can't be asked about calls: one of which nothing was told is UNKNOWN after {give_up}.")
    });
}
