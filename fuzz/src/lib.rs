//! What is fuzzed: every reader of what somebody else wrote. Each takes any bytes, and says by a
//! panic that something the gateway relies on does not hold. The inputs are what would be read, as it
//! is, so that a corpus can be read and written by people.
//!
//! `tests/corpus.rs` of the main crate includes this file and runs it over the committed corpus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod callbacks;
mod configuration;
mod replies;
mod vendors;
mod words;

pub use callbacks::callback;
pub use configuration::configuration;
pub use replies::{answer, placement, token};
pub use words::words;

/// Reads any bytes, and panics where something is wrong.
pub type Target = fn(&[u8]);

/// Every target, by its name.
#[allow(dead_code, reason = "fuzzers know their target; the corpus test goes through all")]
pub const TARGETS: [(&str, Target); 6] = [
    ("placement", placement),
    ("answer", answer),
    ("token", token),
    ("callback", callback),
    ("configuration", configuration),
    ("words", words),
];
