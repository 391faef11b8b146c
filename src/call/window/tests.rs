//! Windows against the definition, minute by minute, and around changes of clocks.

use jiff::{
    SignedDuration,
    civil::{Time, Weekday},
};
use proptest::prelude::*;

use super::*;
use crate::call::time_zone;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn days(names: &[Weekday]) -> Days {
    if names.is_empty() { Days::ALL } else { names.iter().copied().collect() }
}

fn window(from: &str, to: &str, on: &[Weekday], zone: &str) -> Window {
    let zone = match zone {
        "callee" => WindowZone::Callee,
        name => WindowZone::Fixed(time_zone(name).unwrap()),
    };
    Window::new(from.parse().unwrap(), to.parse().unwrap(), days(on), zone).unwrap()
}

fn numbers(texts: &[&str]) -> Vec<E164> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What the definition says: the clock shows a time in the window on one of its days.
fn by_definition(window: &Window, zone: &TimeZone, at: Timestamp) -> bool {
    let shown = zone.to_datetime(at);
    let minute = |time: Time| i64::from(time.hour()) * 60 + i64::from(time.minute());
    let time = minute(shown.time());
    let (from, to) = (i64::from(window.from.0), i64::from(window.to.0));
    let today = window.days.contains(shown.weekday());
    let yesterday = window.days.contains(shown.weekday().previous());
    if from < to {
        today && from <= time && time < to
    } else {
        (today && from <= time) || (yesterday && time < to)
    }
}

#[test]
fn a_time_of_day_has_four_digits() {
    for text in ["00:00", "09:05", "23:59", "24:00"] {
        assert_eq!(text.parse::<MinuteOfDay>().unwrap().to_string(), text);
    }
    for text in ["9:00", "25:00", "24:01", "12:60", "12", "", "12:0", "+9:00", "09:00:00", "٠٩:٠٠"]
    {
        assert_eq!(text.parse::<MinuteOfDay>(), Err(NoMinuteOfDay), "{text}");
    }
}

#[test]
fn what_says_nothing_is_no_window() {
    let new = |from: &str, to: &str, days: Days| {
        Window::new(from.parse().unwrap(), to.parse().unwrap(), days, WindowZone::Callee)
    };
    assert_eq!(new("09:00", "09:00", Days::ALL), Err(WindowError::Same));
    assert_eq!(new("24:00", "09:00", Days::ALL), Err(WindowError::FromEnd));
    assert_eq!(new("09:00", "21:00", [].into_iter().collect()), Err(WindowError::NoDays));
    assert!(new("00:00", "24:00", Days::ALL).is_ok());
    assert!(new("09:00", "00:00", Days::ALL).is_ok());
}

#[test]
fn it_prints_what_it_says() {
    let all = window("09:00", "21:00", &[], "callee");
    assert_eq!(all.to_string(), "09:00-21:00 every day (callee)");
    let some = window("22:00", "24:00", &[Weekday::Sunday, Weekday::Monday], "Asia/Kolkata");
    assert_eq!(some.to_string(), "22:00-24:00 mon, sun (Asia/Kolkata)");
    assert!(format!("{some:?}").contains("mon, sun"));
}

/// A window, a moment, and what is said of it: "open", or when it opens.
type Case =
    (&'static str, &'static str, &'static [Weekday], &'static str, &'static str, &'static str);

