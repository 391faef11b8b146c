//! What every vendor's adapter has to do, whatever the vendor: one suite, written once
//! and run for each. A kind of vendor that is registered and has no subject here fails
//! it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "vendors/asking.rs"]
mod asking;
#[path = "vendors/bodies.rs"]
mod bodies;
#[path = "vendors/capabilities.rs"]
mod capabilities;
#[path = "vendors/newcomer.rs"]
mod newcomer;
#[path = "vendors/placing.rs"]
mod placing;
#[path = "vendors/posters.rs"]
mod posters;
#[path = "vendors/pushing.rs"]
mod pushing;
#[path = "vendors/reading.rs"]
mod reading;
#[path = "vendors/strangers.rs"]
mod strangers;
#[path = "gateway/harness/stub.rs"]
#[allow(dead_code, reason = "the gateway's tests need more of it")]
mod stub;
#[path = "vendors/subjects.rs"]
mod subjects;
#[path = "vendors/toy.rs"]
mod toy;
