//! The commands for people, as they are run: the real binary against a running gateway with
//! simulated vendors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod calls;
mod configurations;
#[allow(dead_code, unused_imports, reason = "the gateway's tests need more of it")]
#[path = "../gateway/harness/mod.rs"]
mod harness;
mod house;
mod lists;
mod odd_lists;
mod outcomes;
mod pages;
mod refused_lists;
mod suppress;
mod watching;
