//! Calls between two vendors: while they wait, expire, outlive a stop, or are spoken of late.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use dialplane::{
    call::{self},
    config::Config,
    gateway::{self, Clock, Delivered},
    http::Delivery,
    ledger::{Ledger, sqlite::SqliteLedger},
    proto::CallState,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinHandle};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    failing_ledger::Watched,
    harness::{Answer, Gateway, Stub},
    placing::{in_state, on_disk, order, place, poor, recorded, request, taker, tries},
    raw::{Does, Raw, account, answer, route, written, yes},
    still::{Canned, Outcome, Still, text},
};

#[tokio::test]
async fn what_expires_between_two_tries_is_not_dialled() {
    let late = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&late);
    let first = Stub::start(move |_| {
        set.store(true, SeqCst);
        Answer::json(402, r#"{"status":"ERROR","code":402}"#)
    })
    .await;
    let second = taker("knovvu").await;
    let text = account("mobtexting", "one", &first.url(), "")
        + &account("knovvu", "two", &second.url(), "")
        + &route("both", &["one", "two"]);
    let config = Config::parse(&text, Path::new("."), &|_| None).unwrap();
    let begun = Timestamp::now();
    let clock =
        Clock::new(move || begun + Duration::from_secs(if late.load(SeqCst) { 3_600 } else { 0 }));
    let ledger = Arc::new(SqliteLedger::open("sqlite::memory:").unwrap());
    let gateway = gateway::Gateway::new(&config, ledger, clock).unwrap();
    let end = begun + Duration::from_secs(60);
    let call = place(&gateway, order("919900000100", Some(end))).await;
    assert_eq!((call.state, call.vendor.as_str()), (call::CallState::Expired, "two"));
    assert_eq!((call.failovers.len(), call.error), (1, None));
    assert_eq!((first.received().len(), second.asked()), (1, 0));
    gateway.stop();
    gateway.drained().await;
    first.stop().await;
}

#[tokio::test]
async fn a_ledger_that_fails_meanwhile_costs_no_call_and_doubles_none() {
    let (first, second) = (Raw::start(|_| poor()).await, taker("knovvu").await);
    let text = account("mobtexting", "one", &first.url(), "")
        + &account("knovvu", "two", &second.url(), "")
        + &route("both", &["one", "two"]);
    let config = Config::parse(&text, Path::new("."), &|_| None).unwrap();
    for failures in 1..4 {
        let ledger = Arc::new(Watched::new());
        ledger.failures.store(failures, SeqCst);
        let ledger: Arc<dyn Ledger> = ledger;
        let gateway = gateway::Gateway::new(&config, ledger, Clock::system()).unwrap();
        let call = place(&gateway, order("919900000100", None)).await;
        assert_eq!((call.state, call.vendor.as_str()), (call::CallState::Accepted, "two"));
        assert_eq!((first.asked(), second.asked()), (failures, failures));
        gateway.stop();
        gateway.drained().await;
    }
}

/// A configuration whose vendor `two` has one turn, and what lets go of that: its first
/// answer.
async fn busy(first: &Raw, directory: &tempfile::TempDir) -> (Raw, Arc<Semaphore>, String) {
    let allowed = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&allowed);
    let second = Raw::start(move |number| match number {
        0 => Does::SaysWhen(Arc::clone(&wait), written(200, "", yes("knovvu"))),
        _ => answer(200, "", yes("knovvu")),
    })
    .await;
    let text = account("mobtexting", "one", &first.url(), "")
        + &account("knovvu", "two", &second.url(), "max_in_flight = 1")
        + &route("both", &["one", "two"])
        + &route("busy", &["two"])
        + &on_disk(directory);
    (second, allowed, text)
}

