//! For operators and whatever looks after the process: HTTP/1.1 with `/metrics`, `/livez` and
//! `/readyz`. It is there before the ledger is opened and until all is over, tells nothing of any
//! call, and changes nothing.

mod answer;
mod desk;
mod server;

pub use desk::Desk;
pub use server::{Bound, Limits, ServeError};
