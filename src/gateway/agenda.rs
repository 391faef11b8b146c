//! Until when the one who looks after a vendor's calls may rest.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use jiff::Timestamp;
use tokio::sync::Notify;

/// Until when there is nothing to do, and how that is changed.
#[derive(Debug)]
pub(super) struct Agenda {
    /// Milliseconds since the epoch; later than anything while somebody looks.
    resting_until: AtomicI64,
    wake: Notify,
}

impl Default for Agenda {
    fn default() -> Self {
        Self { resting_until: AtomicI64::new(i64::MAX), wake: Notify::new() }
    }
}

impl Agenda {
    /// The agenda is about to be read.
    pub(super) fn awake(&self) {
        self.resting_until.store(i64::MAX, SeqCst);
    }

    /// Nothing is due before.
    pub(super) fn rest_until(&self, time: Timestamp) {
        self.resting_until.store(time.as_millisecond(), SeqCst);
    }

    /// Something is due, and recorded: whoever rests longer is woken.
    pub(super) fn is_due(&self, time: Timestamp) {
        if time.as_millisecond() < self.resting_until.load(SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Waits until something is due earlier than was thought.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_is_due_earlier_wakes() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let woken = |agenda: &'static Agenda| async {
            timeout(Duration::from_secs(1), agenda.woken()).await.is_ok()
        };
        let agenda: &Agenda = Box::leak(Box::default());
        agenda.rest_until(at(10));
        agenda.is_due(at(10));
        assert!(!woken(agenda).await);
        agenda.is_due(at(9));
        assert!(woken(agenda).await);
        // Recorded after the agenda was read, and before anybody rests.
        agenda.awake();
        agenda.is_due(at(1_000_000));
        agenda.rest_until(at(20));
        assert!(woken(agenda).await);
    }
}
