//! Metrics and probes as an operator meets them: a running gateway, its admin listener, and a
//! collector.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod collector;
mod export;
#[path = "../gateway/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the gateway's tests need more of it")]
mod harness;
mod house;
mod papers;
mod probes;
mod scrape;
mod text;
