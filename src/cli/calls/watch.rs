//! `dialplane watch`: every change of calls, as it comes.

use std::{collections::HashMap, time::Duration};

use clap::Args;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use super::{Client, How, Out, Part, Selected, is_over, note, results::Asked};
use crate::{
    call::MAX_SELECTED,
    cli::{
        asked_to_stop,
        client::{Failed, NOT_REACHED, wait_of},
    },
    proto::{Call, WatchCallResultsRequest, WatchCallResultsResponse},
};

/// How often a quiet stream says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A stream that said nothing for so long has broken.
const SILENCE: Duration = Duration::from_secs(20);
/// The pauses before a stream is taken up again: from this one on, doubled up to the other.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// What the gateway has told of a call within it is as good as asked for: all that ends calls
/// is in its ledger.
pub(in crate::cli) const ANY_AGE: prost_types::Duration =
    prost_types::Duration { seconds: 86_400, nanos: 0 };

/// What is watched.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    selected: Selected,
    /// All calls of a route, from now on. Without this and without calls: all calls.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["call_ids", "request_id", "references"])]
    route: Option<String>,
    /// Where to go on: the cursor that an earlier run ended with.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    how: How,
}

pub(in crate::cli) async fn run(arguments: &Arguments) -> Result<u8, Failed> {
    let Arguments { selected, route, cursor, how } = arguments;
    let part = match selected.parts().as_slice() {
        [] => Part::default(),
        [part] => part.clone(),
        _ => {
            let message = format!("more than {MAX_SELECTED} calls are named; watch a request");
            return Err(Failed::input(message));
        }
    };
    let mut client = how.client().await?;
    let mut out = how.out();
    let watch = Watch::new(part, route.clone(), cursor.clone());
    watch.follow(how, &mut client, |change| show(&mut out, change)).await.map(|_| 0)
}

/// Whether it could be written.
fn show(out: &mut Out, change: &WatchCallResultsResponse) -> bool {
    let Some(call) = &change.call else { return true };
    let shown = match out.is_json() {
        true => out.show(change, "", |_| String::new()),
        false => out.call(call),
    };
    shown.is_ok()
}

/// A selection that is followed to its end, over as many streams as it takes.
pub(in crate::cli) struct Watch {
    part: Part,
    route: String,
    cursor: String,
    /// The calls that were told of, with whether they are over.
    seen: HashMap<String, bool>,
    /// All of the selection was over when it was asked for last, and nothing came since.
    was_all_over: bool,
}

/// How a stream ended.
enum Ended {
    /// There is nothing more to come.
    Over,
    /// Nobody reads on.
    Unread,
    /// It is to be taken up again.
    Broken(Status),
}

/// For how long a stream is taken up again of which nothing is heard.
struct Patience {
    limit: Duration,
    /// When something was heard last: a change, or that there is none.
    heard: Instant,
    pause: Duration,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, heard: Instant::now(), pause: PAUSES.0 }
    }

    fn renew(&mut self) {
        *self = Self::new(self.limit);
    }

    /// How long to wait before the next attempt, at least as long as was said; none if that is too
    /// long.
    fn wait(&mut self, said: Duration) -> Option<Duration> {
        let wait = said.max(self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
        (self.heard.elapsed() + wait <= self.limit).then_some(wait)
    }
}

impl Watch {
    pub(in crate::cli) fn new(part: Part, route: Option<String>, cursor: Option<String>) -> Self {
        let (route, cursor) = (route.unwrap_or_default(), cursor.unwrap_or_default());
        Self { part, route, cursor, seen: HashMap::new(), was_all_over: false }
    }

    /// Follows it to the end, or until somebody asks to stop or reads no longer. The last cursor
    /// is told on the standard error stream. Gives the calls as they were told of last.
    pub(in crate::cli) async fn follow(
        mut self,
        how: &How,
        client: &mut Client,
        take: impl FnMut(&WatchCallResultsResponse) -> bool,
    ) -> Result<(), Failed> {
        let is_finite = self.part != Part::default();
        let ended = tokio::select! {
            ended = self.streams(how, client, take) => ended,
            () = asked_to_stop() => match is_finite {
                false => Ok(()),
                true => Err(Failed::new("stopped before all calls were over", NOT_REACHED)),
            },
        };
        if !self.cursor.is_empty() {
            note(format!("cursor: {}", self.cursor));
        }
        ended
    }

