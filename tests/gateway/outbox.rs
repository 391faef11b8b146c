//! What went out is in the ledger, and goes out again as it was: after a restart, in time, and
//! as long as nothing has changed.

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
    proto::{Call, CallState},
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::{
    doubt::{AND_OVER, REPEATED, SOON, follow, one},
    failing_ledger::Watched,
    harness::{Explained, Gateway, SECURITY_ID},
    placing::{in_state, order, place, place_all, recorded, request},
    raw::{Does, Raw, answer, until, written, yes},
};

fn id_of(call: &Call) -> CallId {
    call.call_id.parse().unwrap()
}

async fn outbox(path: &Path, call: &Call) -> Vec<OutboxEntry> {
    let ledger = SqliteLedger::open(&format!("sqlite:{}", path.display())).unwrap();
    let entries = ledger.outbox(vec![id_of(call)]).await.unwrap();
    ledger.close().await;
    entries
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
    // Who waits for long is recorded meanwhile.
    while house.ledger.open_calls(&[call::CallState::Scheduled], None, 9).await.unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
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
