//! What the API consists of, for clients that ask the server. Hardly any does, and telling
//! it takes memory: the descriptors are read for the first one.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use tonic::{
    body::Body,
    codegen::{Service, http},
    server::NamedService,
    service::Routes,
};
use tonic_reflection::server::{Builder, Error};

use crate::proto::DESCRIPTORS;

/// Reflection, in version `v1` or the one before that, `v1alpha`.
#[derive(Debug, Clone)]
pub(super) struct Reflection<const ALPHA: bool>(Arc<OnceLock<Routes>>);

/// Both versions: clients know one or the other.
pub(super) fn both() -> (Reflection<false>, Reflection<true>) {
    let routes = Arc::default();
    (Reflection(Arc::clone(&routes)), Reflection(routes))
}

impl NamedService for Reflection<false> {
    const NAME: &'static str = "grpc.reflection.v1.ServerReflection";
}

impl NamedService for Reflection<true> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

impl<const ALPHA: bool> Service<http::Request<Body>> for Reflection<ALPHA> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <Routes as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let routes = self.0.get_or_init(|| {
            routes().unwrap_or_else(|error| {
                // The descriptors are a part of the binary: a test would have failed.
                tracing::error!(%error, "reflection can't be set up");
                Routes::default()
            })
        });
        routes.clone().call(request)
    }
}

fn routes() -> Result<Routes, Error> {
    Ok(Routes::new(builder().build_v1()?).add_service(builder().build_v1alpha()?))
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_can_be_told() {
        routes().unwrap();
    }
}