#[tokio::test]
async fn a_call_waits_for_its_turn_at_the_next_vendor() {
    let directory = tempfile::tempdir().unwrap();
    let first = Raw::start(|_| poor()).await;
    let (second, allowed, text) = busy(&first, &directory).await;
    let mut gateway = Gateway::start(&text).await;
    let mut client = gateway.client.clone();
    let holds = tokio::spawn(async move { client.create_calls(request("R1", "busy")).await });
    second.read(1).await;
    let mut client = gateway.client.clone();
    let moves = tokio::spawn(async move { client.create_calls(request("R2", "both")).await });
    let waiting = in_state(&mut gateway, "R2", CallState::Scheduled).await;
    assert_eq!((waiting.vendor.as_str(), tries(&waiting).len()), ("two", 1));
    assert_eq!((first.asked(), second.asked()), (1, 1));
    allowed.add_permits(1);
    for (answer, tries) in [(holds, 0), (moves, 1)] {
        let call = answer.await.unwrap().unwrap().into_inner().calls.remove(0);
        assert_eq!((call.state(), call.vendor.as_str()), (CallState::Accepted, "two"));
        assert_eq!(call.failovers.len(), tries);
    }
    assert_eq!((first.asked(), second.asked()), (1, 2));
    gateway.stop().await;
}

/// Has a gateway stop, and comes back once it takes up nothing more.
async fn begin_to_stop(gateway: Gateway) -> JoinHandle<()> {
    let service = HealthCheckRequest { service: "dialplane.v1.CallService".into() };
    let mut health = HealthClient::new(gateway.channel.clone());
    let mut watch = health.watch(service).await.unwrap().into_inner();
    let serves = ServingStatus::Serving;
    while watch.message().await.unwrap().unwrap().status() != serves {}
    let stopping = tokio::spawn(gateway.stop());
    while watch.message().await.unwrap().unwrap().status() == serves {}
    stopping
}

#[tokio::test]
async fn a_call_that_waits_at_the_next_vendor_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let first = Raw::start(|_| poor()).await;
    let (second, allowed, text) = busy(&first, &directory).await;
    let mut gateway = Gateway::start(&text).await;
    let mut client = gateway.client.clone();
    let holds = tokio::spawn(async move { client.create_calls(request("R1", "busy")).await });
    second.read(1).await;
    let mut client = gateway.client.clone();
    let moves = tokio::spawn(async move { client.create_calls(request("R2", "both")).await });
    in_state(&mut gateway, "R2", CallState::Scheduled).await;
    // Only once it stops: the turn that comes free then is taken by nobody.
    let stopping = begin_to_stop(gateway).await;
    allowed.add_permits(1);
    let call = moves.await.unwrap().unwrap().into_inner().calls.remove(0);
    assert_eq!((call.state(), call.vendor.as_str()), (CallState::Scheduled, "two"));
    assert_eq!(holds.await.unwrap().unwrap().into_inner().calls[0].state(), CallState::Accepted);
    stopping.await.unwrap();
    assert_eq!((first.asked(), second.asked()), (1, 1));

    let mut gateway = Gateway::start(&text).await;
    assert_eq!(gateway.running.recovery().resumed, 1);
    let call = in_state(&mut gateway, "R2", CallState::Accepted).await;
    assert_eq!((call.vendor.as_str(), tries(&call).len()), ("two", 1));
    assert_eq!((first.asked(), second.asked()), (1, 2));
    gateway.stop().await;
}

#[tokio::test]
async fn a_vendor_that_was_taken_out_meanwhile_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let allowed = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&allowed);
    let first = Raw::start(move |number| match number {
        0 => Does::SaysWhen(Arc::clone(&wait), written(200, "", yes("mobtexting"))),
        _ => poor(),
    })
    .await;
    let (second, third) = (taker("knovvu").await, taker("knovvu").await);
    let vendors = |second: &str, route_to: &[&str]| {
        account("mobtexting", "one", &first.url(), "max_in_flight = 1")
            + second
            + &account("knovvu", "three", &third.url(), "")
            + &route("all", route_to)
            + &on_disk(&directory)
    };
    let text = vendors(&account("knovvu", "two", &second.url(), ""), &["one", "two", "three"]);
    let mut gateway = Gateway::start(&text).await;
    let mut client = gateway.client.clone();
    let holds = tokio::spawn(async move { client.create_calls(request("R1", "all")).await });
    first.read(1).await;
    let mut client = gateway.client.clone();
    let waits = tokio::spawn(async move { client.create_calls(request("R2", "all")).await });
    in_state(&mut gateway, "R2", CallState::Scheduled).await;
    let stopping = begin_to_stop(gateway).await;
    allowed.add_permits(1);
    assert!(holds.await.unwrap().is_ok() && waits.await.unwrap().is_ok());
    stopping.await.unwrap();

    let mut gateway = Gateway::start(&vendors("", &["one", "three"])).await;
    let call = in_state(&mut gateway, "R2", CallState::Accepted).await;
    assert_eq!((call.vendor.as_str(), tries(&call).len()), ("three", 1));
    assert_eq!((first.asked(), second.asked(), third.asked()), (2, 0, 1));
    gateway.stop().await;
}

