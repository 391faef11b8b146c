//! A request that comes while the same one is being placed: every order in which the two can
//! meet, with a ledger and a vendor that wait where the test says.

use std::{
    convert::Infallible,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use dialplane::{
    call::{CallState, Fingerprint, Order, RequestId},
    config::Config,
    gateway::{Clock, CreateOrder, Created, Draft, Gateway, GatewayError, Looked, Prepared},
    http::{Failure, HttpReply, HttpRequest, Line},
    ledger::Ledger,
};
use futures_util::FutureExt;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use crate::{failing_ledger::Watched, operation::knovvu_at};

/// A vendor that answers when it may.
#[derive(Debug)]
struct Vendor {
    open: watch::Sender<bool>,
    reached: Semaphore,
    dials: AtomicUsize,
}

#[async_trait]
impl Line for Vendor {
    async fn send(&self, _: &HttpRequest) -> Result<HttpReply, Failure> {
        self.dials.fetch_add(1, SeqCst);
        self.reached.add_permits(1);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        Ok(HttpReply::json(200, r#"{"UniqueId":"u1"}"#))
    }
}

pub struct House {
    pub gateway: Gateway,
    pub ledger: Arc<Watched>,
    vendor: Arc<Vendor>,
}

type Work = JoinHandle<Result<Created, GatewayError>>;

impl House {
    pub fn new() -> Self {
        let config = Config::parse(&knovvu_at("http://127.0.0.1:9"), Path::new("."), &|_| None);
        let ledger = Arc::new(Watched::new());
        let vendor = Arc::new(Vendor {
            open: watch::channel(false).0,
            reached: Semaphore::new(0),
            dials: AtomicUsize::new(0),
        });
        let gateway = Gateway::with_lines(
            &config.unwrap(),
            Arc::clone(&ledger) as Arc<dyn Ledger>,
            Clock::system(),
            |_| Ok::<_, Infallible>(Arc::clone(&vendor) as Arc<dyn Line>),
        );
        Self { gateway: gateway.unwrap(), ledger, vendor }
    }

    fn prepared(&self, payload: u8) -> Prepared {
        let order = Order {
            client_reference: None,
            to: vec!["+919900000100".parse().unwrap()],
            caller_id: None,
            script: None,
            variables: Default::default(),
            start_time: None,
            expire_time: None,
            recipient: Default::default(),
            locale: None,
            retry: None,
            labels: Default::default(),
        };
        let order = CreateOrder {
            request_id: id(),
            fingerprint: print(payload),
            route: "default".to_owned(),
            drafts: vec![Draft { order, violations: Vec::new() }],
            all_or_nothing: false,
        };
        // With nothing on the do-not-call list nothing is waited for.
        self.gateway.prepare(order).now_or_never().unwrap().unwrap()
    }

    /// Begins to place the request.
    fn place(&self) -> Work {
        let (gateway, prepared) = (self.gateway.clone(), self.prepared(1));
        tokio::spawn(async move { gateway.create(prepared).await })
    }

    /// Looks for the request.
    fn look(&self) -> JoinHandle<Result<Looked, GatewayError>> {
        let gateway = self.gateway.clone();
        tokio::spawn(async move { gateway.recorded(&id(), &print(1)).await })
    }

    /// The first one is at the vendor.
    async fn being_dialled(&self) -> Work {
        let first = self.place();
        reached(&self.vendor.reached).await;
        first
    }

    pub fn answer(&self) {
        self.vendor.open.send_replace(true);
    }

    pub async fn end(&self, dials: usize) {
        self.answer();
        self.gateway.stop();
        self.gateway.drained().await;
        assert_eq!(self.vendor.dials.load(SeqCst), dials);
    }
}

fn id() -> RequestId {
    "one".parse().unwrap()
}

fn print(payload: u8) -> Fingerprint {
    Fingerprint { digest: [payload; 32], fields: Vec::new() }
}

async fn reached(gate: &Semaphore) {
    gate.acquire().await.unwrap().forget();
}

/// What was there already.
fn before(looked: Looked) -> Created {
    match looked {
        Looked::Before(created) => created,
        Looked::New(_) => panic!("it is new"),
    }
}

fn accepted(first: &Created, second: &Created) {
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.calls, second.calls);
    assert_eq!(first.calls[0].state, CallState::Accepted);
}

#[tokio::test]
async fn who_comes_while_it_is_dialled_waits_for_the_same_answer() {
    let house = House::new();
    let first = house.being_dialled().await;
    // The look joins, and so does who looked before and wants to place it now. One poll is
    // all it takes to join.
    let (id, print) = (id(), print(1));
    let mut looking = pin!(house.gateway.recorded(&id, &print));
    assert!(looking.as_mut().now_or_never().is_none());
    let mut placing = pin!(house.gateway.create(house.prepared(1)));
    assert!(placing.as_mut().now_or_never().is_none());
    // Checking needs no answer.
    house.gateway.may_use(&id, &print).await.unwrap();
    house.answer();
    let first = first.await.unwrap().unwrap();
    accepted(&first, &before(looking.await.unwrap()));
    accepted(&first, &placing.await.unwrap());
    house.end(1).await;
}

#[tokio::test]
async fn another_payload_is_refused_at_once() {
    let house = House::new();
    let first = house.being_dialled().await;
    let reused = |error| matches!(error, GatewayError::RequestIdReused { .. });
    assert!(reused(house.gateway.recorded(&id(), &print(2)).await.unwrap_err()));
    assert!(reused(house.gateway.create(house.prepared(2)).await.unwrap_err()));
    assert!(reused(house.gateway.may_use(&id(), &print(2)).await.unwrap_err()));
    house.answer();
    first.await.unwrap().unwrap();
    assert!(reused(house.gateway.create(house.prepared(2)).await.unwrap_err()));
    house.end(1).await;
}

#[tokio::test]
async fn who_comes_before_it_is_on_disk_waits_too() {
    let house = House::new();
    house.ledger.recording.open.send_replace(false);
    let first = house.place();
    reached(&house.ledger.recording.reached).await;
    let mut second = pin!(house.gateway.create(house.prepared(1)));
    assert!(second.as_mut().now_or_never().is_none());
    house.ledger.recording.open.send_replace(true);
    house.answer();
    accepted(&first.await.unwrap().unwrap(), &second.await.unwrap());
    house.end(1).await;
}

#[tokio::test]
async fn who_saw_nothing_in_memory_and_then_a_record_joins() {
    let house = House::new();
    house.ledger.looking.open.send_replace(false);
    // Nobody is there yet.
    let second = house.look();
    reached(&house.ledger.looking.reached).await;
    let first = house.being_dialled().await;
    // On disk by now, and being handed over: that is no answer yet.
    house.ledger.looked.open.send_replace(false);
    house.ledger.looking.open.send_replace(true);
    reached(&house.ledger.looked.reached).await;
    house.ledger.looked.open.send_replace(true);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    house.answer();
    accepted(&first.await.unwrap().unwrap(), &before(second.await.unwrap().unwrap()));
    house.end(1).await;
}

#[tokio::test]
async fn who_saw_a_record_and_nobody_afterwards_is_told_the_end() {
    let house = House::new();
    house.ledger.looking.open.send_replace(false);
    let second = house.look();
    reached(&house.ledger.looking.reached).await;
    let first = house.being_dialled().await;
    house.ledger.looked.open.send_replace(false);
    house.ledger.looking.open.send_replace(true);
    reached(&house.ledger.looked.reached).await;
    // It was read while the call was being handed over, and that is over now.
    house.answer();
    let first = first.await.unwrap().unwrap();
    house.ledger.looked.open.send_replace(true);
    accepted(&first, &before(second.await.unwrap().unwrap()));
    house.end(1).await;
}

#[tokio::test]
async fn who_saw_neither_and_comes_when_all_is_over_gets_what_is_recorded() {
    let house = House::new();
    house.ledger.looked.open.send_replace(false);
    let second = house.look();
    reached(&house.ledger.looked.reached).await;
    let first = house.being_dialled().await;
    house.answer();
    let first = first.await.unwrap().unwrap();
    house.ledger.looked.open.send_replace(true);
    let Looked::New(announced) = second.await.unwrap().unwrap() else {
        panic!("not as it was when it was looked at");
    };
    let prepared = house.prepared(1).announced(announced);
    accepted(&first, &house.gateway.create(prepared).await.unwrap());
    house.end(1).await;
}

#[tokio::test]
async fn a_refusal_of_the_ledger_is_the_answer_for_all_who_wait() {
    let house = House::new();
    house.ledger.recording.open.send_replace(false);
    house.ledger.refusals.store(1, SeqCst);
    let first = house.place();
    reached(&house.ledger.recording.reached).await;
    let mut second = pin!(house.gateway.create(house.prepared(1)));
    assert!(second.as_mut().now_or_never().is_none());
    house.ledger.recording.open.send_replace(true);
    for error in [first.await.unwrap().unwrap_err(), second.await.unwrap_err()] {
        assert!(matches!(error, GatewayError::Ledger(_)), "{error}");
    }
    // Nothing was recorded, so the next one is the first.
    house.answer();
    assert!(!house.gateway.create(house.prepared(1)).await.unwrap().replayed);
    house.end(1).await;
}

/// A request that was looked up, and whose place nobody has.
async fn looked_up(house: &House) -> JoinHandle<Result<Looked, GatewayError>> {
    house.ledger.looked.open.send_replace(false);
    let looking = house.look();
    reached(&house.ledger.looked.reached).await;
    looking
}

#[tokio::test]
async fn nobody_is_told_that_nothing_comes_of_it_while_another_one_may_place_it_still() {
    let house = House::new();
    let early = looked_up(&house).await;
    // Another one takes the place meanwhile, a third joins it, and nothing is recorded.
    house.ledger.refusals.store(1, SeqCst);
    house.ledger.recording.open.send_replace(false);
    let late = house.place();
    reached(&house.ledger.recording.reached).await;
    let mut joined = pin!(house.gateway.create(house.prepared(1)));
    assert!(joined.as_mut().now_or_never().is_none());
    house.ledger.recording.open.send_replace(true);
    for error in [late.await.unwrap().unwrap_err(), joined.await.unwrap_err()] {
        assert!(matches!(error, GatewayError::BeingPlaced(_)), "{error}");
    }
    // Then the early one finds the place free.
    house.ledger.looked.open.send_replace(true);
    let Looked::New(announced) = early.await.unwrap().unwrap() else { panic!("it is new") };
    house.answer();
    let placed = house.gateway.create(house.prepared(1).announced(announced)).await.unwrap();
    assert!(!placed.replayed);
    assert_eq!(placed.calls[0].state, CallState::Accepted);
    house.end(1).await;
}

#[tokio::test]
async fn who_looked_it_up_and_left_places_nothing() {
    let house = House::new();
    let early = looked_up(&house).await;
    early.abort();
    assert!(early.await.unwrap_err().is_cancelled());
    house.ledger.refusals.store(1, SeqCst);
    let error = house.gateway.create(house.prepared(1)).await.unwrap_err();
    assert!(matches!(error, GatewayError::Ledger(_)), "{error}");
    // Nor does who looked and found it new, and is not placed: a stop is certain then.
    house.ledger.looked.open.send_replace(true);
    let looked = house.gateway.recorded(&id(), &print(1)).await.unwrap();
    house.gateway.stop();
    let stopped = |error| matches!(error, GatewayError::Stopping);
    let error = house.gateway.create(house.prepared(1)).await.unwrap_err();
    assert!(matches!(error, GatewayError::BeingPlaced(_)), "{error}");
    drop(looked);
    assert!(stopped(house.gateway.create(house.prepared(1)).await.unwrap_err()));
    house.end(0).await;
}

#[tokio::test]
async fn callers_may_leave_and_the_gateway_may_stop() {
    let house = House::new();
    let first = house.being_dialled().await;
    let (one, print) = (id(), print(1));
    let mut leaving = Box::pin(house.gateway.recorded(&one, &print));
    assert!(leaving.as_mut().now_or_never().is_none());
    let mut staying = pin!(house.gateway.recorded(&one, &print));
    assert!(staying.as_mut().now_or_never().is_none());
    drop(leaving);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    house.gateway.stop();
    // Who comes now does not dial, and is told what comes of it.
    let mut late = pin!(house.gateway.create(house.prepared(1)));
    assert!(late.as_mut().now_or_never().is_none());
    house.answer();
    let (staying, late) = (before(staying.await.unwrap()), late.await.unwrap());
    assert!(staying.replayed && late.replayed);
    assert_eq!(staying.calls, late.calls);
    assert_eq!(staying.calls[0].state, CallState::Accepted);
    // Afterwards nothing is begun, and what is recorded is told still.
    let error = house.gateway.create(house.prepared(1)).await.unwrap_err();
    assert!(matches!(error, GatewayError::Stopping), "{error}");
    let recorded = house.gateway.recorded(&one, &print).await.unwrap();
    assert_eq!(before(recorded).calls, late.calls);
    house.end(1).await;
}

#[tokio::test]
async fn a_thousand_who_wait_share_one_answer() {
    let house = House::new();
    let first = house.being_dialled().await;
    let (id, print) = (id(), print(1));
    let waiting: Vec<_> = (0..1_000)
        .map(|_| {
            let mut waiting = Box::pin(house.gateway.recorded(&id, &print));
            assert!(waiting.as_mut().now_or_never().is_none());
            waiting
        })
        .collect();
    house.answer();
    let first = first.await.unwrap().unwrap();
    for waiting in waiting {
        let answer = before(waiting.await.unwrap());
        assert!(answer.replayed && Arc::ptr_eq(&answer.calls, &first.calls), "not a copy");
    }
    house.end(1).await;
}

#[tokio::test]
async fn another_payload_on_its_way_does_not_hide_what_is_recorded() {
    let house = House::new();
    house.answer();
    let first = house.place().await.unwrap().unwrap();
    // The wrong one has the seat for as long as the ledger takes to say so.
    house.ledger.recording.open.send_replace(false);
    while house.ledger.recording.reached.try_acquire().is_ok_and(|permit| {
        permit.forget();
        true
    }) {}
    let (gateway, wrong) = (house.gateway.clone(), house.prepared(2));
    let wrong = tokio::spawn(async move { gateway.create(wrong).await });
    reached(&house.ledger.recording.reached).await;
    for again in
        [house.place().await.unwrap().unwrap(), before(house.look().await.unwrap().unwrap())]
    {
        assert!(again.replayed && again.calls == first.calls);
    }
    house.gateway.may_use(&id(), &print(1)).await.unwrap();
    house.ledger.recording.open.send_replace(true);
    let wrong = wrong.await.unwrap();
    assert!(matches!(wrong, Err(GatewayError::RequestIdReused { .. })), "{wrong:?}");
    house.end(1).await;
}
