//! The gRPC edge: parses and checks what callers send, and writes what they get.

use std::time::Duration;

use futures_util::stream::BoxStream;
use tonic::{Request, Response, Status};

use crate::{
    gateway::Gateway,
    proto::{
        CancelCallsRequest, CancelCallsResponse, CreateCallsRequest, CreateCallsResponse,
        GetCallResultsRequest, GetCallResultsResponse, ListVendorsRequest, ListVendorsResponse,
        WatchCallResultsRequest, WatchCallResultsResponse, call_service_server::CallService,
    },
};

mod answer;
mod callers;
mod cancel;
pub(crate) mod codec;
mod connection;
mod create;
mod cursor;
mod deadline;
mod descriptors;
mod farewell;
mod fingerprint;
mod health;
mod observe;
mod page_token;
mod parse;
mod reading;
mod reflection;
mod refusal;
mod render;
mod results;
mod retries;
mod server;
mod services;
mod status;
mod suppressions;
mod trailer;
mod vendors;
mod watch;

pub(crate) use answer::fits_for_certain;
pub use callers::{Arrived, Caller, Callers};
pub use descriptors::descriptors;
pub(crate) use health::{HealthApi, health};
pub use observe::{Observe, Observed};
pub(crate) use parse::mistakes;
pub use server::{Bound, Edge, ServeError};
pub use status::{DOMAIN, code_of};
pub use suppressions::{MAX_SUPPRESSED, SuppressionApi};

/// The largest answer: what clients take by default.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// How long an RPC without a deadline waits for vendors.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(20);

/// `dialplane.v1.CallService`.
#[derive(Debug, Clone)]
pub struct CallApi {
    gateway: Gateway,
}

impl CallApi {
    /// The service of a gateway.
    pub fn new(gateway: Gateway) -> Self {
        Self { gateway }
    }
}

#[tonic::async_trait]
impl CallService for CallApi {
    type WatchCallResultsStream = BoxStream<'static, Result<WatchCallResultsResponse, Status>>;

    async fn create_calls(
        &self,
        request: Request<CreateCallsRequest>,
    ) -> Result<Response<CreateCallsResponse>, Status> {
        let deadline = deadline::of(&request);
        let repeated = retries::is_repeated(request.metadata());
        let scope = callers::scope(&request);
        self.create(request.into_inner(), deadline, repeated, &scope).await.map(Response::new)
    }

    async fn get_call_results(
        &self,
        request: Request<GetCallResultsRequest>,
    ) -> Result<Response<GetCallResultsResponse>, Status> {
        let deadline = deadline::of(&request);
        let scope = callers::scope(&request);
        self.results(request.into_inner(), deadline, scope).await.map(Response::new)
    }

    async fn watch_call_results(
        &self,
        request: Request<WatchCallResultsRequest>,
    ) -> Result<Response<Self::WatchCallResultsStream>, Status> {
        let scope = callers::scope(&request);
        self.watch(request.into_inner(), scope).await.map(Response::new)
    }

    async fn cancel_calls(
        &self,
        request: Request<CancelCallsRequest>,
    ) -> Result<Response<CancelCallsResponse>, Status> {
        let deadline = deadline::of(&request);
        let scope = callers::scope(&request);
        self.cancel(request.into_inner(), deadline, scope).await.map(Response::new)
    }

    async fn list_vendors(
        &self,
        request: Request<ListVendorsRequest>,
    ) -> Result<Response<ListVendorsResponse>, Status> {
        Ok(Response::new(self.vendors(&callers::scope(&request))))
    }
}
