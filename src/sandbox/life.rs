//! The course of a call, known from the moment it is taken.

use jiff::{SignedDuration, Timestamp};

use super::{
    Pace,
    fate::{self, End},
};

/// The course of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Life {
    /// One for each number tried, in order.
    pub(super) legs: Vec<Leg>,
    /// When the result can be asked for.
    pub(super) over: Timestamp,
    /// How the call as a whole ended.
    pub(super) end: End,
}

/// One number's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) number: String,
    pub(super) end: End,
    pub(super) start: Timestamp,
    /// When it began to ring, if it did.
    pub(super) ring: Option<Timestamp>,
    /// When it was answered, if it was.
    pub(super) connect: Option<Timestamp>,
    pub(super) over: Timestamp,
    /// The key pressed: `1` where the number ends in 00.
    pub(super) key: Option<char>,
}

impl Life {
    /// A call that starts at `start`: each number in turn until one answers. A number
    /// that doesn't exist is passed over without a leg.
    pub(super) fn new(numbers: &[String], start: Timestamp, pace: Pace) -> Self {
        let mut legs: Vec<Leg> = Vec::new();
        let mut end = End::InvalidNumber;
        let mut clock = start;
        for number in numbers {
            end = fate::end_of(number);
            if end == End::InvalidNumber {
                clock = later(clock, 300);
                continue;
            }
            let leg = Leg::new(number, end, clock);
            clock = leg.over;
            legs.push(leg);
            if end == End::Answered {
                break;
            }
        }
        // A wrong alternate says nothing about those that were tried.
        if let (End::InvalidNumber, Some(last)) = (end, legs.last()) {
            end = last.end;
        }
        let over = match pace {
            Pace::Instant => start,
            Pace::Lifelike => clock,
        };
        Self { legs, over, end }
    }

    /// The result may be told.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.over
    }

    /// When it began.
    pub(super) fn start(&self) -> Timestamp {
        self.legs.first().map_or(self.over, |leg| leg.start)
    }

    /// When the last leg was over.
    pub(super) fn finish(&self) -> Timestamp {
        self.legs.last().map_or(self.over, |leg| leg.over)
    }

    /// The key pressed in the last leg.
    pub(super) fn key(&self) -> Option<char> {
        self.legs.last().and_then(|leg| leg.key)
    }
}

impl Leg {
    fn new(number: &str, end: End, start: Timestamp) -> Self {
        let vary = |salt, range: u64| (hash(number, salt) % range).cast_signed();
        let ring = later(start, 150 + vary(1, 350));
        let connect = later(ring, 300 + vary(2, 700));
        let over_of_answered = later(connect, 1000 + vary(3, 1500));
        let (ring, connect, over) = match end {
            End::Answered => (Some(ring), Some(connect), over_of_answered),
            End::NoAnswer => (Some(ring), None, later(ring, 1500 + vary(4, 2000))),
            End::Rejected => (Some(ring), None, later(ring, 900 + vary(4, 600))),
            _ => (None, None, later(start, 1000 + vary(4, 500))),
        };
        let key = (end == End::Answered && number.ends_with("00")).then_some('1');
        Self { number: number.to_owned(), end, start, ring, connect, over, key }
    }

    /// From the answer to the end.
    pub(super) fn talked(&self) -> SignedDuration {
        self.connect.map_or(SignedDuration::ZERO, |connect| self.over.duration_since(connect))
    }
}

fn later(time: Timestamp, ms: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}

/// FNV-1a: the same on every machine and in every run.
fn hash(number: &str, salt: u8) -> u64 {
    number.bytes().chain([salt]).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(numbers: &[&str], pace: Pace) -> Life {
        let numbers: Vec<String> = numbers.iter().map(|n| (*n).to_owned()).collect();
        Life::new(&numbers, Timestamp::UNIX_EPOCH, pace)
    }

    #[test]
    fn alternates_are_tried_until_one_answers() {
        let ends = |numbers: &[&str]| {
            let life = life(numbers, Pace::Lifelike);
            (life.legs.iter().map(|leg| leg.end).collect::<Vec<_>>(), life.end)
        };
        assert_eq!(
            ends(&["9101", "9100", "9102"]),
            (vec![End::Busy, End::Answered], End::Answered)
        );
        assert_eq!(ends(&["9104", "9100"]), (vec![End::Answered], End::Answered));
        assert_eq!(ends(&["9104"]), (vec![], End::InvalidNumber));
        assert_eq!(ends(&["9101", "9104"]), (vec![End::Busy], End::Busy));
        assert_eq!(ends(&["9102", "9103"]), (vec![End::NoAnswer, End::Rejected], End::Rejected));
    }

    #[test]
    fn a_lifelike_call_takes_one_to_four_seconds_and_its_times_are_in_order() {
        for last in 0..100 {
            let number = format!("9199000000{last:02}");
            let life = life(&[&number], Pace::Lifelike);
            assert_eq!(life, self::life(&[&number], Pace::Lifelike));
            let Some(leg) = life.legs.first() else {
                assert_eq!(life.end, End::InvalidNumber);
                continue;
            };
            let ms = leg.over.duration_since(leg.start).as_millis();
            assert!((1000..=4100).contains(&ms), "{number}: {ms}");
            assert!(leg.ring.is_none_or(|ring| ring > leg.start && ring < leg.over));
            assert!(leg.connect.is_none_or(|connect| connect > leg.ring.unwrap()));
            assert_eq!(leg.connect.is_some(), leg.end == End::Answered);
            assert_eq!(leg.talked().is_positive(), leg.end == End::Answered);
            assert!(!life.is_over(Timestamp::UNIX_EPOCH));
            assert!(life.is_over(leg.over));
        }
    }

    #[test]
    fn an_instant_call_is_over_when_it_starts() {
        assert!(life(&["9102"], Pace::Instant).is_over(Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn the_end_of_time_is_no_trouble() {
        let life = Life::new(&["9100".to_owned()], Timestamp::MAX, Pace::Lifelike);
        assert_eq!(life.over, Timestamp::MAX);
    }
}
