//! What the gateway tells of itself, as its operator meets it: the program with OpenTelemetry's
//! variables, a collector that takes OTLP, and vendors that note what they are sent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod collector;
mod house;
mod losses;
mod secrets;
#[allow(dead_code)]
#[path = "../gateway/harness/stub.rs"]
mod stub;
mod traces;
