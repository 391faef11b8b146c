//! At most so much in any window of time, as whoever counts at the other end sees it.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// Parts of a window that are told apart: what came within one of them is forgotten at once.
const PARTS: u32 = 1_024;

/// A limit that holds in every window of its length, wherever the window begins: what was not
/// used earlier can be used at once, and never more. When a request reaches the other end is
/// not known, only that it is between its going out and its answer. So what was taken counts
/// from then on, and for one window after it is known to have arrived.
#[derive(Debug)]
pub(super) struct Allowance {
    limit: u64,
    per: Duration,
    /// Taken, and not known to have arrived.
    out: u64,
    /// What arrived within the last window, oldest first.
    arrived: VecDeque<Part>,
    /// The sum of that.
    counted: u64,
    /// More was taken within the last window than is known here: nothing is left until it is.
    is_unknown: bool,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    first: Instant,
    last: Instant,
    count: u64,
}

impl Allowance {
    /// `limit` (at least 1) in each window of `per`.
    pub(super) fn new(limit: u32, per: Duration) -> Self {
        let limit = u64::from(limit.max(1));
        Self { limit, per, out: 0, arrived: VecDeque::new(), counted: 0, is_unknown: false }
    }

    /// One that begins in the middle of things: so much is out, and what arrived before is told
    /// with [`Allowance::known`].
    pub(super) fn unknown(limit: u32, per: Duration, out: u64) -> Self {
        Self { out, is_unknown: true, ..Self::new(limit, per) }
    }

    /// Another limit from now on; what was taken counts on. Says whether more may count than is
    /// known, which is so of a longer window: then nothing is left until [`Allowance::known`].
    pub(super) fn set(&mut self, limit: u32, per: Duration) -> bool {
        self.is_unknown |= per > self.per;
        (self.limit, self.per) = (u64::from(limit.max(1)), per);
        self.is_unknown
    }

    /// So much was taken by others within the last window, at most; as if it arrived now.
    pub(super) fn known(&mut self, count: u64, now: Instant) {
        self.is_unknown = false;
        self.used(count, now);
    }

    /// How much may be taken now.
    pub(super) fn left(&mut self, now: Instant) -> u64 {
        while let Some(oldest) = self.arrived.front()
            && now.saturating_duration_since(oldest.last) >= self.per
        {
            self.counted = self.counted.saturating_sub(oldest.count);
            self.arrived.pop_front();
        }
        if self.is_unknown {
            return 0;
        }
        self.limit.saturating_sub(self.out.saturating_add(self.counted))
    }

    /// Takes so much, if there is as much: [`Allowance::arrived`] or [`Allowance::unsent`] has
    /// to follow.
    pub(super) fn take(&mut self, count: u64, now: Instant) -> bool {
        let is_left = count <= self.left(now);
        if is_left {
            self.out = self.out.saturating_add(count);
        }
        is_left
    }

    /// What was taken has arrived by now, if it ever does.
    pub(super) fn arrived(&mut self, count: u64, now: Instant) {
        self.unsent(count);
        self.counted = self.counted.saturating_add(count);
        match self.arrived.back_mut() {
            Some(part) if now.saturating_duration_since(part.first) < self.per / PARTS => {
                (part.last, part.count) = (now, part.count.saturating_add(count));
            }
            _ => self.arrived.push_back(Part { first: now, last: now, count }),
        }
    }

    /// What was taken did not go out.
    pub(super) fn unsent(&mut self, count: u64) {
        self.out = self.out.saturating_sub(count);
    }

    /// Counts what somebody took who is gone, as if it arrived now; of more than there is room
    /// for, no more than that.
    pub(super) fn used(&mut self, count: u64, now: Instant) {
        let count = count.min(self.left(now));
        if count > 0 && self.take(count, now) {
            self.arrived(count, now);
        }
    }

    /// What may be taken in one window.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// How long until the last of so much may be taken, one after the other, as soon as each
    /// may, if nobody else takes anything: until the first of it, and the windows after that.
    /// What is taken is reckoned to arrive at once.
    pub(super) fn wait_for_all(&mut self, count: u64, now: Instant) -> (Duration, Duration) {
        let windows = count.saturating_sub(1) / self.limit;
        let rest = count - windows * self.limit;
        let first = self.wait_for(rest, now).unwrap_or(self.per);
        let windows = u32::try_from(windows).unwrap_or(u32::MAX);
        (first, self.per.saturating_mul(windows))
    }

    /// How long until so much may be taken, if nobody takes anything before. What is out is
    /// reckoned to arrive now. None for more than may ever be taken at once.
    pub(super) fn wait_for(&mut self, count: u64, now: Instant) -> Option<Duration> {
        let mut missing = count.saturating_sub(self.left(now));
        if count > self.limit {
            return None;
        }
        if missing == 0 {
            return Some(Duration::ZERO);
        }
        if self.is_unknown {
            return Some(self.per);
        }
        for part in &self.arrived {
            missing = missing.saturating_sub(part.count);
            if missing == 0 {
                return Some((part.last + self.per).saturating_duration_since(now));
            }
        }
        Some(self.per)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn all_of_it_may_be_used_at_once_and_comes_back_one_window_after_it_arrived() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut allowance = Allowance::new(500, MINUTE);
        assert!(allowance.take(500, at(0)) && !allowance.take(1, at(0)));
        // However long it is on its way.
        assert_eq!((allowance.left(at(600)), allowance.wait_for(1, at(600))), (0, Some(MINUTE)));
        allowance.arrived(300, at(610));
        allowance.unsent(100);
        assert_eq!(allowance.left(at(611)), 100);
        allowance.arrived(100, at(640));
        assert_eq!(allowance.wait_for(100, at(641)), Some(Duration::ZERO));
        assert_eq!(allowance.wait_for(400, at(650)), Some(Duration::from_secs(20)));
        assert_eq!(allowance.wait_for(401, at(650)), Some(Duration::from_secs(50)));
        assert_eq!(allowance.wait_for(501, at(650)), None);
        assert_eq!([669, 670, 699, 700].map(|s| allowance.left(at(s))), [100, 400, 400, 500]);
    }

