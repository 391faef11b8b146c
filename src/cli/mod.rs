//! Commands for people.

use std::{
    fmt::Display,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::telemetry::{self, LogFormat};

mod calls;
mod check;
mod client;
mod dev;
mod health;
mod json;
mod ledger;
mod pages;
mod run;
mod sandbox;
mod serve;
mod signals;
mod suppress;
mod table;
mod watched;

pub use run::{ReloadError, Running, StartError, start};

/// One gRPC service in front of many outbound-telephony vendors.
#[derive(Debug, Parser)]
#[command(name = "dialplane", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// How log lines look, on the standard error stream. RUST_LOG chooses levels.
    #[arg(long, global = true, value_enum, env = "DIALPLANE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway.
    Serve {
        /// The configuration file.
        #[arg(long, env = "DIALPLANE_CONFIG", value_name = "FILE")]
        config: PathBuf,
    },
    /// Shows the whole thing at work: simulated vendors, a gateway with a route to each,
    /// and one call through every route. Needs no configuration, account or network.
    Dev {
        /// Where the gateway listens. Port 0 takes a free one.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
        listen: SocketAddr,
        /// Where the simulated vendors listen. Port 0 takes a free one.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
        sandbox: SocketAddr,
    },
    /// Runs the simulated vendors alone, for other programs' tests.
    Sandbox(sandbox::Arguments),
    /// Places calls.
    #[command(after_help = EXIT_CODES)]
    Call(Box<calls::place::Arguments>),
    /// Shows what is known of calls.
    #[command(after_help = EXIT_CODES)]
    Results(calls::results::Arguments),
    /// Shows every change of calls as it comes, until all that are named are over.
    #[command(after_help = EXIT_CODES)]
    Watch(calls::watch::Arguments),
    /// Takes back calls that no vendor has yet.
    #[command(after_help = EXIT_CODES)]
    Cancel(calls::cancel::Arguments),
    /// Shows the configured vendors and routes, and how they are.
    #[command(after_help = EXIT_CODES)]
    Vendors(calls::vendors::Arguments),
    /// Keeps the list of numbers that must not be called, in a running gateway.
    #[command(subcommand)]
    Suppress(suppress::Action),
    /// Copies, checks or restores the ledger file.
    #[command(subcommand)]
    Ledger(ledger::Action),
    /// Tells whether a running gateway takes calls: exits with 0 if it does, else with 1.
    Health(health::Arguments),
    /// Prints the completions of these commands for a shell.
    Completions {
        /// Which one.
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Prints the manual page of all this, or of a command, for man.
    Man {
        /// The command's words: "suppress add".
        #[arg(value_name = "COMMAND")]
        words: Vec<String>,
    },
    /// Prints what the API consists of: a FileDescriptorSet with imports, details of errors and
    /// comments, for grpcurl -protoset, Envoy's transcoder, Wireshark and code generators.
    Descriptors,
    /// Prints the JSON schema of the configuration, for editors.
    Schema,
    /// Validates a configuration file, and explains what the gateway will do by it.
    Check {
        /// The configuration file.
        #[arg(long, env = "DIALPLANE_CONFIG", value_name = "FILE")]
        config: PathBuf,
        /// Prints mistakes, warnings and the explanation as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// How the client's commands end; docs/cli.md says more.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 refused or failed, 2 wrong input, 3 done but not for \
                          all calls, 4 the gateway was not reached or says to come again.";

/// Exit code of a command that was given something wrong.
const WRONG_INPUT: u8 = 2;

impl Cli {
    /// Runs the command to its end.
    pub async fn run(self) -> ExitCode {
        let levels = match self.command {
            Command::Serve { .. } => LevelFilter::INFO,
            _ => LevelFilter::WARN,
        };
        let mut telemetry = telemetry::start(self.log_format, levels);
        if matches!(self.command, Command::Serve { .. } | Command::Dev { .. }) {
            telemetry.record_traces(&telemetry::otlp::environment);
        }
        let code = match self.command {
            Command::Serve { config } => serve::run(&config, telemetry.last_lines()).await,
            Command::Dev { listen, sandbox } => dev::run(listen, sandbox).await,
            Command::Sandbox(arguments) => sandbox::run(arguments).await,
            Command::Call(arguments) => ended(calls::place::run(&arguments).await),
            Command::Results(arguments) => ended(calls::results::run(&arguments).await),
            Command::Watch(arguments) => ended(calls::watch::run(&arguments).await),
            Command::Cancel(arguments) => ended(calls::cancel::run(&arguments).await),
            Command::Vendors(arguments) => ended(calls::vendors::run(&arguments).await),
            Command::Suppress(action) => suppress::run(action).await,
            Command::Ledger(action) => ledger::run(action).await,
            Command::Health(arguments) => health::run(arguments).await,
            Command::Completions { shell } => pages::completions(shell),
            Command::Man { words } => pages::man(&words),
            Command::Descriptors => pages::descriptors(),
            Command::Schema => pages::schema(),
            Command::Check { config, json } => check::run(&config, json),
        };
        telemetry.end().await;
        code
    }
}

/// A line on the standard output. Whoever closed it does not want to read on.
fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A mistake, told on the standard error stream.
fn fail(error: impl Display, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "dialplane: {error}");
    ExitCode::from(code)
}

/// The exit code of a client's command.
fn ended(ended: Result<u8, client::Failed>) -> ExitCode {
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failed) => fail(&failed, failed.code()),
    }
}

/// Waits until the process is asked to end: Ctrl-C, or a supervisor's SIGTERM.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupted.await;
        }
    }
}
