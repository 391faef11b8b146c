//! What is asked for: one call, checked, with everything a vendor needs to place it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CallerId, ClientReference, E164};

/// One call to place. Its route's defaults are already filled in. Prints without the
/// values of variables and labels, which may be anything of a person's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The caller's own reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_reference: Option<ClientReference>,
    /// The person's number, then alternates. Never empty, except in an order that
    /// was refused because of its numbers.
    pub to: Vec<E164>,
    /// The number shown; none means the vendor's configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerId>,
    /// What is played; none means the vendor's configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Values for the script.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// Never dialled after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_time: Option<Timestamp>,
    /// Who is called.
    #[serde(default, skip_serializing_if = "Recipient::is_empty")]
    pub recipient: Recipient,
    /// BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// What to do when nobody answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The caller's own notes, never sent to a vendor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order")
            .field("client_reference", &self.client_reference)
            .field("to", &self.to)
            .field("caller_id", &self.caller_id)
            .field("script", &self.script)
            .field("variables", &self.variables.keys())
            .field("start_time", &self.start_time)
            .field("expire_time", &self.expire_time)
            .field("recipient", &self.recipient)
            .field("locale", &self.locale)
            .field("retry", &self.retry)
            .field("labels", &self.labels.keys())
            .finish()
    }
}

/// What is played to whoever answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Script {
    /// The vendor's id of an IVR flow or scenario.
    Flow(String),
    /// A recorded message: the vendor's id, or an http(s) address.
    Audio(String),
}

/// The person called. Both may be empty.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Their name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Their e-mail address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
}

impl Recipient {
    /// Nothing is known of the person.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.email.is_empty()
    }
}

// Personal data: a log line needs to know that it is there, not what it is.
impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_empty() { "Recipient(none)" } else { "Recipient(***)" })
    }
}

/// What to do when nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Pause between two attempts. None at all is for whoever dials to choose.
    pub interval: Duration,
    /// How often to dial at most, the first time included; 0 leaves it to the
    /// vendor.
    pub max_attempts: u32,
}

impl Retry {
    /// Whether a second attempt is asked for at all.
    pub fn is_wanted(self) -> bool {
        self.max_attempts != 1
    }

    /// How often the gateway dials at most, where it is the one who does: a number that is
    /// left to a vendor that does not retry means twice in all.
    pub fn dials(self) -> u32 {
        if self.max_attempts == 0 { 2 } else { self.max_attempts }
    }

    /// How long the gateway waits before it dials again: never less than a second, and five
    /// minutes where nothing was said.
    pub fn pause(self) -> Duration {
        const UNLESS_SAID: Duration = Duration::from_secs(5 * 60);
        const LEAST: Duration = Duration::from_secs(1);
        if self.interval.is_zero() { UNLESS_SAID } else { self.interval.max(LEAST) }
    }
}
