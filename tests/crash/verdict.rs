//! What the vendors dialled against what the gateway says of it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use dialplane::{
    proto::{
        Call, CallState, GetCallResultsRequest, WatchCallResultsRequest,
        call_service_client::CallServiceClient,
    },
    sandbox::{Dialed, System},
};
use prost::Message;
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, transport::Channel};
use tonic_types::pb;

use crate::{
    callers::{Placed, is_for},
    town::{PATIENCE, Town},
};

/// Requests read at the same time.
const READERS: usize = 16;

/// What a run showed.
#[derive(Debug, Default)]
pub struct Verdict {
    requests: usize,
    /// Sent more than once, under the same id.
    repeated: usize,
    /// Never answered: their callers died.
    orphans: usize,
    calls: usize,
    dials: usize,
    moved: usize,
    /// Phonon's requests whose very bytes had been sent before.
    sent_again: usize,
    ends: BTreeMap<&'static str, usize>,
    /// Calls that were in doubt once: with whom, how each ended, and whether it was dialled.
    doubt: BTreeMap<(String, &'static str, bool), usize>,
    /// What must not be, each in a line. Empty is a pass.
    pub wrong: Vec<String>,
}

/// A request as the gateway tells of it.
struct Told<'a> {
    placed: &'a Placed,
    calls: Vec<Call>,
    /// The ids of those that were in doubt once.
    doubted: HashSet<String>,
}

/// Waits until every call is over, and compares.
pub async fn reach(town: &Town, book: &[Placed]) -> Verdict {
    let mut verdict = Verdict { requests: book.len(), ..Verdict::default() };
    let told = read_all(town, book, &mut verdict).await;
    // Now: nothing that is over may be dialled later either.
    let dialed = town.sandbox.dialed();
    verdict.dials = dialed.len();
    let mut seen = HashSet::new();
    let orders = town.sandbox.log().into_iter().filter(|e| e.path.ends_with("/create"));
    verdict.sent_again = orders.filter(|order| !seen.insert(order.body.clone())).count();
    let mut dials: HashMap<&str, Vec<&Dialed>> = HashMap::new();
    for dial in &dialed {
        for number in &dial.numbers {
            dials.entry(number.trim_start_matches('+')).or_default().push(dial);
        }
    }
    for (number, dials) in dials.iter().filter(|(_, dials)| dials.len() > 1) {
        let by: Vec<_> = dials.iter().map(|d| (d.system.name(), d.time.to_string())).collect();
        verdict.wrong.push(format!("DIALLED TWICE: {number}: {by:?}"));
    }
    for told in &told {
        verdict.compare(told, &mut dials);
    }
    for (number, dials) in dials {
        verdict.wrong.push(format!(
            "dialled, and not in the ledger: {number} by {}",
            dials[0].system.name()
        ));
    }
    verdict
}

async fn read_all<'a>(town: &Town, book: &'a [Placed], verdict: &mut Verdict) -> Vec<Told<'a>> {
    let mut all = Vec::with_capacity(book.len());
    let mut reading = JoinSet::new();
    let mut waiting = book.iter().enumerate();
    loop {
        while reading.len() < READERS
            && let Some((index, placed)) = waiting.next()
        {
            let (client, id) = (town.client(), placed.id.clone());
            reading.spawn(async move { (index, read(client, id).await) });
        }
        let Some(done) = reading.join_next().await else { return all };
        let (index, read) = done.unwrap();
        match read {
            Ok((calls, doubted)) => all.push(Told { placed: &book[index], calls, doubted }),
            Err(reason) => verdict.wrong.push(format!("{}: {reason}", book[index].id)),
        }
    }
}

/// The calls of a request once they are over, and which of them were in doubt on the way.
async fn read(
    mut client: CallServiceClient<Channel>,
    request_id: String,
) -> Result<(Vec<Call>, HashSet<String>), String> {
    let first = calls_of(&mut client, &request_id).await?;
    if first.is_empty() {
        return Ok((first, HashSet::new()));
    }
    let request = WatchCallResultsRequest { request_id: request_id.clone(), ..Default::default() };
    let mut changes = client
        .watch_call_results(request)
        .await
        .map_err(|status| format!("can't be watched: {status:?}"))?
        .into_inner();
    let (mut doubted, mut revisions) = (HashSet::new(), HashMap::<String, u64>::new());
    loop {
        let change = timeout(PATIENCE, changes.message())
            .await
            .map_err(|_| format!("no end in sight: {first:#?}"))?
            .map_err(|status| format!("the watch broke: {status:?}"))?;
        let Some(call) = change.and_then(|change| change.call) else { break };
        if call.state() == CallState::Unconfirmed {
            doubted.insert(call.call_id.clone());
        }
        let last = revisions.entry(call.call_id.clone()).or_default();
        if call.revision != *last + 1 {
            return Err(format!("{}: revision {} after {last}", call.call_id, call.revision));
        }
        *last = call.revision;
    }
    let calls = calls_of(&mut client, &request_id).await?;
    Ok((calls, doubted))
}

async fn calls_of(
    client: &mut CallServiceClient<Channel>,
    request_id: &str,
) -> Result<Vec<Call>, String> {
    let request = GetCallResultsRequest {
        request_id: request_id.to_owned(),
        page_size: 1_000,
        max_staleness: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        ..Default::default()
    };
    match client.get_call_results(request).await {
        Ok(answer) => Ok(answer.into_inner().calls),
        Err(status) if status.code() == Code::NotFound => Ok(Vec::new()),
        Err(status) => Err(format!("can't be read: {status:?}")),
    }
}

