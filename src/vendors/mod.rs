//! Vendor adapters: pure translations between the gateway's words and a vendor's
//! HTTP. A new vendor is one folder here and one line in [`REGISTRY`].

use std::{fmt::Debug, sync::Arc};

use jiff::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

use crate::{
    call::{CallId, Cause, E164, Fault, Order, Report, Script, Violation},
    config::{Secret, Section},
    http::{HttpReply, HttpRequest},
};

pub mod bounds;
mod callback;
pub mod knovvu;
pub mod mobtexting;
pub mod phonon;
mod status;

pub use callback::{Callback, MAX_PUSHED, Malformed, Push, Pushed, Told};
pub use status::{Reading, fault_of_status, of_a_question};

/// Every kind of vendor: a line each.
pub const REGISTRY: &[Registration] =
    &[phonon::REGISTRATION, mobtexting::REGISTRATION, knovvu::REGISTRATION];

/// A kind of vendor.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    /// The `kind` in the configuration.
    pub kind: &'static str,
    /// Reads the vendor's own keys. Reports every mistake to the section, and gives
    /// nothing when there was one.
    pub build: fn(&mut Section<'_>) -> Option<Arc<dyn Vendor>>,
}

/// A vendor account's adapter. Knows the vendor's wire format and rules; has no
/// clock, no client and no memory, so that whatever can go wrong in an exchange is
/// dealt with once, outside.
pub trait Vendor: Debug + Send + Sync {
    /// The `kind` in the configuration.
    fn kind(&self) -> &'static str;

