//! `dialplane serve`.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use super::{WRONG_INPUT, asked_to_stop, check::callback_warnings, fail, start};
use crate::{
    config::Config,
    telemetry::{metrics::Push, otlp},
};

/// For how long an end waits for a collector that takes no metrics.
const LAST_METRICS: Duration = Duration::from_secs(5);

pub(super) async fn run(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return fail(error, WRONG_INPUT),
    };
    for warning in callback_warnings(&config) {
        tracing::warn!("{warning}");
    }
    let mut running = match start(&config).await {
        Ok(running) => running,
        Err(error) => return fail(error, 1),
    };
    let recovery = running.recovery();
    tracing::info!(
        address = %running.address(),
        ledger = config.ledger,
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
    let gateway = running.gateway();
    let metrics = Arc::clone(gateway.metrics());
    let push = Push::start(&otlp::environment, metrics, gateway.measured());
    let broken = tokio::select! {
        error = running.broken() => Some(error),
        () = asked_to_stop() => None,
    };
    if let Some(error) = broken {
        running.stop().await;
        let reason = error.map_or_else(|| "the gRPC server ended".to_owned(), |e| e.to_string());
        return fail(reason, 1);
    }
    tracing::info!("stopping: finishing what is under way");
    running.stop().await;
    if let Some(push) = push {
        push.end(LAST_METRICS).await;
    }
    tracing::info!("stopped");
    ExitCode::SUCCESS
}
