//! The only place that sends anything to a vendor, and what is said over HTTP as data.

mod client;
mod connect;
mod connection;
mod failure;
mod line;
mod message;
mod pool;
mod trust;

pub use client::{ClientError, MAX_ANSWER_BYTES, VendorClient};
pub use failure::{Failure, InDoubt, NotSent, Source};
pub use line::Line;
pub use message::{Body, Delivery, Header, HttpReply, HttpRequest, Method};

/// Connections as they are, for whoever else has to send something: telemetry's exporters.
pub(crate) mod wire {
    pub(crate) use super::{
        connect::{Connector, Missed, Stream},
        connection::Connection,
        pool::Origin,
        trust::Trust,
    };
}

#[cfg(test)]
mod tests;
