//! Calls of which nobody knows whether they were taken: settled at Phonon by sending the very
//! same bytes again, where and as long as that is safe, and left alone everywhere else.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use dialplane::{
    call::{self, CallId},
    config::Config,
    gateway::{self, Clock},
    ledger::{Ledger, OutboxEntry, sqlite::SqliteLedger},
    proto::{Call, CallState, WatchCallResultsRequest},
    sandbox::{Options, Sandbox},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    failing_ledger::Watched,
    failover::{in_state, order, place, place_all, recorded, request},
    harness::{Answer, Explained, Gateway, SECURITY_ID, Stub, six_systems},
    raw::{Does, Raw, account, answer, route, until, written, yes},
};

const SOON: &str = "poll_interval = \"100ms\"";
/// Long enough for every second try that may come.
const AND_OVER: &str = "poll_interval = \"100ms\"\ngive_up_after = \"2s\"";
const REPEATED: &str = r#"{"api-response-code":201,"api-response-message":"Checksum Repeated"}"#;

fn coded(code: u16) -> Does {
    answer(200, "", &format!(r#"{{"api-response-code":{code}}}"#))
}

/// A vendor that loses its first answer and then says what the script has.
async fn forgetful(then: impl Fn(usize) -> Does + Send + 'static) -> Raw {
    Raw::start(move |number| if number == 0 { Does::Resets } else { then(number) }).await
}

fn one(system: &str, vendor: &Raw, keys: &str) -> String {
    account(system, "one", &vendor.url(), keys) + &route("both", &["one"])
}

/// Every state of a request's call, up to this one, and the call then.
async fn follow(gateway: &mut Gateway, id: &str, end: CallState) -> (Vec<CallState>, Call) {
    let watched = WatchCallResultsRequest { request_id: id.into(), ..Default::default() };
    let mut stream = gateway.client.watch_call_results(watched).await.unwrap().into_inner();
    let mut states = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), stream.message());
        let call = next.await.expect("a change in time").unwrap().unwrap().call.unwrap();
        states.push(call.state());
        if call.state() == end {
            return (states, call);
        }
    }
}

fn id_of(call: &Call) -> CallId {
    call.call_id.parse().unwrap()
}

async fn outbox(path: &Path, call: &Call) -> Vec<OutboxEntry> {
    let ledger = SqliteLedger::open(&format!("sqlite:{}", path.display())).unwrap();
    let entries = ledger.outbox(vec![id_of(call)]).await.unwrap();
    ledger.close().await;
    entries
}

#[tokio::test]
async fn the_very_same_bytes_tell_that_the_first_were_taken() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let phonon = format!("kind = \"phonon\"\n{SOON}");
    let text = six_systems(&sandbox, "400ms").replace("kind = \"phonon\"", &phonon);
    let mut gateway = Gateway::start(&text).await;
    for (system, digit) in [("phonon-outbound", 1), ("phonon-dialer", 2), ("phonon-multicast", 3)] {
        // Held, reset, cut: dialled each time.
        for fate in [14, 15, 16] {
            let number = format!("+9199000{digit}00{fate}");
            let before = sandbox.log().len();
            let call = gateway.call(system, &number).await.unwrap();
            assert_eq!(call.state(), CallState::Unconfirmed, "{system} {fate}");
            let error = Explained::of_call(&call);
            assert_eq!(error.meta("dialed"), "maybe");
            let id = call.request_id.clone();
            let (states, settled) = follow(&mut gateway, &id, CallState::Accepted).await;
            assert_eq!(
                states,
                [CallState::Dispatching, CallState::Unconfirmed, CallState::Accepted]
            );
            assert!(settled.vendor_call_id.is_empty() && settled.error.is_none(), "{settled:?}");
            let log = &sandbox.log()[before..];
            assert_eq!(log.len(), 2, "{system} {fate}");
            assert_eq!((&log[0].path, &log[0].body), (&log[1].path, &log[1].body));
            let kind = |at: usize| log[at].headers.iter().find(|(name, _)| name == "content-type");
            assert_eq!(kind(0), kind(1));
            assert_eq!(sandbox.dials_of(&number), 1, "{system} {fate}");
        }
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_request_that_was_lost_is_taken_at_the_second_try() {
    for (first, read) in [(Does::HangsUp, 1), (Does::Resets, 2)] {
        let vendor = Raw::start(move |number| match number {
            0 => first.clone(),
            _ => answer(200, "", yes("phonon-outbound")),
        })
        .await;
        let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, SOON)).await;
        gateway.send(request("R1", "both")).await.unwrap();
        let call = in_state(&mut gateway, "R1", CallState::Accepted).await;
        assert_eq!((call.vendor_call_id.as_str(), call.vendor_request_id.as_str()), ("v-1", "r-1"));
        assert_eq!((vendor.asked(), vendor.bodies().len()), (2, read));
        assert!(vendor.bodies().iter().all(|body| *body == vendor.bodies()[0]));
        gateway.stop().await;
    }
}

