//! One who watches every change of every call, across all that happens.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dialplane::{
    api::CallApi,
    call::CallId,
    gateway::Gateway,
    proto::{WatchCallResultsRequest, WatchCallResultsResponse, call_service_server::CallService},
};
use futures_util::StreamExt;
use tokio::time::sleep;
use tonic::{Code, Request};

use crate::world::{State, World, note};

#[derive(Debug, Default)]
pub struct Watcher {
    /// Of the last message; empty before the first.
    cursor: String,
    /// The streams that began without a cursor: what came before they did not tell.
    from_now: u32,
    seen: BTreeMap<CallId, u64>,
}

/// Watches until the process dies, and goes on where the last one stopped.
pub async fn watch(world: Arc<World>, gateway: Gateway) {
    let api = CallApi::new(gateway);
    loop {
        let cursor = {
            let mut state = world.state();
            let cursor = state.watcher.cursor.clone();
            state.watcher.from_now += u32::from(cursor.is_empty());
            cursor
        };
        let request = WatchCallResultsRequest { cursor, ..WatchCallResultsRequest::default() };
        match api.watch_call_results(Request::new(request)).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                while let Some(Ok(message)) = stream.next().await {
                    let mut state = world.state();
                    if !state.dead {
                        state.watched(message);
                    }
                }
            }
            Err(status) if status.code() == Code::Unavailable => {}
            Err(status) => {
                world.state().checker.wrong(format!("(9) can't be watched: {status:?}"));
            }
        }
        world.pause(100, 2_000).await;
    }
}

impl State {
    fn watched(&mut self, message: WatchCallResultsResponse) {
        self.watcher.cursor = message.cursor;
        let Some(call) = message.call else { return };
        let Ok(id) = call.call_id.parse::<CallId>() else { return };
        note!(self, "watched: {:?} is {:?}", call.to, call.state());
        let before = self.watcher.seen.insert(id, call.revision);
        let may_begin_later = self.watcher.from_now > 1;
        if before.map_or(!may_begin_later && call.revision != 1, |b| call.revision != b + 1) {
            let (to, now) = (&call.to, call.revision);
            self.checker.wrong(format!("(9) {to:?}: {before:?} is followed by {now} in a stream"));
        }
    }

    /// Whether all there is was told.
    fn is_all_watched(&self) -> bool {
        self.checker.revisions().all(|(id, revision)| match self.watcher.seen.get(&id) {
            Some(seen) => *seen == revision,
            None => self.watcher.from_now > 1,
        })
    }
}

/// Nothing is lost on the way to who watches.
pub async fn sees_all(world: &World) {
    for _ in 0..20 {
        if world.state().is_all_watched() {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
    world.state().checker.wrong("(9) a stream does not tell all changes".to_owned());
}
