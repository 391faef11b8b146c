//! Those who want calls placed: what they ask for, and what they are told.

use std::{collections::BTreeMap, time::Duration};

use dialplane::{
    call::{CallId, CallState},
    proto::{self, CallSpec, CreateCallsRequest, CreateCallsResponse},
};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::{
    checker::may_replace,
    house::ROUTES,
    rng::Rng,
    world::{BEGIN, Event, State, note},
};

/// Every ending of a number, with what the sandbox makes of it, by how common it is. 05 and
/// 06 are left out: MobTexting takes such a call, and says later that no phone rang.
const ENDINGS: [&str; 24] = [
    "00", "00", "00", "00", "00", "00", "00", "00", "01", "01", "02", "02", "03", "04", "10", "11",
    "12", "13", "13", "14", "15", "16", "17", "99",
];

#[derive(Debug)]
pub struct Callers {
    pub requests: Vec<Plan>,
    /// The calls of each request id, and whose they are.
    answered: BTreeMap<String, (usize, Vec<String>)>,
    begun: u64,
    /// Every call that somebody was told of, and the last state.
    pub told: BTreeMap<CallId, CallState>,
}

/// A request, and what became of it so far.
#[derive(Debug)]
pub struct Plan {
    pub proto: CreateCallsRequest,
    pub numbers: Vec<String>,
    /// In milliseconds.
    pub first_at: u64,
    tries_left: u32,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Waiting,
    /// Nobody waits any more; the gateway may go on.
    Left,
    /// The gateway died.
    CutOff,
    Answered,
}

/// How a caller waits.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    /// To the end.
    Patient,
    /// With a deadline of so many milliseconds.
    Deadline(u64),
    /// Leaves after so many milliseconds.
    Leaves(u64),
}

impl Callers {
    pub fn new(rng: &mut Rng) -> Self {
        let mut requests = Vec::new();
        let mut people = 0;
        for _ in 0..rng.range(2, 6) {
            let plan = Plan::new(rng, &mut people);
            // The same id for something else.
            let impostor = (!plan.proto.request_id.is_empty() && rng.chance(150)).then(|| {
                let mut other = Plan::new(rng, &mut people);
                other.proto.request_id.clone_from(&plan.proto.request_id);
                other.first_at = plan.first_at + rng.below(10_000);
                other
            });
            requests.push(plan);
            requests.extend(impostor);
        }
        Self { requests, answered: BTreeMap::new(), begun: 0, told: BTreeMap::new() }
    }

    pub fn none_waits(&self) -> bool {
        self.requests.iter().all(|plan| !plan.attempts.contains(&Attempt::Waiting))
    }

    /// The calls of a request, once they are known.
    pub fn ids_of(&self, index: usize) -> Option<Vec<String>> {
        let id = &self.requests[index].proto.request_id;
        Some(self.answered.get(id)?.1.clone())
    }

    /// The requests whose answer is known, with the ids of their calls.
    pub fn answered(&self) -> Vec<(CreateCallsRequest, Vec<String>)> {
        let plans = self.answered.values();
        plans.map(|(index, ids)| (self.requests[*index].proto.clone(), ids.clone())).collect()
    }
}

impl Plan {
    fn new(rng: &mut Rng, people: &mut u32) -> Self {
        let first_at = rng.below(15_000);
        let mut numbers = Vec::new();
        let mut calls = Vec::new();
        for _ in 0..rng.range(1, 4) {
            *people += 1;
            let number = format!("9199{people:06}{}", rng.pick(&ENDINGS));
            let mut spec = CallSpec { to: vec![format!("+{number}")], ..CallSpec::default() };
            if rng.chance(100) {
                let after = i64::try_from(rng.below(30)).unwrap();
                let seconds = BEGIN + i64::try_from(first_at / 1_000).unwrap() + after;
                spec.expire_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
            }
            numbers.push(number);
            calls.push(spec);
        }
        let request_id =
            if rng.chance(800) { format!("request-{:016x}", rng.next()) } else { String::new() };
        let proto = CreateCallsRequest {
            request_id,
            route: (*rng.pick(&ROUTES)).to_owned(),
            calls,
            ..CreateCallsRequest::default()
        };
        let tries_left = if proto.request_id.is_empty() { 0 } else { 5 };
        Self { proto, numbers, first_at, tries_left, attempts: Vec::new() }
    }

