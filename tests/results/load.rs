//! Many calls and many watchers.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use dialplane::proto::{CreateCallsRequest, WatchCallResultsRequest};
use tokio::task::JoinSet;

use crate::{
    harness::to,
    setup::{Stream, Town, Ways},
};

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_calls_are_over_as_soon_as_their_vendor_says_so() {
    let mut town = Town::start(Ways::default()).await;
    let mut streams = Vec::new();
    for request in 0..2 {
        let request_id = format!("many-{request}");
        let request = WatchCallResultsRequest { request_id, ..Default::default() };
        streams.push(town.watch(request).await);
    }
    for request in 0..2 {
        let calls = (0..1_000).map(|n| to(&format!("+9199{request}{n:05}00"))).collect();
        let request = CreateCallsRequest {
            request_id: format!("many-{request}"),
            route: "phonon-multicast".into(),
            calls,
            ..Default::default()
        };
        town.gateway.send(request).await.unwrap();
    }
    let ended: usize = {
        let mut ended = 0;
        for stream in streams {
            let over = stream.until_the_end().await;
            ended += over.iter().filter(|call| call.end_time.is_some()).count();
        }
        ended
    };
    assert_eq!(ended, 2_000);
    let pushed = town.sandbox.pushes();
    assert!(pushed.iter().all(|push| push.status == Some(200)));
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_each_see_each_change_of_their_calls_once() {
    let mut town = Town::start(Ways::default()).await;
    let mut watchers = JoinSet::new();
    // Streams of one connection are limited; a hundred watch all, nine hundred a few.
    for watcher in 0..1_000 {
        let request = if watcher % 10 == 0 {
            WatchCallResultsRequest { request_id: "watched".into(), ..Default::default() }
        } else {
            let client_references =
                (0..5).map(|n| format!("{}", (watcher + n * 7) % 1_000)).collect();
            WatchCallResultsRequest { client_references, ..Default::default() }
        };
        let stream = town.watch(request).await;
        let calls = if watcher % 10 == 0 { 1_000 } else { 5 };
        watchers.spawn(watch_all(stream, calls));
    }
    let calls = (0..1_000).map(|n| {
        let mut spec = to(&format!("+919900{n:04}00"));
        spec.client_reference = n.to_string();
        spec
    });
    let request = CreateCallsRequest {
        request_id: "watched".into(),
        route: "phonon-multicast".into(),
        calls: calls.collect(),
        ..Default::default()
    };
    let begun = Instant::now();
    town.gateway.send(request).await.unwrap();
    while let Some(watched) = watchers.join_next().await {
        watched.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    town.stop().await;
}

/// Reads until so many calls are over, and sees each of their revisions once and in order.
async fn watch_all(mut stream: Stream, calls: usize) {
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut over = 0;
    while over < calls {
        let (call, _) = stream.change().await;
        let last = seen.entry(call.call_id.clone()).or_default();
        assert_eq!(call.revision, *last + 1, "{}", call.call_id);
        *last = call.revision;
        over += usize::from(call.end_time.is_some());
    }
}
