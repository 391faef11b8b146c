//! Whoever reaches the gateway's ports: who is let in, how much each may take, and that
//! others don't notice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
mod callbacks;
mod callers;
mod house;
mod limits;
mod lives;
mod mistakes;
mod reloads;
mod scopes;
mod strangers;
#[path = "../gateway/harness/stub.rs"]
#[allow(dead_code, reason = "the gateway's tests need more of it")]
mod stub;
mod tls;
mod wire;
