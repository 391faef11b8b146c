//! Which calls somebody may see.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{Gateway, GatewayError};
use crate::{
    call::{Call, Position, Selector},
    ledger::Page,
};

/// The routes that somebody may use, and whose calls are there for them. The default is all of
/// them. Cloning it is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(Option<Arc<BTreeSet<String>>>);

impl Scope {
    /// These routes alone.
    pub fn of(routes: BTreeSet<String>) -> Self {
        Self(Some(Arc::new(routes)))
    }

    /// Whether it is all there is.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a route belongs to it.
    pub fn has(&self, route: &str) -> bool {
        self.0.as_ref().is_none_or(|routes| routes.contains(route))
    }
}

const START: Position = Position { entries: 0, within: None };

impl Gateway {
    /// As [`Gateway::page`], for somebody to whom the calls of other routes are not there: no
    /// page, and no end of one, is any different for their being there.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub async fn page_in(
        &self,
        scope: &Scope,
        selector: &Selector,
        after: Position,
        limit: usize,
    ) -> Result<Page, GatewayError> {
        if scope.is_all() {
            return self.page(selector, after, limit).await;
        }
        let limit = limit.max(1);
        if let Selector::Request(id) = selector {
            // All calls of a request have one route.
            let page = self.page(selector, after, limit).await?;
            let has_hidden =
                |page: &Page| page.calls.iter().any(|(call, _)| !scope.has(&call.route));
            let hidden = match page.calls.is_empty() && page.not_found.is_empty() {
                // Behind its last call, where none of them shows whose they are.
                true => has_hidden(&self.page(selector, START, 1).await?),
                false => has_hidden(&page),
            };
            let nothing = Page { not_found: vec![id.to_string()], ..Page::default() };
            return Ok(if hidden { nothing } else { page });
        }
        let mut kept = Vec::new();
        let (mut at, mut next) = (after, None);
        'read: loop {
            let page = self.page(selector, at, limit - kept.len() + 1).await?;
            for (call, position) in page.calls {
                if scope.has(&call.route) {
                    if kept.len() == limit {
                        next = Some(at);
                        break 'read;
                    }
                    kept.push((call, position));
                }
                at = position;
            }
            match page.next {
                Some(on) => at = on,
                None => break,
            }
        }
        let not_found = missing(selector, after, next, &kept);
        Ok(Page { calls: kept, not_found, next })
    }
}

/// The entries of a selection that are dealt with between two places, and have no call there.
fn missing(
    selector: &Selector,
    after: Position,
    next: Option<Position>,
    calls: &[(Call, Position)],
) -> Vec<String> {
    let index = |position: Position| usize::try_from(position.entries).unwrap_or(usize::MAX);
    // Of an entry that a page ended within, that page had the first call.
    let first = index(after).saturating_add(usize::from(after.within.is_some()));
    let covered = next.map_or(usize::MAX, index).saturating_sub(first);
    match selector {
        Selector::Request(_) => Vec::new(),
        Selector::Calls(ids) => {
            let found: HashSet<_> = calls.iter().map(|(call, _)| call.id).collect();
            let covered = ids.iter().skip(first).take(covered);
            covered.filter(|id| !found.contains(id)).map(ToString::to_string).collect()
        }
        Selector::References(references) => {
            let found = calls.iter().filter_map(|(call, _)| call.order.client_reference.as_ref());
            let found: HashSet<_> = found.collect();
            let covered = references.iter().skip(first).take(covered);
            covered.filter(|r| !found.contains(r)).map(|r| r.as_str().to_owned()).collect()
        }
    }
}
