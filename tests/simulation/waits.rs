//! Worlds in which calls wait: for their time, for their route's hours, and across stops.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    callers::Callers,
    rng::Rng,
    world::{BEGIN, time_of_day},
};

/// Tells such worlds from others without changing what happens in those.
const SALT: u64 = 0x0A1A_7209;

/// Routes that are there for calls that wait. Those of all worlds hold them as well.
const ROUTES: [&str; 7] =
    ["itself", "itself-early", "opening", "closing", "closing-dialer", "strict", "late"];

/// A day, and so beyond the end of any world.
const FAR: u64 = 90_000_000;

/// What is so in a world in which calls wait.
#[derive(Debug)]
pub struct Waits {
    /// Nothing goes wrong: so it is seen how punctual the gateway is.
    pub is_calm: bool,
    /// Somebody puts numbers on the do-not-call list, and takes them off.
    pub lists: bool,
    /// Who takes up calls and is not told so lives on, and is to get them again.
    pub survives: bool,
    /// When the gateway is stopped as it should be, the last one first.
    stops: Vec<Duration>,
    /// From when on the gateway's clock is ahead, and how much.
    jump: Option<(Duration, Duration)>,
}

impl Waits {
    pub fn new(seed: u64, callers: &mut Callers) -> Self {
        let mut rng = Rng::new(seed ^ SALT);
        if !rng.chance(550) {
            return Self {
                is_calm: false,
                lists: false,
                survives: false,
                stops: vec![],
                jump: None,
            };
        }
        let is_calm = rng.chance(250);
        let lists = rng.chance(450);
        let mut stops = Vec::new();
        let mut jump = None;
        if !is_calm {
            let count = *rng.pick(&[0, 0, 1, 1, 2]);
            stops.extend((0..count).map(|_| Duration::from_millis(rng.below(30_000))));
            stops.sort_by(|one, other| other.cmp(one));
            if rng.chance(150) {
                let at = Duration::from_millis(rng.below(25_000));
                jump = Some((at, Duration::from_secs(rng.range(1, 90))));
            }
        }
        dress(callers, &mut rng);
        Self { is_calm, lists, survives: rng.chance(400), stops, jump }
    }

    /// When the gateway that starts now is to be stopped.
    pub fn next_stop(&mut self, now: Duration) -> Option<Duration> {
        while let Some(stop) = self.stops.last() {
            if *stop > now {
                return Some(*stop);
            }
            self.stops.pop();
        }
        None
    }

    /// What the gateway's clock shows.
    pub fn shown(&self, now: Duration) -> Timestamp {
        let ahead = self.jump.filter(|(at, _)| now >= *at).map_or(Duration::ZERO, |(_, by)| by);
        time_of_day(now + ahead)
    }
}

/// Gives calls their times, and requests routes with hours.
fn dress(callers: &mut Callers, rng: &mut Rng) {
    // Several calls share these.
    let shared: Vec<u64> = (0..2).map(|_| rng.range(3_000, 30_000)).chain([20_000]).collect();
    for plan in &mut callers.requests {
        if rng.chance(600) {
            (*rng.pick(&ROUTES)).clone_into(&mut plan.proto.route);
        }
        for call in &mut plan.proto.calls {
            let at = plan.first_at;
            let start = match rng.below(16) {
                0..=3 => *rng.pick(&shared),
                // Here and there by the millisecond, and just before its hours begin or end.
                4..=6 => at + rng.below(3_000),
                7 | 8 => 20_000 - rng.below(300),
                9 | 10 => at + rng.range(1_000, 40_000),
                // A vendor that waits is not given up on before its time.
                12 if !vendor_waits(&plan.proto.route) => FAR,
                11 | 12 => rng.range(60_000, 200_000),
                13 => 0,
                _ => continue,
            };
            // Not by the millisecond, so that it is seen which way a time is rounded.
            let fraction = if rng.chance(300) { rng.below(1_000_000) } else { 0 };
            call.start_time = Some(stamp(start, fraction));
            if rng.chance(350) {
                let after = *rng.pick(&[1, 40, 500, 4_000, 20_000, 100_000]);
                call.expire_time = Some(stamp(start.max(at) + after, 999_999));
            } else {
                call.expire_time = None;
            }
        }
    }
}

/// So many milliseconds and nanoseconds after the world began.
fn stamp(milliseconds: u64, nanos: u64) -> prost_types::Timestamp {
    let since = Duration::from_millis(milliseconds) + Duration::from_nanos(nanos);
    let seconds = BEGIN + i64::try_from(since.as_secs()).unwrap();
    prost_types::Timestamp { seconds, nanos: i32::try_from(since.subsec_nanos()).unwrap() }
}

/// The hours of a route, in seconds since the world began. Written down once more, and not
/// taken from the configuration: each begins or ends while things happen, and all of them
/// come again after the world's end.
pub fn hours(route: &str) -> Option<(i64, i64)> {
    match route {
        "opening" | "strict" => Some((20, 80)),
        "closing" | "closing-dialer" | "itself-early" => Some((i64::MIN, 20)),
        "late" => Some((80, i64::MAX)),
        _ => None,
    }
}

/// Whether a route has its vendor wait, where that can.
pub fn vendor_waits(route: &str) -> bool {
    route.starts_with("itself")
}

/// Since the world began.
pub fn since_begin(time: Timestamp) -> SignedDuration {
    time.duration_since(time_of_day(Duration::ZERO))
}
