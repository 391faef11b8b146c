//! What the gateway was told, as of one moment: a reload puts another one in its place, and
//! whoever holds this one goes on with it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::account::Account;
use crate::config::{Config, Route};

/// Routes and accounts that belong together. Never changed.
#[derive(Debug)]
pub struct Configured {
    pub(super) routes: BTreeMap<String, Route>,
    pub(super) accounts: BTreeMap<String, Arc<Account>>,
    /// Those that were configured since the gateway started, and are not any more.
    pub(super) gone: BTreeMap<String, Arc<Account>>,
    /// For how long what is over is kept.
    pub(super) retain: Duration,
    pub(super) require_request_id: bool,
}

impl Configured {
    pub(super) fn new(config: &Config, accounts: BTreeMap<String, Arc<Account>>) -> Self {
        Self {
            routes: config.routes.clone(),
            accounts,
            gone: BTreeMap::new(),
            retain: config.retain,
            require_request_id: config.server.require_request_id,
        }
    }

    /// The configured vendors, in the order of their names.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values().map(AsRef::as_ref)
    }

    /// The configured routes, in the order of their names.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.values()
    }

    /// Whether every request has to name itself, so that no repetition of it can be missed.
    pub fn requires_request_id(&self) -> bool {
        self.require_request_id
    }

    pub(super) fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name)
    }

    /// The same, or as it was when it was configured last: for calls that wait there.
    pub(super) fn account_or_gone(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name).or_else(|| self.gone.get(name))
    }

    pub(super) fn route(&self, name: &str) -> Option<&Route> {
        self.routes.get(name)
    }
}
