//! Which RPC goes to which service.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
};

use super::{
    CallApi, MAX_MESSAGE_BYTES, SuppressionApi,
    callers::Arrived,
    observe::is_method,
    reading::Reading,
    reflection::{self, Reflection},
    refusal,
};
use crate::{
    gateway::Gateway,
    proto::{
        call_service_server::CallServiceServer,
        suppression_service_server::SuppressionServiceServer,
    },
};

/// An RPC.
pub(super) type Rpc = http::Request<Reading>;
/// Its answer, to come.
pub(super) type Answer = BoxFuture<http::Response<Body>, Infallible>;

/// What one connection may ask about health at a time while nobody knows whose it is: as much as
/// on the admin listener. More of what anybody may ask is what takes memory.
const MAX_STRANGERS: usize = 32;

/// All services of a gateway; `H` is health. Cloning it is cheap.
#[derive(Debug)]
pub(super) struct Services<H>(Arc<Inner<H>>);

#[derive(Debug)]
struct Inner<H> {
    calls: CallServiceServer<CallApi>,
    suppressions: SuppressionServiceServer<SuppressionApi>,
    health: H,
    reflection: Reflection<false>,
    reflection_alpha: Reflection<true>,
    /// Of one connection.
    strangers: Arc<Semaphore>,
}

impl<H> Clone for Services<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Clone> Services<H> {
    /// Those of this gateway.
    pub(super) fn new(gateway: Gateway, health: H) -> Self {
        let suppressions = SuppressionServiceServer::new(SuppressionApi::new(gateway.clone()))
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let calls = CallServiceServer::new(CallApi::new(gateway))
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (reflection, reflection_alpha) = reflection::both();
        let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
        let inner = Inner { calls, suppressions, health, reflection, reflection_alpha, strangers };
        Self(Arc::new(inner))
    }

    /// The same for one connection, which take requests of so many bytes.
    pub(super) fn taking(&self, request_bytes: usize) -> Self {
        let inner = &*self.0;
        Self(Arc::new(Inner {
            calls: inner.calls.clone().max_decoding_message_size(request_bytes),
            suppressions: inner.suppressions.clone().max_decoding_message_size(request_bytes),
            health: inner.health.clone(),
            reflection: inner.reflection.clone(),
            reflection_alpha: inner.reflection_alpha.clone(),
            strangers: Arc::new(Semaphore::new(MAX_STRANGERS)),
        }))
    }
}

impl<H> Service<Rpc> for Services<H>
where
    H: Service<Rpc, Response = http::Response<Body>, Error = Infallible, Future = Answer>
        + NamedService
        + Clone,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, rpc: Rpc) -> Answer {
        let path = rpc.uri().path();
        let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let service = service.map_or("", |(service, _)| service);
        let is_there = is_method(path);
        // Whoever runs a gateway asks for its health, and has no token.
        if service == H::NAME && is_there {
            if Arrived::is_known(&rpc) {
                return self.0.health.clone().call(rpc);
            }
            let Ok(place) = Arc::clone(&self.0.strangers).try_acquire_owned() else {
                return refuse(Status::resource_exhausted("too much is asked at a time"));
            };
            let answer = self.0.health.clone().call(rpc);
            return Box::pin(async move {
                // Given back when the answer is over, however that is read.
                let held = answer.await?.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        let _place = &place;
                        frame
                    }))
                });
                Ok(held)
            });
        }
        if !Arrived::is_known(&rpc) {
            return refuse(refusal::unauthenticated());
        }
        // What tonic says of a method that a service does not have is without an ErrorInfo.
        if !is_there {
            return refuse(refusal::method_unknown());
        }
        if service == CallServiceServer::<CallApi>::NAME {
            self.0.calls.clone().call(rpc)
        } else if service == SuppressionServiceServer::<SuppressionApi>::NAME {
            self.0.suppressions.clone().call(rpc)
        } else if service == Reflection::<false>::NAME {
            Box::pin(self.0.reflection.clone().call(rpc.map(Body::new)))
        } else if service == Reflection::<true>::NAME {
            Box::pin(self.0.reflection_alpha.clone().call(rpc.map(Body::new)))
        } else {
            refuse(refusal::method_unknown())
        }
    }
}

fn refuse(status: Status) -> Answer {
    Box::pin(std::future::ready(Ok(status.into_http())))
}
