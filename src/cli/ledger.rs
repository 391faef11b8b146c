//! `dialplane ledger`: what an operator does with a ledger file.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::{WRONG_INPUT, fail, say};
use crate::{
    config::Config,
    ledger::{
        Ledger, LedgerError, doubt_what_waits,
        sqlite::{self, SqliteLedger, Tenancy},
    },
};

/// What is done with it.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Copies it into a new file, while the gateway runs.
    Backup {
        #[command(flatten)]
        which: Which,
        /// The copy; there must be no such file.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Reads all of it, and tells how much it has and whether it is whole, while the gateway runs.
    Check {
        #[command(flatten)]
        which: Which,
    },
    /// To be run once after the file was put back from a copy, before the gateway is started: has
    /// what waits in it not be dialled, for it may have been since.
    Restored {
        #[command(flatten)]
        which: Which,
    },
}

/// Which ledger.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The configuration file that names it.
    #[arg(long, env = "DIALPLANE_CONFIG", value_name = "FILE")]
    config: PathBuf,
}

/// Does it, and says what came of it.
pub(super) async fn run(action: Action) -> ExitCode {
    let (Action::Backup { which, .. } | Action::Check { which } | Action::Restored { which }) =
        &action;
    let url = match Config::load(&which.config) {
        Ok(config) => config.ledger,
        Err(error) => return fail(error, WRONG_INPUT),
    };
    let done = match &action {
        Action::Backup { to, .. } => backup(&url, to),
        Action::Check { .. } => check(&url),
        Action::Restored { .. } => restored(&url).await,
    };
    done.unwrap_or_else(|error| fail(error, 1))
}

fn backup(url: &str, to: &Path) -> Result<ExitCode, LedgerError> {
    let bytes = sqlite::copy(url, to)?;
    say(format!("copied {bytes} bytes to {}", to.display()));
    Ok(ExitCode::SUCCESS)
}

fn check(url: &str) -> Result<ExitCode, LedgerError> {
    let found = sqlite::inventory(url)?;
    say(format!("{url}: {} bytes, schema {}", found.bytes, found.schema));
    say(format!(
        "{} requests with {} calls, of which {} are not over, and {} of these wait",
        found.requests, found.calls, found.open, found.waiting
    ));
    if found.damage.is_empty() {
        say("it is whole");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(fail(format!("it is damaged:\n  {}", found.damage.join("\n  ")), 1))
}

async fn restored(url: &str) -> Result<ExitCode, LedgerError> {
    // Of a file that is not there an empty one would be made, and everybody dialled anew.
    sqlite::inventory(url)?;
    let tenancy = Tenancy::take(url)?;
    sqlite::renew(url)?;
    let ledger = SqliteLedger::open(url)?;
    let doubted = doubt_what_waits(&ledger, Timestamp::now()).await;
    ledger.close().await;
    tenancy.end();
    say(format!("{} calls that waited are in doubt now, and will not be dialled", doubted?));
    say("repeat no request that was made after the copy, unless it was certainly not dialled");
    Ok(ExitCode::SUCCESS)
}
