//! The only place that sends anything to a vendor.

mod message;

pub use message::{Body, Header, HttpReply, HttpRequest, Method};
