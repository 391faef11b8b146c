//! What the gateway tells its operator.

pub mod metrics;

use std::{
    env,
    io::{self, IsTerminal},
};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

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
pub fn start(format: LogFormat, default: LevelFilter) {
    // Not the filter that knows spans and fields too: it brings regular expressions along,
    // and nobody makes a span here.
    let levels = env::var("RUST_LOG").ok().and_then(|text| read(&text));
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(default));
    // A line that can't be written is lost. Reporting that, to the same stream, would panic in
    // whatever logs, just when a disk is full or a reader has gone.
    let lines =
        fmt().with_max_level(LevelFilter::TRACE).with_writer(io::stderr).log_internal_errors(false);
    // Refused only where a subscriber is there already, which is as good.
    let _ = match format {
        LogFormat::Text => {
            lines.with_ansi(io::stderr().is_terminal()).finish().with(levels).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).finish().with(levels).try_init(),
    };
}

/// Levels by module; none if it can't be read, or says nothing.
fn read(text: &str) -> Option<Targets> {
    let levels: Targets = text.parse().ok()?;
    text.split(',').any(|one| !one.trim().is_empty()).then_some(levels)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_are_chosen_by_module() {
        let levels = read("info,dialplane::gateway=debug,hyper=off").unwrap();
        for (module, level, is_told) in [
            ("dialplane::api", Level::INFO, true),
            ("dialplane::api", Level::DEBUG, false),
            ("dialplane::gateway::exchange", Level::DEBUG, true),
            ("hyper::client", Level::ERROR, false),
        ] {
            assert_eq!(levels.would_enable(module, &level), is_told, "{module} {level}");
        }
        assert!(read("debug").unwrap().would_enable("h2", &Level::DEBUG));
        assert!(read("").is_none());
        assert!(read("dialplane=loud").is_none());
    }
}
