//! What the writer knows without reading is what it would read.

use proptest::prelude::*;

use super::*;
use crate::{
    call::{CallError, Cause, Dialed, Fallback, ReportedState},
    ledger::sqlite::{
        cache::Cache,
        meter::Meter,
        pending::{Change, Make},
        session::Session,
        writer::make_all,
    },
};

/// Something that is asked of both.
#[derive(Debug, Clone)]
enum Step {
    Record(CallState, u32),
    Observe(Vec<(usize, u8, bool)>),
    Claim(Vec<usize>),
    TakeUp,
    LetGo,
    Remove,
}

fn any_step() -> impl Strategy<Value = Step> {
    let states = prop::sample::select(vec![CallState::Scheduled, CallState::Dispatching]);
    let which = || prop::collection::vec(0..12_usize, 1..4);
    prop_oneof![
        3 => (states, 1..4_u32).prop_map(|(state, calls)| Step::Record(state, calls)),
        9 => prop::collection::vec((0..12_usize, 0..10_u8, any::<bool>()), 1..5)
            .prop_map(Step::Observe),
        4 => which().prop_map(Step::Claim),
        2 => Just(Step::TakeUp),
        1 => Just(Step::LetGo),
        1 => Just(Step::Remove),
    ]
}

fn at(second: i64) -> Timestamp {
    Timestamp::new(1_772_359_200 + second, 123_456_789).unwrap()
}

fn observation(kind: u8, second: i64) -> Observation {
    let report = |state| {
        let report = ReportedState { state: Some(state), ..ReportedState::default() };
        Observation::Reported { report, asked: second % 2 == 0 }
    };
    match kind {
        0 => Observation::Dispatching,
        1 => Observation::PutBack,
        2 => Observation::Held { until: at(second + 5), holds: 0 },
        3 | 4 => Observation::Accepted {
            vendor_call_id: Some(format!("v-{second}")),
            vendor_request_id: None,
            data: serde_json::from_str(r#"{"charge": 0.1, "big": 18446744073709551615}"#).unwrap(),
        },
        5 => report(CallState::Ringing),
        6 => report(CallState::NoAnswer),
        7 => report(CallState::Answered),
        8 => Observation::Failed(CallError {
            dialed: Dialed::Maybe,
            ..CallError::new(Cause::InDoubt, "DOUBT", "?")
        }),
        _ => Observation::FailedOver {
            error: CallError::new(Cause::Unreachable, "DOWN", "?"),
            to: "kaleyra".to_owned(),
        },
    }
}

/// A change that keeps what came of it as text.
struct Noted<M> {
    make: M,
    made: String,
}

impl<M: Make> Change for Noted<M>
where
    M::Outcome: std::fmt::Debug,
{
    fn weight(&self) -> usize {
        1
    }

    fn make(&mut self, session: &mut Session<'_>) -> Result<(), Trouble> {
        self.made = format!("{:?}", self.make.make(session)?);
        NOTES.with_borrow_mut(|notes| notes.push(self.made.clone()));
        Ok(())
    }

    fn remember(&mut self, cache: &mut Cache) {
        self.make.remember(cache);
    }

    fn answer(self: Box<Self>, _: Result<(), LedgerError>) {}
}

thread_local! {
    static NOTES: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

fn change<T: Send + std::fmt::Debug + 'static>(
    make: impl FnMut(&mut Session<'_>) -> Result<T, Trouble> + Send + 'static,
) -> Box<dyn Change> {
    Box::new(Noted { make: pending::By(make), made: String::new() })
}

fn changes(
    steps: &[Step],
    requests: &[Option<NewRequest>],
    ids: &[CallId],
    second: i64,
) -> Vec<Box<dyn Change>> {
    let id = |index: &usize| ids.get(*index).copied().unwrap_or(CallId::from_bytes([1; 16]));
    let build = |(step, request): (&Step, &Option<NewRequest>)| match step {
        Step::Record(..) => {
            let make = change::Recording::new(request.iter().cloned().collect());
            Box::new(Noted { make, made: String::new() }) as Box<dyn Change>
        }
        Step::Observe(all) => {
            let news = all.iter().map(|(index, kind, due)| News {
                call: id(index),
                observation: observation(*kind, second),
                at: at(second),
                due: due.then(|| at(second + 60)),
                vendor: None,
                dial: None,
            });
            let news: Vec<_> = news.collect();
            change(move |session| change::observe(session, &news))
        }
        Step::Claim(all) => {
            let ids: Vec<_> = all.iter().map(id).collect();
            change(move |session| change::claim(session, &ids, at(second), None))
        }
        Step::TakeUp => change(move |s| held::take_up(s, "phonon-in", at(second), 3, 7)),
        Step::LetGo => change(move |s| held::let_go(s, at(second), 3)),
        Step::Remove => change(move |s| removal::remove_old(s, at(second - 3), 2)),
    };
    steps.iter().zip(requests).map(build).collect()
}

fn requests(steps: &[Step], ids: &mut Vec<CallId>) -> Vec<Option<NewRequest>> {
    let mut requests = Vec::new();
    for step in steps {
        let Step::Record(state, calls) = step else {
            requests.push(None);
            continue;
        };
        let mut request = sample(*calls);
        for (index, call) in request.calls.iter_mut().enumerate() {
            call.state = *state;
            call.redials = index == 1;
            let vendor = "kaleyra".to_owned();
            call.fallbacks = vec![Fallback { vendor, caller_id: None, redials: false }];
            call.held_until = Some(at(2)).filter(|_| index == 2);
            call.due = Some(at(9)).filter(|_| *state == CallState::Dispatching && index == 0);
        }
        ids.extend(request.calls.iter().map(|call| call.id));
        requests.push(Some(request));
    }
    requests
}

/// Everything there is of the calls, as anybody reads it.
fn all(connection: &Connection, ids: &[CallId]) -> String {
    let calls: Vec<_> = ids.iter().map(|id| read::call(connection, *id).unwrap()).collect();
    let changes = history::changes(connection, &Selection::All, 0, 10_000).unwrap();
    format!("{calls:?} {changes:?}")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_known_is_what_would_be_read(
        turns in prop::collection::vec(prop::collection::vec(any_step(), 1..4), 1..12),
    ) {
        let (mut knowing, mut reading) = (open::memory().unwrap(), open::memory().unwrap());
        let (mut cache, mut ids) = (Cache::default(), Vec::new());
        cache.tally.meter().count_open(&knowing).unwrap();
        for (second, steps) in (1..).zip(&turns) {
            let requests = requests(steps, &mut ids);
            let mut outcomes = Vec::new();
            for (connection, cache) in
                [(&mut knowing, &mut cache), (&mut reading, &mut Cache::default())]
            {
                NOTES.take();
                let mut changes = changes(steps, &requests, &ids, second);
                let Ok((made, marks)) = make_all(connection, &mut changes, cache) else {
                    panic!("the store failed")
                };
                outcomes.push(format!("{made:?} {marks:?} {:?}", NOTES.take()));
                outcomes.push(all(connection, &ids));
            }
            prop_assert_eq!(&outcomes[0], &outcomes[2]);
            prop_assert_eq!(&outcomes[1], &outcomes[3]);
            let counted = Meter::default();
            counted.count_open(&knowing).unwrap();
            prop_assert_eq!(cache.tally.meter().open_now(), counted.open_now());
        }
    }
}
