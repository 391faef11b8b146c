//! The domain: what a call is, and what may become of it. Pure; knows nobody.

mod attempt;
mod error;
mod fingerprint;
mod identity;
mod number;
mod order;
mod record;
mod report;
mod selector;
mod state;
mod suppression;
#[cfg(test)]
pub(crate) mod testing;
mod window;
mod zone;

pub use attempt::{AnsweredBy, Attempt};
pub use error::{CallError, Cause, Dialed, Fault, Resource, VendorFault, Violation};
pub use fingerprint::{FIELDS_OF_A_CALL, Fields, Fingerprint, Mark};
pub use identity::{CallId, ClientReference, IdentityError, RequestId};
pub use number::{CallerId, E164, NumberError, mask_digits};
pub use order::{Order, Recipient, Retry, Script};
pub use record::{Call, Dial, Failover, Fallback};
pub use report::{Observation, Report, ReportedState};
pub use selector::{MAX_SELECTED, Position, Selection, Selector};
pub use state::CallState;
pub use suppression::{
    MAX_SUPPRESSION_REASON, Suppression, SuppressionReason, SuppressionReasonError, suppressed,
};
pub use window::{Days, MinuteOfDay, NoMinuteOfDay, Opening, Window, WindowError, WindowZone};
pub use zone::{NumberZones, time_zone, time_zone_names};
