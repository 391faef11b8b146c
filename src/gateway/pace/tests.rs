//! The pace of an account, on a clock that stands still.

use tokio::time::sleep;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn pace(calls: Option<u32>, requests: Option<u32>) -> Arc<Pace> {
    Arc::new(Pace::new(Rate { calls, requests, per: MINUTE }))
}

/// Sends a request with so many calls that is answered at once.
fn send(pace: &Arc<Pace>, calls: usize) -> bool {
    let paced = pace.take(calls, Instant::now());
    paced.is_some_and(|mut paced| {
        paced.sent = true;
        true
    })
}

#[tokio::test(start_paused = true)]
async fn questions_leave_half_of_the_requests_to_calls() {
    let pace = pace(None, Some(5));
    let begun = Instant::now();
    let mut asked = Vec::new();
    for step in 0..13 {
        // Idle for a while, and in the middle of a window.
        if step == 7 {
            sleep(MINUTE * 3 / 2).await;
        }
        pace.question().await.sent = true;
        asked.push(begun.elapsed());
    }
    for at in &asked {
        let within = asked.iter().filter(|t| *t >= at && **t < *at + MINUTE).count();
        assert!(within <= 3, "{within} from {at:?} on");
    }
    assert_eq!((asked[2], asked[3], asked[6]), (Duration::ZERO, MINUTE, MINUTE * 2));
    assert!(send(&pace, 1) && send(&pace, 1));
}

#[tokio::test(start_paused = true)]
async fn both_limits_hold_and_the_longer_wait_is_told() {
    let pace = pace(Some(10), Some(3));
    let now = Instant::now();
    assert_eq!(pace.room(4, now), Ok(10));
    assert!(send(&pace, 4) && send(&pace, 4) && !send(&pace, 4));
    assert_eq!((pace.room(1, now), pace.room(3, now)), (Ok(2), Err(now + MINUTE)));
    assert!(send(&pace, 1) && !send(&pace, 1), "no request is left");
    assert_eq!(pace.wait_for(1, 1, now), MINUTE);
    assert_eq!(pace.wait_for(21, 7, now), MINUTE * 3, "seven requests take three windows");
    assert_eq!(pace.wait_for(32, 1, now), MINUTE * 4, "and 32 calls four");
}

#[tokio::test(start_paused = true)]
async fn what_went_out_before_a_restart_counts_for_one_window() {
    let pace = pace(Some(10), Some(3));
    let now = Instant::now();
    let rate = Rate { calls: Some(10), requests: Some(3), per: MINUTE };
    pace.known(rate, 4, 1, now);
    assert_eq!(pace.room(1, now), Ok(6));
    assert!(send(&pace, 1) && send(&pace, 1) && !send(&pace, 1), "three requests by now");
    pace.known(rate, 1_000, 1_000, now);
    assert_eq!(pace.room(1, now), Err(now + MINUTE));
    sleep(MINUTE).await;
    assert_eq!(pace.room(1, Instant::now()), Ok(10));
    let unlimited = self::pace(None, None);
    unlimited.known(Rate { calls: None, requests: None, per: MINUTE }, 1_000, 1_000, now);
    assert!(send(&unlimited, 1_000));
}

