//! CreateCalls.

use aws_lc_rs::digest::{SHA256, digest};
use prost::Message;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{CallApi, answer, parse, refusal, render, status, trailer};
use crate::{
    call::{Call, CallError, CallState, Cause, Dialed, Fingerprint, RequestId, Violation},
    gateway::{CreateOrder, Created, GatewayError},
    proto::{self, CreateCallsRequest, CreateCallsResponse},
};

/// The most calls of one request.
pub(super) const MAX_CALLS: usize = 5_000;

impl CallApi {
    pub(super) async fn create(
        &self,
        request: CreateCallsRequest,
        deadline: Option<Instant>,
    ) -> Result<CreateCallsResponse, Status> {
        let validate_only = request.validate_only;
        let may_be_known = !request.request_id.is_empty();
        let order = order(request)?;
        let request_id = order.request_id.clone();
        // Before anything that may have changed since: routes, limits, a stop. Who
        // repeats a request wants to know what became of it.
        if may_be_known {
            let recorded = self.gateway.recorded(&request_id, &order.fingerprint).await;
            match recorded.map_err(|error| refusal::unasked(&error, &request_id))? {
                Some(created) if !validate_only => return respond(Ok(created), request_id),
                _ => {}
            }
        }
        let prepared =
            self.gateway.prepare(order).map_err(|error| refusal::gateway_error(&error, None))?;

        let shown: Vec<_> = prepared.calls.iter().map(render::call).collect();
        let will_be_sent = |call: &Call| call.state == CallState::Scheduled;
        answer::fits(shown.iter().zip(prepared.calls.iter().map(will_be_sent)))
            .map_err(refusal::answer_too_large)?;
        if validate_only {
            return Ok(unplaced(shown));
        }

        let gateway = self.gateway.clone();
        let created = async move { gateway.create(prepared).await };
        let created = match deadline {
            None => created.await,
            Some(at) => match timeout_at(at, created).await {
                Ok(created) => created,
                Err(_) => return Err(refusal::deadline_exceeded(&request_id)),
            },
        };
        respond(created, request_id)
    }
}

/// Reads the request, all its own mistakes at once.
fn order(mut request: CreateCallsRequest) -> Result<CreateOrder, Status> {
    let mut wrong = Vec::new();
    let request_id = match request.request_id.as_str() {
        "" => RequestId::generate(),
        text => text.parse().unwrap_or_else(|error: crate::call::IdentityError| {
            wrong.push(Violation::new("request_id", error.to_string()));
            RequestId::generate()
        }),
    };
    match request.calls.len() {
        1..=MAX_CALLS => {}
        0 => wrong
            .push(Violation::new("calls", format!("is empty; expected 1 to {MAX_CALLS} calls"))),
        n => {
            wrong
                .push(Violation::new("calls", format!("has {n} calls; expected 1 to {MAX_CALLS}")));
        }
    }
    if !wrong.is_empty() {
        return Err(refusal::invalid_request(&wrong));
    }
    if request.route.is_empty() {
        "default".clone_into(&mut request.route);
    }
    // Whatever changes what is placed makes another request; the key itself doesn't, nor
    // does having it checked first.
    request.request_id.clear();
    request.validate_only = false;
    let mut fingerprint = Fingerprint { digest: [0; 32], fields: Vec::new() };
    fingerprint.digest.copy_from_slice(digest(&SHA256, &request.encode_to_vec()).as_ref());
    Ok(CreateOrder {
        request_id,
        fingerprint,
        route: request.route,
        all_or_nothing: request.all_or_nothing,
        drafts: parse::drafts(request.calls),
    })
}

/// The answer to `validate_only`: nothing is recorded, so there are no ids.
fn unplaced(mut calls: Vec<proto::Call>) -> CreateCallsResponse {
    for call in &mut calls {
        call.call_id.clear();
        call.request_id.clear();
        call.create_time = None;
        call.update_time = None;
        call.end_time = None;
        call.revision = 0;
    }
    CreateCallsResponse { calls, replayed: false, request_id: String::new() }
}

fn respond(
    created: Result<Created, GatewayError>,
    request_id: RequestId,
) -> Result<CreateCallsResponse, Status> {
    let Created { calls, replayed } =
        created.map_err(|error| refusal::gateway_error(&error, Some(&request_id)))?;
    let mut response = CreateCallsResponse {
        calls: calls.iter().map(render::call).collect(),
        replayed,
        request_id: request_id.to_string(),
    };
    if let Some(first) = nothing_placed(&calls) {
        let prefix = format!("calls[{}].", first.0.position);
        let subject = status::Subject {
            vendor: &first.0.vendor,
            prefix: &prefix,
            request_id: Some(&request_id),
        };
        let violations = calls
            .iter()
            .filter_map(|call| Some((call.position, call.error.as_ref()?)))
            .flat_map(|(position, error)| error.violations.iter().map(move |v| (position, v)))
            .map(|(position, violation)| (format!("calls[{position}]."), violation.clone()));
        let in_doubt =
            calls.iter().filter_map(|c| c.error.as_ref()).any(|e| e.dialed == Dialed::Maybe);
        return Err(trailer::nothing_placed((first.1, subject), in_doubt, violations, response));
    }
    answer::shrink(&mut response.calls);
    Ok(response)
}

/// When no call was handed over and at least one failed: the first that did, by its
/// own doing if there is such a one.
fn nothing_placed(calls: &[Call]) -> Option<(&Call, &CallError)> {
    let refused = |call: &Call| !call.handed_over && call.state.is_final();
    if !calls.iter().all(refused) {
        return None;
    }
    let mut failed = calls.iter().filter_map(|call| Some((call, call.error.as_ref()?)));
    let own = failed.clone().find(|(_, error)| error.cause != Cause::Aborted);
    own.or_else(|| failed.next())
}
