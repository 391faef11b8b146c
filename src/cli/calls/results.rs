//! `dialplane results`: what is known of calls.

use std::collections::BTreeSet;

use clap::Args;

use super::{Client, How, Part, Selected, code, is_over, note};
use crate::{
    call::MAX_SELECTED,
    cli::client::{Failed, words},
    proto::{Call, GetCallResultsRequest},
};

/// What is asked.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    selected: Selected,
    /// Ask the vendors now, whatever is known already.
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    how: How,
}

pub(in crate::cli) async fn run(arguments: &Arguments) -> Result<u8, Failed> {
    let Arguments { selected, fresh, how } = arguments;
    let parts = selected.some()?;
    let mut client = how.client().await?;
    let mut out = how.out();
    let mut is_whole = true;
    for part in parts {
        let max_staleness = fresh.then(prost_types::Duration::default);
        let asked = Asked { part, max_staleness };
        match asked.each(how, &mut client, |call| out.call(call).is_ok()).await? {
            Some(missing) => is_whole &= missing == 0,
            // Whoever closed it does not want to read on.
            None => break,
        }
    }
    Ok(code(is_whole))
}

/// A selection, and how old what is known of it may be.
pub(in crate::cli) struct Asked {
    pub part: Part,
    pub max_staleness: Option<prost_types::Duration>,
}

impl Asked {
    /// All pages, call by call as long as they are taken, and what there is to be said of them.
    /// Gives how many ids or references are without a call; none if they were not taken to the
    /// end.
    pub(in crate::cli) async fn each(
        &self,
        how: &How,
        client: &mut Client,
        mut take: impl FnMut(&Call) -> bool,
    ) -> Result<Option<usize>, Failed> {
        let mut said = BTreeSet::new();
        let (mut missing, mut found) = (0, 0);
        let mut request = self.request();
        loop {
            let page = how.ask(request.clone(), async |r| client.get_call_results(r).await).await?;
            for call in &page.calls {
                found += 1;
                if !take(call) {
                    return Ok(None);
                }
            }
            missing += page.not_found.len();
            page.not_found.iter().for_each(|name| note(format!("no such call: {name}")));
            for warning in page.warnings.iter().map(words) {
                if said.insert(warning.clone()) {
                    note(format!("some may be old: {warning}"));
                }
            }
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        if found == 0 && missing == 0 {
            note("no calls");
            missing = 1;
        }
        Ok(Some(missing))
    }

    /// All of its calls, without a word about them.
    pub(in crate::cli) async fn quietly(
        &self,
        how: &How,
        client: &mut Client,
        calls: &mut Vec<Call>,
    ) -> Result<(), Failed> {
        let mut request = self.request();
        loop {
            let page = how.ask(request.clone(), async |r| client.get_call_results(r).await).await?;
            calls.extend(page.calls);
            if page.next_page_token.is_empty() {
                return Ok(());
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Whether all of it is there and over.
    pub(in crate::cli) async fn are_all_over(
        &self,
        how: &How,
        client: &mut Client,
    ) -> Result<bool, Failed> {
        let mut request = self.request();
        loop {
            let page = how.ask(request.clone(), async |r| client.get_call_results(r).await).await?;
            if !page.not_found.is_empty() || !page.calls.iter().all(is_over) {
                return Ok(false);
            }
            if page.next_page_token.is_empty() {
                return Ok(true);
            }
            request.page_token = page.next_page_token;
        }
    }

    fn request(&self) -> GetCallResultsRequest {
        let Part { call_ids, request_id, client_references } = self.part.clone();
        GetCallResultsRequest {
            call_ids,
            request_id,
            client_references,
            page_size: i32::try_from(MAX_SELECTED).unwrap_or_default(),
            page_token: String::new(),
            max_staleness: self.max_staleness,
        }
    }
}