    /// The `domain` of the vendor's errors.
    fn domain(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// The exchanges and waits the vendor's page allows, read strictly.
    fn default_limits(&self) -> DefaultLimits;

    /// What the vendor could not do, or would refuse, of an order: everything that can
    /// be known without asking it. Fields are relative to the call.
    fn check(&self, order: &Order) -> Vec<Objection>;

    /// What orders that may go together in one exchange have in common, such as their flow.
    fn group<'a>(&'a self, order: &'a Order) -> &'a str {
        let _ = order;
        ""
    }

    /// Which orders go together in one exchange, by index: each index once, none left
    /// out, within the vendor's limits of number and size. Orders of one group that fit into
    /// one exchange are in one.
    fn batches(&self, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>>;

    /// The request that places a batch.
    ///
    /// # Errors
    /// When it can't be written (encryption); nothing was sent then.
    fn place(&self, batch: &[Outgoing<'_>], context: &Context<'_>) -> Result<HttpRequest, Fault>;

    /// What the vendor's answer says of each order of the batch: as many as the batch
    /// has, in its order.
    fn read_placement(&self, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Placement>;

    /// Which calls are asked about together, by index. Calls the vendor can't be asked
    /// about are left out.
    fn questions(&self, calls: &[Placed<'_>]) -> Vec<Vec<usize>>;

    /// The request that asks about calls. None when the vendor can't be asked at all.
    fn ask(&self, calls: &[Placed<'_>], context: &Context<'_>) -> Option<HttpRequest>;

    /// What the answer says of each call asked about: as many as were asked about, in
    /// their order. A call of which it says nothing has an empty report.
    ///
    /// # Errors
    /// When the vendor refused to answer, or the answer can't be read.
    fn read_answer(&self, calls: &[Placed<'_>], reply: &HttpReply) -> Result<Vec<Report>, Fault>;

    /// Reads what the vendor posts. None when the account was not told how the vendor
    /// proves who it is: then nothing it posts is taken.
    fn callback(&self) -> Option<&dyn Callback> {
        None
    }

    /// Every way in which the vendor may write the id of a call, the given one first. One
    /// call has them all.
    fn aliases(&self, vendor_call_id: &str) -> Vec<String> {
        vec![vendor_call_id.to_owned()]
    }

    /// For how long after an order was sent the very same bytes may be sent once more: as long
    /// as the vendor certainly tells a repetition from a new order, so that nobody is dialled
    /// twice. It is taken for the first time then, or refused as [`Cause::Duplicate`], which
    /// says that it was taken before. None where the vendor has no such check. Orders of a
    /// vendor that has one are sent without headers.
    fn duplicate_check(&self) -> Option<Duration> {
        None
    }

    /// The request for an access token, for vendors that want a short-lived one.
    fn token_request(&self) -> Option<HttpRequest> {
        None
    }

    /// Reads the answer to [`Vendor::token_request`].
    ///
    /// # Errors
    /// When there is no token in it.
    fn read_token(&self, reply: &HttpReply) -> Result<Token, Fault> {
        let _ = reply;
        Err(Fault::new(Cause::Operator, "NO_TOKEN", "this vendor has no tokens"))
    }
}

/// What a vendor can do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Runs a flow or scenario.
    pub flows: bool,
    /// Plays an audio file without one.
    pub audio: bool,
    /// Takes a start time in the future.
    pub schedules: bool,
    /// Dials again by itself. Where it does not the gateway does, if the call asks for it.
    pub retries: bool,
    /// Takes a caller id with each call.
    pub caller_id: bool,
    /// Can be asked for results.
    pub pull_results: bool,
    /// Posts results to this gateway by itself: it was told how the vendor proves who it is.
    pub push_results: bool,
    /// Can take a call back.
    pub cancels: bool,
    /// The person's number and the alternates.
    pub max_numbers: usize,
    /// Calls in one exchange.
    pub max_batch: usize,
}

/// The limits of a vendor that an operator did not configure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultLimits {
    /// Calls a minute.
    pub calls_per_minute: Option<u32>,
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Exchanges under way at the same time.
    pub max_in_flight: u32,
    /// How old an answer may be before the vendor is asked again.
    pub poll_interval: Duration,
    /// When an unconfirmed call is given up on.
    pub give_up_after: Duration,
}

/// What an exchange needs from outside.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The time at which it is written.
    pub now: Timestamp,
    /// The token, for vendors with [`Vendor::token_request`].
    pub token: Option<&'a Secret>,
}

/// An order on its way out.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its call: the only id of ours that a vendor gets.
    pub id: CallId,
    /// Which dial of it this is, from 0: each is another request, whose bytes must differ from
    /// those of the one before.
    pub dial: u32,
    /// What was asked for.
    pub order: &'a Order,
}

/// A call the vendor has, or may have.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// The vendor's id of it.
    pub vendor_call_id: Option<&'a str>,
    /// The numbers asked for.
    pub to: &'a [E164],
    /// The script asked for; none means the configured one.
    pub script: Option<&'a Script>,
    /// When it was handed to the vendor: this dial of it, where the gateway dials again.
    pub create_time: Timestamp,
    /// The vendor was asked to dial again by itself when nobody answers: an attempt that was
    /// not answered need not be the last.
    pub retries: bool,
}

/// What a vendor's answer says of one order.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// Taken.
    Accepted {
        /// The vendor's id of the call, verbatim.
        vendor_call_id: Option<String>,
        /// The vendor's id of the exchange.
        vendor_request_id: Option<String>,
        /// Whatever else it said that a caller may want.
        data: Map<String, Value>,
    },
    /// Refused, or in doubt: [`Fault::cause`] tells.
    Fault(Fault),
}

/// A reason not to send an order to this vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// [`Cause::Unsupported`] or [`Cause::InvalidCall`].
    pub cause: Cause,
    /// Which field, and what would be right.
    pub violation: Violation,
}

impl Objection {
    /// The vendor can't do what the field asks for.
    pub fn unsupported(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { cause: Cause::Unsupported, violation: Violation::new(field, description) }
    }

    /// The vendor would refuse the field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { cause: Cause::InvalidCall, violation: Violation::new(field, description) }
    }
}

/// A short-lived credential.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub secret: Secret,
    /// How long it lives.
    pub expires_in: Duration,
}
