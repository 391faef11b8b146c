//! WatchCallResults: history, what is new, where it ends, and how it is taken up again.

use std::collections::{BTreeMap, HashSet};

use dialplane::proto::{Call, CallState, CreateCallsRequest, WatchCallResultsRequest};
use tonic::Code;

use crate::{
    harness::{Explained, to},
    setup::{Stream, Town, Ways},
};

fn of_request(id: &str) -> WatchCallResultsRequest {
    WatchCallResultsRequest { request_id: id.to_owned(), ..Default::default() }
}

fn of_route(route: &str) -> WatchCallResultsRequest {
    WatchCallResultsRequest { route: route.to_owned(), ..Default::default() }
}

/// Each revision of each call, once and in order.
fn each_once(changes: &[Call]) -> BTreeMap<String, Vec<CallState>> {
    let mut seen: BTreeMap<String, Vec<CallState>> = BTreeMap::new();
    for call in changes {
        let states = seen.entry(call.call_id.clone()).or_default();
        states.push(call.state());
        assert_eq!(call.revision as usize, states.len(), "{}: {states:?}", call.call_id);
    }
    seen
}

#[tokio::test]
async fn history_comes_first_and_the_stream_ends_when_all_is_over() {
    let mut town = Town::start(Ways::default()).await;
    let created = town
        .gateway
        .send(CreateCallsRequest {
            request_id: "watched".into(),
            route: "phonon-multicast".into(),
            calls: vec![to("+919900000100"), to("+919900000101"), to("nonsense")],
            ..Default::default()
        })
        .await
        .unwrap();
    let changes = town.watch(of_request("watched")).await.until_the_end().await;
    let seen = each_once(&changes);
    assert_eq!(seen.len(), 3);
    for (call, end) in
        created.calls.iter().zip([CallState::Answered, CallState::Busy, CallState::Failed])
    {
        let states = &seen[&call.call_id];
        assert_eq!(states.last(), Some(&end), "{states:?}");
        assert_eq!(states.iter().filter(|state| **state == end).count(), 1, "{states:?}");
    }
    // Over: the same once more, by request, ids and references of one.
    assert_eq!(town.watch(of_request("watched")).await.until_the_end().await, changes);
    let ids = created.calls.iter().map(|call| call.call_id.clone()).collect();
    let by_ids = WatchCallResultsRequest { call_ids: ids, ..Default::default() };
    assert_eq!(town.watch(by_ids).await.until_the_end().await, changes);
    town.stop().await;
}

#[tokio::test]
async fn a_request_may_be_watched_before_it_is_sent() {
    let mut town = Town::start(Ways::default()).await;
    let stream = town.watch(of_request("to-come")).await;
    let other = town.watch(WatchCallResultsRequest {
        client_references: vec!["ref-7".into()],
        ..Default::default()
    });
    let mut by_reference = other.await;
    let mut wrong_first = vec![to("nonsense")];
    wrong_first.extend((0..20).map(|n| {
        let mut spec = to(&format!("+9199000{n:03}00"));
        spec.client_reference = format!("ref-{n}");
        spec
    }));
    town.gateway
        .send(CreateCallsRequest {
            request_id: "to-come".into(),
            route: "phonon-multicast".into(),
            calls: wrong_first,
            ..Default::default()
        })
        .await
        .unwrap();
    let seen = each_once(&stream.until_the_end().await);
    assert_eq!(seen.len(), 21, "the one that failed at once did not end it");
    assert!(seen.values().all(|states| states.last().unwrap() != &CallState::Accepted));
    loop {
        let (call, _) = by_reference.change().await;
        assert_eq!(call.client_reference, "ref-7");
        if call.state() == CallState::Answered {
            break;
        }
    }
    town.stop().await;
}

#[tokio::test]
async fn a_route_and_all_begin_now_and_have_no_end() {
    let mut town = Town::start(Ways::default()).await;
    let before = town.gateway.call("knovvu", "+919900000000").await.unwrap();
    town.follow(&before).await;
    let mut route = town.watch(of_route("knovvu")).await;
    let mut all = town.watch(WatchCallResultsRequest::default()).await;
    let other = town.gateway.call("mobtexting", "+919900000001").await.unwrap();
    let one = town.gateway.call("knovvu", "+919900000001").await.unwrap();
    let mut of_route = Vec::new();
    while of_route.last().is_none_or(|call: &Call| call.state() != CallState::Busy) {
        of_route.push(route.change().await.0);
    }
    assert!(of_route.iter().all(|call| call.call_id == one.call_id));
    each_once(&of_route);
    let mut of_all = Vec::new();
    while of_all.iter().filter(|call: &&Call| call.state() == CallState::Busy).count() < 2 {
        of_all.push(all.change().await.0);
    }
    let seen = each_once(&of_all);
    assert_eq!(seen.keys().collect::<HashSet<_>>(), [&other.call_id, &one.call_id].into());
    town.stop().await;
}

