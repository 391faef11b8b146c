//! When people may be called: hours of the day, on days of the week, by a clock of
//! theirs or of the operator's.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};

use super::{E164, NumberZones};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// How far ahead an opening is looked for, in seconds. A window of one day in the week
/// that the change to summer time leaves out comes again after two weeks.
const AHEAD: i64 = 15 * DAY;

/// A time of day in whole minutes: 00:00 to 24:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinuteOfDay(u16);

impl MinuteOfDay {
    /// The end of a day, 24:00.
    pub const END: Self = Self(1_440);

    fn seconds(self) -> i64 {
        i64::from(self.0) * MINUTE
    }
}

/// A text is no time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time of day from \"00:00\" to \"24:00\", two digits each, such as \"09:00\"")]
pub struct NoMinuteOfDay;

impl FromStr for MinuteOfDay {
    type Err = NoMinuteOfDay;

    fn from_str(text: &str) -> Result<Self, NoMinuteOfDay> {
        let two = |digits: &str| {
            let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            if plain { digits.parse::<u16>().ok() } else { None }
        };
        let (hour, minute) = text.split_once(':').ok_or(NoMinuteOfDay)?;
        let (hour, minute) = two(hour).zip(two(minute)).ok_or(NoMinuteOfDay)?;
        let time = Self(hour * 60 + minute);
        if minute < 60 && time <= Self::END { Ok(time) } else { Err(NoMinuteOfDay) }
    }
}

impl fmt::Display for MinuteOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// Days of the week.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// Whether the day is among them.
    pub fn contains(self, day: Weekday) -> bool {
        self.has(i64::from(day.to_monday_zero_offset()))
    }

    // Monday is 0.
    fn has(self, day: i64) -> bool {
        self.0 & (1 << day.rem_euclid(7)) != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// "mon" to "sun", in the order of the week.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        (0..).zip(NAMES).filter(move |(day, _)| self.has(*day)).map(|(_, name)| name)
    }
}

impl FromIterator<Weekday> for Days {
    fn from_iter<T: IntoIterator<Item = Weekday>>(days: T) -> Self {
        Self(days.into_iter().fold(0, |set, day| set | 1 << day.to_monday_zero_offset()))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("every day");
        }
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whose clock a window goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowZone {
    /// That of one place.
    Fixed(TimeZone),
    /// That of the person called, as far as the number tells it: all clocks that may be
    /// theirs.
    Callee,
}

impl fmt::Display for WindowZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed(zone) => zone.iana_name().unwrap_or("a zone without a name"),
            Self::Callee => "callee",
        })
    }
}

/// When people may be called. Times of day count as the clock shows them: one that the
/// change to summer time leaves out is not there on that day, and one that comes twice
/// counts twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    from: MinuteOfDay,
    to: MinuteOfDay,
    days: Days,
    zone: WindowZone,
}

/// Why something is no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// `from` and `to` are the same, which may mean a whole day or nothing.
    #[error("is the same as from; expected another time (whole days are from 00:00 to 24:00)")]
    Same,
    /// No day begins at its end.
    #[error("is the end of a day; expected 00:00 for its beginning")]
    FromEnd,
    /// Open on no day.
    #[error("names no day; expected some, or leave it out for every day")]
    NoDays,
}

/// What a window says of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The call may be made.
    Open,
    /// Not yet: the earliest later moment at which it may, always a whole second.
    At(Timestamp),
    /// Not within the next 15 days: no moment is within the hours of all the places where
    /// the numbers may be.
    Never,
    /// Where one of the numbers is can't be told.
    UnknownZone {
        /// Its index among the numbers.
        number: usize,
    },
}

impl Window {
    /// A window open from `from` on until right before `to`. Where `to` is earlier, it is
    /// the next day's: such a window belongs to the day on which it begins.
    pub fn new(
        from: MinuteOfDay,
        to: MinuteOfDay,
        days: Days,
        zone: WindowZone,
    ) -> Result<Self, WindowError> {
        if from == MinuteOfDay::END {
            Err(WindowError::FromEnd)
        } else if from == to {
            Err(WindowError::Same)
        } else if days.is_empty() {
            Err(WindowError::NoDays)
        } else {
            Ok(Self { from, to, days, zone })
        }
    }

    /// Open from this minute on.
    pub fn from(&self) -> MinuteOfDay {
        self.from
    }

    /// Closed from this minute on; on the next day where it is before [`Self::from`].
    pub fn to(&self) -> MinuteOfDay {
        self.to
    }

    /// The days on which it begins.
    pub fn days(&self) -> Days {
        self.days
    }

    /// Whose clock it goes by.
    pub fn zone(&self) -> &WindowZone {
        &self.zone
    }

    /// Whether a call to these numbers, any of which may be dialled, may be made at a
    /// moment. By the callees' clocks it has to be allowed by each of them: nobody is
    /// called at night.
    pub fn look(&self, numbers: &[E164], at: Timestamp) -> Opening {
        match &self.zone {
            WindowZone::Fixed(zone) if self.is_open_in(zone, at) => Opening::Open,
            WindowZone::Fixed(zone) => self.search([zone], at),
            WindowZone::Callee => self.look_at_callees(numbers, at),
        }
    }