#[tokio::test]
async fn whatever_a_vendor_cannot_tell_from_a_new_order_is_sent_once() {
    let cases = [
        ("phonon-bulk", ""),
        ("phonon-bulk", "duplicate_check = false\n"),
        ("phonon-outbound", "duplicate_check = false\n"),
        ("mobtexting", ""),
        ("knovvu", ""),
    ];
    let tries = cases.map(|(system, keys)| async move {
        let vendor = Raw::start(|_| Does::Resets).await;
        let keys = format!("{keys}{AND_OVER}");
        let mut gateway = Gateway::start(&one(system, &vendor, &keys)).await;
        let sent = gateway.send(request("R1", "both")).await.unwrap().calls.remove(0);
        let end = in_state(&mut gateway, "R1", CallState::Unknown).await;
        assert_eq!(end.error, sent.error, "{system}: why it was in doubt");
        assert_eq!(vendor.asked(), 1, "{system}");
        gateway.stop().await;
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn the_bulk_lane_does_it_too_when_it_is_told_to() {
    let vendor = forgetful(|_| answer(200, "", REPEATED)).await;
    let keys = format!("duplicate_check = true\n{SOON}");
    let mut gateway = Gateway::start(&one("phonon-bulk", &vendor, &keys)).await;
    gateway.send(request("R1", "both")).await.unwrap();
    in_state(&mut gateway, "R1", CallState::Accepted).await;
    assert_eq!(vendor.bodies().len(), 2);
    assert_eq!(vendor.bodies()[0], vendor.bodies()[1]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_leaves_a_doubt_is_an_answer() {
    let html = "<html>Bad luck</html>";
    let cases = [
        ("FAILURE_FROM_GATEWAY", coded(206)),
        ("FAILURE", coded(500)),
        ("FAILURE", answer(500, "", r#"{"api-response-code":500}"#)),
        ("UNRECOGNIZED_CODE", coded(999)),
        ("NOT_IN_CALL_DETAILS", coded(200)),
        ("UNREADABLE_ANSWER", answer(500, "", html)),
        ("UNREADABLE_ANSWER", answer(502, "", html)),
        ("UNREADABLE_ANSWER", answer(503, "", html)),
        ("UNREADABLE_ANSWER", answer(504, "", html)),
        ("UNREADABLE_ANSWER", answer(302, "location: /\r\n", "")),
    ];
    let tries = cases.map(|(reason, does)| async move {
        let vendor = Raw::start(move |_| does.clone()).await;
        let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, AND_OVER)).await;
        gateway.send(request("R1", "both")).await.unwrap();
        let end = in_state(&mut gateway, "R1", CallState::Unknown).await;
        assert_eq!(Explained::of_call(&end).info.reason, reason);
        assert_eq!(vendor.asked(), 1, "{reason}");
        gateway.stop().await;
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn a_list_that_names_a_call_is_an_answer_though_it_has_no_code() {
    let vendor = Stub::start(|received| {
        let body: Value = serde_json::from_str(&received.body).unwrap();
        let first = &body["calls"][0]["client-identifier"];
        let list = json!([{ "client-identifier": first, "phonon-uuid": "v-1" }]);
        Answer::json(200, json!({ "call-details": list }).to_string())
    })
    .await;
    let text =
        account("phonon-outbound", "one", &vendor.url(), AND_OVER) + &route("both", &["one"]);
    let mut gateway = Gateway::start(&text).await;
    let calls = ["+919900000100", "+919900000200"].map(crate::harness::to).to_vec();
    let calls = gateway.create("both", calls).await.unwrap().calls;
    assert_eq!((calls[0].state(), calls[1].state()), (CallState::Accepted, CallState::Unconfirmed));
    let id = calls[1].request_id.clone();
    let end = follow_call(&mut gateway, &calls[1]).await;
    assert_eq!(Explained::of_call(&end).info.reason, "CONTRADICTORY_ANSWER", "{id}");
    assert_eq!(vendor.received().len(), 1, "the first call would be dialled twice");
    gateway.stop().await;
    vendor.stop().await;
}

async fn follow_call(gateway: &mut Gateway, call: &Call) -> Call {
    let call_ids = vec![call.call_id.clone()];
    let watched = WatchCallResultsRequest { call_ids, ..Default::default() };
    let mut stream = gateway.client.watch_call_results(watched).await.unwrap().into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await.unwrap() {
        last = message.call;
    }
    last.unwrap()
}

#[tokio::test]
async fn a_refusal_of_the_second_try_says_nothing_of_the_first() {
    let vendor = forgetful(|number| match number {
        1 => coded(212),
        2 => answer(429, "retry-after: 1\r\n", ""),
        3 => coded(401),
        4 => coded(205),
        5 => Does::Resets,
        6 => Does::HangsUp,
        _ => answer(200, "", REPEATED),
    })
    .await;
    let mut gateway = Gateway::start(&one("phonon-dialer", &vendor, SOON)).await;
    gateway.send(request("R1", "both")).await.unwrap();
    let (states, call) = follow(&mut gateway, "R1", CallState::Accepted).await;
    // Nothing of it is seen, and nothing of it sticks.
    assert_eq!(states, [CallState::Dispatching, CallState::Unconfirmed, CallState::Accepted]);
    assert!(call.error.is_none());
    assert_eq!(vendor.asked(), 8);
    assert!(vendor.bodies().iter().all(|body| *body == vendor.bodies()[0]));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_in_doubt_to_the_second_try_is_the_last() {
    let vendor = forgetful(|_| coded(206)).await;
    let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, AND_OVER)).await;
    let sent = gateway.send(request("R1", "both")).await.unwrap().calls.remove(0);
    assert_eq!(Explained::of_call(&sent).info.reason, "VENDOR_ANSWER_LOST");
    let (states, end) = follow(&mut gateway, "R1", CallState::Unknown).await;
    let doubt = CallState::Unconfirmed;
    assert_eq!(states, [CallState::Dispatching, doubt, doubt, CallState::Unknown]);
    assert_eq!(Explained::of_call(&end).info.reason, "FAILURE_FROM_GATEWAY");
    assert_eq!(vendor.asked(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn who_never_answers_ends_as_unknown() {
    let vendor = Raw::start(|_| Does::Resets).await;
    let mut gateway = Gateway::start(&one("phonon-outbound", &vendor, AND_OVER)).await;
    gateway.send(request("R1", "both")).await.unwrap();
    let (states, end) = follow(&mut gateway, "R1", CallState::Unknown).await;
    assert_eq!(states, [CallState::Dispatching, CallState::Unconfirmed, CallState::Unknown]);
    assert_eq!(Explained::of_call(&end).info.reason, "VENDOR_ANSWER_LOST");
    let tries = vendor.asked();
    assert!((2..=14).contains(&tries), "{tries} tries within two seconds");
    gateway.stop().await;
}

/// A ledger as a sudden end leaves it: copied while its gateway waits for an answer.
struct Crashed {
    path: PathBuf,
    _directory: tempfile::TempDir,
    url: String,
}

impl Crashed {
    /// A call is on its way to the vendor, which has read it.
    async fn with(vendor: &Raw, allowed: &Semaphore) -> (Self, Call) {
        let directory = tempfile::tempdir().unwrap();
        let live = directory.path().join("live.db");
        let text = one("phonon-outbound", vendor, SOON)
            + &format!("[ledger]\nurl = \"sqlite:{}\"\n", live.display());
        let mut gateway = Gateway::start(&text).await;
        let mut client = gateway.client.clone();
        let sent = tokio::spawn(async move { client.create_calls(request("R1", "both")).await });
        vendor.read(1).await;
        let call = recorded(&mut gateway, "R1").await;
        assert_eq!(call.state(), CallState::Dispatching);
        let path = directory.path().join("crashed.db");
        for suffix in ["", "-wal"] {
            let name = |path: &Path| format!("{}{suffix}", path.display());
            std::fs::copy(name(&live), name(&path)).unwrap();
        }
        allowed.add_permits(1);
        sent.await.unwrap().unwrap();
        gateway.stop().await;
        let url = format!("[ledger]\nurl = \"sqlite:{}\"\n", path.display());
        (Self { path, _directory: directory, url }, call)
    }

    fn bytes(&self) -> Vec<u8> {
        let wal = format!("{}-wal", self.path.display());
        let files = [self.path.clone(), wal.into()];
        files.iter().filter_map(|file| std::fs::read(file).ok()).flatten().collect()
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    memchr::memmem::find(bytes, text.as_bytes()).is_some()
}

/// A vendor whose first answer waits for a permit, and then comes.
async fn slow(then: &'static str) -> (Raw, Arc<Semaphore>) {
    let allowed = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&allowed);
    let vendor = Raw::start(move |number| match number {
        0 => Does::SaysWhen(Arc::clone(&wait), written(200, "", yes("phonon-outbound"))),
        _ => answer(200, "", then),
    })
    .await;
    (vendor, allowed)
}

#[tokio::test]
async fn a_restart_sends_the_same_bytes_from_the_ledger() {
    for (then, id) in [(REPEATED, ""), (yes("phonon-outbound"), "v-1")] {
        let (vendor, allowed) = slow(then).await;
        let (crashed, call) = Crashed::with(&vendor, &allowed).await;
        // What goes out is there, and the credentials are not.
        let bytes = crashed.bytes();
        assert!(holds(&bytes, "919900000100") && !holds(&bytes, SECURITY_ID));
        let entries = outbox(&crashed.path, &call).await;
        assert_eq!((entries.len(), entries[0].vendor.as_str()), (1, "one"));
        assert!(holds(&entries[0].letter, "contact-numbers"));
        assert!(!holds(&entries[0].letter, SECURITY_ID));

        let text = one("phonon-outbound", &vendor, SOON) + &crashed.url;
        let mut gateway = Gateway::start(&text).await;
        assert_eq!(gateway.running.recovery().unconfirmed, 1);
        let doubt = recorded(&mut gateway, "R1").await;
        if doubt.state() == CallState::Unconfirmed {
            assert_eq!(Explained::of_call(&doubt).info.reason, "GATEWAY_RESTARTED");
        }
        let (states, settled) = follow(&mut gateway, "R1", CallState::Accepted).await;
        assert_eq!(states, [CallState::Dispatching, CallState::Unconfirmed, CallState::Accepted]);
        assert_eq!((settled.call_id, settled.vendor_call_id.as_str()), (call.call_id.clone(), id));
        assert_eq!(vendor.bodies().len(), 2);
        assert_eq!(vendor.bodies()[0], vendor.bodies()[1], "credentials included");
        assert!(vendor.bodies()[1].contains(SECURITY_ID));
        gateway.stop().await;
        assert_eq!(outbox(&crashed.path, &call).await, []);
        assert!(!holds(&crashed.bytes(), SECURITY_ID));
    }
}

#[tokio::test]
async fn other_credentials_make_other_bytes_and_those_are_not_sent() {
    let (vendor, allowed) = slow(REPEATED).await;
    let (crashed, call) = Crashed::with(&vendor, &allowed).await;
    let text = one("phonon-outbound", &vendor, AND_OVER) + &crashed.url;
    let other: String = SECURITY_ID.chars().rev().collect();
    let mut gateway = Gateway::start(&text.replace(SECURITY_ID, &other)).await;
    let end = in_state(&mut gateway, "R1", CallState::Unknown).await;
    assert_eq!(Explained::of_call(&end).info.reason, "GATEWAY_RESTARTED");
    assert_eq!(vendor.asked(), 1);
    gateway.stop().await;
    assert_eq!(outbox(&crashed.path, &call).await, [], "nobody needs it any more");
}

#[tokio::test]
async fn a_vendor_that_was_taken_out_gets_nothing() {
    let (vendor, allowed) = slow(REPEATED).await;
    let (crashed, _) = Crashed::with(&vendor, &allowed).await;
    let text = one("phonon-outbound", &vendor, SOON).replace("one", "other") + &crashed.url;
    let mut gateway = Gateway::start(&text).await;
    let call = recorded(&mut gateway, "R1").await;
    assert_eq!(call.state(), CallState::Unconfirmed);
    assert_eq!(Explained::of_call(&call).info.reason, "GATEWAY_RESTARTED");
    gateway.stop().await;
    assert_eq!(vendor.asked(), 1);
}

/// A gateway whose clock a test sets, without the gRPC around it.
struct Direct {
    gateway: gateway::Gateway,
    ledger: Arc<Watched>,
}

impl Direct {
    fn new(text: &str, ahead: &Arc<AtomicU64>) -> Self {
        let config = Config::parse(text, Path::new("."), &|_| None).unwrap();
        let ledger = Arc::new(Watched::new());
        let offset = Arc::clone(ahead);
        let clock = Clock::new(move || Timestamp::now() + Duration::from_secs(offset.load(SeqCst)));
        let shared = Arc::clone(&ledger) as Arc<dyn Ledger>;
        let gateway = gateway::Gateway::new(&config, shared, clock).unwrap();
        Self { gateway, ledger }
    }

    /// How often it was decided when to look at a call again.
    fn looks(&self, id: CallId) -> Vec<Timestamp> {
        let due = self.ledger.due.lock().unwrap();
        due.iter().filter(|(call, _)| *call == id).map(|(_, at)| *at).collect()
    }

    /// Lets it look after its calls. Only after the clock was set: who rests does not see
    /// that.
    fn attend(&self) {
        self.gateway.attend();
    }

    async fn stop(self) {
        self.gateway.stop();
        self.gateway.drained().await;
        self.ledger.close().await;
    }
}

/// A vendor that loses its first answer, and by then so many seconds have passed.
async fn late(seconds: u64) -> (Raw, Arc<AtomicU64>) {
    let ahead = Arc::new(AtomicU64::new(0));
    let set = Arc::clone(&ahead);
    let vendor = Raw::start(move |number| {
        if number == 0 {
            set.store(seconds, SeqCst);
            return Does::Resets;
        }
        answer(200, "", REPEATED)
    })
    .await;
    (vendor, ahead)
}

#[tokio::test]
async fn after_ten_minutes_the_vendor_is_not_trusted_to_remember() {
    let (vendor, ahead) = late(601).await;
    let house = Direct::new(&one("phonon-outbound", &vendor, SOON), &ahead);
    let call = place(&house.gateway, order("919900000100", None)).await;
    assert_eq!(call.state, call::CallState::Unconfirmed);
    house.attend();
    let end = call.create_time + Duration::from_secs(24 * 3_600);
    until("only giving up is left", || house.looks(call.id).iter().any(|at| *at >= end)).await;
    assert_eq!(vendor.asked(), 1);
    house.stop().await;

    let (vendor, ahead) = late(590).await;
    let house = Direct::new(&one("phonon-outbound", &vendor, SOON), &ahead);
    place(&house.gateway, order("919900000100", None)).await;
    house.attend();
    until("it is sent again", || vendor.asked() == 2).await;
    house.stop().await;
}

#[tokio::test]
async fn what_has_expired_is_not_sent_again() {
    let (vendor, ahead) = late(60).await;
    let house = Direct::new(&one("phonon-outbound", &vendor, SOON), &ahead);
    let end = Timestamp::now() + Duration::from_secs(30);
    let orders = vec![order("919900000100", Some(end)), order("919900000200", None)];
    let calls = place_all(&house.gateway, orders).await;
    assert!(calls.iter().all(|call| call.state == call::CallState::Unconfirmed));
    house.attend();
    // Of either: the vendor would dial both.
    for call in &calls {
        until("it is looked at again", || house.looks(call.id).len() >= 3).await;
    }
    assert_eq!(vendor.asked(), 1);
    house.stop().await;
}

#[tokio::test]
async fn what_goes_out_is_what_was_written_or_is_written_anew() {
    let allowed = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&allowed);
    let vendor = Raw::start(move |number| match number {
        0 => Does::SaysWhen(Arc::clone(&wait), written(200, "", yes("phonon-outbound"))),
        _ => answer(200, "", yes("phonon-outbound")),
    })
    .await;
    let ahead = Arc::<AtomicU64>::default();
    let text = one("phonon-outbound", &vendor, "poll_interval = \"1h\"\nmax_in_flight = 1");
    let house = Direct::new(&text, &ahead);
    let gateway = house.gateway.clone();
    let holds = tokio::spawn(async move { place(&gateway, order("919900000100", None)).await });
    vendor.read(1).await;
    let end = Timestamp::now() + Duration::from_secs(30);
    let orders = vec![order("919900000200", Some(end)), order("919900000300", None)];
    let gateway = house.gateway.clone();
    let waiting = tokio::spawn(async move { place_all(&gateway, orders).await });
    // Both are in one request that is written, and one expires while it is being claimed.
    while house.ledger.begun.try_acquire().is_ok_and(|permit| {
        permit.forget();
        true
    }) {}
    house.ledger.open.send_replace(false);
    allowed.add_permits(1);
    house.ledger.begun.acquire_many(2).await.unwrap().forget();
    ahead.store(60, SeqCst);
    house.ledger.open.send_replace(true);
    let calls = waiting.await.unwrap();
    let states: Vec<_> = calls.iter().map(|call| call.state).collect();
    assert_eq!(states, [call::CallState::Expired, call::CallState::Accepted]);
    assert_eq!(holds.await.unwrap().state, call::CallState::Accepted);
    let bodies = vendor.bodies();
    assert_eq!(bodies.len(), 2);
    assert!(bodies[1].contains("919900000300") && !bodies[1].contains("919900000200"));
    house.stop().await;
}
