//! Which dial of a call a vendor speaks of, where the gateway dials again.

use super::account::Account;
use crate::call::{Call, CallState};

/// Which dial of a call a piece speaks of.
pub(super) enum Spoken<'a> {
    /// The one that is under way.
    This,
    /// One before it, and the vendor's id of that.
    Earlier(u32, &'a str),
    /// It can't be told which one: the vendor may be asked about the one that is under way.
    Either,
    /// None that anybody was handed.
    Neither,
}

/// By the vendor's id, for ours is the same for all dials. An id that no dial is known by is
/// news of the one that is under way: the vendor may tell of it before it answers.
pub(super) fn spoken_of<'a>(
    account: &Account,
    call: &'a Call,
    vendor_call_id: Option<&str>,
) -> Spoken<'a> {
    let waits = call.state == CallState::Scheduled;
    let Some(id) = vendor_call_id else {
        let asked = call.vendor_call_id.is_some() && account.adapter().capabilities().pull_results;
        return match call.dials.is_empty() {
            _ if waits => Spoken::Neither,
            true => Spoken::This,
            false if asked && call.state.is_with_vendor() => Spoken::Either,
            false => Spoken::Neither,
        };
    };
    let ids = account.adapter().aliases(id);
    let is_it = |known: &str| account.adapter().aliases(known).iter().any(|way| ids.contains(way));
    if call.dials.is_empty() || call.vendor_call_id.as_deref().is_some_and(is_it) {
        return if waits { Spoken::Neither } else { Spoken::This };
    }
    match (0..).zip(&call.dials).find(|(_, dial)| is_it(&dial.vendor_call_id)) {
        Some((at, dial)) => Spoken::Earlier(at, &dial.vendor_call_id),
        None if waits => Spoken::Neither,
        None => Spoken::This,
    }
}

/// The vendor's ids of a call: of the dial that is under way, and of those before it.
pub(super) fn names(call: &Call) -> impl Iterator<Item = &str> {
    let earlier = call.dials.iter().map(|dial| dial.vendor_call_id.as_str());
    call.vendor_call_id.as_deref().into_iter().chain(earlier)
}
