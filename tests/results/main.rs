//! Results that arrive by themselves: posted by the vendor, asked for by the gateway, and
//! watched by callers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[allow(dead_code, unused_imports)]
#[path = "../gateway/harness/mod.rs"]
mod harness;
mod setup;

mod load;
mod order;
mod settling;
mod watching;
mod ways;
