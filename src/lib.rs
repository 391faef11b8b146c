//! dialplane: one gRPC service in front of many outbound-telephony vendors.

pub mod admin;
pub mod api;
pub mod call;
pub mod callbacks;
pub mod cli;
pub mod config;
pub mod gateway;
pub mod http;
pub mod ledger;
pub mod listen;
pub mod sandbox;
pub mod telemetry;
pub mod vendors;

/// The API's messages, client and server, as generated from `proto/`.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]
pub mod proto {
    tonic::include_proto!("dialplane.v1");

    /// The API's descriptors, imports included, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dialplane.bin"));
}
