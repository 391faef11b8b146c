//! CancelCalls.

use tonic::Status;

use super::{CallApi, answer, refusal, render, results::selector};
use crate::{
    gateway::Canceled,
    proto::{CancelCallsRequest, CancelCallsResponse},
};

impl CallApi {
    pub(super) async fn cancel(
        &self,
        request: CancelCallsRequest,
    ) -> Result<CancelCallsResponse, Status> {
        let CancelCallsRequest { call_ids, request_id, client_references } = request;
        let mut wrong = Vec::new();
        let selector = selector(&call_ids, &request_id, &client_references, &mut wrong);
        let Some(selector) = selector.filter(|_| wrong.is_empty()) else {
            return Err(refusal::invalid_request(&wrong));
        };
        // A task of its own: a caller that leaves finds its calls taken back all the same.
        let gateway = self.gateway.clone();
        let canceled = tokio::spawn(async move { gateway.cancel(&selector).await });
        let Canceled { calls, not_found } = canceled
            .await
            .unwrap_or(Err(crate::gateway::GatewayError::Broken))
            .map_err(|error| refusal::uncanceled(&error))?;
        let mut calls: Vec<_> = calls.iter().map(render::call).collect();
        answer::shrink(&mut calls);
        Ok(CancelCallsResponse { calls, not_found })
    }
}
