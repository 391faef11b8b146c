//! What numbers are counted in: a few atomics each, whose owner keeps them where the event
//! happens. To record something costs one or two additions and no look-up.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// How many by now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The most buckets of a histogram, the one without a bound included.
const MAX_BUCKETS: usize = 20;

/// How values are sorted into buckets.
#[derive(Debug)]
pub struct Scale {
    /// Upper bounds, rising, in what is recorded: nanoseconds, or pieces.
    bounds: &'static [u64],
    /// How many of these are one of what is told: a second, or a piece.
    per: f64,
}

/// What answers over the network take: 1 ms to a minute.
pub static EXCHANGE_SECONDS: Scale = Scale::seconds(&[
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    60_000_000_000,
]);

/// What a disk takes: 50 µs to 5 s.
pub static DISK_SECONDS: Scale = Scale::seconds(&[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
]);

/// How many go together.
pub static PIECES: Scale =
    Scale { bounds: &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000], per: 1.0 };

impl Scale {
    const fn seconds(bounds: &'static [u64]) -> Self {
        Self { bounds, per: 1e9 }
    }
}

/// How often values came that are no more than each bound, and their sum.
#[derive(Debug)]
pub struct Histogram {
    scale: &'static Scale,
    /// Of each bucket alone: whoever reads them adds them up, so that what is told always is of
    /// one piece, whatever is recorded meanwhile.
    buckets: [AtomicU64; MAX_BUCKETS],
    sum: AtomicU64,
}

/// A histogram as it was at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Upper bounds, rising.
    pub bounds: Vec<f64>,
    /// How many came into each bucket alone; one more than there are bounds.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: f64,
}

impl Histogram {
    /// An empty one.
    pub fn new(scale: &'static Scale) -> Self {
        Self { scale, buckets: Default::default(), sum: AtomicU64::new(0) }
    }

    /// One more value: a duration.
    pub fn took(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// One more value: so many pieces.
    pub fn pieces(&self, count: usize) {
        self.record(u64::try_from(count).unwrap_or(u64::MAX));
    }

    fn record(&self, value: u64) {
        let place = self.scale.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(place) {
            self.sum.fetch_add(value, Relaxed);
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// As it is now.
    pub fn distribution(&self) -> Distribution {
        let Scale { bounds, per } = self.scale;
        let told = |value: u64| value as f64 / per;
        let buckets = self.buckets.iter().take(bounds.len() + 1);
        Distribution {
            bounds: bounds.iter().copied().map(told).collect(),
            counts: buckets.map(|bucket| bucket.load(Relaxed)).collect(),
            sum: told(self.sum.load(Relaxed)),
        }
    }
}

impl Distribution {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scale_rises_and_has_room() {
        for scale in [&EXCHANGE_SECONDS, &DISK_SECONDS, &PIECES] {
            assert!(scale.bounds.is_sorted_by(|a, b| a < b), "{scale:?}");
            assert!(scale.bounds.len() < MAX_BUCKETS, "{scale:?}");
        }
    }

    #[test]
    fn a_value_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        let pieces = Histogram::new(&PIECES);
        for count in [0, 1, 2, 3, 5_000, 5_001, usize::MAX >> 16] {
            pieces.pieces(count);
        }
        let told = pieces.distribution();
        assert_eq!(told.counts, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!((told.count(), told.counts.len()), (7, told.bounds.len() + 1));

        let took = Histogram::new(&DISK_SECONDS);
        took.took(Duration::from_millis(1));
        took.took(Duration::from_micros(1_500));
        let told = took.distribution();
        assert_eq!(told.sum, 0.0025);
        assert_eq!(told.bounds[4], 0.001);
        assert_eq!((told.counts[4], told.counts[5]), (1, 1));
    }
}
