//! The only place that sends anything to a vendor.

mod client;
mod failure;
mod message;

pub use client::{ClientError, MAX_ANSWER_BYTES, VendorClient};
pub use failure::{Failure, InDoubt, NotSent, Source};
pub use message::{Body, Header, HttpReply, HttpRequest, Method};

#[cfg(test)]
mod tests;