    fn is_known(&self) -> bool {
        !self.proto.request_id.is_empty()
    }
}

impl State {
    /// A caller sends a request: gives the number of the attempt, and how long the answer is
    /// on its way, for none as long as for its neighbours.
    pub fn begins(&mut self, index: usize) -> (usize, CreateCallsRequest, Manner, Duration) {
        let manner = match self.rng.below(10) {
            0 => Manner::Leaves(self.rng.below(400)),
            1 => Manner::Leaves(self.rng.below(4_000)),
            2 => Manner::Deadline(self.rng.range(1, 300)),
            3 => Manner::Deadline(self.rng.range(100, 5_000)),
            _ => Manner::Patient,
        };
        let plan = &mut self.callers.requests[index];
        plan.attempts.push(Attempt::Waiting);
        let attempt = plan.attempts.len() - 1;
        let (proto, numbers) = (plan.proto.clone(), plan.numbers.clone());
        self.checker.placed(&numbers);
        self.checker.timing.agreed(&proto);
        note!(
            self,
            "request {index}.{attempt} to {} for {}: {manner:?}",
            proto.route,
            numbers.join(" ")
        );
        // Some don't wait for an answer before they ask again.
        if self.rng.chance(150) {
            self.again(index, 300);
        }
        self.callers.begun += 1;
        let way_back = Duration::from_millis(1 + self.callers.begun % 31);
        (attempt, proto, manner, way_back)
    }

    /// The same request once more, within so many milliseconds.
    fn again(&mut self, index: usize, within: u64) {
        let plan = &mut self.callers.requests[index];
        if plan.is_known() && plan.tries_left > 0 {
            plan.tries_left -= 1;
            let after = self.rng.below(within);
            self.plan(after, Event::Attempt(index));
        }
    }

    /// Nobody listens where the request was sent to: nothing happened.
    pub fn not_connected(&mut self, index: usize) {
        let after = self.rng.range(100, 3_000);
        self.plan(after, Event::Attempt(index));
    }

    /// The process died, and the connections with it.
    pub fn cut_off(&mut self) {
        for index in 0..self.callers.requests.len() {
            let attempts = &mut self.callers.requests[index].attempts;
            let mut waited = false;
            for attempt in attempts.iter_mut().filter(|a| **a == Attempt::Waiting) {
                *attempt = Attempt::CutOff;
                waited = true;
            }
            if waited {
                self.again(index, 6_000);
            }
        }
    }

    /// What came of an attempt; none when the caller left.
    pub fn ends(
        &mut self,
        index: usize,
        attempt: usize,
        outcome: Option<Result<CreateCallsResponse, Status>>,
    ) {
        let plan = &mut self.callers.requests[index];
        plan.attempts[attempt] = if outcome.is_some() { Attempt::Answered } else { Attempt::Left };
        match outcome {
            None => {
                note!(self, "request {index}.{attempt}: left");
                self.again(index, 5_000);
            }
            Some(Ok(response)) => {
                note!(self, "request {index}.{attempt}: {}", shown(&response));
                self.told(index, &response);
                if self.rng.chance(200) {
                    let after = self.rng.below(8_000);
                    self.plan(after, Event::Question(index));
                }
                // Some ask again although they know.
                if self.rng.chance(100) {
                    self.again(index, 5_000);
                }
            }
            Some(Err(status)) => self.refused(index, attempt, &status),
        }
    }

    fn refused(&mut self, index: usize, attempt: usize, status: &Status) {
        let refusal = Refusal::of(status);
        let code = status.code();
        note!(
            self,
            "request {index}.{attempt}: {code:?} {} dialed={}",
            refusal.reason,
            refusal.dialed
        );
        if let Some(response) = &refusal.packed {
            self.told(index, response);
        }
        if refusal.dialed == "no" {
            // Whoever asked once more meanwhile is answered for that. It is true of all that
            // came before, those included that are still on their way.
            let plan = &self.callers.requests[index];
            let is_last = attempt + 1 == plan.attempts.len();
            if is_last {
                let numbers = plan.numbers.clone();
                self.checker.told_no(&numbers, &refusal.reason);
            }
        } else if refusal.dialed != "maybe" {
            self.checker.wrong(format!("an error that does not say whether: {status:?}"));
        }
        let helps = matches!(
            code,
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Unknown
                | Code::ResourceExhausted
                | Code::Internal
        );
        if helps {
            self.again(index, 8_000);
        }
    }

