//! `[routes.NAME] window`: when people may be called.

use jiff::civil::Weekday;

use super::{Section, nearest::distance};
use crate::call::{
    Days, MinuteOfDay, NoMinuteOfDay, Window, WindowError, WindowZone, time_zone, time_zone_names,
};

const CALLEE: &str = "callee";

const EXPECTED_ZONE: &str = "an IANA name such as \"Asia/Kolkata\", or \"callee\"";

/// Reads a window. Gives nothing when there was a mistake, which is noted then.
pub(super) fn read(mut section: Section<'_>) -> Option<Window> {
    let from = time(&mut section, "from");
    let to = time(&mut section, "to");
    let days = days(&mut section);
    let zone = zone(&mut section);
    // Times and days are right or wrong wherever they are.
    let window = from.zip(to).and_then(|(from, to)| {
        let days = days.unwrap_or(Days::ALL);
        Window::new(from, to, days, zone.clone().unwrap_or(WindowZone::Callee))
            .inspect_err(|error| note(&section, *error))
            .ok()
    });
    section.finish();
    days.and(zone).and(window)
}

fn note(section: &Section<'_>, error: WindowError) {
    let key = match error {
        WindowError::Same => "to",
        WindowError::FromEnd => "from",
        WindowError::NoDays => "days",
    };
    section.problem(key, error.to_string());
}

fn time(section: &mut Section<'_>, key: &'static str) -> Option<MinuteOfDay> {
    let text = section.required_string(key, "a time of day such as \"09:00\"")?;
    match text.parse() {
        Ok(time) => Some(time),
        Err(error @ NoMinuteOfDay) => {
            section.problem(key, format!("is {text:?}; {error}"));
            None
        }
    }
}

fn days(section: &mut Section<'_>) -> Option<Days> {
    const KEY: &str = "days";
    let absent = !section.has(KEY);
    let Some(found) = section.strings_at(KEY) else { return absent.then_some(Days::ALL) };
    let mut days: Vec<Weekday> = Vec::with_capacity(found.len());
    let mut right = !found.is_empty();
    if found.is_empty() {
        section.problem(KEY, WindowError::NoDays.to_string());
    }
    for (text, at) in found {
        match weekday(&text) {
            Some(day) if days.contains(&day) => {
                let message = format!("names {text:?} again; expected each day once");
                section.problem_at(at, KEY, message);
                right = false;
            }
            Some(day) => days.push(day),
            None => {
                let message = format!(
                    "there is no day {text:?}; expected some of \"mon\", \"tue\", \"wed\", \
                     \"thu\", \"fri\", \"sat\", \"sun\""
                );
                section.problem_at(at, KEY, message);
                right = false;
            }
        }
    }
    right.then(|| days.into_iter().collect())
}

fn weekday(text: &str) -> Option<Weekday> {
    let day = match text.to_ascii_lowercase().as_str() {
        "mon" | "monday" => Weekday::Monday,
        "tue" | "tuesday" => Weekday::Tuesday,
        "wed" | "wednesday" => Weekday::Wednesday,
        "thu" | "thursday" => Weekday::Thursday,
        "fri" | "friday" => Weekday::Friday,
        "sat" | "saturday" => Weekday::Saturday,
        "sun" | "sunday" => Weekday::Sunday,
        _ => return None,
    };
    Some(day)
}

fn zone(section: &mut Section<'_>) -> Option<WindowZone> {
    const KEY: &str = "zone";
    let text = section.required_string(KEY, EXPECTED_ZONE)?;
    if text == CALLEE {
        return Some(WindowZone::Callee);
    }
    let zone = time_zone(&text);
    if zone.is_none() {
        let message = match meant(&text) {
            Some(name) => format!("there is no time zone {text:?}; did you mean {name:?}?"),
            None => format!("there is no time zone {text:?}; expected {EXPECTED_ZONE}"),
        };
        section.problem(KEY, message);
    }
    zone.map(WindowZone::Fixed)
}

/// The zone that was meant: its city stands alone or in another region, or a letter or two
/// are wrong. Others that look alike may be half the world away.
fn meant(text: &str) -> Option<String> {
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let plain = |text: &str| text.trim().replace(' ', "_").to_ascii_lowercase();
    let text = plain(text);
    if text.len() < 4 {
        return None;
    }
    let names = time_zone_names().into_iter().chain([CALLEE.to_owned()]);
    names
        .filter_map(|name| {
            let known = plain(&name);
            let steps = if city(&known) == city(&text) { 1 } else { distance(&text, &known) };
            let near = steps <= (text.len() / 4).min(2);
            near.then_some((steps, name.len(), name))
        })
        .min()
        .map(|(_, _, name)| name)
}
