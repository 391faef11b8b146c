//! The configuration: TOML into types, every mistake at once, each with its line.

mod model;
mod secret;
mod section;

pub use model::{Config, Link, Listen, Rate, Route, Server, VendorConfig};
pub use secret::Secret;
pub use section::{Problem, Section, Source};
