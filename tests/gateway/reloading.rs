//! Reloads as callers see them: through a real gRPC client, while calls come and go; and the end
//! of a gateway that has much under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use dialplane::proto::{CallState, CreateCallsRequest, GetCallResultsRequest, ListVendorsRequest};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use crate::{
    harness::{Answer, Explained, FAST, Gateway, Received, Stub, to},
    placing::on_disk,
    raw::{account, route, until, yes},
};

/// The number that a request to a vendor is for.
fn dialled(received: &Received) -> Option<String> {
    let at = received.body.find("9199")?;
    Some(received.body[at..].chars().take(12).collect())
}

async fn taker(system: &'static str) -> Stub {
    Stub::start(move |_| Answer::json(200, yes(system))).await
}

fn number(n: usize) -> String {
    format!("+9199{n:08}")
}

#[tokio::test]
async fn vendors_and_routes_come_and_go_and_health_tells() {
    let (one, two) = (taker("mobtexting").await, taker("knovvu").await);
    let first = account("mobtexting", "one", &one.url(), FAST) + &route("first", &["one"]);
    let second = account("knovvu", "two", &two.url(), FAST) + &route("second", &["two"]);
    let mut gateway = Gateway::start(&first).await;
    let mut health = HealthClient::new(gateway.channel.clone());
    let mut watches = BTreeMap::new();
    for service in ["vendors/one", "vendors/two", "routes/second", "nobody"] {
        let request = HealthCheckRequest { service: service.into() };
        watches.insert(service, health.watch(request).await.unwrap().into_inner());
    }
    let mut next = async |service: &str| {
        let message: HealthCheckResponse =
            watches.get_mut(service).unwrap().message().await.unwrap().unwrap();
        message.status()
    };
    while next("vendors/one").await != ServingStatus::Serving {}
    for service in ["vendors/two", "routes/second", "nobody"] {
        assert_eq!(next(service).await, ServingStatus::ServiceUnknown);
    }
    assert_eq!(gateway.call("first", &number(1)).await.unwrap().state(), CallState::Accepted);
    assert_eq!(gateway.call("second", &number(2)).await.unwrap_err().code(), Code::NotFound);

    let changes = gateway.reload(&(first.clone() + &second)).await;
    assert_eq!(
        (changes.vendors.to_string(), changes.routes.to_string()),
        ("+two".into(), "+second".into())
    );
    assert_eq!(gateway.call("second", &number(2)).await.unwrap().state(), CallState::Accepted);
    assert_eq!(next("vendors/two").await, ServingStatus::Serving);
    assert_eq!(next("routes/second").await, ServingStatus::Serving);

    let changes = gateway.reload(&second).await;
    assert_eq!(changes.vendors.removed, ["one"]);
    assert_eq!(next("vendors/one").await, ServingStatus::ServiceUnknown);
    assert_eq!(gateway.call("first", &number(3)).await.unwrap_err().code(), Code::NotFound);
    let list = gateway.client.list_vendors(ListVendorsRequest {}).await.unwrap().into_inner();
    let names: Vec<_> = list.vendors.iter().map(|vendor| vendor.name.as_str()).collect();
    assert_eq!(names, ["two"]);
    drop((health, watches));
    gateway.stop().await;
    assert_eq!((one.received().len(), two.received().len()), (1, 1));
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_vendor_whose_breaker_is_open_does_not_serve() {
    let (bad, good) = (Stub::start(|_| Answer::json(500, "{}")).await, taker("knovvu").await);
    let keys = format!("{FAST}\nbreaker = {{ failures = 1, pause = \"1h\" }}");
    let text = account("mobtexting", "bad", &bad.url(), &keys)
        + &account("knovvu", "good", &good.url(), FAST)
        + &route("one", &["bad"])
        + &route("two", &["bad", "good"]);
    let mut gateway = Gateway::start(&text).await;
    let mut health = HealthClient::new(gateway.channel.clone());
    let mut is = async |service: &str, status: ServingStatus| {
        let request = HealthCheckRequest { service: service.into() };
        let mut watch = health.watch(request).await.unwrap().into_inner();
        while watch.message().await.unwrap().unwrap().status() != status {}
    };
    is("vendors/bad", ServingStatus::Serving).await;
    gateway.call("one", &number(1)).await.unwrap();
    for (service, status) in [
        ("vendors/bad", ServingStatus::NotServing),
        ("routes/one", ServingStatus::NotServing),
        ("routes/two", ServingStatus::Serving),
        ("vendors/good", ServingStatus::Serving),
        ("", ServingStatus::Serving),
    ] {
        is(service, status).await;
    }
    // At another address it is another one; with other limits it is the same.
    let patient = text.replacen("failures = 1", "failures = 2", 1);
    gateway.reload(&patient).await;
    is("vendors/bad", ServingStatus::NotServing).await;
    let moved = patient.replacen(&bad.url(), &good.url(), 1);
    gateway.reload(&moved).await;
    is("vendors/bad", ServingStatus::Serving).await;
    gateway.stop().await;
    bad.stop().await;
    good.stop().await;
}

#[tokio::test]
async fn reloads_under_load_lose_nobody_and_dial_nobody_twice() {
    const CALLERS: usize = 8;
    const EACH: usize = 60;
    let (one, two) = (taker("mobtexting").await, taker("knovvu").await);
    let config = |n: usize| {
        let keys = format!("{FAST}\nmax_in_flight = {}\ntimeout = \"{}s\"", 1 + n % 7, 10 + n % 3);
        let first = account("mobtexting", "one", &one.url(), &keys);
        let second = account("knovvu", "two", &two.url(), &keys);
        match n % 4 {
            0 | 2 => first + &second + &route("default", &["one", "two"]),
            1 => first + &route("default", &["one"]),
            _ => second + &route("default", &["two"]),
        }
    };
    let mut gateway = Gateway::start(&config(0)).await;
    let done = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (mut client, done) = (gateway.client.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut undialled = Vec::new();
                for n in 0..EACH {
                    let number = number(caller * EACH + n);
                    let request =
                        CreateCallsRequest { calls: vec![to(&number)], ..Default::default() };
                    match client.create_calls(request).await {
                        Ok(answer) => {
                            let call = &answer.into_inner().calls[0];
                            // It was recorded, then its vendor went: it waits for it.
                            if call.state() == CallState::Scheduled {
                                undialled.push(number);
                            } else {
                                assert_eq!(call.state(), CallState::Accepted, "{call:?}");
                            }
                        }
                        // Its vendor went while it waited, and it had no other.
                        Err(status) => {
                            let explained = Explained::of(&status);
                            assert_eq!(explained.info.reason, "VENDOR_NOT_CONFIGURED");
                            assert_eq!(explained.meta("dialed"), "no");
                            undialled.push(number);
                        }
                    }
                    done.fetch_add(1, SeqCst);
                }
                undialled
            })
        })
        .collect();
    let mut n = 0;
    while done.load(SeqCst) < CALLERS * EACH
        && !callers.iter().all(tokio::task::JoinHandle::is_finished)
    {
        n += 1;
        gateway.reload(&config(n)).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let mut undialled = BTreeSet::new();
    for caller in callers {
        undialled.extend(caller.await.unwrap().into_iter().map(|number| number[1..].to_owned()));
    }
    gateway.stop().await;
    let received = one.received().into_iter().chain(two.received());
    let numbers: Vec<_> = received.filter_map(|request| dialled(&request)).collect();
    let distinct: BTreeSet<_> = numbers.iter().cloned().collect();
    assert_eq!(distinct.len(), numbers.len(), "nobody twice");
    assert_eq!(distinct.len() + undialled.len(), CALLERS * EACH);
    assert!(distinct.is_disjoint(&undialled));
    assert!(n > 3, "{n} reloads");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_thousand_requests_under_way_are_answered_or_recorded_when_it_stops() {
    const COUNT: usize = 1_000;
    let stub = taker("knovvu").await;
    let directory = tempfile::tempdir().unwrap();
    let text = account("knovvu", "one", &stub.url(), FAST)
        + &route("default", &["one"])
        + &on_disk(&directory);
    let gateway = Gateway::start(&text).await;
    let callers: Vec<_> = (0..COUNT)
        .map(|n| {
            let mut client = gateway.client.clone();
            tokio::spawn(async move {
                let request = CreateCallsRequest {
                    request_id: format!("r-{n}"),
                    calls: vec![to(&number(n))],
                    ..Default::default()
                };
                client.create_calls(request).await
            })
        })
        .collect();
    until("some are with the vendor", || stub.received().len() > 50).await;
    gateway.stop().await;
    let before = stub.received().len();
    let mut again = Gateway::start(&text).await;
    let (mut placed, mut refused) = (0, 0);
    for (n, caller) in callers.into_iter().enumerate() {
        let query = GetCallResultsRequest { request_id: format!("r-{n}"), ..Default::default() };
        let recorded = again.results(query).await.unwrap().calls;
        match caller.await.unwrap() {
            Ok(answer) => {
                let told = &answer.into_inner().calls[0];
                assert_eq!(recorded[0].call_id, told.call_id);
                // Others wait, and go after the next start.
                placed += usize::from(told.state() == CallState::Accepted);
            }
            // The connection may have gone first.
            Err(status) => {
                refused += 1;
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                // Recorded, and so it goes; or nothing was sent of it, nor will be.
                let was_sent = stub.received().iter().any(|request| {
                    dialled(request).is_some_and(|dialled| number(n).ends_with(&dialled))
                });
                assert!(!was_sent || !recorded.is_empty(), "{n}");
            }
        }
    }
    again.stop().await;
    let numbers: Vec<_> = stub.received().iter().filter_map(dialled).collect();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len(), "nobody twice");
    assert!(before >= placed && placed > 0, "{before} {placed} {refused}");
    stub.stop().await;
}

