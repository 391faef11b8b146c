//! Where vendors post what became of calls: HTTP/1.1, `POST /callbacks/{vendor}` and
//! `POST /callbacks/{vendor}/{token}`. Anybody may reach this port, so everything is
//! bounded: time, size, connections, and deliveries that are worked on.

mod answer;
mod body;
mod request;
mod server;
mod told;

pub use server::{Bound, ServeError};

/// How much is taken at once, and how long anything may take.
pub use crate::config::CallbackLimits as Limits;
