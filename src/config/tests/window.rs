//! Calling windows, and who holds a call until its start time.

use super::{mistakes, parse, with};
use crate::{
    call::{Days, Window, WindowZone, time_zone},
    config::{OutsideWindow, Route, Schedule},
};

fn route(lines: &str) -> Route {
    parse(&with("", "", lines)).unwrap().routes["r"].clone()
}

/// The only mistake of a route with these lines, which start at line 9.
fn mistake(lines: &str) -> String {
    let found = mistakes(&with("", "", lines));
    assert_eq!(found.len(), 1, "{lines}: {found:#?}");
    found[0].clone()
}

#[test]
fn a_window_says_when() {
    use jiff::civil::Weekday::{Monday, Sunday};
    let expected = |from: &str, to: &str, days: Days, zone: WindowZone| {
        Some(Window::new(from.parse().unwrap(), to.parse().unwrap(), days, zone).unwrap())
    };
    let kolkata = WindowZone::Fixed(time_zone("Asia/Kolkata").unwrap());
    let found = route("window = { from = \"09:00\", to = \"21:00\", zone = \"Asia/Kolkata\" }");
    assert_eq!(found.window, expected("09:00", "21:00", Days::ALL, kolkata));
    assert_eq!(found.outside_window, OutsideWindow::Wait);

    let text = "[routes.r.window]\nfrom = \"22:00\"\nto = \"24:00\"\nzone = \"callee\"\n\
                days = [\"MON\", \"sunday\"]";
    let found = route(&format!("outside_window = \"refuse\"\n{text}"));
    let days = [Monday, Sunday].into_iter().collect();
    assert_eq!(found.window, expected("22:00", "24:00", days, WindowZone::Callee));
    assert_eq!(found.outside_window, OutsideWindow::Refuse);

    let names = ["Tuesday", "wed", "Wednesday", "THURSDAY", "fri", "Sat", "friday"];
    for name in names {
        let day = format!("days = [{name:?}], from = \"09:00\", to = \"02:00\", zone = \"UTC\"");
        assert!(route(&format!("window = {{ {day} }}")).window.is_some(), "{name}");
    }
}

#[test]
fn without_a_window_people_may_be_called_at_any_time() {
    let route = route("");
    assert_eq!(route.window, None);
    assert_eq!(route.outside_window, OutsideWindow::Wait);
    assert_eq!(route.schedule, Schedule::Gateway);
}

#[test]
fn the_gateway_or_the_vendor_schedules() {
    assert_eq!(route("schedule = \"gateway\"").schedule, Schedule::Gateway);
    assert_eq!(route("schedule = \"vendor\"").schedule, Schedule::Vendor);
    let on = |vendors: &str, schedule: &str| {
        mistakes(&format!(
            "[vendors.f]\nkind = \"flows\"\ntoken = \"t\"\n[vendors.a]\nkind = \"audio\"\ntoken = \"t\"\n\
             [routes.r]\nvendors = {vendors}\nschedule = {schedule:?}"
        ))
    };
    assert_eq!(on("[\"a\", \"f\"]", "vendor"), [""; 0]);
    assert_eq!(on("[\"a\"]", "gateway"), [""; 0]);
    assert_eq!(
        on("[\"a\"]", "vendor"),
        [
            "9 routes.r.schedule: none of the route's vendors schedules by itself; expected \"gateway\""
        ]
    );
    assert_eq!(
        mistake("schedule = \"phonon\""),
        "9 routes.r.schedule: is \"phonon\"; expected one of \"gateway\", \"vendor\""
    );
}

