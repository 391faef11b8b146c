//! The breaker as a machine: what opens it, what closes it, and who is let through meanwhile.

use proptest::prelude::*;

use super::*;
use crate::call::CallError;

const PAUSE: Duration = Duration::from_secs(30);

fn machine(failures: u32) -> Machine {
    Machine::new(config::Breaker { failures, pause: PAUSE })
}

fn begun() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// One exchange from its beginning to its end, if it is let through.
fn exchange(machine: &mut Machine, verdict: Verdict, now: Instant) -> Result<(), Duration> {
    let (ticket, _) = machine.enter(now)?;
    machine.end(ticket, verdict, now);
    Ok(())
}

fn opened(now: Instant) -> Machine {
    let mut machine = machine(1);
    exchange(&mut machine, Verdict::Failed, now).unwrap();
    assert_eq!(machine.shown(now), BreakerState::Open);
    machine
}

#[test]
fn failures_in_a_row_open_it_and_an_answer_in_between_does_not_count_as_one() {
    let (mut machine, now) = (machine(3), begun());
    for verdict in [Verdict::Failed, Verdict::Failed, Verdict::Answered] {
        exchange(&mut machine, verdict, now).unwrap();
    }
    for _ in 0..2 {
        exchange(&mut machine, Verdict::Failed, now).unwrap();
        assert_eq!(machine.shown(now), BreakerState::Closed);
    }
    exchange(&mut machine, Verdict::Failed, now).unwrap();
    assert_eq!(machine.shown(now), BreakerState::Open);
}

#[test]
fn the_wait_is_exactly_what_is_left_of_the_pause() {
    let now = begun();
    let mut machine = opened(now);
    for passed in [0, 1, 29_999] {
        let passed = Duration::from_millis(passed);
        assert_eq!(machine.enter(now + passed).unwrap_err(), PAUSE - passed);
    }
    assert_eq!(machine.shown(now + PAUSE), BreakerState::HalfOpen);
    assert!(machine.enter(now + PAUSE).is_ok());
}

#[test]
fn pauses_double_while_tries_fail_and_begin_anew_after_a_good_one() {
    let mut now = begun();
    let mut machine = opened(now);
    for pause in [30, 60, 120, 240, 300, 300] {
        let pause = Duration::from_secs(pause);
        assert_eq!(machine.wait(now), Some(pause));
        now += pause;
        exchange(&mut machine, Verdict::Failed, now).unwrap();
    }
    now += Duration::from_secs(300);
    exchange(&mut machine, Verdict::Answered, now).unwrap();
    assert_eq!(machine.shown(now), BreakerState::Closed);
    exchange(&mut machine, Verdict::Failed, now).unwrap();
    assert_eq!(machine.wait(now), Some(PAUSE));
}

#[test]
fn a_longer_pause_than_the_longest_stays() {
    let (now, hour) = (begun(), Duration::from_secs(3_600));
    let mut machine = Machine::new(config::Breaker { failures: 1, pause: hour });
    exchange(&mut machine, Verdict::Failed, now).unwrap();
    exchange(&mut machine, Verdict::Failed, now + hour).unwrap();
    assert_eq!(machine.wait(now + hour), Some(hour));
}

#[test]
fn one_is_let_through_at_a_time_and_one_that_dies_gives_its_place_back() {
    let now = begun();
    let breaker = Breaker::new("one", config::Breaker { failures: 1, pause: PAUSE });
    breaker.enter(now).unwrap().end(Verdict::Failed, now);
    let now = now + PAUSE;
    let pass = breaker.enter(now).unwrap();
    assert_eq!(breaker.enter(now).unwrap_err(), UNREACHABLE_WAIT);
    assert_eq!(breaker.wait(now), Some(UNREACHABLE_WAIT));
    drop(pass);
    let pass = breaker.enter(now).unwrap();
    assert!(breaker.enter(now).is_err());
    pass.end(Verdict::Answered, now);
    assert_eq!(breaker.state(now), BreakerState::Closed);
    let many: Vec<_> = (0..9).map(|_| breaker.enter(now).unwrap()).collect();
    assert_eq!(many.len(), 9);
}

