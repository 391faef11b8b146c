//! The gateway as its callers meet it: a real gRPC client, the real HTTP stack, and
//! simulated or canned vendors, all on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bad_input;
mod breaker;
mod canary;
mod cancel;
mod coalescing;
mod deadlines;
mod doubt;
#[allow(dead_code, missing_docs)]
#[path = "../callbacks/ledger.rs"]
mod failing_ledger;
mod failover;
mod faults;
mod gathering;
mod harness;
mod health_command;
mod hostile;
mod idempotency;
mod joining;
mod lanes;
mod ledger_command;
mod narrowing;
mod operation;
mod outbox;
mod outcomes;
mod owners;
mod pace;
mod placing;
mod raw;
mod redialling;
mod reload;
mod reloading;
mod resending;
mod restarts;
mod results;
mod retries;
mod routes;
mod safety;
mod scheduling;
mod serving;
mod still;
mod suppress_command;
mod suppressions;
mod uncertain;
mod unrecorded;
mod vendor_codes;
mod waiting;
mod windows;
