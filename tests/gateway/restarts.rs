//! What a vendor takes in a window holds across a restart as well.

use std::{sync::Arc, time::Duration};

use dialplane::{call::RequestId, ledger::sqlite::Disk};
use tokio::time::{Instant, sleep};

use crate::{
    pace::{most_within, number, within},
    placing::place_all,
    still::{Canned, Outcome, Still, sizes, takes_all, text},
};

const MINUTE: Duration = Duration::from_secs(60);
const CALLS: &str = "rate = { calls = 5, per = \"1m\" }";
const REQUESTS: &str = "rate = { requests = 5, per = \"1m\" }";
/// More than it could ever be sent here.
const NONE: &str = "rate = { calls = 100000, per = \"1s\" }";

fn phonon(keys: &str) -> String {
    text(&[("phonon-multicast", "one", keys)])
}

fn mobtexting() -> Arc<Canned> {
    let said = r#"{"status":"OK","message":"Queued","data":[{"id":"v-1"}]}"#;
    Canned::new(move |_, _| Outcome::Says(200, said.to_owned()))
}

/// The next gateway on what this one leaves behind.
async fn restarted(house: Still, disk: &Disk, text: &str, line: &Arc<Canned>) -> Still {
    house.gateway.stop();
    house.gateway.drained().await;
    drop(house);
    started(disk, text, line).await
}

async fn started(disk: &Disk, text: &str, line: &Arc<Canned>) -> Still {
    let house = Still::on(disk, text, &[("one", line)]);
    house.gateway.recover().await.unwrap();
    house
}

/// Places so many calls, each by itself, and gives how long that took.
async fn one_by_one(house: &Still, count: usize) -> Duration {
    let begun = Instant::now();
    for n in 0..count {
        place_all(&house.gateway, vec![number(n)]).await;
    }
    begun.elapsed()
}

/// When the vendor was sent something, and how many calls.
fn calls(line: &Canned) -> Vec<(Instant, usize)> {
    line.times().into_iter().zip(sizes(&line.bodies())).collect()
}

fn requests(line: &Canned) -> Vec<(Instant, usize)> {
    line.times().into_iter().map(|time| (time, 1)).collect()
}