/// Phonon's push that a call was answered.
fn answered(call_id: &str) -> Value {
    json!({
        "phonon-uuid": format!("late-{call_id}"),
        "dialplane_call_id": call_id,
        "callDetails": [{
            "cdrId": "c-1", "calleeNumber": "919900000100", "calleeType": "VISITOR",
            "startTime": "2024-07-01T10:15:00.080+05:30",
            "connectTime": "2024-07-01T10:15:13.901+05:30",
            "endTime": "2024-07-01T10:17:19.131+05:30",
        }],
    })
}

const LOGIN: &str = "callback = { user = \"u\", password = \"p\" }";

#[tokio::test]
async fn what_the_first_vendor_says_later_of_a_call_that_moved_is_nothing() {
    let first = Raw::start(|number| match number {
        0 => answer(200, "", r#"{"api-response-code":212}"#),
        _ => answer(200, "", yes("phonon-bulk")),
    })
    .await;
    let second = taker("knovvu").await;
    let text = "callbacks = \"127.0.0.1:0\"\n\n".to_owned()
        + &account("phonon-bulk", "one", &first.url(), LOGIN)
        + &account("knovvu", "two", &second.url(), "poll_interval = \"1h\"")
        + &route("both", &["one", "two"]);
    let mut gateway = Gateway::start(&text).await;
    let moved = gateway.send(request("R1", "both")).await.unwrap().calls.remove(0);
    let stayed = gateway.send(request("R2", "both")).await.unwrap().calls.remove(0);
    assert_eq!((moved.vendor.as_str(), stayed.vendor.as_str()), ("two", "one"));
    let address = gateway.running.callbacks().unwrap();
    for call in [&moved, &stayed] {
        let body = answered(&call.call_id);
        let post = reqwest::Client::new().post(format!("http://{address}/callbacks/one"));
        let post = post.basic_auth("u", Some("p")).body(body.to_string());
        assert_eq!(post.send().await.unwrap().status(), 200);
    }
    assert_eq!(recorded(&mut gateway, "R2").await.state(), CallState::Answered, "pushes do count");
    assert_eq!(recorded(&mut gateway, "R1").await, moved);
    gateway.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nor_is_what_it_said_before_that_can_be_recorded_only_after() {
    // It says no while its own push is on its way to the disk.
    let first = Canned::taking(
        |_| Duration::from_millis(120),
        |_, _| Outcome::Says(200, r#"{"api-response-code":212}"#.to_owned()),
    );
    let second = Canned::new(|_, _| Outcome::Says(200, yes("knovvu").to_owned()));
    let vendors = [("phonon-bulk", "one", LOGIN), ("knovvu", "two", "poll_interval = \"1h\"")];
    let config = format!("[server]\ncallbacks = \"127.0.0.1:0\"\n\n{}", text(&vendors));
    let house = Still::new(&config, &[("one", &first), ("two", &second)]);
    let gateway = house.gateway.clone();
    let placed = tokio::spawn(async move { place(&gateway, order("919900000100", None)).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let dispatching =
        house.ledger.open_calls(&[call::CallState::Dispatching], None, 9).await.unwrap();
    assert_eq!((dispatching.len(), dispatching[0].vendor.as_str()), (1, "one"));
    // Its first try fails, and by the second one the call has moved.
    house.ledger.failures.store(1, SeqCst);
    let delivery = Delivery {
        content_type: "application/json".to_owned(),
        authorization: Some("Basic dTpw".to_owned()),
        body: answered(&dispatching[0].id.to_string()).to_string().into(),
        ..Delivery::default()
    };
    let delivered = house.gateway.deliver("one", delivery).await;
    assert!(matches!(delivered, Delivered::Taken), "{delivered:?}");
    let moved = placed.await.unwrap();
    assert_eq!((moved.state, moved.vendor.as_str()), (call::CallState::Accepted, "two"));
    assert_eq!(house.recorded(moved.id).await, moved);
    assert_eq!(moved.vendor_call_id.as_deref(), Some("v-1"));
}
