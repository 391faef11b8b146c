//! What is written, each within a transaction of the writer's.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::{
    cache::{Cache, Known},
    document, due, held,
    outbox::{self, Released},
    pending::Make,
    read,
    row::{Trouble, integer},
    session::Session,
    sql,
    stamp::Stamp,
    state::code,
    suppressions,
};
use crate::{
    call::{Call, CallId, CallState, ClientReference, Observation},
    ledger::{Claim, LedgerError, NewRequest, News, OutboxEntry, Recorded},
};

/// Bytes kept free in the row of a call that no vendor has yet: enough for most vendors' ids
/// and a due time.
const ROOM: i64 = 48;

/// Of these a due time takes so many.
const DUE_BYTES: i64 = 6;

/// Requests that are recorded in one change.
pub struct Recording {
    requests: Vec<NewRequest>,
    /// Where they are, once they are recorded.
    rows: Option<Rows>,
}

impl Recording {
    /// Of these.
    pub fn new(requests: Vec<NewRequest>) -> Self {
        Self { requests, rows: None }
    }
}

impl Make for Recording {
    type Outcome = Vec<Recorded>;

    fn make(&mut self, session: &mut Session<'_>) -> Result<Vec<Recorded>, Trouble> {
        let (recorded, rows) = record_all(session, &self.requests)?;
        self.rows = rows;
        Ok(recorded)
    }

    fn remember(&mut self, cache: &mut Cache) {
        if let Some(rows) = self.rows.take() {
            rows.keep(std::mem::take(&mut self.requests), cache);
        }
    }
}

/// What was recorded, and where its rows are.
#[derive(Debug, Default)]
pub struct Rows {
    first_call: i64,
    first_change: u64,
    entries: HashMap<CallId, i64>,
    lengths: Vec<usize>,
}

impl Rows {
    /// Takes over what is on disk by now, if it will be needed soon.
    fn keep(self, requests: Vec<NewRequest>, cache: &mut Cache) {
        let calls = requests.into_iter().flat_map(|request| request.calls);
        let places = (self.first_call..).zip(self.first_change..).zip(self.lengths);
        for (call, ((key, last), length)) in calls.zip(places) {
            if Cache::is_worth(&call) {
                let outbox = self.entries.get(&call.id).copied();
                cache.put(Known { key, outbox, last, length, call: held::as_kept(call) });
            }
        }
    }
}

/// Records requests, or none of them where one was there before. Gives where they are, if
/// all of them are new.
pub fn record_all(
    session: &mut Session<'_>,
    requests: &[NewRequest],
) -> Result<(Vec<Recorded>, Option<Rows>), Trouble> {
    let mut rows = Rows { first_call: session.coming_call(), ..Rows::default() };
    let (mut keys, mut first) = (Vec::with_capacity(requests.len()), rows.first_call);
    for request in requests {
        keys.push(insert_request(session, request, first)?);
        first = first.saturating_add(i64::try_from(request.calls.len()).unwrap_or(i64::MAX));
    }
    if keys.iter().any(Option::is_none) {
        return Ok((leave(session, requests, &keys)?, None));
    }
    let entries = requests.iter().flat_map(|request| &request.outbox);
    if entries.clone().next().is_some() {
        let all = requests.iter().flat_map(|request| &request.calls);
        let about_to = all.filter(|call| outbox::is_needed(call.state));
        let mut about_to: HashSet<_> = about_to.map(|call| call.id).collect();
        for entry in entries {
            if let Some((key, members)) = outbox::keep(session.connection, entry, &mut about_to)? {
                rows.entries.extend(members.into_iter().map(|id| (id, key)));
            }
        }
    }
    for (request, key) in requests.iter().zip(keys) {
        for (position, call) in (0..).zip(&request.calls) {
            // Its place among the keys is what says it from here on.
            if call.position != position {
                let reason = format!("call {} is not at its place in its request", call.id);
                return Err(LedgerError::Failed(reason).into());
            }
            let entry = rows.entries.get(&call.id).copied();
            let number = insert_call(session, call, key, entry)?;
            if rows.lengths.is_empty() {
                rows.first_change = number;
            }
            rows.lengths.push(session.buffer.len());
        }
    }
    Ok((vec![Recorded::New; requests.len()], Some(rows)))
}

