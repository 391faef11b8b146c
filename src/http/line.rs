//! The way to a vendor.

use std::fmt::Debug;

use async_trait::async_trait;

use super::{Failure, HttpReply, HttpRequest};

/// Exchanges with one vendor: [`super::VendorClient`] over the network, another one in a
/// simulation.
#[async_trait]
pub trait Line: Debug + Send + Sync {
    /// Sends a request, once, and reads the whole answer. A request whose future is dropped
    /// may have been sent.
    ///
    /// # Errors
    /// When there is no answer that can be read, by what is known of the vendor's side.
    async fn send(&self, request: &HttpRequest) -> Result<HttpReply, Failure>;
}
