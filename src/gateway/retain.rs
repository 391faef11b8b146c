//! Removes what is over for long enough, a little at a time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::Gateway;
use crate::ledger::{LedgerError, Removed};

/// A start has more urgent things to do.
const FIRST: Duration = Duration::from_secs(60);
/// Between two passes.
const EVERY: Duration = Duration::from_secs(3_600);
/// Calls in one step.
const STEP: usize = 1_000;
/// Between two steps: others want to write as well.
const PAUSE: Duration = Duration::from_millis(100);

impl Gateway {
    /// Removes requests that are older than is to be kept, again and again, until the gateway
    /// stops.
    pub(super) async fn remove_what_is_old(self) {
        let mut wait = FIRST;
        while self.goes_on_after(wait).await {
            match self.remove_in_steps().await {
                Ok(Removed { requests: 0, calls: 0, .. }) => {}
                Ok(Removed { requests, calls, .. }) => {
                    tracing::info!(requests, calls, "what is over for long enough was removed");
                }
                // What was removed so far is gone; the rest is found the next time.
                Err(error) => tracing::warn!(%error, "what is old can't be removed"),
            }
            wait = EVERY;
        }
    }

    async fn remove_in_steps(&self) -> Result<Removed, LedgerError> {
        let retain =
            SignedDuration::try_from(self.configured().retain).unwrap_or(SignedDuration::MAX);
        let now = self.inner.clock.now();
        let before = now.checked_sub(retain).unwrap_or(Timestamp::MIN);
        let mut all = Removed::default();
        loop {
            let step = self.inner.ledger.remove_old(before, STEP).await?;
            all.requests = all.requests.saturating_add(step.requests);
            all.calls = all.calls.saturating_add(step.calls);
            if !step.more || !self.goes_on_after(PAUSE).await {
                return Ok(all);
            }
        }
    }

    /// Waits, unless the gateway stops.
    async fn goes_on_after(&self, wait: Duration) -> bool {
        tokio::select! {
            () = sleep(wait) => !self.is_stopping(),
            () = self.inner.stopping.cancelled() => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
    };

    use tokio::time::{Instant, advance};

    use super::*;
    use crate::{
        call::{Call, CallState, Fingerprint, RequestId, testing::call},
        config::Config,
        gateway::Clock,
        ledger::{
            Ledger, NewRequest,
            sqlite::{Disk, SqliteLedger},
        },
    };

    const CONFIG: &str = r#"
[ledger]
retain = "2d"
[vendors.v]
kind = "mobtexting"
base_url = "http://127.0.0.1:9"
access_token = "t"
bridge = "918000000001"
flow_id = "7"
[routes.r]
vendors = ["v"]
"#;
    const DAY: i64 = 86_400;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_772_000_000 + second).unwrap()
    }

    /// A request that was over at this second.
    fn over(calls: u32, second: i64) -> NewRequest {
        let id = RequestId::generate();
        let one = |position| Call {
            request_id: id.clone(),
            position,
            create_time: at(second),
            update_time: at(second),
            ..call(CallState::Answered)
        };
        let calls = (0..calls).map(one).collect();
        NewRequest {
            id: id.clone(),
            fingerprint: Fingerprint { digest: [7; 32], fields: Vec::new() },
            create_time: at(second),
            calls,
            outbox: Vec::new(),
        }
    }

    struct House {
        ledger: Arc<SqliteLedger>,
        gateway: Gateway,
        now: Arc<AtomicI64>,
    }

    impl House {
        /// A gateway whose clock stands still, and whose ledger takes no time.
        fn new() -> Self {
            let (ledger, writer) = SqliteLedger::on_disk(&Disk::new().unwrap()).unwrap();
            tokio::spawn(writer);
            let ledger = Arc::new(ledger);
            let now = Arc::new(AtomicI64::new(0));
            let clock = Arc::clone(&now);
            let clock = Clock::new(move || at(clock.load(Ordering::SeqCst)));
            let config = Config::parse(CONFIG, Path::new("."), &|_| None).unwrap();
            let gateway = Gateway::new(&config, ledger.clone(), clock).unwrap();
            gateway.attend();
            Self { ledger, gateway, now }
        }

        async fn record(&self, request: NewRequest) -> RequestId {
            let id = request.id.clone();
            self.ledger.record(request).await.unwrap();
            id
        }

        async fn has(&self, id: &RequestId) -> bool {
            self.ledger.request(id).await.unwrap().is_some()
        }

        /// The time of waiting passes, and everybody does what it is time for.
        async fn wait(&self, wait: Duration) {
            sleep(wait).await;
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_is_kept_goes_within_the_hour() {
        let house = House::new();
        let (first, second) = (over(2, 0), over(1, 1_000));
        let (first, second) = (house.record(first).await, house.record(second).await);
        house.now.store(2 * DAY, Ordering::SeqCst);
        house.wait(FIRST).await;
        assert!(house.has(&first).await, "it is as old as that, not older");
        house.now.store(2 * DAY + 1, Ordering::SeqCst);
        house.wait(EVERY - Duration::from_millis(1)).await;
        assert!(house.has(&first).await, "it is not looked again so soon");
        house.wait(Duration::from_millis(1)).await;
        assert!(!house.has(&first).await && house.has(&second).await);
        house.now.store(9 * DAY, Ordering::SeqCst);
        house.wait(EVERY).await;
        assert!(!house.has(&second).await);
        house.gateway.stop();
        house.gateway.drained().await;
    }

    #[tokio::test(start_paused = true)]
    async fn much_goes_in_steps_and_a_stop_comes_between_them() {
        let house = House::new();
        let large = house.record(over(5_000, 0)).await;
        let last = house.record(over(1, 1)).await;
        house.now.store(9 * DAY, Ordering::SeqCst);
        house.wait(FIRST + PAUSE + PAUSE / 2).await;
        assert!(!house.has(&large).await && house.has(&last).await, "one after the other");
        let stopped = Instant::now();
        house.gateway.stop();
        house.gateway.drained().await;
        assert!(stopped.elapsed() < PAUSE, "not even until the next step");
        assert!(house.has(&last).await);
        // The rest is for the next start.
        let before = at(5 * DAY);
        let mut left = 0;
        loop {
            let step = house.ledger.remove_old(before, STEP).await.unwrap();
            left += step.calls;
            if !step.more {
                break;
            }
        }
        assert!((1_000..5_000).contains(&left), "{left}");
        assert!(!house.has(&last).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ledger_that_fails_is_asked_again_an_hour_later() {
        let house = House::new();
        house.ledger.close().await;
        house.wait(FIRST + EVERY + EVERY).await;
        assert!(!house.gateway.inner.tasks.is_empty(), "it goes on");
        advance(Duration::from_secs(1)).await;
        house.gateway.stop();
        house.gateway.drained().await;
    }
}