/// A gateway whose ledger does not say any more whether it takes anything, and who watches it.
async fn with_a_silent_ledger() -> (
    dialplane::gateway::Gateway,
    tonic::Streaming<HealthCheckResponse>,
    tokio::sync::oneshot::Sender<()>,
) {
    use dialplane::{
        api::Bound,
        config::{Config, Listen},
        gateway::Clock,
    };
    let text = account("knovvu", "one", "http://127.0.0.1:9", FAST) + &route("default", &["one"]);
    let config = Config::parse(&text, std::path::Path::new("."), &|_| None).unwrap();
    let ledger = Arc::new(crate::failing_ledger::Watched::new());
    let shared: Arc<dyn dialplane::ledger::Ledger> = Arc::clone(&ledger) as _;
    let gateway = dialplane::gateway::Gateway::new(&config, shared, Clock::system()).unwrap();
    let bound = Bound::new(&Listen::Tcp(([127, 0, 0, 1], 0).into())).await.unwrap();
    let url = format!("http://{}", bound.tcp().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(bound.serve(gateway.clone(), async { drop(stopped.await) }));
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    ledger.probing.open.send_replace(false);
    ledger.probing.reached.forget_permits(usize::MAX);
    // The next look, which does not end.
    ledger.probing.reached.acquire().await.unwrap().forget();
    (gateway, watch, stop)
}

#[tokio::test]
async fn a_ledger_that_says_nothing_keeps_nobody_from_hearing_of_the_end() {
    let (gateway, mut watch, _stop) = with_a_silent_ledger().await;
    gateway.leave();
    let told = tokio::time::timeout(Duration::from_secs(1), watch.message()).await;
    assert_eq!(told.expect("at once").unwrap().unwrap().status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn who_has_a_ledger_that_says_nothing_does_not_serve() {
    let (_gateway, mut watch, _stop) = with_a_silent_ledger().await;
    let told = tokio::time::timeout(Duration::from_secs(10), watch.message()).await;
    assert_eq!(told.expect("soon").unwrap().unwrap().status(), ServingStatus::NotServing);
}
