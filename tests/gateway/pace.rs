//! Within what a vendor takes, and all of that: no window has more, none is wasted, and whoever
//! would get a turn too late is told so at once.

use std::time::Duration;

use dialplane::{
    call::{CallState, RequestId, Selector},
    gateway::{CreateOrder, Created, Draft, Gateway, GatewayError},
    proto::CreateCallsRequest,
};
use tokio::time::{Instant, sleep};

use crate::{
    harness::{Explained, to},
    placing::{order, place_all},
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

const SECOND: Duration = Duration::from_secs(1);

fn mobtexting() -> Outcome {
    Outcome::Says(200, r#"{"status":"OK","message":"Queued","data":[{"id":"v-1"}]}"#.to_owned())
}

pub fn number(n: usize) -> dialplane::call::Order {
    order(&format!("9199{n:08}"), None)
}

/// Places calls through the route `both` for a caller who waits only so long.
pub async fn within(
    gateway: &Gateway,
    id: &RequestId,
    orders: Vec<dialplane::call::Order>,
    deadline: Option<Duration>,
) -> Result<Created, GatewayError> {
    let drafts = orders.into_iter().map(|order| Draft { order, violations: Vec::new() });
    let order = CreateOrder {
        request_id: id.clone(),
        fingerprint: dialplane::call::Fingerprint { digest: [0; 32], fields: Vec::new() },
        route: "both".to_owned(),
        drafts: drafts.collect(),
        all_or_nothing: false,
    };
    let announced = gateway.announce(id);
    let prepared = gateway.prepare(order).await?.announced(announced);
    gateway.create(prepared.within(deadline.map(|left| Instant::now() + left))).await
}

/// The most of these that came within one window, wherever it begins.
pub fn most_within(window: Duration, times: &[(Instant, usize)]) -> usize {
    let within = |from: Instant| {
        let inside = times.iter().filter(|(time, _)| *time >= from && *time < from + window);
        inside.map(|(_, count)| count).sum()
    };
    times.iter().map(|(from, _)| within(*from)).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn no_window_has_more_calls_than_the_vendor_takes_and_none_has_fewer() {
    let takes = |n: usize| Duration::from_millis(n as u64 * 37 % 300);
    let line = Canned::taking(takes, |_, body| takes_all(body));
    let keys = "rate = { calls = 50, per = \"10s\" }\nmax_in_flight = 3";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    let begun = Instant::now();
    let mut callers = Vec::new();
    for n in 0..330 {
        let gateway = house.gateway.clone();
        callers.push(tokio::spawn(async move {
            sleep(Duration::from_millis(n as u64 * 7)).await;
            place_all(&gateway, vec![number(n)]).await.remove(0)
        }));
    }
    for caller in callers {
        assert_eq!(caller.await.unwrap().state, CallState::Accepted);
    }
    let times: Vec<_> = line.times().into_iter().zip(sizes(&line.bodies())).collect();
    assert_eq!(times.iter().map(|(_, calls)| calls).sum::<usize>(), 330);
    assert_eq!(most_within(10 * SECOND, &times), 50);
    // Six windows are full; the seventh begins one window after the answers of the sixth.
    let whole = begun.elapsed();
    assert!(whole >= 60 * SECOND && whole < 66 * SECOND, "{whole:?}");
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_where_the_vendor_counts_requests() {
    let line = Canned::taking(|_| Duration::from_millis(20), |_, body| takes_all(body));
    let keys = "rate = { requests = 5, per = \"10s\" }";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    let place = |n| {
        let gateway = house.gateway.clone();
        tokio::spawn(async move { place_all(&gateway, vec![number(n)]).await.remove(0) })
    };
    // One by one what the window has, and then as many as wait in one request.
    for n in 0..5 {
        place(n).await.unwrap();
    }
    let waiting: Vec<_> = (5..405).map(place).collect();
    for call in waiting {
        assert_eq!(call.await.unwrap().state, CallState::Accepted);
    }
    assert_eq!(sizes(&line.bodies()), [1, 1, 1, 1, 1, 400]);
    let times: Vec<_> = line.times().into_iter().map(|time| (time, 1)).collect();
    assert!(most_within(10 * SECOND, &times) <= 5);
}

#[tokio::test(start_paused = true)]
async fn who_would_be_too_late_is_told_at_once_and_when_to_come_again() {
    let line = Canned::taking(|_| Duration::from_millis(100), |_, body| takes_all(body));
    let keys = "rate = { calls = 2, per = \"10s\" }";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    place_all(&house.gateway, vec![number(0), number(1)]).await;
    let answered = Instant::now();
    sleep(3 * SECOND).await;
    let id = RequestId::generate();
    let begun = Instant::now();
    let late = within(&house.gateway, &id, vec![number(2)], Some(5 * SECOND)).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let GatewayError::NoTurn { vendor, wait: Some(wait), calls: 1, .. } = late else {
        panic!("{late:?}")
    };
    assert_eq!(vendor, "one");
    assert_eq!(answered + 10 * SECOND, Instant::now() + wait, "to the moment");
    // Nothing is known of it, so the same may come again: and goes at once then.
    sleep(wait).await;
    let begun = Instant::now();
    let created = within(&house.gateway, &id, vec![number(2)], Some(SECOND)).await.unwrap();
    assert!(!created.replayed);
    assert_eq!(created.calls[0].state, CallState::Accepted);
    assert_eq!(begun.elapsed(), Duration::from_millis(100));
    assert_eq!(line.count(), 2);
    // Who has the time waits.
    let orders = vec![number(3), number(4)];
    let patient = within(&house.gateway, &RequestId::generate(), orders, Some(11 * SECOND)).await;
    assert!(patient.unwrap().calls.iter().all(|call| call.state == CallState::Accepted));
    // What takes longer than its deadline on an idle vendor, too, need not come again.
    sleep(20 * SECOND).await;
    let orders = (10..15).map(number).collect();
    let never = within(&house.gateway, &RequestId::generate(), orders, Some(15 * SECOND)).await;
    assert!(matches!(never, Err(GatewayError::NoTurn { wait: None, calls: 5, .. })), "{never:?}");
    let orders = (10..15).map(number).collect();
    let begun = Instant::now();
    within(&house.gateway, &RequestId::generate(), orders, Some(21 * SECOND)).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn who_repeats_a_request_is_told_what_became_of_it_though_there_is_no_turn() {
    let line = Canned::new(|_, body| takes_all(body));
    let keys = "rate = { calls = 1, per = \"1m\" }";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    let id = RequestId::generate();
    let first = within(&house.gateway, &id, vec![number(0)], None).await.unwrap();
    // Too late for a turn, in time for one, and with all the time there is.
    for (deadline, most) in [(Some(5), 0), (Some(100), 250), (None, 250)] {
        let begun = Instant::now();
        let deadline = deadline.map(Duration::from_secs);
        let again = within(&house.gateway, &id, vec![number(0)], deadline).await.unwrap();
        assert!(again.replayed && again.calls == first.calls);
        assert!(begun.elapsed() <= Duration::from_millis(most), "{:?}", begun.elapsed());
    }
    // One that is new keeps its place meanwhile.
    let place = |n| {
        let gateway = house.gateway.clone();
        let deadline = Some(Duration::from_secs(600));
        tokio::spawn(async move {
            within(&gateway, &RequestId::generate(), vec![number(n)], deadline).await.unwrap();
            Instant::now()
        })
    };
    let early = place(1);
    sleep(SECOND).await;
    let late = place(2);
    assert!(early.await.unwrap() < late.await.unwrap());
    assert_eq!(line.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_in_the_way_of_who_comes_later() {
    let line = Canned::new(|_, body| takes_all(body));
    let keys = "rate = { calls = 2, per = \"10s\" }";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    place_all(&house.gateway, vec![number(0), number(1)]).await;
    let gateway = house.gateway.clone();
    let waits = tokio::spawn(async move {
        within(&gateway, &RequestId::generate(), vec![number(2), number(3)], Some(15 * SECOND))
            .await
    });
    tokio::task::yield_now().await;
    let id = RequestId::generate();
    let late = within(&house.gateway, &id, vec![number(4)], Some(15 * SECOND)).await.unwrap_err();
    assert!(
        matches!(late, GatewayError::NoTurn { wait: Some(wait), .. } if wait.as_secs() == 20),
        "its turn comes with what two ahead leave: {late:?}"
    );
    waits.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_got_no_turn_by_the_deadline_is_refused_before_anything_is_sent() {
    let line = Canned::taking(|_| 30 * SECOND, |_, _| mobtexting());
    let keys = "max_in_flight = 1";
    let house = Still::new(&text(&[("mobtexting", "one", keys)]), &[("one", &line)]);
    let gateway = house.gateway.clone();
    let first = tokio::spawn(async move { place_all(&gateway, vec![number(0)]).await });
    sleep(SECOND).await;
    let begun = Instant::now();
    let id = RequestId::generate();
    let late = within(&house.gateway, &id, vec![number(1)], Some(5 * SECOND)).await.unwrap_err();
    assert!(matches!(late, GatewayError::NoTurn { wait: Some(_), .. }), "{late:?}");
    assert!(begun.elapsed() < 5 * SECOND && begun.elapsed() > 4 * SECOND);
    first.await.unwrap();
    sleep(60 * SECOND).await;
    assert_eq!(line.count(), 1, "it is not sent later either");
    let created = within(&house.gateway, &id, vec![number(1)], None).await.unwrap();
    assert_eq!((created.calls[0].state, created.replayed), (CallState::Accepted, false));
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_route_that_queues_wait_in_the_ledger() {
    let line = Canned::new(|_, body| takes_all(body));
    let keys = "rate = { calls = 3, per = \"10s\" }";
    let text = text(&[("phonon-multicast", "one", keys)]) + "queue = true\n";
    let house = Still::new(&text, &[("one", &line)]);
    house.gateway.attend();
    let first = place_all(&house.gateway, (0..3).map(number).collect()).await;
    assert!(first.iter().all(|call| call.state == CallState::Accepted));
    let begun = Instant::now();
    for deadline in [None, Some(SECOND)] {
        let orders = (3..7).map(number).collect();
        let created = within(&house.gateway, &RequestId::generate(), orders, deadline).await;
        let calls = created.unwrap().calls;
        assert!(calls.iter().all(|call| call.state == CallState::Scheduled), "{calls:?}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits for them");
    }
    sleep(35 * SECOND).await;
    let times: Vec<_> = line.times().into_iter().zip(sizes(&line.bodies())).collect();
    assert_eq!(times.iter().map(|(_, calls)| calls).sum::<usize>(), 11);
    assert_eq!(most_within(10 * SECOND, &times), 3);
}

#[tokio::test(start_paused = true)]
async fn a_large_request_does_not_keep_a_small_one_waiting() {
    let line = Canned::new(|_, _| mobtexting());
    let keys = "rate = { requests = 10, per = \"1s\" }";
    let house = Still::new(&text(&[("mobtexting", "one", keys)]), &[("one", &line)]);
    let gateway = house.gateway.clone();
    let large = tokio::spawn(async move {
        place_all(&gateway, (0..500).map(number).collect()).await;
        Instant::now()
    });
    sleep(5 * SECOND).await;
    for n in 0..5 {
        let begun = Instant::now();
        place_all(&house.gateway, vec![number(1_000 + n)]).await;
        assert!(begun.elapsed() <= SECOND, "{:?}", begun.elapsed());
    }
    assert!(!large.is_finished());
    large.await.unwrap();
    assert_eq!(line.count(), 505);
    let times: Vec<_> = line.times().into_iter().map(|time| (time, 1)).collect();
    assert_eq!(most_within(SECOND, &times), 10);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_says_too_fast_is_left_alone_for_a_while() {
    let line = Canned::new(|n, body| match n {
        0 | 1 => Outcome::Says(429, "{}".to_owned()),
        _ => takes_all(body),
    });
    let house = Still::new(&text(&[("phonon-multicast", "one", "")]), &[("one", &line)]);
    let begun = Instant::now();
    for (n, state, after) in [
        (0, CallState::Failed, 0),
        (1, CallState::Failed, 1),
        // Twice as long after the second time.
        (2, CallState::Accepted, 3),
        (3, CallState::Accepted, 3),
    ] {
        let call = place_all(&house.gateway, vec![number(n)]).await.remove(0);
        assert_eq!((call.state, begun.elapsed().as_secs()), (state, after));
    }
}

#[tokio::test(start_paused = true)]
async fn another_vendor_has_what_the_first_has_no_turn_for() {
    let lines = [Canned::new(|_, body| takes_all(body)), Canned::new(|_, _| mobtexting())];
    let slow = "rate = { calls = 1, per = \"1m\" }";
    let config = text(&[("phonon-multicast", "one", slow), ("mobtexting", "two", "")]);
    let house = Still::new(&config, &[("one", &lines[0]), ("two", &lines[1])]);
    for (n, vendor) in [(0, "one"), (1, "two"), (2, "two")] {
        let id = RequestId::generate();
        let created = within(&house.gateway, &id, vec![number(n)], Some(5 * SECOND)).await.unwrap();
        assert_eq!(created.calls[0].vendor, vendor);
        assert_eq!(created.calls[0].state, CallState::Accepted);
    }
    // Who can wait, waits for the one that is preferred.
    let patient = within(&house.gateway, &RequestId::generate(), vec![number(3)], None).await;
    assert_eq!(patient.unwrap().calls[0].vendor, "one");
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_memory_can_be_taken_back() {
    let line = Canned::new(|_, body| takes_all(body));
    let keys = "rate = { calls = 1, per = \"10s\" }";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    place_all(&house.gateway, vec![number(0)]).await;
    let (gateway, id) = (house.gateway.clone(), RequestId::generate());
    let own = id.clone();
    let waits =
        tokio::spawn(
            async move { within(&gateway, &own, vec![number(1)], Some(15 * SECOND)).await },
        );
    sleep(SECOND).await;
    let canceled = house.gateway.cancel(Selector::Request(id)).await.unwrap();
    assert_eq!(canceled.calls[0].state, CallState::Canceled);
    assert_eq!(waits.await.unwrap().unwrap().calls[0].state, CallState::Canceled);
    sleep(60 * SECOND).await;
    assert_eq!(line.count(), 1);
}

#[tokio::test]
async fn the_refusal_tells_the_quota_and_the_exact_wait() {
    let vendor = crate::placing::taker("mobtexting").await;
    let keys = "rate = { requests = 1, per = \"1m\" }";
    let config = crate::raw::account("mobtexting", "one", &vendor.url(), keys)
        + &crate::raw::route("both", &["one"]);
    let mut gateway = crate::harness::Gateway::start(&config).await;
    gateway.call("both", "+919900000100").await.unwrap();
    let calls = vec![to("+919900000200")];
    let request = CreateCallsRequest {
        request_id: "late".into(),
        route: "both".into(),
        calls,
        ..Default::default()
    };
    let mut late = tonic::Request::new(request);
    late.set_timeout(5 * SECOND);
    let status = gateway.client.create_calls(late).await.unwrap_err();
    let error = Explained::of(&status);
    assert_eq!(error.code, tonic::Code::ResourceExhausted);
    assert_eq!(
        (error.info.domain.as_str(), error.info.reason.as_str()),
        ("dialplane", "PACE_EXHAUSTED")
    );
    assert_eq!((error.meta("vendor"), error.meta("dialed")), ("one", "no"));
    let quota: tonic_types::pb::QuotaFailure = error.detail("google.rpc.QuotaFailure").unwrap();
    assert_eq!(quota.violations[0].subject, "vendor:one");
    assert!(quota.violations[0].description.contains("1 requests in 1m"), "{quota:?}");
    let retry: tonic_types::pb::RetryInfo = error.detail("google.rpc.RetryInfo").unwrap();
    let wait = retry.retry_delay.unwrap().seconds;
    assert!((50..=60).contains(&wait), "{wait}");
    gateway.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_pace_is_told() {
    let line = Canned::new(|_, body| takes_all(body));
    let keys = "rate = { calls = 10, requests = 3, per = \"1m\" }\nbatch.max_delay = 0";
    let house = Still::new(&text(&[("phonon-multicast", "one", keys)]), &[("one", &line)]);
    let left = || {
        let configured = house.gateway.configured();
        let account = configured.accounts().next().unwrap();
        (account.pace_left(), account.waiting_calls(), account.rest())
    };
    assert_eq!(left(), (Some(10), 0, None));
    place_all(&house.gateway, vec![number(1), number(2), number(3), number(4)]).await;
    assert_eq!(left(), (Some(6), 0, None));
    for n in 5..7 {
        place_all(&house.gateway, vec![number(n)]).await;
    }
    assert_eq!(left(), (Some(0), 0, None), "three requests are all it takes");
    let waits = tokio::spawn({
        let gateway = house.gateway.clone();
        async move { place_all(&gateway, vec![number(7), number(8)]).await }
    });
    sleep(SECOND).await;
    assert_eq!(left(), (Some(0), 2, None));
    waits.await.unwrap();
    assert_eq!(left(), (Some(8), 0, None));
}
