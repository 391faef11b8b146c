//! WatchCallResults.

use std::time::Duration;

use futures_util::{StreamExt, stream, stream::BoxStream};
use tonic::Status;

use super::{CallApi, answer, create::discreet, cursor, refusal, render, results};
use crate::{
    call::{Selection, Violation},
    gateway::{Next, Scope, Watch},
    ledger::Change,
    proto::{WatchCallResultsRequest, WatchCallResultsResponse},
};

const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(1);
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(3_600);

/// A stream under way.
struct Streaming {
    watch: Watch,
    ledger: [u8; 8],
    heartbeat: Option<Duration>,
    broken: bool,
}

impl CallApi {
    pub(super) async fn watch(
        &self,
        request: WatchCallResultsRequest,
        scope: Scope,
    ) -> Result<BoxStream<'static, Result<WatchCallResultsResponse, Status>>, Status> {
        let ledger = self.gateway.ledger_identity();
        let newest = self.gateway.newest_change();
        let Wanted { selection, after, heartbeat } =
            read(&request, ledger, newest).map_err(|wrong| refusal::invalid_request(&wrong))?;
        if let Selection::Route(route) = &selection
            && !scope.has(route)
        {
            return Err(refusal::route_not_allowed(route));
        }
        let watch = self.gateway.watch_in(scope.clone(), selection, after).await;
        let watch = watch.map_err(|error| refusal::unread(&discreet(error, &scope)))?;
        let streaming = Streaming { watch, ledger, heartbeat, broken: false };
        Ok(stream::unfold(streaming, Streaming::next).boxed())
    }
}

impl Streaming {
    async fn next(mut self) -> Option<(Result<WatchCallResultsResponse, Status>, Self)> {
        if self.broken {
            return None;
        }
        match self.watch.next(self.heartbeat).await {
            Ok(Next::Over) => None,
            Ok(Next::Change(change)) => Some((Ok(self.message(&change)), self)),
            Ok(Next::Quiet) => Some((Ok(self.beat()), self)),
            Err(error) => {
                self.broken = true;
                Some((Err(refusal::unread(&error)), self))
            }
        }
    }

    fn message(&self, change: &Change) -> WatchCallResultsResponse {
        let mut calls = vec![render::call(&change.call)];
        // Only a call that is too large by itself is cut.
        answer::shrink(&mut calls);
        WatchCallResultsResponse {
            call: calls.pop(),
            cursor: cursor::write(self.ledger, change.number),
        }
    }

    fn beat(&self) -> WatchCallResultsResponse {
        let cursor = cursor::write(self.ledger, self.watch.position());
        WatchCallResultsResponse { call: None, cursor }
    }
}

/// What is wanted, checked.
struct Wanted {
    selection: Selection,
    after: Option<u64>,
    heartbeat: Option<Duration>,
}

fn read(
    request: &WatchCallResultsRequest,
    ledger: [u8; 8],
    newest: u64,
) -> Result<Wanted, Vec<Violation>> {
    let mut wrong = Vec::new();
    let selection = selection(request, &mut wrong);
    let after = match request.cursor.as_str() {
        "" => None,
        text => {
            let after = cursor::read(ledger, text).filter(|number| *number <= newest);
            if after.is_none() {
                wrong.push(Violation::new(
                    "cursor",
                    "is not one of this gateway's ledger; expected the cursor of a message, or none to start anew",
                ));
            }
            after
        }
    };
    let heartbeat = request.heartbeat_interval.and_then(|interval| {
        let right = Duration::try_from(interval)
            .ok()
            .filter(|interval| (SHORTEST_HEARTBEAT..=LONGEST_HEARTBEAT).contains(interval));
        if right.is_none() {
            wrong.push(Violation::new(
                "heartbeat_interval",
                "is out of range; expected 1 second to 1 hour",
            ));
        }
        right
    });
    match selection {
        Some(selection) if wrong.is_empty() => Ok(Wanted { selection, after, heartbeat }),
        _ => Err(wrong),
    }
}

/// At most one of the four ways to select calls.
fn selection(request: &WatchCallResultsRequest, wrong: &mut Vec<Violation>) -> Option<Selection> {
    let WatchCallResultsRequest { call_ids, request_id, client_references, route, .. } = request;
    let named = !call_ids.is_empty() || !request_id.is_empty() || !client_references.is_empty();
    match (named, route.is_empty()) {
        (false, true) => Some(Selection::All),
        (false, false) => Some(Selection::Route(route.clone())),
        (true, true) => {
            results::selector(call_ids, request_id, client_references, wrong).map(Selection::Named)
        }
        (true, false) => {
            wrong.push(Violation::new(
                "route",
                "is given beside calls; expected at most one of call_ids, request_id, client_references and route",
            ));
            None
        }
    }
}
