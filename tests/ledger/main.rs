//! One behaviour suite for every ledger. A new backend adds a file with how it is
//! opened, and `behaviours!`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod contract;
mod crash;
mod dials;
mod due;
mod held;
mod history;
mod outbox;
mod paging;
mod removal;
mod samples;
mod sources;
mod sqlite;
mod strays;
mod suppressions;
