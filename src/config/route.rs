//! `[routes.NAME]`: ways to vendors, by names that callers use.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::{OutsideWindow, Route, Schedule, Section, VendorConfig, nearest::nearest, window};
use crate::{call::Script, vendors::Capabilities};

/// The vendors of the file: every name in it, and what could be read of them.
pub(super) struct Vendors<'v> {
    pub(super) declared: BTreeSet<&'v str>,
    pub(super) read: &'v BTreeMap<String, VendorConfig>,
}

/// Reads one route. What is wrong is noted; the route is good only if nothing was.
pub(super) fn read(vendors: &Vendors<'_>, name: &str, mut section: Section<'_>) -> Route {
    super::parse::check_name(&section, name);
    let names = read_vendors(vendors, &mut section);
    let caller_id = section.parsed("caller_id");
    let script = read_script(&mut section);
    let window = section.section("window").and_then(window::read);
    let outside_window = read_outside_window(&mut section);
    let schedule = read_schedule(&mut section);
    let queue = section.boolean("queue").unwrap_or_default();

    if caller_id.is_some() && none_can(vendors, &names, |can| can.caller_id) {
        section.problem(
            "caller_id",
            "none of the route's vendors takes one with a call; leave it out",
        );
    }
    if schedule == Schedule::Vendor && none_can(vendors, &names, |can| can.schedules) {
        section.problem(
            "schedule",
            "none of the route's vendors schedules by itself; expected \"gateway\"",
        );
    }
    match &script {
        Some(Script::Flow(_)) if none_can(vendors, &names, |can| can.flows) => {
            section.problem("flow_id", "none of the route's vendors runs flows; expected audio");
        }
        Some(Script::Audio(_)) if none_can(vendors, &names, |can| can.audio) => {
            section.problem(
                "audio",
                "none of the route's vendors plays audio without a flow; expected flow_id",
            );
        }
        _ => {}
    }
    section.finish();
    Route {
        name: name.to_owned(),
        vendors: names,
        caller_id,
        script,
        window,
        outside_window,
        schedule,
        queue,
    }
}

fn read_outside_window(section: &mut Section<'_>) -> OutsideWindow {
    const KEY: &str = "outside_window";
    let words = [("wait", OutsideWindow::Wait), ("refuse", OutsideWindow::Refuse)];
    let found = section.choice(KEY, &words);
    if section.has(KEY) && !section.has("window") {
        section.problem(KEY, "is there without a window; expected one, or leave it out");
    }
    found.unwrap_or_default()
}

fn read_schedule(section: &mut Section<'_>) -> Schedule {
    let words = [("gateway", Schedule::Gateway), ("vendor", Schedule::Vendor)];
    section.choice("schedule", &words).unwrap_or_default()
}

fn read_vendors(vendors: &Vendors<'_>, section: &mut Section<'_>) -> Vec<String> {
    const KEY: &str = "vendors";
    const EXPECTED: &str = "a list of names of [vendors.NAME] sections, in order of preference";
    if !section.has(KEY) {
        section.missing(KEY, EXPECTED);
    }
    let Some(found) = section.strings_at(KEY) else { return Vec::new() };
    if found.is_empty() {
        section.problem(KEY, format!("is empty; expected {EXPECTED}"));
    }
    let mut names: Vec<String> = Vec::with_capacity(found.len());
    for (name, at) in found {
        if !vendors.declared.contains(name.as_str()) {
            section.problem_at(at, KEY, unknown(&name, &vendors.declared));
        } else if names.contains(&name) {
            section.problem_at(at, KEY, format!("names {name:?} twice; expected each vendor once"));
        }
        names.push(name);
    }
    names
}

fn unknown(name: &str, declared: &BTreeSet<&str>) -> String {
    if let Some(near) = nearest(name, declared) {
        return format!("there is no vendor {name:?}; did you mean {near:?}?");
    }
    if declared.is_empty() {
        return format!("there is no vendor {name:?}; expected a [vendors.{name}] section");
    }
    let known: Vec<_> = declared.iter().map(|name| format!("{name:?}")).collect();
    format!("there is no vendor {name:?}; expected some of {}", known.join(", "))
}

fn read_script(section: &mut Section<'_>) -> Option<Script> {
    let (flow, audio) = (section.string("flow_id"), section.string("audio"));
    if flow.is_some() && audio.is_some() {
        section.problem("audio", "stands beside flow_id; expected one of the two, not both");
    }
    // A vendor's id of a file is any text; an address has to be one that a vendor can
    // fetch.
    if let Some(audio) = &audio
        && audio.contains("://")
        && !Url::parse(audio).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
    {
        section.problem(
            "audio",
            "is no http or https address; expected one, or the vendor's id of the file",
        );
    }
    flow.map(Script::Flow).or(audio.map(Script::Audio))
}

// Says nothing as long as a vendor of the route is not known: its own mistake is told.
fn none_can(vendors: &Vendors<'_>, names: &[String], can: fn(&Capabilities) -> bool) -> bool {
    !names.is_empty()
        && names.iter().all(|name| {
            vendors.read.get(name).is_some_and(|vendor| !can(vendor.adapter.capabilities()))
        })
}
