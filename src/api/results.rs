//! GetCallResults.

use std::{collections::HashSet, hash::Hash, str::FromStr, time::Duration};

use prost::Message;
use tokio::time::Instant;
use tonic::Status;
use tonic_types::pb;

use super::{
    CallApi, DEFAULT_PATIENCE, answer, deadline::within, page_token, refusal, render,
    retries::Asked, status,
};
use crate::{
    call::{MAX_SELECTED, Selector, Violation},
    gateway::{Results, ResultsQuery, Scope, Warning},
    ledger::Page,
    proto::{Call, GetCallResultsRequest, GetCallResultsResponse},
};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: i32 = 1_000;

impl CallApi {
    pub(super) async fn results(
        &self,
        request: GetCallResultsRequest,
        deadline: Option<Instant>,
        scope: Scope,
    ) -> Result<GetCallResultsResponse, Status> {
        let query =
            query(request, deadline, scope).map_err(|wrong| refusal::invalid_request(&wrong))?;
        let read = within(deadline, self.read(query)).await;
        read.unwrap_or_else(|| Err(refusal::read_too_late()))
    }

    async fn read(&self, query: ResultsQuery) -> Result<GetCallResultsResponse, Status> {
        let (scope, selector, after) = (query.scope.clone(), query.selector.clone(), query.after);
        let failed = |error| refusal::gateway_error(&error, Asked::READING);
        let Results { mut page, warnings } = self.gateway.results(query).await.map_err(failed)?;
        let warnings: Vec<_> = warnings.iter().map(warning).collect();
        let extra: usize = warnings.iter().map(|w| w.encoded_len() + 4).sum();
        // What is too much for one answer comes with the next page. The ledger is asked
        // again for the shorter one: it knows which ids without a call belong to it.
        loop {
            let calls: Vec<_> = page.calls.iter().map(|(call, _)| render::call(call)).collect();
            let around: usize = page.not_found.iter().map(|id| id.len() + 4).sum();
            let fitting = answer::fitting(&calls, extra + around);
            if fitting < calls.len() {
                page = self
                    .gateway
                    .page_in(&scope, &selector, after, fitting)
                    .await
                    .map_err(failed)?;
                continue;
            }
            return Ok(respond(&selector, page, calls, warnings));
        }
    }
}

fn respond(
    selector: &Selector,
    page: Page,
    mut calls: Vec<Call>,
    warnings: Vec<pb::Status>,
) -> GetCallResultsResponse {
    // Only a call that is too large by itself is cut.
    answer::shrink(&mut calls);
    let next_page_token = page.next.map(|at| page_token::write(selector, at)).unwrap_or_default();
    GetCallResultsResponse { calls, not_found: page.not_found, next_page_token, warnings }
}

fn warning(warning: &Warning) -> pb::Status {
    let subject = status::Subject { vendor: &warning.vendor, prefix: "", request_id: None };
    status::render(&warning.error, subject)
}

fn query(
    request: GetCallResultsRequest,
    deadline: Option<Instant>,
    scope: Scope,
) -> Result<ResultsQuery, Vec<Violation>> {
    let mut wrong = Vec::new();
    let selector =
        selector(&request.call_ids, &request.request_id, &request.client_references, &mut wrong);
    let limit = match request.page_size {
        0 => DEFAULT_PAGE,
        n if n < 0 => {
            wrong.push(Violation::new("page_size", format!("is {n}; expected 0 to {MAX_PAGE}")));
            DEFAULT_PAGE
        }
        n => usize::try_from(n.min(MAX_PAGE)).unwrap_or(DEFAULT_PAGE),
    };
    let max_staleness = request.max_staleness.and_then(|staleness| {
        Duration::try_from(staleness)
            .map_err(|_| {
                wrong.push(Violation::new("max_staleness", "is negative; expected 0 or more"));
            })
            .ok()
    });
    let Some(selector) = selector else { return Err(wrong) };
    let after = page_token::read(&selector, &request.page_token);
    if after.is_none() {
        wrong.push(Violation::new(
            "page_token",
            "is not one of this selection; expected next_page_token of the page before, with the same selection",
        ));
    }
    match after {
        Some(after) if wrong.is_empty() => {
            let patience = patience(deadline);
            Ok(ResultsQuery { scope, selector, after, limit, max_staleness, patience })
        }
        _ => Err(wrong),
    }
}

/// Vendors may take most of what the caller has; reading the ledger again takes the
/// rest.
fn patience(deadline: Option<Instant>) -> Duration {
    deadline.map_or(DEFAULT_PATIENCE, |at| {
        at.saturating_duration_since(Instant::now()).mul_f32(0.8).min(DEFAULT_PATIENCE)
    })
}

/// Exactly one of three ways to name calls.
pub(super) fn selector(
    call_ids: &[String],
    request_id: &str,
    references: &[String],
    wrong: &mut Vec<Violation>,
) -> Option<Selector> {
    const ONE: &str = "expected exactly one of call_ids, request_id and client_references";
    let given: Vec<_> = [
        ("call_ids", !call_ids.is_empty()),
        ("request_id", !request_id.is_empty()),
        ("client_references", !references.is_empty()),
    ]
    .into_iter()
    .filter_map(|(field, is_given)| is_given.then_some(field))
    .collect();
    match given.as_slice() {
        [] => wrong.push(Violation::new("call_ids", format!("nothing is selected; {ONE}"))),
        ["call_ids"] => return list("call_ids", call_ids, wrong).map(Selector::Calls),
        ["client_references"] => {
            return list("client_references", references, wrong).map(Selector::References);
        }
        ["request_id"] => match request_id.parse() {
            Ok(id) => return Some(Selector::Request(id)),
            Err(error) => wrong.push(Violation::new("request_id", format!("{error}"))),
        },
        [_, more @ ..] => {
            for field in more {
                wrong.push(Violation::new(*field, format!("is one selection too many; {ONE}")));
            }
        }
    }
    None
}

/// The entries in their order, each once.
fn list<T>(field: &str, texts: &[String], wrong: &mut Vec<Violation>) -> Option<Vec<T>>
where
    T: FromStr + Clone + Eq + Hash,
    T::Err: std::fmt::Display,
{
    if texts.len() > MAX_SELECTED {
        let count = texts.len();
        wrong.push(Violation::new(
            field,
            format!("has {count} entries; at most {MAX_SELECTED} are allowed"),
        ));
        return None;
    }
    let before = wrong.len();
    let mut seen = HashSet::with_capacity(texts.len());
    let mut entries = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        match text.parse::<T>() {
            Ok(entry) => {
                if seen.insert(entry.clone()) {
                    entries.push(entry);
                }
            }
            Err(error) => wrong.push(Violation::new(format!("{field}[{i}]"), error.to_string())),
        }
    }
    (wrong.len() == before).then_some(entries)
}
