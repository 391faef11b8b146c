//! Errors of the RPCs that keep the do-not-call list. None of them has anybody dialled, and
//! repeating each is harmless.

use tonic::{Code, Status};

use super::{Asked, LEDGER_WAIT, Outlook, Refusal, gateway_error};
use crate::{gateway::GatewayError, ledger::LedgerError};

/// The deadline of a change of the list passed; the change goes on.
pub fn list_too_late() -> Status {
    let message = "the deadline passed; the list is being changed all the same: repeat it to learn \
                   what became of each number";
    Refusal::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", message, Outlook::Doubt)
        .of(Asked::READING)
}

/// The error of a change of the list, which may have been made.
pub fn unlisted(error: &GatewayError) -> Status {
    match error {
        GatewayError::Ledger(error) if !matches!(error, LedgerError::Overloaded(_)) => {
            tracing::error!(%error, "the do-not-call list can't be changed");
            let message = "the ledger is not available, and it is not known whether the list was \
                           changed; repeat it";
            let outlook = Outlook::Later(LEDGER_WAIT);
            Refusal::new(Code::Unavailable, "LEDGER_UNAVAILABLE", message, outlook)
                .of(Asked::READING)
        }
        error => gateway_error(error, Asked::READING),
    }
}

/// The error of a look at the list.
pub fn list_unread(error: &GatewayError) -> Status {
    match error {
        GatewayError::Ledger(error) => {
            tracing::error!(%error, "the do-not-call list can't be read");
            let message = "the ledger can't be read now";
            let outlook = Outlook::Later(LEDGER_WAIT);
            Refusal::new(Code::Unavailable, "LEDGER_UNAVAILABLE", message, outlook)
                .of(Asked::READING)
        }
        error => gateway_error(error, Asked::READING),
    }
}