#[test]
fn each_mistake_of_a_window_is_told_with_what_would_be_right() {
    const TIME: &str =
        "expected a time of day from \"00:00\" to \"24:00\", two digits each, such as \"09:00\"";
    let good = "from = \"09:00\", to = \"21:00\", zone = \"UTC\"";
    let cases = [
        (good.replace("09:00", "9:00"), format!("from: is \"9:00\"; {TIME}")),
        (good.replace("21:00", "25:00"), format!("to: is \"25:00\"; {TIME}")),
        (
            good.replace("\"21:00\"", "21"),
            "to: is an integer; expected a string, in quotes".to_owned(),
        ),
        (good.replace("\"21:00\"", "21:00:00"), "to: is a datetime; expected a string".to_owned()),
        (
            good.replace("09:00", ""),
            "from: is empty; expected a time of day such as \"09:00\"".to_owned(),
        ),
        (
            good.replace("from = \"09:00\", ", ""),
            "from: is missing; expected a time of day such as \"09:00\"".to_owned(),
        ),
        (
            good.replace("21:00", "09:00"),
            "to: is the same as from; expected another time (whole days are from 00:00 to 24:00)"
                .to_owned(),
        ),
        (
            good.replace("09:00", "24:00"),
            "from: is the end of a day; expected 00:00 for its beginning".to_owned(),
        ),
        (
            good.replace(", zone = \"UTC\"", ""),
            "zone: is missing; expected an IANA name such as \"Asia/Kolkata\", or \"callee\""
                .to_owned(),
        ),
        (
            format!("{good}, days = []"),
            "days: names no day; expected some, or leave it out for every day".to_owned(),
        ),
        (
            format!("{good}, days = [\"mon\", \"Monday\"]"),
            "days: names \"Monday\" again; expected each day once".to_owned(),
        ),
        (
            format!("{good}, days = [\"mon\", \"mo\"]"),
            "days: there is no day \"mo\"; expected some of \"mon\", \"tue\", \"wed\", \"thu\", \
             \"fri\", \"sat\", \"sun\""
                .to_owned(),
        ),
        (
            format!("{good}, days = \"mon\""),
            "days: is a string; expected a list of strings; did you mean [\"mon\"]?".to_owned(),
        ),
        (
            format!("{good}, day = [\"mon\"]"),
            "day: is not a key here; did you mean days?".to_owned(),
        ),
    ];
    for (keys, expected) in cases {
        let found = mistake(&format!("window = {{ {keys} }}"));
        assert_eq!(found, format!("9 routes.r.window.{expected}"), "{keys}");
    }
    assert_eq!(mistake("window = \"09:00\""), "9 routes.r.window: is a string; expected a table");
    assert_eq!(
        mistake("outside_window = \"wait\""),
        "9 routes.r.outside_window: is there without a window; expected one, or leave it out"
    );
    assert_eq!(
        mistake(&format!("outside_window = \"hold\"\nwindow = {{ {good} }}")),
        "9 routes.r.outside_window: is \"hold\"; expected one of \"wait\", \"refuse\""
    );
}

#[test]
fn all_mistakes_of_a_window_are_told_on_their_lines() {
    let text = "[routes.r.window]\nfrom = \"24:00\"\nto = \"24:00\"\n\
                days = [\n  \"mon\",\n  \"caturday\",\n]\nzone = \"Asia/Kolkatta\"\nuntil = 1";
    assert_eq!(
        mistakes(&with("", "", text)),
        [
            "10 routes.r.window.from: is the end of a day; expected 00:00 for its beginning",
            "14 routes.r.window.days: there is no day \"caturday\"; expected some of \"mon\", \
             \"tue\", \"wed\", \"thu\", \"fri\", \"sat\", \"sun\"",
            "16 routes.r.window.zone: there is no time zone \"Asia/Kolkatta\"; did you mean \
             \"Asia/Kolkata\"?",
            "17 routes.r.window.until: is not a key here; known are days, from, to, zone",
        ]
    );
}

#[test]
fn the_zone_that_was_meant_is_named_if_it_is_clear() {
    let cases = [
        ("Kolkata", Some("Asia/Kolkata")),
        ("New York", Some("America/New_York")),
        ("Europe/New_York", Some("America/New_York")),
        ("Europe/Berln", Some("Europe/Berlin")),
        ("asia / kolkata", Some("Asia/Kolkata")),
        ("Calle", Some("callee")),
        ("Callee", Some("callee")),
        ("Asia/Bangalore", None),
        ("IST", None),
        ("+05:30", None),
        ("Mars/Olympus", None),
        ("Etc/Unknown", None),
    ];
    for (text, meant) in cases {
        let window = format!("{{ from = \"09:00\", to = \"21:00\", zone = {text:?} }}");
        let expected = match meant {
            Some(name) => format!("did you mean {name:?}?"),
            None => "expected an IANA name such as \"Asia/Kolkata\", or \"callee\"".to_owned(),
        };
        assert_eq!(
            mistake(&format!("window = {window}")),
            format!("9 routes.r.window.zone: there is no time zone {text:?}; {expected}")
        );
    }
}
