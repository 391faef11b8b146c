//! Another configuration in the place of the one that is in force, while everything goes on.
//!
//! What an account has sent, what is under way with it and what waits for it is no matter of its
//! configuration: all versions of an account share its pace, its turns and its lane. So nothing
//! is moved, and nothing has two owners. What is under way ends with the version that it began
//! with.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Configured, Gateway, account::Account};
use crate::{
    config::{Config, VendorConfig},
    http::{ClientError, Line, VendorClient},
};

/// What a reload changed. Nothing but names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of `[vendors.*]`.
    pub vendors: Named,
    /// Of `[routes.*]`.
    pub routes: Named,
    /// Keys of other sections.
    pub settings: Vec<&'static str>,
    /// Keys that are other than before, and go by what they were until the next start.
    pub pending: Vec<&'static str>,
}

/// Names of what is new, other than it was, and not there any more; in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// New.
    pub added: Vec<String>,
    /// Other than before.
    pub changed: Vec<String>,
    /// Not there any more.
    pub removed: Vec<String>,
}

impl Changes {
    /// Nothing was changed.
    pub fn is_empty(&self) -> bool {
        self.vendors.is_empty() && self.routes.is_empty() && self.settings.is_empty()
    }
}

impl Named {
    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    fn of<A, B>(
        before: &BTreeMap<String, A>,
        now: &BTreeMap<String, B>,
        is_as: impl Fn(&A, &B) -> bool,
    ) -> Self {
        let mut named = Self::default();
        for (name, now) in now {
            match before.get(name) {
                None => named.added.push(name.clone()),
                Some(before) if !is_as(before, now) => named.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        named.removed = before.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
        named
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marked = [(&self.added, '+'), (&self.changed, '~'), (&self.removed, '-')];
        let marked = marked.iter().flat_map(|(names, mark)| names.iter().map(move |n| (mark, n)));
        for (index, (mark, name)) in marked.enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{mark}{name}")?;
        }
        Ok(())
    }
}

impl Gateway {
    /// Puts another configuration in the place of the one in force: vendors, routes, `retain`
    /// and `require_request_id`. Each request has the one or the other. Vendors that are as they
    /// were are left as they are.
    ///
    /// # Errors
    /// When a vendor's HTTP client can't be built. Nothing is changed then.
    pub async fn reload(&self, config: &Config) -> Result<Changes, ClientError> {
        self.reload_with_lines(config, |vendor| Ok(Arc::new(VendorClient::new(&vendor.link)?)))
            .await
    }

    /// As [`Gateway::reload`], with other ways to the vendors than the network. Asked for only
    /// where the one that is there is not good any more.
    ///
    /// # Errors
    /// When there is no way to a vendor.
    pub async fn reload_with_lines<E>(
        &self,
        config: &Config,
        line: impl Fn(&VendorConfig) -> Result<Arc<dyn Line>, E>,
    ) -> Result<Changes, E> {
        let _alone = self.inner.reloading.lock().await;
        let before = self.configured();
        let changes = before.changes(config);
        let mut accounts = BTreeMap::new();
        // Whatever may fail comes first.
        for vendor in config.vendors.values() {
            let known = before.account_or_gone(&vendor.name);
            let account = match known {
                Some(account) if account.is_as(vendor) && !account.is_gone() => Arc::clone(account),
                Some(account) if account.has_access_of(vendor) => {
                    account.renewed(vendor, Arc::clone(&account.line))
                }
                Some(account) => account.renewed(vendor, line(vendor)?),
                None => Account::new(vendor, line(vendor)?),
            };
            accounts.insert(vendor.name.clone(), account);
        }
        let mut next = Configured::new(config, accounts);
        next.gone = before.gone.clone();
        next.gone.retain(|name, _| !next.accounts.contains_key(name));
        let removed = changes.vendors.removed.iter();
        let removed: Vec<_> = removed.filter_map(|name| before.account(name)).cloned().collect();
        next.gone
            .extend(removed.iter().map(|account| (account.name().to_owned(), account.clone())));
        let unknown = self.take_over(&before, &next);
        let known = |name: &str| before.account_or_gone(name).is_some();
        let new: Vec<_> = next.accounts.values().filter(|a| !known(a.name())).cloned().collect();
        self.put_in_place(next);
        removed.iter().for_each(|account| account.lane.is_left());
        new.iter().for_each(|account| self.attend_to(account));
        if !unknown.is_empty() {
            self.inner.tasks.spawn(self.clone().find_out_what_was_sent(unknown));
        }
        self.inner.reloads.send_modify(|count| *count = count.wrapping_add(1));
        Ok(changes)
    }

    /// Has the accounts go on as they are configured now. Gives those of which more may have
    /// been sent than is known here: these wait until it is.
    fn take_over(&self, before: &Configured, next: &Configured) -> Vec<Arc<Account>> {
        let mut unknown = Vec::new();
        for account in next.accounts.values() {
            let Some(known) = before.account_or_gone(account.name()) else {
                account.pace.forget(account.rate());
                unknown.push(Arc::clone(account));
                continue;
            };
            if Arc::ptr_eq(known, account) {
                continue;
            }
            // The pace first: whatever goes by the new version goes by its rate.
            if account.pace.set_rate(account.rate()) {
                unknown.push(Arc::clone(account));
            }
            account.resize_turns(known.max_in_flight());
            account.set_breaker();
            for (ticket, fresh) in account.lane.goes_to(account) {
                fresh.spawn_parts(self, Some(ticket));
            }
        }
        unknown
    }

    /// The ledger knows what was sent, as after a restart.
    async fn find_out_what_was_sent(self, accounts: Vec<Arc<Account>>) {
        let count = || self.count_what_was_sent(accounts.iter().map(AsRef::as_ref));
        if let Err(error) = self.insist(std::time::Duration::MAX, count).await {
            tracing::error!(%error, "it is not known what vendors were sent; nothing more is");
        }
    }

    /// Ready with the next reload after this was called.
    pub fn reloaded(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut reloads = self.inner.reloads.subscribe();
        async move {
            // The gateway is gone otherwise.
            let _ = reloads.changed().await;
        }
    }
}

impl Configured {
    fn changes(&self, config: &Config) -> Changes {
        let settings = [
            ("ledger.retain", self.retain != config.retain),
            (
                "server.require_request_id",
                self.require_request_id != config.server.require_request_id,
            ),
        ];
        Changes {
            vendors: Named::of(&self.accounts, &config.vendors, |account, vendor| {
                account.is_as(vendor)
            }),
            routes: Named::of(&self.routes, &config.routes, |before, now| before == now),
            pending: Vec::new(),
            settings: settings.iter().filter(|(_, other)| *other).map(|(key, _)| *key).collect(),
        }
    }
}