impl Verdict {
    /// One request; takes the dials that it explains.
    fn compare(&mut self, told: &Told<'_>, dials: &mut HashMap<&str, Vec<&Dialed>>) {
        let Told { placed, calls, doubted } = told;
        self.wrong.extend(placed.wrong.iter().cloned());
        self.repeated += usize::from(placed.sent > 1);
        self.orphans += usize::from(placed.told.is_none());
        // Nobody was told of it, and nothing came of it: it never arrived.
        if placed.told.is_none() && calls.is_empty() {
            return;
        }
        if calls.len() != placed.numbers.len() {
            self.wrong.push(format!(
                "LOST: {} has {} of its {} calls",
                placed.id,
                calls.len(),
                placed.numbers.len()
            ));
        }
        let ids: Vec<&String> = calls.iter().map(|call| &call.call_id).collect();
        let promised: Vec<&String> = placed.told.iter().flatten().collect();
        if !ids.starts_with(&promised) {
            self.wrong.push(format!("LOST: {} has other calls than it was given", placed.id));
        }
        for (call, number) in calls.iter().zip(&placed.numbers) {
            if !is_for(call, number) {
                self.wrong.push(format!("{}: not the call to {number}", call.call_id));
            }
            let dials = dials.remove(number.trim_start_matches('+')).unwrap_or_default();
            self.compare_call(call, dials.first().copied());
            if doubted.contains(&call.call_id) {
                let end = (call.vendor.clone(), call.state().as_str_name(), !dials.is_empty());
                *self.doubt.entry(end).or_default() += 1;
            }
        }
    }

    fn compare_call(&mut self, call: &Call, dial: Option<&Dialed>) {
        let state = call.state();
        self.calls += 1;
        self.moved += usize::from(!call.failovers.is_empty());
        *self.ends.entry(state.as_str_name()).or_default() += 1;
        let mut wrong = |what: &str| {
            self.wrong.push(format!("{what}: {call:?}; dialled: {dial:?}"));
        };
        match (state, dial) {
            (
                CallState::Answered
                | CallState::Busy
                | CallState::NoAnswer
                | CallState::Rejected
                | CallState::InvalidNumber
                | CallState::Unreachable,
                None,
            ) => wrong("a result of a call that was never dialled"),
            (CallState::Canceled | CallState::Expired, Some(_)) => wrong("not dialled, it says"),
            (CallState::Failed, Some(_)) if !may_be_dialed(call) => wrong("not dialled, it says"),
            _ => {}
        }
        if call.end_time.is_none() {
            wrong("it does not end");
        }
        let Some(dial) = dial else { return };
        if system(&call.vendor) != Some(dial.system) {
            wrong("dialled by another vendor");
        }
        if !call.vendor_call_id.is_empty() && call.vendor_call_id != dial.vendor_call_id {
            wrong("another call of the vendor");
        }
    }

    /// A run in which nothing happened proves nothing. A few kills may all miss the instants
    /// that leave a call in doubt.
    pub fn is_worth_something(&self, kills: u64) -> bool {
        self.dials > 0 && self.repeated > 0 && (kills < 10 || !self.doubt.is_empty())
    }
}

/// What the call's error says; a failure that says nothing may have been.
fn may_be_dialed(call: &Call) -> bool {
    let details = call.error.iter().flat_map(|error| &error.details);
    let info = details
        .filter(|any| any.type_url.ends_with("ErrorInfo"))
        .find_map(|any| pb::ErrorInfo::decode(any.value.as_slice()).ok());
    info.and_then(|info| info.metadata.get("dialed").cloned()).as_deref() != Some("no")
}

/// Where the calls of a vendor of [`crate::town`] are dialled.
fn system(vendor: &str) -> Option<System> {
    Some(match vendor {
        "realtime" | "poor" => System::Phonon,
        "bulk" => System::PhononBulk,
        "mobtexting" => System::MobTexting,
        "knovvu" => System::Knovvu,
        _ => return None,
    })
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} requests, {} of them sent more than once, {} never answered",
            self.requests, self.repeated, self.orphans
        )?;
        writeln!(
            f,
            "{} calls, {} dialled, {} moved on to another vendor; {} requests sent again to Phonon",
            self.calls, self.dials, self.moved, self.sent_again
        )?;
        for (state, count) in &self.ends {
            writeln!(f, "  {:<15} {count:>7}", short(state))?;
        }
        writeln!(f, "in doubt at some time: {}", self.doubt.values().sum::<usize>())?;
        for ((vendor, state, dialed), count) in &self.doubt {
            let dialed = if *dialed { "dialled" } else { "not dialled" };
            writeln!(f, "  {vendor:<11} {:<15} {count:>7} {dialed}", short(state))?;
        }
        let count = |word: &str| self.wrong.iter().filter(|line| line.starts_with(word)).count();
        write!(
            f,
            "dialled twice: {}, lost: {}, wrong in all: {}",
            count("DIALLED TWICE"),
            count("LOST"),
            self.wrong.len()
        )
    }
}

fn short(state: &str) -> &str {
    state.trim_start_matches("CALL_STATE_")
}
