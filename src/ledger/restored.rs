//! A ledger that was put back from a copy.

use jiff::Timestamp;

use super::{Ledger, LedgerError, News};
use crate::call::{Call, CallError, CallState, Cause, Observation};

/// Calls of one transaction.
const PAGE: usize = 1_000;

/// Puts every call in doubt that waits to be handed over, or is being handed over: since the copy
/// was made it may have been handed over, refused and given to the next vendor, or taken back, and
/// nothing here knows of it. Those that a vendor has get no further dial of the gateway's, for they
/// may have had it. So nobody is dialled twice, and nobody who was taken off. Gives how many are in
/// doubt now; again does no harm.
///
/// # Errors
/// When the ledger can't be read or written.
pub async fn doubt_what_waits(ledger: &dyn Ledger, now: Timestamp) -> Result<usize, LedgerError> {
    let error = CallError::new(
        Cause::InDoubt,
        "LEDGER_RESTORED",
        "the call waited, or was being handed over, when the copy was made that this ledger was restored from; \
         what became of it since is not known",
    );
    let waiting = [CallState::Scheduled, CallState::Dispatching];
    // Its vendor is asked, where it can be, as soon as a gateway attends to it.
    let doubt = |_: &Call| Some((Observation::Failed(error.clone()), Some(now)));
    let doubted = tell_all(ledger, &waiting, now, doubt).await?;
    let taken = [CallState::Accepted, CallState::Ringing, CallState::InProgress];
    let last = |call: &Call| call.redials.then_some((Observation::LastDial, None));
    tell_all(ledger, &taken, now, last).await?;
    Ok(doubted)
}

/// Records what is to be said of each call in these states, and when it is looked at. Says of how
/// many there was something to say.
async fn tell_all(
    ledger: &dyn Ledger,
    states: &[CallState],
    at: Timestamp,
    what: impl Fn(&Call) -> Option<(Observation, Option<Timestamp>)>,
) -> Result<usize, LedgerError> {
    let (mut told, mut after) = (0, None);
    loop {
        let calls = ledger.open_calls(states, after, PAGE).await?;
        let Some(last) = calls.last() else { return Ok(told) };
        after = Some(last.id);
        let news = calls.iter().filter_map(|call| {
            let (observation, due) = what(call)?;
            let dial = Some(call.dial());
            Some(News { call: call.id, observation, at, due, vendor: None, dial })
        });
        let news: Vec<_> = news.collect();
        told += news.len();
        if !news.is_empty() {
            ledger.observe(news).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        call::{Fingerprint, ReportedState, Retry, testing::call},
        ledger::{NewRequest, sqlite::SqliteLedger},
    };

    async fn ledger_with(call: &Call) -> SqliteLedger {
        let ledger = SqliteLedger::open("sqlite::memory:").unwrap();
        let request = NewRequest {
            id: call.request_id.clone(),
            fingerprint: Fingerprint { digest: [1; 32], fields: vec![1] },
            create_time: call.create_time,
            calls: vec![call.clone()],
            outbox: Vec::new(),
        };
        ledger.record(request).await.unwrap();
        ledger.claim(vec![call.id], call.create_time, None).await.unwrap();
        ledger
    }

    fn news(call: &Call, observation: Observation) -> Vec<News> {
        let (at, dial) = (call.create_time, Some(0));
        vec![News { call: call.id, observation, at, due: Some(at), vendor: None, dial }]
    }

    #[tokio::test]
    async fn nobody_is_dialled_again_who_may_have_been_since_the_copy() {
        let mut retried = call(CallState::Scheduled);
        retried.redials = true;
        std::sync::Arc::make_mut(&mut retried.order).retry =
            Some(Retry { interval: Duration::from_secs(60), max_attempts: 3 });
        let ledger = ledger_with(&retried).await;
        let accepted = Observation::Accepted {
            vendor_call_id: Some("v-0".into()),
            vendor_request_id: None,
            data: Default::default(),
        };
        ledger.observe(news(&retried, accepted)).await.unwrap();
        // The copy is made here; the second dial, which is answered, comes after it.
        assert_eq!(doubt_what_waits(&ledger, retried.create_time).await.unwrap(), 0);
        let report = ReportedState { state: Some(CallState::Busy), ..Default::default() };
        let busy = Observation::Reported { report, asked: true };
        let told = ledger.observe(news(&retried, busy)).await.unwrap();
        assert_eq!(told[0].state, CallState::Busy, "not to be dialled once more");
    }

    #[tokio::test]
    async fn what_was_being_handed_over_is_not_sent_again_from_a_copy() {
        // Since the copy its vendor may have refused it, and the next one dialled.
        let handed_over = call(CallState::Scheduled);
        let ledger = ledger_with(&handed_over).await;
        doubt_what_waits(&ledger, handed_over.create_time).await.unwrap();
        let states = [CallState::Dispatching, CallState::Unconfirmed];
        let open = ledger.open_calls(&states, None, 9).await.unwrap();
        assert_eq!(open[0].state, CallState::Unconfirmed);
        assert!(!open[0].error.as_ref().unwrap().unanswered, "it would be sent again");
    }
}
