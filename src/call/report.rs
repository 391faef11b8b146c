//! News of a call.

use serde_json::{Map, Value};

use super::{Attempt, CallError, CallState};

/// What a vendor tells of a call it was asked about, as its adapter reads it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Where the call stands; none when the vendor tells nothing that can be read,
    /// which leaves the state as it is.
    pub state: Option<CallState>,
    /// Every attempt the vendor told of; empty leaves those known as they are.
    pub attempts: Vec<Attempt>,
    /// Whatever else it said; merged over what is known.
    pub data: Map<String, Value>,
    /// Why, when the state is [`CallState::Failed`].
    pub error: Option<super::Fault>,
}

/// One thing learned of a call, whichever way it was learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// It is about to be handed to the vendor.
    Dispatching,
    /// The vendor took it.
    Accepted {
        /// The vendor's id of the call. Bulk acceptance gives none.
        vendor_call_id: Option<String>,
        /// The vendor's id of the exchange.
        vendor_request_id: Option<String>,
        /// Whatever else it said.
        data: Map<String, Value>,
    },
    /// It is over without having been dialled, or may have been dialled
    /// ([`super::Cause::InDoubt`]).
    Failed(CallError),
    /// The vendor certainly did not dial, and another one of [`super::Call::fallbacks`] gets
    /// the call: it waits for its turn there.
    FailedOver {
        /// Why the vendor did not.
        error: CallError,
        /// The configured name of the next one.
        to: String,
    },
    /// It was not sent after all, and waits for its turn again.
    PutBack,
    /// It was not sent, and is not taken up again before this time.
    Held {
        /// Kept to the millisecond, rounded up.
        until: jiff::Timestamp,
        /// [`super::Call::holds`] as its maker knew it: said again later it is no news.
        holds: u32,
    },
    /// Its caller takes it back.
    Canceled,
    /// Its `expire_time` passed before it was handed over.
    Expired,
    /// The vendor has not told how it ended, in all the time it had. No more is waited for.
    GivenUp,
    /// Whatever comes of the dial under way, the gateway makes no other.
    LastDial,
    /// The vendor was asked, or told by itself.
    Reported {
        /// What it said.
        report: ReportedState,
        /// The vendor answered a question: what is known is as fresh as this.
        asked: bool,
    },
}

/// A [`Report`] whose fault has become an error of the call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportedState {
    /// Where the call stands.
    pub state: Option<CallState>,
    /// Every attempt told of.
    pub attempts: Vec<Attempt>,
    /// Whatever else was said.
    pub data: Map<String, Value>,
    /// Why, when it failed.
    pub error: Option<CallError>,
}
