//! The configuration: TOML into types, every mistake at once, each with its line.

mod callers;
mod digest;
mod duration;
mod file;
mod limits;
mod listen;
mod model;
mod nearest;
mod origin;
mod parse;
mod problem;
mod route;
mod secret;
mod section;
mod source;
mod tls;
mod vendor;
mod window;

pub use callers::Caller;
pub use digest::{Digest, Digests};
pub use duration::{parse_duration, show_duration};
pub use limits::{CallbackLimits, Limits};
pub use model::{
    Breaker, Config, Link, Listen, OutsideWindow, Rate, Route, Schedule, Server, VendorConfig,
};
pub use origin::{Origin, Origins};
pub use problem::{ConfigError, Problem, Problems};
pub use secret::Secret;
pub use section::Section;
pub use source::Source;
pub use tls::{Tls, TlsError, TlsFiles};

#[cfg(test)]
mod tests;
