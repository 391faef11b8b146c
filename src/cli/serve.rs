//! `dialplane serve`.

use std::{path::Path, process::ExitCode};

use super::{WRONG_INPUT, asked_to_stop, check::callback_warnings, fail, start};
use crate::config::Config;

pub(super) async fn run(path: &Path) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return fail(error, WRONG_INPUT),
    };
    if let Some(address) = config.server.admin {
        tracing::warn!(%address, "server.admin is configured, and not served by this version yet");
    }
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
    tracing::info!("stopped");
    ExitCode::SUCCESS
}