    fn look_at_callees(&self, numbers: &[E164], at: Timestamp) -> Opening {
        let mut open = true;
        for (number, e164) in numbers.iter().enumerate() {
            let Some(zones) = NumberZones::of(e164) else {
                return Opening::UnknownZone { number };
            };
            open = open && zones.iter().all(|zone| self.is_open_in(zone, at));
        }
        if open {
            return Opening::Open;
        }
        self.search(numbers.iter().filter_map(NumberZones::of).flat_map(NumberZones::iter), at)
    }

    fn is_open_in(&self, zone: &TimeZone, at: Timestamp) -> bool {
        self.is_open(second(at) + i64::from(zone.to_offset(at).seconds()))
    }

    /// Whether it is open when clocks show this second, counted from 1970 on.
    fn is_open(&self, shown: i64) -> bool {
        let (day, time) = (weekday(shown.div_euclid(DAY)), shown.rem_euclid(DAY));
        let (from, to) = (self.from.seconds(), self.to.seconds());
        if from < to {
            self.days.has(day) && (from..to).contains(&time)
        } else {
            (time >= from && self.days.has(day)) || (time < to && self.days.has(day - 1))
        }
    }

    /// What clocks show when it begins next, as long as nobody changes them.
    fn next_beginning(&self, shown: i64) -> Option<i64> {
        let today = shown.div_euclid(DAY);
        (today..=today + 7)
            .filter(|day| self.days.has(weekday(*day)))
            .map(|day| day * DAY + self.from.seconds())
            .find(|begins| *begins >= shown)
    }

    /// The earliest moment at which it is open in all zones. Each zone in turn moves the
    /// moment on to when it is open there, until none does: no earlier one suits them all.
    fn search<'z>(&self, zones: impl IntoIterator<Item = &'z TimeZone>, at: Timestamp) -> Opening {
        let mut moment = second(at);
        let until = moment.saturating_add(AHEAD);
        let mut clocks = clocks(zones, moment, until);
        loop {
            let before = moment;
            for clock in &mut clocks {
                match self.opening(clock, moment, until) {
                    Some(opens) => moment = opens,
                    None => return Opening::Never,
                }
            }
            if moment == before {
                break;
            }
        }
        Timestamp::from_second(moment).map_or(Opening::Never, Opening::At)
    }

    /// The first moment from `moment` to `until` at which it is open by this clock.
    fn opening(&self, clock: &mut Clock<'_>, mut moment: i64, until: i64) -> Option<i64> {
        while moment <= until {
            if moment >= clock.changes {
                *clock = Clock::at(clock.zone, moment, until)?;
            }
            let shown = moment + clock.ahead;
            if self.is_open(shown) {
                return Some(moment);
            }
            // Nothing opens before the next beginning, or before the clock is changed.
            let begins = self.next_beginning(shown).map(|shown| shown - clock.ahead);
            match begins.filter(|begins| *begins < clock.changes) {
                Some(begins) => moment = begins,
                None => moment = clock.changes,
            }
        }
        None
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} {} ({})", self.from, self.to, self.days, self.zone)
    }
}

/// The clocks of a place between two changes.
struct Clock<'z> {
    zone: &'z TimeZone,
    /// Seconds ahead of UTC.
    ahead: i64,
    /// When that may change; never, if not in the time that is of interest.
    changes: i64,
}

impl<'z> Clock<'z> {
    /// None at the very ends of time.
    fn at(zone: &'z TimeZone, moment: i64, until: i64) -> Option<Self> {
        let at = Timestamp::from_second(moment).ok()?;
        let changes = zone.following(at).next().map(|change| change.timestamp().as_second());
        Some(Self {
            zone,
            ahead: zone.to_offset(at).seconds().into(),
            changes: changes.filter(|changes| *changes <= until).unwrap_or(i64::MAX),
        })
    }

    fn shows_what(&self, other: &Self) -> bool {
        let same_zone = std::ptr::eq(self.zone, other.zone);
        same_zone || (self.ahead == other.ahead && self.changes.min(other.changes) == i64::MAX)
    }
}

/// The clocks of zones, those that always show the same once: a toll-free number of North
/// America may be in forty zones.
fn clocks<'z>(
    zones: impl IntoIterator<Item = &'z TimeZone>,
    moment: i64,
    until: i64,
) -> Vec<Clock<'z>> {
    let mut clocks: Vec<Clock<'z>> = Vec::new();
    for clock in zones.into_iter().filter_map(|zone| Clock::at(zone, moment, until)) {
        if !clocks.iter().any(|known| known.shows_what(&clock)) {
            clocks.push(clock);
        }
    }
    clocks
}

/// The second in which a moment is, also before 1970.
fn second(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

/// The day of the week of a day counted from 1970-01-01 on, which was a Thursday.
fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

#[cfg(test)]
mod tests;
