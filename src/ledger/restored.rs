//! A ledger that was put back from a copy.

use jiff::Timestamp;

use super::{Ledger, LedgerError, News};
use crate::call::{CallError, CallState, Cause, Observation};

/// Calls of one transaction.
const PAGE: usize = 1_000;

/// Puts every call in doubt that waits to be handed over: since the copy was made it may have been
/// handed over, or taken back, and nothing here knows of it. So nobody is dialled twice, and nobody
/// who was taken off. Gives how many there were; again does no harm.
///
/// # Errors
/// When the ledger can't be read or written.
pub async fn doubt_what_waits(ledger: &dyn Ledger, now: Timestamp) -> Result<usize, LedgerError> {
    let error = CallError::new(
        Cause::InDoubt,
        "LEDGER_RESTORED",
        "the call waited when the copy was made that this ledger was restored from; it may have been handed over since",
    );
    let (mut doubted, mut after) = (0, None);
    loop {
        let calls = ledger.open_calls(&[CallState::Scheduled], after, PAGE).await?;
        let Some(last) = calls.last() else { return Ok(doubted) };
        after = Some(last.id);
        let news = calls.iter().map(|call| News {
            call: call.id,
            observation: Observation::Failed(error.clone()),
            at: now,
            // Its vendor is asked, where it can be, as soon as a gateway attends to it.
            due: Some(now),
            vendor: None,
            dial: Some(call.dial()),
        });
        doubted += calls.len();
        ledger.observe(news.collect()).await?;
    }
}
