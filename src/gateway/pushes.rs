//! How many pieces of news a vendor posted, and what became of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of all that was posted in a vendor's name since the gateway started.
/// Deliveries where nothing else is said; pieces are what a delivery says of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PushCounts {
    /// Pieces that are recorded with their calls, or had the vendor asked.
    pub applied: u64,
    /// Pieces that wait for their calls to be known by the vendor's id.
    pub kept: u64,
    /// Pieces of no call that is known or could become known.
    pub dropped: u64,
    /// Pieces that say nothing of their calls.
    pub ignored: u64,
    /// Deliveries that did not prove to be the vendor's.
    pub unauthentic: u64,
    /// Deliveries of the vendor's that are none of its forms.
    pub malformed: u64,
}

/// The counters behind [`PushCounts`].
#[derive(Debug, Default)]
pub(super) struct Pushes {
    applied: AtomicU64,
    kept: AtomicU64,
    dropped: AtomicU64,
    ignored: AtomicU64,
    unauthentic: AtomicU64,
    malformed: AtomicU64,
}

impl Pushes {
    pub(super) fn counts(&self) -> PushCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PushCounts {
            applied: read(&self.applied),
            kept: read(&self.kept),
            dropped: read(&self.dropped),
            ignored: read(&self.ignored),
            unauthentic: read(&self.unauthentic),
            malformed: read(&self.malformed),
        }
    }

    /// Adds what became of some pieces. What is redelivered counts again.
    pub(super) fn add(&self, counts: PushCounts) {
        let add = |counter: &AtomicU64, count: u64| {
            counter.fetch_add(count, Ordering::Relaxed);
        };
        add(&self.applied, counts.applied);
        add(&self.kept, counts.kept);
        add(&self.dropped, counts.dropped);
        add(&self.ignored, counts.ignored);
    }

    /// One more. Gives how many there are when that is worth a line in the log.
    pub(super) fn unauthentic(&self) -> Option<u64> {
        milestone(&self.unauthentic)
    }

    /// As [`Pushes::unauthentic`].
    pub(super) fn malformed(&self) -> Option<u64> {
        milestone(&self.malformed)
    }
}

/// The 1st, the 10th, the 100th...: whoever reaches the port could fill the disk with
/// anything else.
fn milestone(counter: &AtomicU64) -> Option<u64> {
    let count = counter.fetch_add(1, Ordering::Relaxed).saturating_add(1);
    (10_u64.checked_pow(count.ilog10()) == Some(count)).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines() {
        let pushes = Pushes::default();
        let lines: Vec<_> = (0..1_234).filter_map(|_| pushes.unauthentic()).collect();
        assert_eq!(lines, [1, 10, 100, 1_000]);
        assert_eq!(pushes.counts().unauthentic, 1_234);
    }
}