#[tokio::test(start_paused = true)]
async fn calls_before_a_restart_count_for_one_window() {
    let (disk, line) = (Disk::new().unwrap(), Canned::new(|_, body| takes_all(body)));
    let text = phonon(CALLS);
    let first = started(&disk, &text, &line).await;
    assert_eq!(one_by_one(&first, 5).await, Duration::ZERO);
    sleep(MINUTE / 2).await;
    let second = restarted(first, &disk, &text, &line).await;
    assert!(one_by_one(&second, 5).await <= MINUTE, "no longer than one window");
    assert_eq!(calls(&line).len(), 10);
    assert_eq!(most_within(MINUTE, &calls(&line)), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_window_goes_at_once() {
    let (disk, line) = (Disk::new().unwrap(), Canned::new(|_, body| takes_all(body)));
    let text = phonon(CALLS);
    let first = started(&disk, &text, &line).await;
    place_all(&first.gateway, (0..3).map(number).collect()).await;
    let second = restarted(first, &disk, &text, &line).await;
    assert_eq!(one_by_one(&second, 2).await, Duration::ZERO);
    assert_eq!(one_by_one(&second, 1).await, MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_restart_after_the_window_slows_nobody() {
    for keys in [CALLS, REQUESTS] {
        let (disk, line) = (Disk::new().unwrap(), Canned::new(|_, body| takes_all(body)));
        let text = phonon(keys);
        let first = started(&disk, &text, &line).await;
        one_by_one(&first, 5).await;
        sleep(MINUTE).await;
        let second = restarted(first, &disk, &text, &line).await;
        assert_eq!(one_by_one(&second, 5).await, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_before_a_restart_count_for_one_window() {
    let (disk, line) = (Disk::new().unwrap(), mobtexting());
    let text = text(&[("mobtexting", "one", REQUESTS)]);
    let first = started(&disk, &text, &line).await;
    assert_eq!(one_by_one(&first, 5).await, Duration::ZERO);
    let second = restarted(first, &disk, &text, &line).await;
    assert!(one_by_one(&second, 5).await <= MINUTE);
    assert_eq!(requests(&line).len(), 10);
    assert_eq!(most_within(MINUTE, &requests(&line)), 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_counts_from_its_turn_and_its_answer_not_from_when_it_came() {
    // The second five wait in memory, and are recorded with the time at which they came.
    let (disk, line) = (Disk::new().unwrap(), Canned::new(|_, body| takes_all(body)));
    let text = phonon(CALLS);
    let first = started(&disk, &text, &line).await;
    one_by_one(&first, 5).await;
    let orders = (5..10).map(number).collect();
    let patient = within(&first.gateway, &RequestId::generate(), orders, Some(MINUTE * 2)).await;
    assert!(patient.is_ok());
    sleep(MINUTE / 2).await;
    let second = restarted(first, &disk, &text, &line).await;
    one_by_one(&second, 5).await;
    assert_eq!(calls(&line).iter().map(|(_, calls)| calls).sum::<usize>(), 15);
    assert_eq!(most_within(MINUTE, &calls(&line)), 5);

    // The vendor answers late, and may have had them only then.
    let disk = Disk::new().unwrap();
    let line = Canned::taking(|_| Duration::from_secs(25), |_, body| takes_all(body));
    let first = started(&disk, &text, &line).await;
    place_all(&first.gateway, (0..5).map(number).collect()).await;
    sleep(MINUTE - Duration::from_secs(5)).await;
    let second = restarted(first, &disk, &text, &line).await;
    let begun = Instant::now();
    place_all(&second.gateway, vec![number(9)]).await;
    assert!(begun.elapsed() >= MINUTE);
}

#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_when_the_gateway_died_counts() {
    let disk = Disk::new().unwrap();
    let line = Canned::new(|n, body| if n == 0 { Outcome::Never } else { takes_all(body) });
    let text = phonon(CALLS);
    let first = started(&disk, &text, &line).await;
    let gateway = first.gateway.clone();
    let unanswered =
        tokio::spawn(async move { place_all(&gateway, (0..5).map(number).collect()).await });
    while line.count() == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    // Never to be heard of again.
    unanswered.abort();
    let second = Still::on(&disk, &text, &[("one", &line)]);
    assert_eq!(second.gateway.recover().await.unwrap().unconfirmed, 5);
    assert_eq!(one_by_one(&second, 1).await, MINUTE);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn more_than_can_be_looked_at_is_taken_for_all_there_is() {
    for (many, waits) in [(6_000, MINUTE), (1_000, Duration::ZERO)] {
        let (disk, line) = (Disk::new().unwrap(), Canned::new(|_, body| takes_all(body)));
        let busy = started(&disk, &phonon(NONE), &line).await;
        for _ in 0..many / 1_000 {
            place_all(&busy.gateway, (0..1_000).map(number).collect()).await;
            sleep(Duration::from_secs(1)).await;
        }
        // Of another account, by its name.
        let text = text(&[("phonon-multicast", "two", CALLS)]);
        drop(busy);
        let second = Still::on(&disk, &text, &[("two", &line)]);
        second.gateway.recover().await.unwrap();
        assert_eq!(one_by_one(&second, 1).await, waits, "{many}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_vendor_without_a_rate_is_not_slowed() {
    let disk = Disk::new().unwrap();
    let line = mobtexting();
    let keyless = text(&[("knovvu", "one", "")]);
    let knovvu = Canned::new(|n, _| {
        Outcome::Says(200, serde_json::json!({ "UniqueId": format!("v-{n}") }).to_string())
    });
    let first = started(&disk, &keyless, &knovvu).await;
    one_by_one(&first, 20).await;
    let second = restarted(first, &disk, &keyless, &knovvu).await;
    assert_eq!(one_by_one(&second, 20).await, Duration::ZERO);
    // Nor is one whose calls another one had.
    drop(second);
    let other = text(&[("mobtexting", "two", REQUESTS)]);
    let third = Still::on(&disk, &other, &[("two", &line)]);
    third.gateway.recover().await.unwrap();
    assert_eq!(one_by_one(&third, 5).await, Duration::ZERO);
}
