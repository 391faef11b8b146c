//! What a vendor posts by itself: read first and without trust, then verified, then
//! applied.

use serde_json::Value;

use super::Placed;
use crate::{
    call::{CallId, Report},
    http::Delivery,
};

/// Reads what a vendor posts. An account has one only when it was told how the vendor
/// proves who it is.
pub trait Callback: Send + Sync {
    /// Reads a delivery without trusting it: whoever reaches the port may have sent it.
    ///
    /// # Errors
    /// When it is none of the vendor's forms.
    fn read(&self, delivery: &Delivery) -> Result<Push, Malformed>;

    /// Whether the delivery proves to be the vendor's. `push` is what was read of it, for
    /// vendors whose proof is in the body. Takes the same time whatever is wrong with a
    /// secret ([`crate::config::Secret::is`]).
    fn is_authentic(&self, delivery: &Delivery, push: Option<&Push>) -> bool;

    /// How the vendor is asked for its proof: the `WWW-Authenticate` of a 401. None when
    /// it is in the address.
    fn challenge(&self) -> Option<&'static str>;

    /// What a piece of a delivery says of the call it was found to be about.
    fn told(&self, said: &Value, call: &Placed<'_>) -> Told;
}

/// A delivery, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Push {
    /// The vendor wants to see that somebody is here. The proof it brought along, if its
    /// form has one, and the JSON it wants to see.
    Handshake {
        /// What it sent to prove itself.
        proof: Option<String>,
        /// What it is answered.
        answer: Value,
    },
    /// News of calls; of none when the vendor only tries the address.
    News(Vec<Pushed>),
}

/// A piece of a delivery: what it says of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Pushed {
    /// The vendor's id of the call, where it is told.
    pub vendor_call_id: Option<String>,
    /// Ours, where the vendor gives it back.
    pub call_id: Option<CallId>,
    /// What [`Callback::told`] reads. Kept as it is when the call is not known yet.
    pub said: Value,
}

/// What a piece of a delivery comes to.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "made one at a time, and taken apart at once")]
pub enum Told {
    /// News of the call.
    Result(Report),
    /// The vendor should be asked about it now.
    Ask,
    /// It is about another call after all, or about nothing.
    Nothing,
}

/// A delivery that is none of the vendor's forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