#[tokio::test]
async fn a_watcher_killed_a_hundred_times_sees_each_change_once_also_across_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = format!("sqlite:{}", directory.path().join("ledger.db").display());
    let mut town = Town::start(Ways { ledger, ..Ways::default() }).await;
    let mut cursor = town.watch(WatchCallResultsRequest::default()).await;
    town.gateway.call("knovvu", "+919900000000").await.unwrap();
    let (first, mut at) = cursor.change().await;
    let mut seen = vec![first];
    drop(cursor);
    for life in 0..100 {
        let number = format!("+9199{life:06}00");
        town.gateway.call("phonon-multicast", &number).await.unwrap();
        if life % 25 == 10 {
            town = town.restart().await;
        }
        let request = WatchCallResultsRequest { cursor: at.clone(), ..Default::default() };
        let mut stream = town.watch(request).await;
        // Killed after a few messages, the last of which was dealt with or not.
        for _ in 0..1 + life % 4 {
            let (call, cursor) = stream.change().await;
            seen.push(call);
            at = cursor;
        }
    }
    // Whatever is left.
    let all_over = |seen: &[Call]| {
        each_once(seen).values().filter(|s| s.last() == Some(&CallState::Answered)).count() == 101
    };
    let request = WatchCallResultsRequest { cursor: at, ..Default::default() };
    let mut stream = town.watch(request).await;
    while !all_over(&seen) {
        seen.push(stream.change().await.0);
    }
    town.stop().await;
}

#[tokio::test]
async fn a_slow_reader_misses_nothing_and_holds_up_nobody() {
    let mut town = Town::start(Ways::default()).await;
    // Nothing is read of it until everything is over, which is more than any queue holds.
    let slow = town.watch(of_request("much")).await;
    let quick = town.watch(of_request("much")).await;
    town.gateway
        .send(CreateCallsRequest {
            request_id: "much".into(),
            route: "phonon-multicast".into(),
            calls: (0..2_000).map(|n| to(&format!("+91990{n:05}00"))).collect(),
            ..Default::default()
        })
        .await
        .unwrap();
    let quick = each_once(&quick.until_the_end().await);
    let slow = each_once(&slow.until_the_end().await);
    assert_eq!((quick.len(), &quick), (2_000, &slow));
    town.stop().await;
}

#[tokio::test]
async fn a_stopping_gateway_says_so_and_the_cursor_holds() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = format!("sqlite:{}", directory.path().join("ledger.db").display());
    let mut town = Town::start(Ways { ledger, push: false, ..Ways::default() }).await;
    let call = town.gateway.call("phonon-bulk", "+919900000000").await.unwrap();
    let mut stream = town.watch_call(&call).await;
    let mut cursor = String::new();
    for _ in 0..call.revision {
        cursor = stream.change().await.1;
    }
    let mut town = town.restart().await;
    let error = Explained::of(&stream.next().await.unwrap().unwrap_err());
    assert_eq!((error.code, error.info.reason.as_str()), (Code::Unavailable, "STOPPING"));
    let request = WatchCallResultsRequest { cursor, ..of_request(&call.request_id) };
    let mut stream: Stream = town.watch(request).await;
    town.gateway.call("knovvu", "+919900000000").await.unwrap();
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(200), stream.0.message());
    assert!(quiet.await.is_err(), "nothing of it changed");
    town.stop().await;
}

#[tokio::test]
async fn heartbeats_are_sent_to_who_asks_for_them() {
    let mut town = Town::start(Ways::default()).await;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = WatchCallResultsRequest { heartbeat_interval, ..Default::default() };
    let mut stream = town.watch(request).await;
    let beat = stream.next().await.unwrap().unwrap();
    assert!(beat.call.is_none() && !beat.cursor.is_empty());
    let call = town.gateway.call("knovvu", "+919900000000").await.unwrap();
    let request = WatchCallResultsRequest { cursor: beat.cursor, ..Default::default() };
    assert_eq!(town.watch(request).await.change().await.0.call_id, call.call_id);
    town.stop().await;
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_with_the_reason() {
    let mut town = Town::start(Ways::default()).await;
    let call = town.gateway.call("knovvu", "+919900000000").await.unwrap();
    let elsewhere = {
        let mut other = Town::start(Ways::default()).await;
        let call = other.gateway.call("knovvu", "+919900000000").await.unwrap();
        let cursor = other.watch_call(&call).await.change().await.1;
        other.stop().await;
        cursor
    };
    let ids = |ids: &[&str]| WatchCallResultsRequest {
        call_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Default::default()
    };
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    let of_route_and_request =
        WatchCallResultsRequest { route: "knovvu".into(), ..of_request("r") };
    let two = WatchCallResultsRequest { request_id: "r".into(), ..ids(&[&call.call_id]) };
    let cursor =
        |cursor: &str| WatchCallResultsRequest { cursor: cursor.into(), ..Default::default() };
    let beat = |seconds| WatchCallResultsRequest {
        heartbeat_interval: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    for (request, code, what) in [
        (ids(&[unknown]), Code::NotFound, "CALL_NOT_FOUND"),
        (ids(&[&call.call_id, unknown]), Code::NotFound, "CALL_NOT_FOUND"),
        (ids(&["x"]), Code::InvalidArgument, "call_ids[0]"),
        (of_route("nowhere"), Code::NotFound, "ROUTE_NOT_FOUND"),
        (of_route_and_request, Code::InvalidArgument, "route"),
        (two, Code::InvalidArgument, "request_id"),
        (cursor("x"), Code::InvalidArgument, "cursor"),
        (cursor(&elsewhere), Code::InvalidArgument, "cursor"),
        (beat(0), Code::InvalidArgument, "heartbeat_interval"),
        (beat(-1), Code::InvalidArgument, "heartbeat_interval"),
        (beat(3_601), Code::InvalidArgument, "heartbeat_interval"),
    ] {
        let refused = town.gateway.client.watch_call_results(request.clone()).await;
        let error = Explained::of(&refused.map(|_| ()).unwrap_err());
        assert_eq!(error.code, code, "{request:?}");
        match code {
            Code::NotFound => assert_eq!(error.info.reason, what),
            _ => assert!(error.fields().iter().any(|f| f == what), "{:?}", error.fields()),
        }
    }
    town.stop().await;
}
