//! How long a connection may stay, and what becomes of what is under way on it.

use dialplane::proto::WatchCallResultsRequest;

use crate::{
    house::{House, soon},
    wire::Wire,
};

#[tokio::test]
async fn a_watch_outlives_the_time_for_requests_and_the_time_without_any() {
    let limits = "limits = { request_timeout = \"100ms\", idle_timeout = \"100ms\" }";
    let house = House::open(limits).await;
    let mut caller = house.caller().await;
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let request = WatchCallResultsRequest { heartbeat_interval, ..Default::default() };
    let mut watch = caller.watch(request).await.unwrap();
    // By then both are long over.
    let beat = soon("a heartbeat", watch.message()).await.unwrap().unwrap();
    assert!(beat.call.is_none());
    caller.call("").await.unwrap();
    assert!(soon("a change", watch.message()).await.unwrap().unwrap().call.is_some());
    house.end().await;
}

#[tokio::test]
async fn a_connection_without_an_rpc_ends() {
    let house = House::open("limits = { idle_timeout = \"100ms\" }").await;
    let mut idle = Wire::open(house.address).await;
    assert_eq!(idle.ended().await, Some(0));
    // A client library connects anew, and nobody notices.
    let mut caller = house.caller().await;
    for _ in 0..3 {
        assert!(caller.is_served().await);
        let mut other = Wire::open(house.address).await;
        assert_eq!(other.ended().await, Some(0));
    }
    house.end().await;
}

#[tokio::test]
async fn an_old_connection_ends_and_a_watch_on_it_goes_on() {
    let house = House::open("limits = { connection_age = \"200ms\" }").await;
    let mut caller = house.caller().await;
    let mut watch = caller.watch(WatchCallResultsRequest::default()).await.unwrap();
    let mut old = Wire::open(house.address).await;
    assert_eq!(old.ended().await, Some(0));
    // This one is as old, give or take: its client has been told to take another one.
    for _ in 0..3 {
        house.caller().await.call("").await.unwrap();
        assert!(soon("a change", watch.message()).await.unwrap().unwrap().call.is_some());
        let mut old = Wire::open(house.address).await;
        assert_eq!(old.ended().await, Some(0));
    }
    house.end().await;
}

#[tokio::test]
async fn but_not_for_ever() {
    let limits = "limits = { connection_age = \"100ms\", connection_grace = \"200ms\" }";
    let house = House::open(limits).await;
    let mut caller = house.caller().await;
    let mut watch = caller.watch(WatchCallResultsRequest::default()).await.unwrap();
    soon("the end", watch.message()).await.unwrap_err();
    assert!(caller.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn who_does_not_answer_is_gone() {
    let limits = "limits = { keep_alive_interval = \"100ms\", keep_alive_timeout = \"100ms\" }";
    let house = House::open(limits).await;
    // Reads, and answers no ping.
    let mut deaf = Wire::open(house.address).await.deaf();
    deaf.ended().await;
    assert!(house.caller().await.is_served().await);
    house.end().await;
}
