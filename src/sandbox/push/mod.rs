//! Results by push: the simulated vendors post what became of a call to whoever is
//! configured, in their own formats (`phonon.md 5b` to `5f`, `mobtexting.md 5b` and
//! `5c`, `knovvu.md 5b`).
//!
//! [`queue`] knows what is to be posted and when, [`run`] posts it, and a file for each
//! vendor writes its bodies. Only loopback addresses are ever contacted, so
//! that nobody can make a sandbox send traffic elsewhere.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::watch, task::JoinSet};

use super::{System, listener::stopped, world::World};

mod handshake;
mod knovvu;
mod log;
mod mobtexting;
mod phonon;
mod post;
mod queue;
mod reading;
mod settings;

pub use handshake::HandshakeError;
pub use log::Posted;
pub use settings::{
    MobTextingBody, MobTextingWebhook, PhononBody, PhononWebhook, Pushing, Webhooks,
};

pub(super) use handshake::run as handshake;
pub(super) use post::Letter;
pub(super) use queue::{Fresh, Overtaking, Queue, Telling};
pub(super) use reading::read;

use post::Outcome;
use queue::Job;

/// The longest sleep of the pusher when nothing is due; it is woken by news anyway.
const IDLE: std::time::Duration = std::time::Duration::from_secs(3600);

/// Posts what is due until the sandbox stops. What is under way then is broken off.
pub(super) async fn run(world: Arc<World>, stop: watch::Receiver<bool>) {
    let mut stop = std::pin::pin!(stopped(stop));
    let mut under_way = JoinSet::new();
    // Made when there is something to post: most sandboxes never push.
    let mut client = None;
    loop {
        let most = world.pushes.concurrency();
        while under_way.len() < most
            && let Some(job) = world.pushes.take(Timestamp::now())
        {
            let client = client.get_or_insert_with(post::client).clone();
            under_way.spawn(deliver(Arc::clone(&world), client, job));
        }
        let wait = match world.pushes.next_due() {
            Some(due) if under_way.len() < most => until(due),
            _ => IDLE,
        };
        tokio::select! {
            () = &mut stop => break,
            () = world.pushes.changed() => {}
            _ = under_way.join_next(), if !under_way.is_empty() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    world.pushes.close();
    under_way.shutdown().await;
}

/// From now on; nothing when it is past.
fn until(due: Timestamp) -> std::time::Duration {
    let wait = due.duration_since(Timestamp::now());
    std::time::Duration::try_from(wait).unwrap_or_default().min(IDLE)
}

/// Posts once, notes it, and has it posted again if the vendor would.
async fn deliver(world: Arc<World>, client: post::Client, mut job: Job) {
    let (webhooks, pushing) = world.pushes.settings();
    let Some(letter) = letter(&webhooks, &job) else { return };
    let outcome = post::post(&client, &letter).await;
    let now = Timestamp::now();
    world.pushes.note(Posted {
        system: letter.system,
        url: post::bare(&letter.url),
        body: letter.body.clone(),
        status: outcome.status(),
        time: now,
    });
    // Whoever waits for the push waits for the first attempt only.
    drop(job.done.take());
    if letter.is_repeated_after(outcome) && job.attempt < pushing.retries {
        job.attempt += 1;
        let pause = SignedDuration::try_from(pushing.retry_after).unwrap_or(SignedDuration::MAX);
        world.pushes.again(job, now.checked_add(pause).unwrap_or(Timestamp::MAX));
    }
}

/// What is posted for a job by the settings of this moment: nothing if its webhook is
/// gone, or leads away from this machine.
pub(super) fn letter(webhooks: &Webhooks, job: &Job) -> Option<Letter> {
    match job.call.system {
        System::Phonon | System::PhononBulk => {
            phonon::letter(webhooks.phonon.as_ref()?, &job.call, &job.telling, job.part)
        }
        System::MobTexting => {
            mobtexting::letter(webhooks.mobtexting.as_ref()?, &job.call, &job.telling)
        }
        System::Knovvu if webhooks.knovvu => knovvu::letter(&job.call, &job.telling),
        _ => None,
    }
}

impl Letter {
    /// The vendor would post it again. Documented for MobTexting (`mobtexting.md 5b`):
    /// only 200 and 202 count. Of the others nothing is known but that a server in
    /// trouble is commonly tried again.
    pub(super) fn is_repeated_after(&self, outcome: Outcome) -> bool {
        match (self.system, outcome) {
            (System::MobTexting, Outcome::Answered(status)) => ![200, 202].contains(&status),
            (System::MobTexting, Outcome::Refused | Outcome::Broken) => true,
            (_, Outcome::Answered(status)) => status >= 500,
            (_, Outcome::Refused) => true,
            (_, Outcome::Broken) => false,
        }
    }
}
