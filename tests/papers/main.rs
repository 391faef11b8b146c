//! What is written about the gateway is made from it, or compared with it: the API's reference, the
//! schema of the configuration, and the examples of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod api;
mod examples;
mod schema;