#[test]
fn what_was_begun_before_it_opened_changes_nothing_after() {
    for late in [Verdict::Answered, Verdict::Failed] {
        let (mut machine, now) = (machine(1), begun());
        let mut old: Vec<_> = (0..3).map(|_| machine.enter(now).unwrap().0).collect();
        exchange(&mut machine, Verdict::Failed, now).unwrap();
        let later = now + Duration::from_secs(10);
        assert_eq!(machine.end(old.pop().unwrap(), late, later), None);
        assert_eq!(machine.wait(later), Some(Duration::from_secs(20)), "{late:?} while open");
        let (probe, _) = machine.enter(now + PAUSE).unwrap();
        assert_eq!(machine.end(old.pop().unwrap(), late, now + PAUSE), None);
        assert!(machine.enter(now + PAUSE).is_err(), "{late:?} while half-open");
        assert_eq!(machine.end(probe, Verdict::Answered, now + PAUSE), Some(Change::Closed));
        assert_eq!(machine.end(old.pop().unwrap(), late, now + PAUSE), None);
        assert_eq!(machine.shown(now + PAUSE), BreakerState::Closed, "{late:?} once closed");
    }
}

#[test]
fn only_the_vendors_own_failures_count() {
    for cause in Cause::ALL {
        let failed = Observation::Failed(CallError::new(cause, "X", "it is"));
        let is_the_vendors =
            matches!(cause, Cause::InDoubt | Cause::Unreachable | Cause::Unreadable);
        let verdict = if is_the_vendors { Verdict::Failed } else { Verdict::Answered };
        assert_eq!(Verdict::of(std::slice::from_ref(&failed)), verdict, "{cause:?}");
        let taken = Observation::Accepted {
            vendor_call_id: None,
            vendor_request_id: None,
            data: serde_json::Map::new(),
        };
        assert_eq!(Verdict::of(&[failed, taken]), Verdict::Answered, "{cause:?} and one taken");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Enter,
    /// Of the exchanges under way, which one; whether it is answered.
    End(usize, bool),
    Drop(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Enter),
        3 => (0..8_usize, any::<bool>()).prop_map(|(at, good)| Step::End(at, good)),
        1 => (0..8_usize).prop_map(Step::Drop),
        2 => (0..40_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_in_whatever_order(
        steps in proptest::collection::vec(step(), 0..200),
        failures in 1..4_u32,
    ) {
        let mut now = begun();
        let mut machine = machine(failures);
        // Each with whether it was let through to find out.
        let mut under_way: Vec<(Ticket, bool)> = Vec::new();
        for step in steps {
            let before = machine.shown(now);
            match step {
                Step::Enter => {
                    let waits = machine.wait(now);
                    match machine.enter(now) {
                        Ok((ticket, _)) => {
                            prop_assert_eq!(waits, None);
                            prop_assert_ne!(before, BreakerState::Open);
                            under_way.push((ticket, before == BreakerState::HalfOpen));
                        }
                        Err(wait) => {
                            prop_assert_eq!(waits, Some(wait));
                            prop_assert!(!wait.is_zero());
                            prop_assert_ne!(before, BreakerState::Closed);
                        }
                    }
                }
                Step::End(at, good) if !under_way.is_empty() => {
                    let (ticket, probes) = under_way.swap_remove(at % under_way.len());
                    let verdict = if good { Verdict::Answered } else { Verdict::Failed };
                    let is_old = ticket.era != machine.era;
                    prop_assert!(!(probes && is_old), "nothing but its end ends a try");
                    machine.end(ticket, verdict, now);
                    match (is_old, probes, good) {
                        (true, ..) => prop_assert_eq!(machine.shown(now), before),
                        (_, true, true) => prop_assert_eq!(machine.shown(now), BreakerState::Closed),
                        (_, true, false) => prop_assert_eq!(machine.shown(now), BreakerState::Open),
                        _ => {}
                    }
                }
                Step::Drop(at) if !under_way.is_empty() => {
                    let (ticket, probes) = under_way.swap_remove(at % under_way.len());
                    machine.give_back(ticket);
                    prop_assert_eq!(machine.shown(now), before);
                    prop_assert!(!probes || machine.wait(now).is_none());
                }
                Step::End(..) | Step::Drop(_) => {}
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            let probing = under_way.iter().filter(|(_, probes)| *probes).count();
            prop_assert!(probing <= 1);
            // It never stays shut: once the longest pause is over and nobody tries, one may.
            prop_assert!(probing == 1 || machine.wait(now + machine.settings.longest()).is_none());
        }
    }
}