    /// The calls that an error tells of.
    pub fn refusal_calls(&self, status: &Status) -> Option<Vec<proto::Call>> {
        Some(Refusal::of(status).packed?.calls)
    }

    /// A caller learns of its calls.
    fn told(&mut self, index: usize, response: &CreateCallsResponse) {
        let ids: Vec<String> = response.calls.iter().map(|call| call.call_id.clone()).collect();
        if self.callers.requests[index].is_known() {
            let id = self.callers.requests[index].proto.request_id.clone();
            let (whose, known) =
                self.callers.answered.entry(id).or_insert_with(|| (index, ids.clone()));
            // An error has as many of them as fit.
            let as_before = known.iter().zip(&ids).all(|(known, id)| known == id);
            if *whose != index || !as_before {
                self.checker.wrong(format!("(6) request {index} has other calls than before"));
            }
        }
        for call in &response.calls {
            self.told_of(call);
        }
    }

    /// A caller is told how a call stands.
    pub fn told_of(&mut self, call: &proto::Call) {
        let (Ok(id), Some(state)) = (call.call_id.parse::<CallId>(), state_of(call)) else {
            self.checker.wrong(format!("no call: {call:?}"));
            return;
        };
        let before = self.callers.told.insert(id, state);
        if let Some(before) = before.filter(|before| before.is_final())
            && !may_replace(before, state)
        {
            // Answers may overtake each other on their way: the ledger's word counts.
            let known = self.checker.state_of(id).unwrap_or(state);
            if !may_replace(before, known) && !may_replace(state, before) {
                let number = &call.to[0];
                self.checker.wrong(format!("(2) {number} was {before:?}, and is {state:?}"));
            }
        }
        let error = call.error.as_ref().map(Refusal::read);
        let is_over = matches!(state, CallState::Expired | CallState::Canceled)
            || (state == CallState::Failed && error.is_some_and(|error| error.dialed == "no"));
        if is_over && let Some(number) = call.to.first() {
            self.checker.never(number, &format!("a caller was told that its call is {state:?}"));
        }
    }
}

/// The domain's word for a state of the API.
fn state_of(call: &proto::Call) -> Option<CallState> {
    let name = call.state().as_str_name().trim_start_matches("CALL_STATE_");
    CallState::ALL.into_iter().find(|state| state.name() == name)
}

pub fn shown(response: &CreateCallsResponse) -> String {
    let states = response.calls.iter().map(|call| {
        let name = call.state().as_str_name().trim_start_matches("CALL_STATE_");
        format!("{} {name} by {}", call.to.first().map_or("", String::as_str), call.vendor)
    });
    let replayed = if response.replayed { "replayed, " } else { "" };
    format!("{replayed}{}", states.collect::<Vec<_>>().join(", "))
}

/// What an error says.
#[derive(Debug, Default)]
pub struct Refusal {
    pub reason: String,
    pub dialed: String,
    pub packed: Option<CreateCallsResponse>,
}

impl Refusal {
    fn of(status: &Status) -> Self {
        pb::Status::decode(status.details()).map(|status| Self::read(&status)).unwrap_or_default()
    }

    fn read(status: &pb::Status) -> Self {
        let mut refusal = Self::default();
        for detail in &status.details {
            if detail.type_url.ends_with("google.rpc.ErrorInfo") {
                let info = pb::ErrorInfo::decode(detail.value.as_slice()).unwrap();
                refusal.reason = info.reason;
                refusal.dialed = info.metadata.get("dialed").cloned().unwrap_or_default();
            } else if detail.type_url.ends_with("CreateCallsResponse") {
                refusal.packed = CreateCallsResponse::decode(detail.value.as_slice()).ok();
            }
        }
        refusal
    }
}
