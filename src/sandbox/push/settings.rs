//! Where the simulated vendors push to, and how.

use std::{collections::BTreeMap, fmt, time::Duration};

/// Where results are pushed to. The default is nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Webhooks {
    /// Phonon's webhook, of both hosts.
    pub phonon: Option<PhononWebhook>,
    /// MobTexting's.
    pub mobtexting: Option<MobTextingWebhook>,
    /// Knovvu posts to each call's `ResultDestination`.
    pub knovvu: bool,
}

/// Phonon's webhook, as set in its portal.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PhononWebhook {
    /// A loopback address. `{flow}` stands for the call's flow id, `{system}` for
    /// `phonon` or `phonon-bulk`.
    pub url: String,
    /// The addresses of single flows, by flow id, in place of `url`.
    pub flows: BTreeMap<String, String>,
    /// For HTTP basic authentication; there is none when this and the password are
    /// empty.
    pub user: String,
    /// The same.
    pub password: String,
    /// What is posted.
    pub body: PhononBody,
}

impl fmt::Debug for PhononWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhononWebhook").field("body", &self.body).finish_non_exhaustive()
    }
}

/// Phonon's formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PhononBody {
    /// The newest fixed one (`phonon.md 5b`).
    #[default]
    Dlr,
    /// The one before, without a wrapper and in seconds (`phonon.md 5c`).
    FlowEnd,
    /// A body of the account's own, in JSON (`phonon.md 5d`).
    Custom,
    /// The same, url-encoded.
    CustomForm,
}

/// MobTexting's webhook, as set in its portal.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MobTextingWebhook {
    /// A loopback address.
    pub url: String,
    /// Sent as a bearer token with each push, unless empty.
    pub secret: String,
    /// Sent in the handshake.
    pub token: String,
    /// What is posted.
    pub body: MobTextingBody,
}

impl fmt::Debug for MobTextingWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MobTextingWebhook").field("body", &self.body).finish_non_exhaustive()
    }
}

/// MobTexting's formats (`mobtexting.md 5b`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MobTextingBody {
    /// The fixed one.
    Standard,
    /// A composed webhook in JSON, with the call's id.
    #[default]
    Composed,
    /// A composed webhook, url-encoded.
    ComposedForm,
}

/// How results are pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushing {
    /// From the end of the call on.
    pub delay: Duration,
    /// Each push so many times, at most 1,000.
    pub times: u32,
    /// Of the pushes that wait at the same time the latest goes first, one at a time.
    /// Waiting are those whose calls are over; a call with several waits for its end.
    pub reordered: bool,
    /// The answer to an order is held back until its calls have been pushed, once each
    /// is over, without the delay. Not for calls that start later.
    pub early: bool,
    /// Pushes under way at the same time, at least 1.
    pub concurrency: usize,
    /// How often a push that failed is posted again.
    pub retries: u32,
    /// The pause before that. MobTexting's own is 30 minutes.
    pub retry_after: Duration,
}

impl Default for Pushing {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            times: 1,
            reordered: false,
            early: false,
            concurrency: 16,
            retries: 3,
            retry_after: Duration::from_secs(1),
        }
    }
}
