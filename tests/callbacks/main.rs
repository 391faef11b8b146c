//! What vendors post, over real HTTP, up to the ledger.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod bounds;
mod house;
mod ledger;
mod news;
mod poster;
mod stopping;
#[path = "../gateway/harness/stub.rs"]
#[allow(dead_code, reason = "the gateway's tests need more of it")]
mod stub;
#[path = "../vendors/toy.rs"]
mod toy;
