//! Phonon Central: outbound flows, the dialer and multicast (phonon.md).
//!
//! Facts are cited from the vendor notes; where the vendor's pages leave something
//! open, the defensive reading of their section 6 is what is built here.

use std::{sync::Arc, time::Duration};

use super::{
    Callback, Capabilities, Context, DefaultLimits, Objection, Outgoing, Placed, Placement,
    Registration, Vendor,
};
use crate::{
    call::{Fault, Order, Report},
    config::Section,
    http::{HttpReply, HttpRequest},
};

mod answer;
mod callback;
mod codes;
mod encryption;
mod leg;
mod place;
mod placement;
mod results;
mod row;
mod settings;
mod wire;

pub use codes::{CODES, Code};
use settings::{Lane, Settings};

/// `kind = "phonon"`.
pub const REGISTRATION: Registration = Registration { kind: "phonon", build };

/// The `domain` of Phonon's errors.
pub const DOMAIN: &str = "phonon.io";

/// For how long the vendor is trusted to know a request again. How long it really does is
/// not published (phonon.md 6.5): long enough for a restart, and no longer.
const REMEMBERED: Duration = Duration::from_secs(600);

/// One account's adapter.
#[derive(Debug)]
pub struct Phonon {
    settings: Settings,
    capabilities: Capabilities,
}

fn build(section: &mut Section<'_>) -> Option<Arc<dyn Vendor>> {
    Some(Arc::new(Phonon::read(section)?))
}

impl Phonon {
    /// Reads the account's keys. Every mistake is reported to the section, and nothing
    /// given when there was one.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let settings = Settings::read(section)?;
        let capabilities = Capabilities {
            flows: true,
            audio: false,
            schedules: true,
            // The flow decides, not the request.
            retries: false,
            // The number is mapped to the flow in the portal.
            caller_id: false,
            pull_results: settings.results.is_some(),
            push_results: settings.callback.is_some(),
            // None is published (phonon.md 6.17).
            cancels: false,
            max_numbers: place::MAX_NUMBERS,
            max_batch: place::MAX_CALLS,
        };
        Some(Self { settings, capabilities })
    }
}

impl Vendor for Phonon {
    fn kind(&self) -> &'static str {
        REGISTRATION.kind
    }

    fn domain(&self) -> &'static str {
        DOMAIN
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The rates are those of phonon.md 1, read as calls, which is stricter; the dialer's
    /// is not stated and taken to be that of real time. The other numbers are the
    /// vendor's nowhere: few exchanges at a time, as one carries 500 calls; a pull
    /// answer is for calls that are over, so asking more often than every ten seconds
    /// tells little; and a day is when a scheduled flow of today has certainly run.
    fn default_limits(&self) -> DefaultLimits {
        let (calls_per_minute, max_in_flight) = match self.settings.lane {
            Lane::Realtime => (500, 4),
            Lane::Bulk => (30_000, 8),
        };
        DefaultLimits {
            calls_per_minute: Some(calls_per_minute),
            requests_per_minute: None,
            max_in_flight,
            poll_interval: Duration::from_secs(10),
            give_up_after: Duration::from_secs(24 * 3_600),
        }
    }

    fn check(&self, order: &Order) -> Vec<Objection> {
        place::check(&self.settings, order)
    }

    fn group<'a>(&'a self, order: &'a Order) -> &'a str {
        place::flow_of(&self.settings, order.script.as_ref()).unwrap_or_default()
    }

    fn batches(&self, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>> {
        place::batches(&self.settings, orders)
    }

    fn place(&self, batch: &[Outgoing<'_>], context: &Context<'_>) -> Result<HttpRequest, Fault> {
        place::request(&self.settings, batch, context.now)
    }

    fn read_placement(&self, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Placement> {
        placement::read(self.settings.lane, batch, reply)
    }

    fn questions(&self, calls: &[Placed<'_>]) -> Vec<Vec<usize>> {
        results::questions(&self.settings, calls)
    }

    fn ask(&self, calls: &[Placed<'_>], _context: &Context<'_>) -> Option<HttpRequest> {
        results::ask(&self.settings, calls)
    }

    fn read_answer(&self, calls: &[Placed<'_>], reply: &HttpReply) -> Result<Vec<Report>, Fault> {
        results::read(calls, reply)
    }

    fn duplicate_check(&self) -> Option<Duration> {
        self.settings.duplicate_check.then_some(REMEMBERED)
    }

    fn callback(&self) -> Option<&dyn Callback> {
        self.settings.callback.as_ref().map(|login| login as &dyn Callback)
    }

    /// Answers are matched in any case, and so are pushes.
    fn aliases(&self, vendor_call_id: &str) -> Vec<String> {
        let mut ways = vec![vendor_call_id.to_owned()];
        for way in [vendor_call_id.to_ascii_lowercase(), vendor_call_id.to_ascii_uppercase()] {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        ways
    }
}

#[cfg(test)]
mod testing;
