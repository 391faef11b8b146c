//! For each system: a result that is posted, asked for, or both, in every form.

use dialplane::{
    proto::CallState,
    sandbox::{MobTextingBody, PhononBody, Pushing},
};

use crate::setup::{SYSTEMS, Town, Ways};

/// The outcome of each number, as the sandbox has it.
const OUTCOMES: [(&str, CallState); 7] = [
    ("00", CallState::Answered),
    ("01", CallState::Busy),
    ("02", CallState::NoAnswer),
    ("03", CallState::Rejected),
    ("04", CallState::InvalidNumber),
    ("05", CallState::Unreachable),
    ("06", CallState::Failed),
];

/// Whether anything can tell this outcome: Phonon's fixed formats have no status, and a
/// number that does not exist has no leg.
fn is_told(ways: &Ways, system: &str, outcome: CallState) -> bool {
    let fixed = matches!(ways.phonon, PhononBody::Dlr | PhononBody::FlowEnd);
    let asked = ways.pull && system != "phonon-bulk";
    !(system.starts_with("phonon") && outcome == CallState::InvalidNumber && fixed && !asked)
}

/// Whether this vendor has words for this outcome: Phonon's legs tell no more than
/// whether somebody answered, and MobTexting's statuses are fewer.
fn tells(system: &str, outcome: CallState) -> bool {
    match system {
        "knovvu" => true,
        "mobtexting" => !matches!(outcome, CallState::Rejected | CallState::Unreachable),
        _ => matches!(outcome, CallState::Answered | CallState::Busy),
    }
}

async fn every_outcome(mut town: Town, systems: impl Fn(&str) -> bool) {
    for (system, _) in SYSTEMS.into_iter().filter(|(name, _)| systems(name)) {
        let told: Vec<_> =
            OUTCOMES.into_iter().filter(|(_, o)| is_told(&town.ways, system, *o)).collect();
        for (digits, outcome) in told {
            let call = town.gateway.call(system, &format!("+9199000000{digits}")).await.unwrap();
            let (states, end) = town.follow(&call).await;
            assert!(end.end_time.is_some(), "{system} {digits}: {states:?}");
            if tells(system, outcome) {
                assert_eq!(end.state(), outcome, "{system} {digits}: {states:?}");
            } else {
                assert_ne!(end.state(), CallState::Answered, "{system} {digits}: {states:?}");
            }
            let is_answered = end.state() == CallState::Answered;
            let talked = end.attempts.iter().any(|attempt| attempt.talk_duration.is_some());
            if is_answered && system != "knovvu" {
                assert!(talked, "{system}: {:?}", end.attempts);
            }
        }
    }
    town.stop().await;
}

#[tokio::test]
async fn by_push_only() {
    every_outcome(Town::start(Ways::default()).await, |_| true).await;
}

#[tokio::test]
async fn by_push_in_every_other_form() {
    for (phonon, mobtexting) in [
        (PhononBody::FlowEnd, MobTextingBody::ComposedForm),
        (PhononBody::Custom, MobTextingBody::Composed),
        (PhononBody::CustomForm, MobTextingBody::Standard),
    ] {
        let ways = Ways { phonon, mobtexting, ..Ways::default() };
        every_outcome(Town::start(ways).await, |system| system != "knovvu").await;
    }
}

#[tokio::test]
async fn by_pull_only() {
    every_outcome(Town::start(Ways::pull()).await, |system| system != "phonon-bulk").await;
}

#[tokio::test]
async fn by_both() {
    every_outcome(Town::start(Ways::both()).await, |_| true).await;
}

#[tokio::test]
async fn by_a_push_that_overtakes_the_answer_to_the_order() {
    let town = Town::start(Ways::default()).await;
    town.sandbox.set_pushing(Pushing { early: true, ..Pushing::default() });
    every_outcome(town, |_| true).await;
}

#[tokio::test]
async fn by_pushes_that_come_thrice_and_in_reverse() {
    let town = Town::start(Ways::default()).await;
    town.sandbox.set_pushing(Pushing { times: 3, reordered: true, ..Pushing::default() });
    every_outcome(town, |_| true).await;
}