    #[test]
    fn what_was_used_before_counts_from_now_on_and_never_beyond_the_limit() {
        let (start, mut allowance) = (Instant::now(), Allowance::new(5, MINUTE));
        allowance.used(0, start);
        assert!(allowance.arrived.is_empty());
        assert!(allowance.take(1, start));
        allowance.used(3, start);
        assert_eq!((allowance.left(start), allowance.counted), (1, 3));
        allowance.used(u64::MAX, start);
        assert_eq!((allowance.left(start), allowance.counted), (0, 4));
        allowance.unsent(1);
        assert_eq!(allowance.left(start + MINUTE - Duration::from_millis(1)), 1);
        assert_eq!(allowance.left(start + MINUTE), 5);
    }

    #[test]
    fn another_limit_counts_what_was_taken_before() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut allowance = Allowance::new(10, MINUTE);
        assert!(allowance.take(6, at(0)));
        allowance.arrived(4, at(10));
        assert!(!allowance.set(8, MINUTE));
        assert_eq!((allowance.left(at(11)), allowance.left(at(70))), (2, 6));
        assert!(!allowance.set(1, MINUTE) && allowance.left(at(70)) == 0);
        // A shorter window forgets sooner.
        allowance.unsent(2);
        assert!(allowance.take(1, at(70)));
        allowance.arrived(1, at(70));
        assert!(!allowance.set(5, MINUTE / 2));
        assert_eq!((allowance.left(at(99)), allowance.left(at(100))), (4, 5));
        // Of a longer one nobody here knows.
        assert!(allowance.set(5, MINUTE * 2));
        assert_eq!(
            (allowance.left(at(300)), allowance.wait_for(1, at(300))),
            (0, Some(MINUTE * 2))
        );
        allowance.known(3, at(300));
        assert_eq!((allowance.left(at(301)), allowance.left(at(420))), (2, 5));
        let mut fresh = Allowance::unknown(5, MINUTE, 2);
        assert_eq!(fresh.left(at(0)), 0);
        fresh.known(u64::MAX, at(0));
        fresh.arrived(2, at(30));
        assert_eq!([59, 60, 90].map(|s| fresh.left(at(s))), [0, 3, 5]);
    }

    #[test]
    fn a_long_stream_takes_little_room() {
        let (start, mut allowance) = (Instant::now(), Allowance::new(u32::MAX, MINUTE));
        for millisecond in 0..200_000 {
            let now = start + Duration::from_millis(millisecond);
            assert!(allowance.take(1, now));
            allowance.arrived(1, now);
        }
        assert!(allowance.arrived.len() <= PARTS as usize + 2, "{}", allowance.arrived.len());
    }

    /// When it is taken after the one before, how much at most, how long it is on its way, and
    /// where in between it arrives, in hundredths.
    type Step = (u64, u64, u64, u64);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..40_u64, 1..8_u64, 0..90_u64, 0..=100_u64);
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        #[test]
        fn no_window_has_more_wherever_it_begins(steps in steps(), limit in 1..12_u32) {
            let start = Instant::now();
            let at = |seconds: u64| start + Duration::from_secs(seconds);
            let mut allowance = Allowance::new(limit, MINUTE);
            // What is on its way, by when its answer comes; and what arrived when.
            let (mut out, mut seen) = (Vec::<(u64, u64)>::new(), Vec::<(u64, u64)>::new());
            let mut now = 0;
            for (pause, count, length, part) in steps {
                now += pause;
                out.sort_unstable();
                while let Some(&(end, count)) = out.first() && end <= now {
                    allowance.arrived(count, at(end));
                    out.remove(0);
                }
                let count = count.min(u64::from(limit));
                let wait = allowance.wait_for(count, at(now)).unwrap();
                prop_assert_eq!(wait.is_zero(), allowance.left(at(now)) >= count);
                if allowance.take(count, at(now)) {
                    out.push((now + length, count));
                    seen.push((now + length * part / 100, count));
                } else if out.is_empty() {
                    // To the moment.
                    prop_assert!(allowance.left(at(now) + wait - Duration::from_millis(1)) < count);
                    prop_assert!(allowance.left(at(now) + wait) >= count);
                    now += wait.as_secs();
                }
            }
            for (from, _) in &seen {
                let within = seen.iter().filter(|(t, _)| t >= from && *t < from + 60);
                let sum: u64 = within.map(|(_, count)| count).sum();
                prop_assert!(sum <= u64::from(limit), "{} from {}", sum, from);
            }
        }
    }
}
