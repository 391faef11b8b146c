//! Whoever wants to send something waits until it is within what the vendor takes.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    select,
    sync::Notify,
    time::{Instant, sleep},
};

use super::allowance::Allowance;

/// Lets through what an [`Allowance`] has left.
#[derive(Debug)]
pub(super) struct Pace {
    allowance: Mutex<Allowance>,
    /// Something arrived: from now on it is known when its place is free again.
    arrived: Notify,
}

/// The right to send one. It counts from when it was given until one window after it is
/// dropped, which has to be after the answer.
#[derive(Debug)]
pub(super) struct Paced<'a>(&'a Pace);

impl Pace {
    /// `limit` (at least 1) in each window of `per`.
    pub(super) fn new(limit: u32, per: Duration) -> Self {
        Self { allowance: Mutex::new(Allowance::new(limit, per)), arrived: Notify::new() }
    }

    /// Waits until one more is within the limit, and counts it.
    pub(super) async fn turn(&self) -> Paced<'_> {
        loop {
            // Before the look at what is left, so that nothing is missed in between.
            let arrived = self.arrived.notified();
            let Err(wait) = self.take(Instant::now()) else { return Paced(self) };
            select! {
                // In this order every time, so that a simulation can be repeated.
                biased;
                () = arrived => {}
                () = sleep(wait) => {}
            }
        }
    }

    fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut allowance = self.allowance();
        if allowance.take(1, now) {
            return Ok(());
        }
        Err(allowance.wait_for(1, now).unwrap_or_default())
    }

    fn allowance(&self) -> MutexGuard<'_, Allowance> {
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Paced<'_> {
    fn drop(&mut self) {
        self.0.allowance().arrived(1, Instant::now());
        self.0.arrived.notify_waiters();
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
            drop(pace.turn().await);
            taken.push(begun.elapsed());
        }
        for (index, at) in taken.iter().enumerate() {
            let within = taken.iter().filter(|t| **t >= *at && **t < *at + minute).count();
            assert!(within <= 5, "{within} from {index} on");
        }
        assert_eq!(taken.iter().filter(|t| t.is_zero()).count(), 5, "all at once when idle");
        assert!(begun.elapsed() <= Duration::from_secs(330), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_counts_until_it_has_arrived() {
        let pace = Pace::new(1, Duration::from_secs(60));
        let begun = Instant::now();
        let first = pace.turn().await;
        let second = async {
            drop(pace.turn().await);
            begun.elapsed()
        };
        let first = async {
            sleep(Duration::from_secs(30)).await;
            drop(first);
        };
        let (second, ()) = tokio::join!(second, first);
        assert_eq!(second.as_secs(), 90);
    }
}