#[tokio::test(start_paused = true)]
async fn another_rate_counts_what_was_sent_and_what_is_under_way() {
    let pace = pace(Some(10), None);
    let now = Instant::now();
    assert!(send(&pace, 4));
    let mut under_way = pace.take(4, now).unwrap();
    under_way.sent = true;
    let rate = |calls, requests, per| Rate { calls, requests, per };
    assert!(!pace.set_rate(rate(Some(9), None, MINUTE)));
    assert_eq!(pace.room(1, now), Ok(1));
    sleep(MINUTE).await;
    let now = Instant::now();
    assert_eq!(pace.room(1, now), Ok(5), "what is under way counts");
    drop(under_way);
    assert_eq!(pace.room(6, now), Err(now + MINUTE));
    // A limit that is new: who is under way counts, and what went before has to be told.
    let mut under_way = pace.take(1, now).unwrap();
    under_way.sent = true;
    assert!(pace.set_rate(rate(None, Some(3), MINUTE)));
    assert!(pace.room(1, now).is_err());
    pace.known(rate(None, Some(3), MINUTE), 0, 1, now);
    assert!(send(&pace, 7) && !send(&pace, 1));
    drop(under_way);
    sleep(MINUTE).await;
    assert!(send(&pace, 1) && send(&pace, 1) && send(&pace, 1) && !send(&pace, 1));
    assert!(!pace.set_rate(rate(None, None, MINUTE)) && send(&pace, 1_000));
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_go_once_more_gives_way_to_a_lower_rate() {
    let pace = pace(Some(10), None);
    assert!(send(&pace, 10));
    let waits = tokio::spawn({
        let pace = Arc::clone(&pace);
        async move { pace.again(8).await.calls }
    });
    tokio::task::yield_now().await;
    assert!(!pace.set_rate(Rate { calls: Some(2), requests: None, per: MINUTE }));
    assert_eq!(waits.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_does_not_count() {
    let pace = pace(Some(10), Some(1));
    drop(pace.take(10, Instant::now()).unwrap());
    let mut paced = pace.take(10, Instant::now()).unwrap();
    paced.only(4);
    paced.sent = true;
    drop(paced);
    sleep(MINUTE).await;
    let mut paced = pace.take(10, Instant::now()).unwrap();
    paced.only(12);
    assert_eq!(paced.calls, 10, "never more than it was given for");
}

#[tokio::test(start_paused = true)]
async fn a_repetition_waits_for_its_calls() {
    let pace = pace(Some(10), None);
    assert!(send(&pace, 8));
    let begun = Instant::now();
    drop(pace.again(2).await);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let mut paced = pace.again(50).await;
    assert_eq!((begun.elapsed(), paced.calls), (MINUTE, 10));
    paced.sent = true;
}

#[tokio::test(start_paused = true)]
async fn the_same_once_more_counts_twice() {
    let pace = pace(Some(4), Some(1));
    let begun = Instant::now();
    let mut paced = pace.take(4, begun).unwrap();
    paced.sent = true;
    sleep(Duration::from_secs(1)).await;
    paced.again().await;
    assert_eq!((begun.elapsed().as_secs(), paced.calls), (61, 4));
    // Not sent after all.
    drop(paced);
    assert!(send(&pace, 4));
}

#[tokio::test(start_paused = true)]
async fn a_vendor_rests_for_as_long_as_it_says_or_ever_longer() {
    let pace = pace(None, None);
    let rest = |said: Option<u64>| {
        let now = Instant::now();
        pace.too_fast(said.map(Duration::from_secs), now);
        pace.wait_for(1, 1, now).as_secs()
    };
    assert_eq!(rest(None), 1);
    assert_eq!(rest(None), 1, "those under way at the same time say the same");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rest(None), 2);
    assert_eq!(rest(Some(20)), 20);
    assert_eq!(rest(Some(5)), 20);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(rest(Some(86_400)), 300, "nobody stops the gateway for a day");
    sleep(Duration::from_secs(300)).await;
    pace.fast_enough();
    assert_eq!(rest(None), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_shorter_window_is_not_all_of_a_longer_one() {
    let rate = |minutes| Rate { calls: Some(10), requests: None, per: MINUTE * minutes };
    let pace = Arc::new(Pace::new(rate(1)));
    assert!(send(&pace, 10));
    sleep(MINUTE * 5).await;
    assert_eq!(pace.left(Instant::now()).calls, Some(10));
    // One reload right after the other: the ledger is asked for each, and answers late.
    assert!(pace.set_rate(rate(10)));
    assert!(pace.set_rate(rate(60)));
    // Of the last ten minutes.
    pace.known(rate(10), 0, 0, Instant::now());
    assert!(!send(&pace, 1), "what was sent within the hour is not known yet");
    pace.known(rate(60), 10, 10, Instant::now());
    assert!(!send(&pace, 1));
    sleep(MINUTE * 60).await;
    assert!(send(&pace, 10));
}

#[tokio::test(start_paused = true)]
async fn questions_count_against_a_limit_that_is_new() {
    let pace = pace(None, None);
    for _ in 0..5 {
        pace.question().await.sent = true;
    }
    let rate = Rate { calls: None, requests: Some(5), per: MINUTE };
    assert!(pace.set_rate(rate));
    // The ledger knows of no question.
    pace.known(rate, 0, 0, Instant::now());
    assert!(!send(&pace, 1), "a sixth request within the minute");
    sleep(MINUTE).await;
    assert!(send(&pace, 1));
}
