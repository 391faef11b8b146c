//! CancelCalls.

use tokio::time::Instant;
use tonic::Status;

use super::{
    CallApi, answer, deadline::within, refusal, render, results::selector, retries::Asked,
};
use crate::{
    gateway::{Canceled, Scope},
    proto::{Call, CancelCallsRequest, CancelCallsResponse},
};

impl CallApi {
    pub(super) async fn cancel(
        &self,
        request: CancelCallsRequest,
        deadline: Option<Instant>,
        scope: Scope,
    ) -> Result<CancelCallsResponse, Status> {
        let CancelCallsRequest { call_ids, request_id, client_references, validate_only } = request;
        let mut wrong = Vec::new();
        let selector = selector(&call_ids, &request_id, &client_references, &mut wrong);
        let Some(selector) = selector.filter(|_| wrong.is_empty()) else {
            return Err(refusal::invalid_request(&wrong));
        };
        let canceled = async {
            match validate_only {
                true => self.gateway.would_cancel_in(scope, selector).await,
                false => self.gateway.cancel_in(scope, selector).await,
            }
        };
        // A check changes nothing, however it ends.
        let canceled = match within(deadline, canceled).await {
            Some(canceled) => canceled.map_err(|error| match validate_only {
                true => refusal::gateway_error(&error, Asked::READING),
                false => refusal::uncanceled(&error),
            }),
            None if validate_only => Err(refusal::read_too_late()),
            None => Err(refusal::cancel_too_late()),
        };
        let Canceled { calls, not_found } = canceled?;
        let mut calls: Vec<_> = calls.iter().map(render::call).collect();
        answer::shrink(&mut calls);
        let around: usize = not_found.iter().map(|id| id.len() + 4).sum();
        if answer::fitting(&calls, around) < calls.len() {
            calls = calls.into_iter().map(essential).collect();
        }
        Ok(CancelCallsResponse { calls, not_found })
    }
}

/// What tells what became of a call: of calls that were placed by many requests, and have
/// more to tell than one answer holds.
fn essential(call: Call) -> Call {
    Call {
        call_id: call.call_id,
        request_id: call.request_id,
        client_reference: call.client_reference,
        state: call.state,
        scheduled_time: call.scheduled_time,
        end_time: call.end_time,
        update_time: call.update_time,
        revision: call.revision,
        ..Call::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::answer::fitting;

    #[test]
    fn five_thousand_calls_always_fit() {
        let long = "x".repeat(128);
        let time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 999_999_999 });
        let call = Call {
            call_id: "00000000-0000-0000-0000-000000000000".into(),
            request_id: long.clone(),
            client_reference: long.clone(),
            route: long.clone(),
            to: vec![long; 10],
            state: 16,
            end_time: time,
            update_time: time,
            revision: u64::MAX,
            ..Call::default()
        };
        let calls: Vec<_> = (0..5_000).map(|_| essential(call.clone())).collect();
        assert_eq!(fitting(&calls, 1_000 * 132), 5_000);
    }
}
