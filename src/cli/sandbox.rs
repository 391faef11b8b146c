//! `dialplane sandbox`.

use std::{net::SocketAddr, process::ExitCode};

use clap::{Args, ValueEnum};

use super::{asked_to_stop, fail, say, table::columns};
use crate::sandbox::{Options, Pace, Sandbox, Urls};

/// How the simulated vendors behave.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where they listen. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// How long calls take.
    #[arg(long, value_enum, default_value = "lifelike")]
    pace: PaceName,
    /// Phonon's real-time limit in calls a minute; none without it.
    #[arg(long, value_name = "CALLS")]
    rate_limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PaceName {
    /// Over at the first question.
    Instant,
    /// Ringing and talking for a few seconds.
    Lifelike,
}

pub(super) async fn run(arguments: Arguments) -> ExitCode {
    let pace = match arguments.pace {
        PaceName::Instant => Pace::Instant,
        PaceName::Lifelike => Pace::Lifelike,
    };
    let options = Options {
        listen: arguments.listen,
        pace,
        rate_limit: arguments.rate_limit,
        ..Options::default()
    };
    let sandbox = match Sandbox::start(options).await {
        Ok(sandbox) => sandbox,
        Err(error) => return fail(format!("can't listen on {}: {error}", arguments.listen), 1),
    };
    say("simulated vendors, base URLs:");
    let urls = sandbox.urls();
    columns(&rows(&urls)).iter().for_each(say);
    say(format!("\nwhat was dialled: curl {}/dialed", urls.sandbox));
    say("Ctrl-C stops.");
    asked_to_stop().await;
    sandbox.stop().await;
    ExitCode::SUCCESS
}

fn rows(urls: &Urls) -> Vec<Vec<String>> {
    [
        ("  Phonon", &urls.phonon),
        ("  Phonon, bulk", &urls.phonon_bulk),
        ("  Phonon, results", &urls.phonon_results),
        ("  MobTexting", &urls.mobtexting),
        ("  Knovvu", &urls.knovvu),
        ("  Knovvu, identity", &urls.knovvu_identity),
    ]
    .into_iter()
    .map(|(name, url)| vec![name.to_owned(), url.clone()])
    .collect()
}
