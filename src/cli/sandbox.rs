//! `dialplane sandbox`.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};

use super::{asked_to_stop, fail, say, table::columns};
use crate::sandbox::{
    MobTextingWebhook, Options, Pace, PhononWebhook, Pushing, Sandbox, Urls, Webhooks,
};

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
    #[command(flatten)]
    pushes: Pushes,
}

/// Results by push. `PUT /sandbox/webhooks` sets more, and at run time.
#[derive(Args)]
struct Pushes {
    /// Where Phonon posts results: an address on this machine. {flow} in it is the flow
    /// id, {system} is phonon or phonon-bulk.
    #[arg(long, value_name = "URL")]
    phonon_webhook: Option<String>,
    /// For HTTP basic authentication.
    #[arg(long, value_name = "USER", requires = "phonon_webhook", default_value = "")]
    phonon_webhook_user: String,
    /// For HTTP basic authentication.
    #[arg(long, value_name = "PASSWORD", requires = "phonon_webhook", default_value = "")]
    phonon_webhook_password: String,
    /// Where MobTexting posts results: an address on this machine.
    #[arg(long, value_name = "URL")]
    mobtexting_webhook: Option<String>,
    /// Sent as a bearer token with each of MobTexting's posts.
    #[arg(long, value_name = "SECRET", requires = "mobtexting_webhook", default_value = "")]
    mobtexting_webhook_secret: String,
    /// Sent in MobTexting's handshake.
    #[arg(long, value_name = "TOKEN", requires = "mobtexting_webhook", default_value = "")]
    mobtexting_webhook_token: String,
    /// Knovvu posts to each call's ResultDestination, if that is on this machine.
    #[arg(long)]
    knovvu_push: bool,
    /// How long after a call its result is posted: 250ms, 5s.
    #[arg(long, value_name = "TIME", value_parser = delay, default_value = "0s")]
    push_delay: Duration,
    /// How often each result is posted.
    #[arg(long, value_name = "TIMES", default_value_t = 1)]
    push_times: u32,
    /// Of the results that wait at the same time the latest goes first.
    #[arg(long)]
    push_reordered: bool,
}

/// What was given may be a secret.
impl std::fmt::Debug for Pushes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pushes").finish_non_exhaustive()
    }
}

impl Pushes {
    fn settings(self) -> (Webhooks, Pushing) {
        let webhooks = Webhooks {
            phonon: self.phonon_webhook.map(|url| PhononWebhook {
                url,
                user: self.phonon_webhook_user,
                password: self.phonon_webhook_password,
                ..PhononWebhook::default()
            }),
            mobtexting: self.mobtexting_webhook.map(|url| MobTextingWebhook {
                url,
                secret: self.mobtexting_webhook_secret,
                token: self.mobtexting_webhook_token,
                ..MobTextingWebhook::default()
            }),
            knovvu: self.knovvu_push,
        };
        let pushing = Pushing {
            delay: self.push_delay,
            times: self.push_times,
            reordered: self.push_reordered,
            ..Pushing::default()
        };
        (webhooks, pushing)
    }
}

/// `250ms` or `5s`.
fn delay(text: &str) -> Result<Duration, &'static str> {
    let read = |unit, length: fn(u64) -> Duration| {
        text.strip_suffix(unit).and_then(|number| number.parse().ok()).map(length)
    };
    let delay = read("ms", Duration::from_millis).or_else(|| read("s", Duration::from_secs));
    delay.ok_or("a whole number and ms or s is expected")
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
    let (webhooks, pushing) = arguments.pushes.settings();
    if let Err(reason) = webhooks.check() {
        return fail(format!("can't push results: {reason}"), 1);
    }
    let options = Options {
        listen: arguments.listen,
        pace,
        rate_limit: arguments.rate_limit,
        webhooks,
        pushing,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays() {
        assert_eq!(delay("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(delay("0s"), Ok(Duration::ZERO));
        assert!(delay("5").is_err() && delay("-1s").is_err() && delay("s").is_err());
    }
}
