//! At most so many in any window of time.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// A limit that holds in every window of its length, wherever the window begins: what was
/// not used earlier can be used at once, and never more.
#[derive(Debug)]
pub(super) struct Pace {
    limit: usize,
    per: Duration,
    recent: Mutex<VecDeque<Instant>>,
}

impl Pace {
    /// `limit` (at least 1) in each window of `per`.
    pub(super) fn new(limit: u32, per: Duration) -> Self {
        Self { limit: limit.max(1) as usize, per, recent: Mutex::default() }
    }

    /// Waits until one more is within the limit, and counts it.
    pub(super) async fn turn(&self) {
        while let Err(wait) = self.take(Instant::now()) {
            sleep(wait).await;
        }
    }

    fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while recent.front().is_some_and(|oldest| now.duration_since(*oldest) >= self.per) {
            recent.pop_front();
        }
        match recent.front() {
            Some(oldest) if recent.len() >= self.limit => {
                Err(self.per.saturating_sub(now.duration_since(*oldest)))
            }
            _ => {
                recent.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_window_has_more_and_none_is_wasted() {
        let minute = Duration::from_secs(60);
        let pace = Pace::new(5, minute);
        let begun = Instant::now();
        let mut taken = Vec::new();
        for step in 0..23 {
            // Idle for a while, and in the middle of a window.
            if step == 7 {
                sleep(Duration::from_secs(90)).await;
            }
            pace.turn().await;
            taken.push(begun.elapsed());
        }
        for (index, at) in taken.iter().enumerate() {
            let within = taken.iter().filter(|t| **t >= *at && **t < *at + minute).count();
            assert!(within <= 5, "{within} from {index} on");
        }
        assert_eq!(taken.iter().filter(|t| t.is_zero()).count(), 5, "all at once when idle");
        assert!(begun.elapsed() <= Duration::from_secs(330), "{:?}", begun.elapsed());
    }
}