/// A request's key, or none when its id is there.
fn insert_request(
    session: &mut Session<'_>,
    request: &NewRequest,
    first: i64,
) -> Result<Option<i64>, Trouble> {
    let statement = &mut session.statements.insert_request;
    let inserted = statement.of(session.connection, sql::INSERT_REQUEST)?.execute((
        request.id.as_str(),
        request.fingerprint.digest,
        request.create_time.to_string(),
        i64::try_from(request.calls.len()).unwrap_or(i64::MAX),
        &request.fingerprint.fields,
        due::milliseconds(request.create_time),
        first,
    ))?;
    Ok((inserted > 0).then(|| session.connection.last_insert_rowid()))
}

/// Gives the number of the call's first change.
fn insert_call(
    session: &mut Session<'_>,
    call: &Call,
    request: Option<i64>,
    entry: Option<i64>,
) -> Result<u64, Trouble> {
    let key = session.next_call();
    let number = session.note_first(key, call)?;
    document::record(call, &mut session.buffer)?;
    let document = std::str::from_utf8(&session.buffer).map_err(rusqlite::Error::from)?;
    let is_open = call.vendor_call_id.is_none() && !call.state.is_final();
    session.statements.insert_call.of(session.connection, sql::INSERT_CALL)?.execute((
        key,
        call.id.as_bytes(),
        request,
        call.position,
        call.order.client_reference.as_ref().map(ClientReference::as_str),
        &call.vendor,
        &call.vendor_call_id,
        code(call.state),
        document,
        due::column(call),
        entry,
        held::column(call),
        integer(number),
        call.asked_time.map(Stamp),
        if is_open { ROOM } else { 0 },
    ))?;
    Ok(number)
}

/// Takes requests out again that have no calls yet, and tells which were there before.
fn leave(
    session: &Session<'_>,
    requests: &[NewRequest],
    keys: &[Option<i64>],
) -> Result<Vec<Recorded>, Trouble> {
    let connection = session.connection;
    let mut recorded = Vec::with_capacity(requests.len());
    for (request, key) in requests.iter().zip(keys) {
        if key.is_some() {
            recorded.push(Recorded::Left);
            continue;
        }
        let before = read::request(connection, &request.id)?;
        recorded.push(match before {
            Some((reach, record)) if !keys.contains(&Some(reach.request)) => {
                Recorded::Before(record)
            }
            _ => {
                let reason = format!("request {} is there and is not", request.id);
                return Err(LedgerError::Failed(reason).into());
            }
        });
    }
    for key in keys.iter().flatten() {
        connection.prepare_cached(sql::DELETE_REQUEST)?.execute([key])?;
    }
    Ok(recorded)
}

/// Applies news, each to the call as the ones before left it.
pub fn observe(session: &mut Session<'_>, news: &[News]) -> Result<Vec<Call>, Trouble> {
    let mut released = Released::default();
    let mut calls = Vec::with_capacity(news.len());
    for news in news {
        let mut known = session.call(news.call)?.ok_or(LedgerError::NoSuchCall(news.call))?;
        apply(session, &mut known, news, None, &mut released)?;
        calls.push(session.keep(known));
    }
    released.settle(session.connection)?;
    Ok(calls)
}

/// Takes calls for being handed over.
pub fn claim(
    session: &mut Session<'_>,
    calls: &[CallId],
    at: Timestamp,
    outbox: Option<&OutboxEntry>,
) -> Result<Claim, Trouble> {
    let mut claim = Claim::default();
    // What waits is in no entry.
    let mut none = Released::default();
    let news =
        |call, observation| News { call, observation, at, due: None, vendor: None, dial: None };
    let list = suppressions::List::open(session.connection)?;
    let mut seen = HashSet::with_capacity(calls.len());
    let mut left = Vec::with_capacity(calls.len());
    let mut is_whole = true;
    for id in calls {
        if !seen.insert(*id) {
            continue;
        }
        let Some(mut known) = readable(session, *id)? else {
            is_whole = false;
            continue;
        };
        let call = &known.call;
        // The pause between two dials is over for whoever takes the call up, and nobody else.
        let pauses = !call.dials.is_empty() && call.held_until.is_some();
        if call.state != CallState::Scheduled || pauses {
            claim.others.push(session.keep(known));
            continue;
        }
        let over = if call.order.expire_time.is_some_and(|end| end <= at) {
            Some(Observation::Expired)
        } else {
            list.refuses(&call.order.to)?.map(Observation::Failed)
        };
        match over {
            Some(over) => {
                apply(session, &mut known, &news(*id, over), None, &mut none)?;
                claim.others.push(session.keep(known));
            }
            None => left.push(known),
        }
    }
    if outbox.is_some() && !(is_whole && claim.others.is_empty()) {
        claim.left = left.into_iter().map(|known| session.keep(known)).collect();
        return Ok(claim);
    }
    let mut about_to: HashSet<_> = left.iter().map(|known| known.call.id).collect();
    let kept = outbox.map(|entry| outbox::keep(session.connection, entry, &mut about_to));
    let (key, members) = kept.transpose()?.flatten().unzip();
    let members: HashSet<CallId> = members.unwrap_or_default().into_iter().collect();
    for mut known in left {
        let id = known.call.id;
        let entry = key.filter(|_| members.contains(&id));
        apply(session, &mut known, &news(id, Observation::Dispatching), entry, &mut none)?;
        claim.mine.push(session.keep(known));
    }
    Ok(claim)
}