    /// The same, with no word about the cursor, and until the process is told to end.
    pub(in crate::cli) async fn streams(
        &mut self,
        how: &How,
        client: &mut Client,
        mut take: impl FnMut(&WatchCallResultsResponse) -> bool,
    ) -> Result<(), Failed> {
        let mut patience = Patience::new(how.server.timeout());
        loop {
            let mut is_heard = false;
            let heard = |change: &_| {
                is_heard = true;
                take(change)
            };
            let status = match self.stream(how, client, heard).await? {
                Ended::Over | Ended::Unread => return Ok(()),
                Ended::Broken(status) => status,
            };
            if is_heard {
                patience.renew();
            }
            match wait_of(&status).and_then(|wait| patience.wait(wait)) {
                Some(wait) => sleep(wait).await,
                None => return Err(status.into()),
            }
        }
    }

    async fn stream(
        &mut self,
        how: &How,
        client: &mut Client,
        mut take: impl FnMut(&WatchCallResultsResponse) -> bool,
    ) -> Result<Ended, Failed> {
        let Part { call_ids, request_id, client_references } = self.part.clone();
        let request = WatchCallResultsRequest {
            call_ids,
            request_id,
            client_references,
            route: self.route.clone(),
            cursor: self.cursor.clone(),
            heartbeat_interval: prost_types::Duration::try_from(HEARTBEAT).ok(),
        };
        let mut stream = match client.watch_call_results(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Ok(Ended::Broken(status)),
        };
        loop {
            let silent = || Status::new(Code::Unavailable, "the stream fell silent");
            let next = timeout(SILENCE, stream.message()).await;
            let change = match next.unwrap_or_else(|_| Err(silent())) {
                Ok(Some(change)) => change,
                Ok(None) => return Ok(Ended::Over),
                Err(status) => return Ok(Ended::Broken(status)),
            };
            if !take(&change) {
                return Ok(Ended::Unread);
            }
            self.cursor.clone_from(&change.cursor);
            match &change.call {
                Some(call) => self.note(call),
                // It has told all that there is.
                None if self.is_all_over(how, client).await? => return Ok(Ended::Over),
                None => {}
            }
        }
    }

    fn note(&mut self, call: &Call) {
        self.was_all_over = false;
        // Only a selection by references has to be counted; the others end by themselves.
        if !self.part.client_references.is_empty() {
            self.seen.insert(call.call_id.clone(), is_over(call));
        }
    }

    /// Whether there is a call for each reference, and all are over: the gateway can't end such
    /// a stream, for a reference may be used again. Asked when the stream is quiet; what changes
    /// in between comes before it is quiet again.
    async fn is_all_over(&mut self, how: &How, client: &mut Client) -> Result<bool, Failed> {
        if self.part.client_references.is_empty() || self.seen.values().any(|over| !over) {
            return Ok(false);
        }
        if self.was_all_over {
            return Ok(true);
        }
        let asked = Asked { part: self.part.clone(), max_staleness: Some(ANY_AGE) };
        self.was_all_over = asked.are_all_over(how, client).await?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_on_which_nothing_moves_is_as_good_as_another() {
        let second = Duration::from_secs(1);
        let mut patience = Patience::new(10 * second);
        sleep(3_600 * second).await;
        patience.renew();
        assert_eq!(patience.wait(Duration::ZERO), Some(PAUSES.0));
        assert_eq!(patience.wait(Duration::ZERO), Some(PAUSES.0 * 2));
        assert_eq!(patience.wait(3 * second), Some(3 * second));
        assert_eq!(patience.wait(11 * second), None);
        sleep(10 * second).await;
        assert_eq!(patience.wait(Duration::ZERO), None);
    }
}
