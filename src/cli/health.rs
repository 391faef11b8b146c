//! `dialplane health`: whether a running gateway takes calls. For probes that run a command, where
//! there is no other way in: a Unix socket, an image without a shell.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use tonic::{Code, Request};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    client::{FAILED, Server, explain},
    fail, say,
};

/// A probe that takes longer has its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked about.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A service, as grpc.health.v1.Health knows it; without one, the gateway as a whole.
    #[arg(value_name = "SERVICE", default_value = "")]
    service: String,
    #[command(flatten)]
    server: Server,
}

/// Prints the status, and ends with 0 if it is SERVING.
pub(super) async fn run(arguments: Arguments) -> ExitCode {
    let Arguments { service, server } = arguments;
    let channel = match server.connect().await {
        Ok(channel) => channel,
        Err(error) => return fail(error, FAILED),
    };
    let mut request = Request::new(HealthCheckRequest { service: service.clone() });
    request.set_timeout(PATIENCE);
    match HealthClient::new(channel).check(request).await {
        Ok(answer) => {
            let status = answer.into_inner().status();
            say(status.as_str_name());
            if status == ServingStatus::Serving { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(status) if status.code() == Code::NotFound => {
            fail(format!("the gateway knows no service {service:?}"), 1)
        }
        Err(status) => fail(explain(&status), 1),
    }
}
