//! CreateCalls.

use tokio::time::Instant;
use tonic::Status;

use super::{
    CallApi, answer, deadline::within, fingerprint, parse, refusal, render, retries::Asked, status,
    trailer,
};
use crate::{
    call::{Call, CallError, CallState, Cause, Dialed, RequestId, Violation},
    gateway::{CreateOrder, Created, GatewayError, Looked, Prepared, Scope},
    proto::{self, CreateCallsRequest, CreateCallsResponse},
    telemetry::note_calls,
};

/// The route of a request that names none.
const DEFAULT_ROUTE: &str = "default";

/// The most calls of one request.
pub(super) const MAX_CALLS: usize = 5_000;

impl CallApi {
    /// `repeated`: something in between says that it sends this RPC again.
    pub(super) async fn create(
        &self,
        request: CreateCallsRequest,
        deadline: Option<Instant>,
        repeated: bool,
        scope: &Scope,
    ) -> Result<CreateCallsResponse, Status> {
        let route = Some(request.route.as_str()).filter(|route| !route.is_empty());
        let route = route.unwrap_or(DEFAULT_ROUTE);
        if !scope.has(route) {
            return Err(refusal::route_not_allowed(route));
        }
        let validate_only = request.validate_only;
        note_calls(request.calls.len());
        let spec_bytes = request.calls.iter().map(prost::Message::encoded_len).sum();
        let named = !request.request_id.is_empty();
        let order = order(request, self.gateway.configured().requires_request_id())?;
        let request_id = order.request_id.clone();
        if validate_only {
            let checked = self.check(order, named.then_some(&request_id), scope);
            return within(deadline, checked)
                .await
                .unwrap_or_else(|| Err(refusal::read_too_late()));
        }
        if repeated && !named {
            return Err(refusal::unnamed_repetition());
        }
        let asked = Asked::placing(&request_id, named);
        let failed = |error| refusal::gateway_error(&discreet(error, scope), asked);
        let late = || refusal::deadline_exceeded(asked);
        let announced = named.then(|| self.gateway.announce(&request_id));
        let fingerprint = order.fingerprint.clone();
        let prepared = within(deadline, self.gateway.prepare(order)).await.ok_or_else(late)?;
        let refusal = match prepared {
            Err(error) => Ok(error),
            Ok(prepared) => match fits(&prepared, spec_bytes) {
                Err(too_large) => Err(too_large),
                Ok(()) => {
                    let prepared = match announced {
                        Some(announced) => prepared.announced(announced),
                        None => prepared,
                    };
                    let created = self.gateway.create(prepared.within(deadline));
                    let created = within(deadline, created).await.ok_or_else(late)?;
                    return respond(created.map_err(failed)?, asked, &request_id);
                }
            },
        };
        // Who repeats a request wants to know what became of it, whatever has changed since:
        // routes, limits, numbers.
        let Some(announced) = announced else { return Err(refusal.map_or_else(|e| e, failed)) };
        let looked = within(deadline, self.gateway.look_up(announced, &fingerprint)).await;
        match looked.ok_or_else(late)?.map_err(failed)? {
            Looked::Before(created) => respond(created, asked, &request_id),
            Looked::New(announced) => {
                Err(refusal.map_or_else(|e| e, |error| failed(announced.told(error))))
            }
        }
    }

    /// Does all that can be done without dialling; records nothing and waits for nobody.
    async fn check(
        &self,
        order: CreateOrder,
        given_id: Option<&RequestId>,
        scope: &Scope,
    ) -> Result<CreateCallsResponse, Status> {
        let asked = Asked { request_id: given_id, ..Asked::READING };
        let failed = |error| refusal::gateway_error(&discreet(error, scope), asked);
        if let Some(id) = given_id {
            self.gateway.may_use(id, &order.fingerprint).await.map_err(failed)?;
        }
        let prepared = self.gateway.prepare(order).await.map_err(failed)?;
        Ok(unplaced(shown(&prepared)?))
    }
}

/// The same error without what is not the caller's business: the request that had the id
/// first may be of a route whose calls the caller does not see, and a route of the caller's may
/// have been taken out since it was known who calls.
pub(super) fn discreet(error: GatewayError, scope: &Scope) -> GatewayError {
    match error {
        GatewayError::RequestIdReused { id, .. } if !scope.is_all() => {
            GatewayError::RequestIdReused { id, field: None }
        }
        GatewayError::UnknownRoute { name, .. } if !scope.is_all() => {
            GatewayError::UnknownRoute { name, known: Vec::new() }
        }
        error => error,
    }
}

/// Whether the answer is certain to fit into what clients take. Seldom it takes a look at the
/// answer itself.
fn fits(prepared: &Prepared, spec_bytes: usize) -> Result<(), Status> {
    let may_be_sent = |call: &Call| call.error.is_none();
    if prepared.calls.iter().all(may_be_sent)
        && answer::fits_for_certain(prepared.calls.len(), spec_bytes)
    {
        return Ok(());
    }
    shown(prepared).map(drop)
}

/// The calls as an answer shows them, which is certain to fit into what clients take.
fn shown(prepared: &Prepared) -> Result<Vec<proto::Call>, Status> {
    let shown: Vec<_> = prepared.calls.iter().map(render::call).collect();
    let will_be_sent = |call: &Call| call.state == CallState::Scheduled;
    answer::fits(shown.iter().zip(prepared.calls.iter().map(will_be_sent)))
        .map_err(refusal::answer_too_large)?;
    Ok(shown)
}

/// Reads the request, all its own mistakes at once.
fn order(mut request: CreateCallsRequest, has_to_be_named: bool) -> Result<CreateOrder, Status> {
    let mut wrong = Vec::new();
    let nameless = has_to_be_named && request.request_id.is_empty();
    if nameless {
        let description = "is empty, and this gateway takes no request without one; expected 1 to \
                           128 printable ASCII characters, a UUID recommended";
        wrong.push(Violation::new("request_id", description));
    }
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
    if nameless {
        return Err(refusal::request_id_required(&wrong));
    }
    if !wrong.is_empty() {
        return Err(refusal::invalid_request(&wrong));
    }
    Ok(CreateOrder {
        request_id,
        fingerprint: fingerprint::of(&mut request),
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
    created: Created,
    asked: Asked<'_>,
    request_id: &RequestId,
) -> Result<CreateCallsResponse, Status> {
    let Created { calls, replayed } = created;
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
            request_id: Some(request_id),
        };
        let violations = calls
            .iter()
            .filter_map(|call| Some((call.position, call.error.as_ref()?)))
            .flat_map(|(position, error)| error.violations.iter().map(move |v| (position, v)))
            .map(|(position, violation)| (format!("calls[{position}]."), violation.clone()));
        let in_doubt =
            calls.iter().filter_map(|c| c.error.as_ref()).any(|e| e.dialed == Dialed::Maybe);
        let others = first.0.failovers.len();
        let first = trailer::First { error: first.1, subject, others };
        return Err(trailer::nothing_placed(asked, first, in_doubt, violations, response));
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
