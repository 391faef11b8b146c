//! India's time, in which Phonon and MobTexting tell theirs.

use jiff::{Timestamp, civil::DateTime, tz::Offset};

/// +05:30 all year round.
fn offset() -> Offset {
    Offset::from_seconds(19_800).unwrap_or(Offset::UTC)
}

/// What Indian clocks show at a time.
pub(super) fn clock(time: Timestamp) -> DateTime {
    offset().to_datetime(time)
}

/// When Indian clocks show this. None at the very ends of time.
pub(super) fn time(clock: DateTime) -> Option<Timestamp> {
    offset().to_timestamp(clock).ok()
}
