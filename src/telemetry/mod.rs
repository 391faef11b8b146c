//! What the gateway tells its operator.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Starts logging to the standard error stream. `RUST_LOG` chooses levels by module
/// (`info,dialplane::gateway=debug`); without it, `default` holds.
pub fn start(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A line that can't be written is lost. Reporting that, to the same stream, would panic in
    // whatever logs, just when a disk is full or a reader has gone.
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    // Refused only where a subscriber is there already, which is as good.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
