use super::*;

fn print(digest: u8) -> Fingerprint {
    Fingerprint { digest: [digest; 32], fields: Vec::new() }
}

fn seat(all: &InFlight) -> Seat {
    match all.take(&"one".parse().unwrap(), &print(1), &mut None).unwrap() {
        Found::Free(seat) => seat,
        Found::Taken(_) => panic!("taken"),
    }
}

fn joined(all: &InFlight) -> Waiter {
    all.join(&"one".parse().unwrap(), &print(1), None).unwrap().unwrap()
}

#[tokio::test]
async fn who_joins_gets_what_the_first_gets_whenever_it_looks() {
    let all = InFlight::default();
    let first = seat(&all);
    let (own, early, late) = (first.waiter(), joined(&all), joined(&all));
    let early = tokio::spawn(early.repeated());
    first.settle(Ok(Created { calls: Vec::new().into(), replayed: false }));
    assert!(!own.outcome().await.unwrap().replayed);
    let (early, late) = (early.await.unwrap().unwrap(), late.repeated().await.unwrap());
    assert!(early.replayed && late.replayed);
    assert!(all.lock().flights.is_empty(), "nothing is kept of what is over");
}

#[tokio::test]
async fn another_payload_does_not_wait_and_another_id_has_a_seat_of_its_own() {
    let all = InFlight::default();
    let _first = seat(&all);
    let one: RequestId = "one".parse().unwrap();
    let join = all.join(&one, &print(2), None).err();
    for found in [join, all.take(&one, &print(2), &mut None).err()] {
        assert!(matches!(found, Some(GatewayError::RequestIdReused { .. })));
    }
    let two = all.take(&"two".parse().unwrap(), &print(2), &mut None).unwrap();
    assert!(matches!(two, Found::Free(_)));
}

#[test]
fn who_is_announced_is_counted_until_it_has_the_seat_joins_or_goes() {
    let all = InFlight::default();
    let one: RequestId = "one".parse().unwrap();
    let announced = || Some(all.announce(&one));
    let count = || all.lock().announced.get(&one).copied();
    let (mut first, mut second, third) = (announced(), announced(), announced());
    assert_eq!(count(), Some(3));
    let seat = all.take(&one, &print(1), &mut first).unwrap();
    assert!(matches!(seat, Found::Free(_)));
    assert_eq!(count(), Some(2));
    assert!(matches!(all.take(&one, &print(1), &mut second), Ok(Found::Taken(_))));
    assert_eq!(count(), Some(1));
    drop((first, second));
    assert_eq!(count(), Some(1), "nobody is counted out twice");
    drop(third);
    assert_eq!(count(), None);
    let mut looking = announced();
    assert!(all.join(&one, &print(1), looking.as_mut()).unwrap().is_some());
    assert_eq!(count(), None);
    // With another payload it is gone as well.
    let mut other = announced();
    assert!(all.take(&one, &print(2), &mut other).is_err());
    assert_eq!(count(), None);
}

#[tokio::test]
async fn work_that_panics_lets_its_waiters_go() {
    let all = InFlight::default();
    let first = seat(&all);
    let waiter = joined(&all);
    let work = tokio::spawn(async move {
        let _seat = first;
        panic!("a defect");
    });
    assert!(work.await.is_err());
    assert!(matches!(waiter.repeated().await, Err(GatewayError::Broken)));
    // And the id is free for another try.
    seat(&all).settle(Err(GatewayError::Stopping));
}

#[tokio::test]
async fn a_seat_that_is_taken_again_is_not_given_back_by_the_one_before() {
    let all = InFlight::default();
    let first = seat(&all);
    first.settle(Err(GatewayError::Overloaded));
    let second = seat(&all);
    let waiter = joined(&all);
    second.settle(Err(GatewayError::Stopping));
    assert!(matches!(waiter.repeated().await, Err(GatewayError::Stopping)));
}

#[test]
fn a_ledger_that_fails_early_leaves_a_doubt_while_another_one_may_go_on() {
    let all = InFlight::default();
    let one: RequestId = "one".parse().unwrap();
    let mine = all.announce(&one);
    let failed = || GatewayError::Ledger(LedgerError::Failed("disk full".into()));
    let may_be_placed =
        |mine: &Announced| matches!(mine.told(failed()), GatewayError::BeingPlaced(_));
    assert!(!may_be_placed(&mine));
    let mut other = Some(all.announce(&one));
    assert!(may_be_placed(&mine));
    let seat = all.take(&one, &print(1), &mut other).unwrap();
    assert!(may_be_placed(&mine));
    drop(seat);
    assert!(!may_be_placed(&mine));
    // What is no failure of the ledger is what it is.
    let _other = all.announce(&one);
    let unknown = GatewayError::UnknownRoute { name: "x".into(), known: Vec::new() };
    assert!(matches!(mine.told(unknown), GatewayError::UnknownRoute { .. }));
}