/// A call, unless it is not there, or can't be read: that must not keep the others from being
/// handed over.
fn readable(session: &mut Session<'_>, id: CallId) -> Result<Option<Known>, Trouble> {
    match session.call(id) {
        Err(trouble) if !trouble.is_of_the_store() => {
            let error = LedgerError::from(trouble);
            tracing::error!(%error, "a call that waits is passed over");
            Ok(None)
        }
        call => call,
    }
}

/// Applies news to a call, which is put into an outbox entry or stays in the one it is in.
fn apply(
    session: &mut Session<'_>,
    known: &mut Known,
    news: &News,
    put: Option<i64>,
    released: &mut Released,
) -> Result<(), Trouble> {
    let call = &mut known.call;
    let entry = put.or(known.outbox);
    if news.vendor.as_ref().is_some_and(|vendor| *vendor != call.vendor) {
        return Ok(());
    }
    let (vendor, vendor_call_id) = (call.vendor.clone(), call.vendor_call_id.clone());
    let (revision, dial, state) = (call.revision, call.dial(), call.state);
    let observation = held::rounded(news.observation.clone());
    let mut changed = call.apply_to(news.dial, observation, news.at);
    held::round(call);
    // Of this dial, and not of one that is over or was ended by this: the next one says when
    // it is looked at.
    let is_current = news.dial.is_none_or(|dial| dial == call.dial()) && dial == call.dial();
    if let Some(due) = news.due.filter(|_| is_current) {
        changed |= call.look_again(due::rounded(due));
    }
    if !changed {
        return Ok(());
    }
    let kept = entry.filter(|_| outbox::is_needed(call.state));
    entry.filter(|_| kept.is_none()).inspect(|entry| released.add(*entry));
    session.moved(&vendor, state, call);
    if call.revision != revision {
        document::change(call, &mut session.buffer)?;
        known.length = known.length.saturating_add(session.buffer.len());
        known.last = session.note(known.key, known.last, call)?;
    }
    known.outbox = kept;
    update(session, known, (&vendor, &vendor_call_id))?;
    if let (Some(over), true) = (known.call.dials.last(), known.call.dial() > dial) {
        let columns = (known.key, &known.call.vendor, &over.vendor_call_id);
        session.connection.prepare_cached(sql::INSERT_DIAL)?.execute(columns)?;
    }
    Ok(())
}

/// Writes a call anew, that was at this vendor and had this id there.
fn update(
    session: &mut Session<'_>,
    known: &Known,
    before: (&String, &Option<String>),
) -> Result<(), Trouble> {
    session.changes(known.key);
    let call = &known.call;
    let (state, last) = (code(call.state), integer(known.last));
    let (due, held, asked) = (due::column(call), held::column(call), call.asked_time.map(Stamp));
    let connection = session.connection;
    if (&call.vendor, &call.vendor_call_id) == before {
        let columns = (known.key, state, last, due, known.outbox, held, asked);
        session.statements.update_call.of(connection, sql::UPDATE_CALL)?.execute(columns)?;
        return Ok(());
    }
    let id = call.vendor_call_id.as_ref().map_or(0, String::len);
    let taken = i64::try_from(id).unwrap_or(i64::MAX).saturating_add(DUE_BYTES);
    let room = if id == 0 { ROOM } else { ROOM.saturating_sub(taken).max(0) };
    let statement = &mut session.statements.update_placed_call;
    statement.of(connection, sql::UPDATE_PLACED_CALL)?.execute((
        known.key,
        state,
        last,
        due,
        known.outbox,
        held,
        asked,
        &call.vendor,
        &call.vendor_call_id,
        room,
    ))?;
    Ok(())
}
