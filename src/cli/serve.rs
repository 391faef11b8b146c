//! `dialplane serve`.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    Running, WRONG_INPUT, check::callback_warnings, fail, signals::Signals, start, watched::Watched,
};
use crate::{
    config::{Config, ConfigError},
    gateway::Changes,
    telemetry::{LastLines, metrics::Push, otlp},
};

/// For how long an end waits for a collector that takes no metrics.
const LAST_METRICS: Duration = Duration::from_secs(5);

/// What happens while the gateway serves.
enum Event {
    Broken(Option<String>),
    End,
    Reload,
}

pub(super) async fn run(path: &Path, last_lines: LastLines) -> ExitCode {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(format!("can't listen to signals: {error}"), 1),
    };
    let (config, mut watched) = Watched::read(path);
    let config = match config {
        Ok(config) => config,
        Err(error) => return fail(error, WRONG_INPUT),
    };
    warn_of_callbacks(&config);
    let mut running = match start(&config).await {
        Ok(running) => running,
        Err(error) => return fail(error, 1),
    };
    tell_of(&config, &running);
    let gateway = running.gateway();
    let metrics = Arc::clone(gateway.metrics());
    let push = Push::start(&otlp::environment, metrics, gateway.measured());
    let broken = loop {
        let event = tokio::select! {
            error = running.broken() => Event::Broken(error.map(|error| error.to_string())),
            is_end = signals.any() => if is_end { Event::End } else { Event::Reload },
            () = watched.changed() => Event::Reload,
        };
        match event {
            // A file that never ends keeps nobody from stopping.
            Event::Reload => tokio::select! {
                biased;
                () = signals.end() => break None,
                () = reload(&mut running, &mut watched) => {}
            },
            Event::Broken(reason) => break Some(reason),
            Event::End => break None,
        }
    };
    if let Some(reason) = broken {
        running.stop().await;
        return fail(reason.unwrap_or_else(|| "the gRPC server ended".to_owned()), 1);
    }
    tracing::info!("stopping: finishing what is under way; once more ends it at once");
    tokio::select! {
        () = running.stop() => {}
        () = signals.end() => {
            tracing::warn!("ended at once: what is under way is unconfirmed with the next start");
            last_lines.write();
            // Nothing else is waited for, not even what a runtime waits for when it is dropped.
            std::process::exit(1);
        }
    }
    if let Some(push) = push {
        push.end(LAST_METRICS).await;
    }
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

fn tell_of(config: &Config, running: &Running) {
    let recovery = running.recovery();
    tracing::info!(
        address = %running.address(),
        ledger = config.ledger,
        vendors = config.vendors.len(),
        routes = config.routes.len(),
        unconfirmed = recovery.unconfirmed,
        resumed = recovery.resumed,
        "serving",
    );
    if let Some(address) = running.callbacks() {
        tracing::info!(%address, "taking callbacks");
    }
    if let Some(address) = running.admin() {
        tracing::info!(%address, "telling metrics and readiness");
    }
}

fn warn_of_callbacks(config: &Config) {
    for warning in callback_warnings(config) {
        tracing::warn!("{warning}");
    }
}

/// Reads the configuration again. A bad one changes nothing, but for what is counted.
async fn reload(running: &mut Running, watched: &mut Watched) {
    let is_good = put_in_force(running, watched).await;
    running.gateway().metrics().configuration_loaded(is_good, Timestamp::now());
    if !is_good {
        tracing::error!("the configuration is refused; the one in force stays");
    }
}

/// Whether it could be.
async fn put_in_force(running: &mut Running, watched: &mut Watched) -> bool {
    let Some((config, next)) = watched.read_again().await else {
        tracing::error!("the configuration could not be read");
        return false;
    };
    *watched = next;
    let config = match config {
        Ok(config) => config,
        Err(ConfigError::Wrong(problems)) => {
            for problem in problems.list() {
                tracing::error!(%problem, "a mistake in the configuration");
            }
            return false;
        }
        Err(error) => {
            tracing::error!(%error, "the configuration is not there");
            return false;
        }
    };
    match running.reload(&config).await {
        Ok(changes) => {
            tell(&changes);
            if !changes.is_empty() {
                warn_of_callbacks(&config);
            }
            true
        }
        Err(error) => {
            tracing::error!(%error, "what is configured can't be had");
            false
        }
    }
}

fn tell(changes: &Changes) {
    if !changes.pending.is_empty() {
        let keys = changes.pending.join(", ");
        tracing::warn!(keys, "changed, and left as they were: they take a restart");
    }
    tracing::info!(
        vendors = %changes.vendors,
        routes = %changes.routes,
        settings = changes.settings.join(", "),
        "reloaded: + is new, ~ is other than before, - is gone",
    );
}