fn check(cases: &[Case]) {
    for (from, to, on, zone, moment, expected) in cases {
        let found = match window(from, to, on, zone).look(&[], at(moment)) {
            Opening::Open => "open".to_owned(),
            Opening::At(opens) => opens.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(found, *expected, "{from}-{to} {on:?} {zone} {moment}");
    }
}

#[test]
fn it_opens_and_closes_by_its_clock() {
    use Weekday::{Friday, Monday};
    const IST: &str = "Asia/Kolkata";
    check(&[
        // 09:00 there is 03:30 in UTC; 2026-11-21 is a Saturday.
        ("09:00", "21:00", &[], IST, "2026-11-21T03:29:59.999Z", "2026-11-21T03:30:00Z"),
        ("09:00", "21:00", &[], IST, "2026-11-21T03:30:00Z", "open"),
        ("09:00", "21:00", &[], IST, "2026-11-21T15:29:59.999999999Z", "open"),
        ("09:00", "21:00", &[], IST, "2026-11-21T15:30:00Z", "2026-11-22T03:30:00Z"),
        ("09:00", "21:00", &[Monday], IST, "2026-11-21T12:00:00Z", "2026-11-23T03:30:00Z"),
        ("09:00", "21:00", &[Monday], IST, "2026-11-23T15:30:00Z", "2026-11-30T03:30:00Z"),
        // Over midnight it belongs to the day on which it begins.
        ("22:00", "02:00", &[Friday], "UTC", "2026-11-20T21:59:59Z", "2026-11-20T22:00:00Z"),
        ("22:00", "02:00", &[Friday], "UTC", "2026-11-21T01:59:59Z", "open"),
        ("22:00", "02:00", &[Friday], "UTC", "2026-11-21T02:00:00Z", "2026-11-27T22:00:00Z"),
        ("22:00", "02:00", &[Friday], "UTC", "2026-11-20T01:00:00Z", "2026-11-20T22:00:00Z"),
        // Until the end of the day.
        ("20:00", "24:00", &[Friday], "UTC", "2026-11-20T23:59:59.9Z", "open"),
        ("20:00", "00:00", &[Friday], "UTC", "2026-11-20T23:59:59.9Z", "open"),
        ("20:00", "24:00", &[Friday], "UTC", "2026-11-21T00:00:00Z", "2026-11-27T20:00:00Z"),
        ("00:00", "24:00", &[], "UTC", "2026-11-21T00:00:00Z", "open"),
        // Before 1970 seconds count backwards.
        ("09:00", "21:00", &[], "UTC", "1969-12-30T08:59:59.5Z", "1969-12-30T09:00:00Z"),
        ("09:00", "21:00", &[], "UTC", "1969-12-30T20:59:59.5Z", "open"),
    ]);
}

#[test]
fn clocks_that_go_forward_leave_times_out() {
    use Weekday::{Friday, Sunday};
    check(&[
        // 2026-03-08 02:00 becomes 03:00 in New York, at 07:00 in UTC.
        ("02:30", "21:00", &[], "America/New_York", "2026-03-08T06:59:59Z", "2026-03-08T07:00:00Z"),
        ("02:15", "02:45", &[], "America/New_York", "2026-03-08T06:00:00Z", "2026-03-09T06:15:00Z"),
        (
            "02:15",
            "02:45",
            &[Sunday],
            "America/New_York",
            "2026-03-01T08:00:00Z",
            "2026-03-15T06:15:00Z",
        ),
        ("09:00", "21:00", &[], "America/New_York", "2026-03-08T03:00:00Z", "2026-03-08T13:00:00Z"),
        ("09:00", "21:00", &[], "America/New_York", "2026-03-07T03:00:00Z", "2026-03-07T14:00:00Z"),
        // 2026-03-29 02:00 becomes 03:00 in Berlin, at 01:00 in UTC.
        ("22:00", "02:30", &[], "Europe/Berlin", "2026-03-29T00:59:59Z", "open"),
        ("22:00", "02:30", &[], "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T20:00:00Z"),
        ("09:00", "21:00", &[], "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T07:00:00Z"),
        // Half an hour: 2026-10-04 02:00 becomes 02:30, at 15:30 in UTC.
        (
            "02:15",
            "02:45",
            &[],
            "Australia/Lord_Howe",
            "2026-10-03T15:29:00Z",
            "2026-10-03T15:30:00Z",
        ),
        (
            "02:00",
            "02:30",
            &[],
            "Australia/Lord_Howe",
            "2026-10-03T15:29:00Z",
            "2026-10-04T15:00:00Z",
        ),
        // Midnight is left out: 2018-11-04 00:00 became 01:00 in Sao Paulo, at 03:00 in UTC.
        (
            "00:00",
            "02:00",
            &[Sunday],
            "America/Sao_Paulo",
            "2018-11-03T12:00:00Z",
            "2018-11-04T03:00:00Z",
        ),
        (
            "23:00",
            "01:00",
            &[],
            "America/Sao_Paulo",
            "2018-11-04T03:00:00Z",
            "2018-11-05T01:00:00Z",
        ),
        ("23:00", "01:30", &[], "America/Sao_Paulo", "2018-11-04T03:29:59Z", "open"),
        // And in Cairo, on Friday 2026-04-24, at 22:00 in UTC.
        (
            "00:00",
            "09:00",
            &[Friday],
            "Africa/Cairo",
            "2026-04-23T12:00:00Z",
            "2026-04-23T22:00:00Z",
        ),
        (
            "00:15",
            "00:45",
            &[Friday],
            "Africa/Cairo",
            "2026-04-23T12:00:00Z",
            "2026-04-30T21:15:00Z",
        ),
        // A whole day was left out: Apia had no Friday 2011-12-30.
        (
            "09:00",
            "21:00",
            &[Friday],
            "Pacific/Apia",
            "2011-12-29T12:00:00Z",
            "2012-01-05T19:00:00Z",
        ),
    ]);
}

#[test]
fn clocks_that_go_back_show_times_twice() {
    use Weekday::Sunday;
    check(&[
        // 2026-11-01 02:00 becomes 01:00 in New York, at 06:00 in UTC.
        ("01:30", "01:45", &[], "America/New_York", "2026-11-01T05:35:00Z", "open"),
        ("01:30", "01:45", &[], "America/New_York", "2026-11-01T05:45:00Z", "2026-11-01T06:30:00Z"),
        ("01:30", "01:45", &[], "America/New_York", "2026-11-01T06:40:00Z", "open"),
        ("01:30", "01:45", &[], "America/New_York", "2026-11-01T06:45:00Z", "2026-11-02T06:30:00Z"),
        ("01:30", "09:00", &[], "America/New_York", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z"),
        ("09:00", "21:00", &[], "America/New_York", "2026-11-01T04:00:00Z", "2026-11-01T14:00:00Z"),
        // 2026-10-25 03:00 becomes 02:00 in Berlin, at 01:00 in UTC.
        ("02:00", "02:30", &[], "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
        ("23:00", "02:30", &[], "Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-25T01:00:00Z"),
        // Half an hour: 2026-04-05 02:00 becomes 01:30, at 15:00 in UTC the day before.
        ("01:45", "02:00", &[], "Australia/Lord_Howe", "2026-04-04T14:50:00Z", "open"),
        (
            "01:45",
            "02:00",
            &[],
            "Australia/Lord_Howe",
            "2026-04-04T15:00:00Z",
            "2026-04-04T15:15:00Z",
        ),
        // Back over midnight: 2018-02-18 00:00 became Saturday 23:00, at 02:00 in UTC.
        ("23:00", "24:00", &[], "America/Sao_Paulo", "2018-02-18T01:59:59Z", "open"),
        ("23:00", "24:00", &[], "America/Sao_Paulo", "2018-02-18T02:00:00Z", "open"),
        (
            "00:00",
            "01:00",
            &[Sunday],
            "America/Sao_Paulo",
            "2018-02-18T02:00:00Z",
            "2018-02-18T03:00:00Z",
        ),
    ]);
}

#[test]
fn nobody_is_called_at_night() {
    let day = window("09:00", "21:00", &[], "callee");
    let look = |texts: &[&str], moment: &str| day.look(&numbers(texts), at(moment));
    let opens = |text: &str| Opening::At(at(text));

    assert_eq!(look(&["+919900000001"], "2026-11-21T03:30:00Z"), Opening::Open);
    assert_eq!(look(&["+919900000001"], "2026-11-21T16:00:00Z"), opens("2026-11-22T03:30:00Z"));
    // An alternate elsewhere: India until 15:30, New York from 14:00 on.
    let both = ["+919900000001", "+12125550100"];
    assert_eq!(look(&both, "2026-11-21T05:00:00Z"), opens("2026-11-21T14:00:00Z"));
    assert_eq!(look(&both, "2026-11-21T15:00:00Z"), Opening::Open);
    assert_eq!(look(&both, "2026-11-21T15:30:00Z"), opens("2026-11-22T14:00:00Z"));
    // A Russian mobile may be in Moscow, where 09:00 is 06:00 in UTC, or on Kamchatka,
    // where 21:00 is 09:00: the metadata's westernmost zone opens at 07:00.
    assert_eq!(look(&["+79123456789"], "2026-11-21T06:30:00Z"), opens("2026-11-21T07:00:00Z"));
    assert_eq!(look(&["+79123456789"], "2026-11-21T09:00:00Z"), opens("2026-11-22T07:00:00Z"));
    // Toll-free: when Sunday begins in Guam, it is Saturday's evening in Newfoundland, for
    // an hour and a half. Office hours have no common moment.
    let anywhere = ["+18005550100"];
    assert_eq!(look(&anywhere, "2026-11-21T12:00:00Z"), opens("2026-11-21T23:00:00Z"));
    assert_eq!(look(&anywhere, "2026-11-22T00:29:59Z"), Opening::Open);
    let office = window("09:00", "18:00", &[], "callee");
    let never = office.look(&numbers(&anywhere), at("2026-11-21T12:00:00Z"));
    assert_eq!(never, Opening::Never);
    assert_eq!(look(&["+80012345678"], "2026-11-21T12:00:00Z"), Opening::UnknownZone { number: 0 });
    let unknown = ["+18005550100", "+919900000001", "+870773111632"];
    assert_eq!(look(&unknown, "2026-11-21T12:00:00Z"), Opening::UnknownZone { number: 2 });
    // One clock for all: numbers don't matter.
    let fixed = window("09:00", "21:00", &[], "Asia/Kolkata");
    assert_eq!(fixed.look(&numbers(&["+80012345678"]), at("2026-11-21T04:00:00Z")), Opening::Open);
}

#[test]
fn days_differ_between_places() {
    // When Monday's 08:00 comes to Los Angeles, it is Monday's evening in Berlin.
    let monday = window("08:00", "18:00", &[Weekday::Monday], "callee");
    let look = |moment: &str| monday.look(&numbers(&["+4930555010", "+13105550100"]), at(moment));
    assert_eq!(look("2026-11-21T12:00:00Z"), Opening::At(at("2026-11-23T16:00:00Z")));
    assert_eq!(look("2026-11-23T16:59:59Z"), Opening::Open);
    assert_eq!(look("2026-11-23T17:00:00Z"), Opening::At(at("2026-11-30T16:00:00Z")));
}

#[test]
fn a_change_of_clocks_may_make_room() {
    // Berlin and New York are 6 hours apart; from 2026-03-08 to 03-29 only 5.
    let narrow = window("15:00", "21:00", &[], "callee");
    let look = |moment: &str| narrow.look(&numbers(&["+4930555010", "+12125550100"]), at(moment));
    assert_eq!(look("2026-02-25T00:00:00Z"), Opening::At(at("2026-03-08T19:00:00Z")));
    assert_eq!(look("2026-03-28T19:59:00Z"), Opening::Open);
    assert_eq!(look("2026-03-28T20:00:00Z"), Opening::Never);
    assert_eq!(look("2026-02-20T00:00:00Z"), Opening::Never);
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for zone in ["UTC", "callee", "Pacific/Apia", "America/New_York"] {
        for (from, to) in [("09:00", "21:00"), ("21:00", "09:00"), ("00:00", "24:00")] {
            for moment in [Timestamp::MIN, Timestamp::MAX] {
                window(from, to, &[], zone).look(&numbers(&["+12125550100"]), moment);
            }
        }
    }
}

/// Zones that change their clocks in one way or another.
const ZONES: [&str; 8] = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Pacific/Apia",
];

/// Moments near a change of clocks as a rule, from 2005 on.
fn moment(zone: &TimeZone, seed: u32, off: i64) -> Timestamp {
    let start =
        at("2005-01-01T00:00:00Z") + SignedDuration::from_secs(i64::from(seed % 400_000_000));
    let near = zone.following(start).next().map_or(start, |change| change.timestamp());
    let near = if seed.is_multiple_of(4) { start } else { near };
    near + SignedDuration::from_millis(off)
}

fn any_window() -> impl Strategy<Value = (MinuteOfDay, MinuteOfDay, Days)> {
    let days = prop_oneof![Just(Days::ALL), (1..128_u8).prop_map(Days)];
    // Around the hours at which clocks are changed as often as not.
    let minute = || prop_oneof![0..1_440_u16, 0..240_u16, (0..24_u16).prop_map(|hour| hour * 60)];
    (minute(), minute(), days)
        .prop_filter("a window", |(from, to, _)| from != to)
        .prop_map(|(from, to, days)| (MinuteOfDay(from), MinuteOfDay(to), days))
}

/// What is said of a moment is what the definition says of each minute up to it.
fn agrees(window: &Window, zones: &[TimeZone], numbers: &[E164], at: Timestamp) {
    let open = |at: Timestamp| zones.iter().all(|zone| by_definition(window, zone, at));
    let found = window.look(numbers, at);
    assert_eq!(found == Opening::Open, open(at), "{window} {at} {found:?}");
    let end = match found {
        Opening::Open => return,
        Opening::At(opens) => {
            assert!(opens > at && open(opens), "{window} {at} {found:?}");
            opens
        }
        Opening::Never => at + SignedDuration::from_secs(AHEAD),
        Opening::UnknownZone { .. } => panic!("{window} {at} {found:?}"),
    };
    let mut minute = at;
    while minute < end {
        assert!(!open(minute), "{window} {at} {found:?}: open at {minute}");
        minute += SignedDuration::from_secs(60);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn one_clock_agrees_with_the_definition(
        (from, to, days) in any_window(),
        zone in prop::sample::select(&ZONES[..]),
        seed in any::<u32>(),
        off in -200_000_000..200_000_000_i64,
    ) {
        let zone = time_zone(zone).unwrap();
        let at = moment(&zone, seed, off);
        let window = Window::new(from, to, days, WindowZone::Fixed(zone.clone())).unwrap();
        prop_assert!(window.look(&[], at) != Opening::Never);
        agrees(&window, &[zone], &[], at);
    }

    #[test]
    fn many_clocks_agree_with_the_definition(
        (from, to, days) in any_window(),
        seed in any::<u32>(),
        off in -200_000_000..200_000_000_i64,
        chosen in prop::collection::vec(
            prop::sample::select(&["+4930555010", "+12125550100", "+919900000001", "+79123456789",
                "+61412345678", "+551155550100", "+212520000000", "+18085550100"][..]),
            1..4,
        ),
    ) {
        let window = Window::new(from, to, days, WindowZone::Callee).unwrap();
        let numbers = numbers(&chosen);
        let zones: Vec<_> =
            numbers.iter().filter_map(NumberZones::of).flat_map(NumberZones::iter).cloned().collect();
        agrees(&window, &zones, &numbers, moment(&zones[0], seed, off));
    }

    #[test]
    fn any_text_is_a_time_or_none(text in "[0-9:٣+ -]{0,6}") {
        if let Ok(time) = text.parse::<MinuteOfDay>() {
            prop_assert_eq!(time.to_string(), text);
        }
    }
}
