//! What is written, each within a transaction of the writer's.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    due, held,
    outbox::{self, Released},
    read,
    row::{self, Trouble},
    sql,
    state::code,
    suppressions,
};
use crate::{
    call::{Call, CallId, CallState, ClientReference, Observation},
    ledger::{Claim, LedgerError, NewRequest, News, OutboxEntry, Recorded},
};

/// Records requests, or none of them where one was there before.
pub fn record_all(
    connection: &Connection,
    requests: &[NewRequest],
) -> Result<Vec<Recorded>, Trouble> {
    let mut keys = Vec::with_capacity(requests.len());
    for request in requests {
        keys.push(insert_request(connection, request)?);
    }
    if keys.iter().any(Option::is_none) {
        return leave(connection, requests, &keys);
    }
    let all = || requests.iter().flat_map(|request| &request.calls);
    let about_to = all().filter(|call| outbox::is_needed(call.state));
    let mut about_to: HashSet<_> = about_to.map(|call| call.id).collect();
    let mut entries = HashMap::new();
    for entry in requests.iter().flat_map(|request| &request.outbox) {
        if let Some((key, members)) = outbox::keep(connection, entry, &mut about_to)? {
            entries.extend(members.into_iter().map(|id| (id, key)));
        }
    }
    for (request, key) in requests.iter().zip(keys) {
        for call in &request.calls {
            insert_call(connection, call, key, entries.get(&call.id).copied())?;
        }
    }
    Ok(vec![Recorded::New; requests.len()])
}

/// A request's key, or none when its id is there.
fn insert_request(connection: &Connection, request: &NewRequest) -> Result<Option<i64>, Trouble> {
    let inserted = connection.prepare_cached(sql::INSERT_REQUEST)?.execute((
        request.id.as_str(),
        request.fingerprint.digest,
        request.create_time.to_string(),
        i64::try_from(request.calls.len()).unwrap_or(i64::MAX),
        &request.fingerprint.fields,
        due::milliseconds(request.create_time),
    ))?;
    Ok((inserted > 0).then(|| connection.last_insert_rowid()))
}

fn insert_call(
    connection: &Connection,
    call: &Call,
    request: Option<i64>,
    entry: Option<i64>,
) -> Result<(), Trouble> {
    connection.prepare_cached(sql::INSERT_CALL)?.execute((
        call.id.as_bytes(),
        request,
        call.position,
        call.order.client_reference.as_ref().map(ClientReference::as_str),
        &call.vendor,
        &call.vendor_call_id,
        code(call.state),
        row::document(call)?,
        due::column(call),
        entry,
        held::column(call),
    ))?;
    note(connection, connection.last_insert_rowid(), call)
}

/// Takes requests out again that have no calls yet, and tells which were there before.
fn leave(
    connection: &Connection,
    requests: &[NewRequest],
    keys: &[Option<i64>],
) -> Result<Vec<Recorded>, Trouble> {
    let mut recorded = Vec::with_capacity(requests.len());
    for (request, key) in requests.iter().zip(keys) {
        if key.is_some() {
            recorded.push(Recorded::Left);
            continue;
        }
        let before = read::request(connection, &request.id)?;
        recorded.push(match before {
            Some((key, record)) if !keys.contains(&Some(key)) => Recorded::Before(record),
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
pub fn observe(connection: &Connection, news: Vec<News>) -> Result<Vec<Call>, Trouble> {
    let mut released = Released::default();
    let calls = news.into_iter().map(|news| observe_one(connection, news, None, &mut released));
    let calls = calls.collect::<Result<_, _>>()?;
    released.settle(connection)?;
    Ok(calls)
}

/// Takes calls for being handed over.
pub fn claim(
    connection: &Connection,
    calls: Vec<CallId>,
    at: Timestamp,
    outbox: Option<&OutboxEntry>,
) -> Result<Claim, Trouble> {
    let mut claim = Claim::default();
    // What waits is in no entry.
    let mut none = Released::default();
    let mut mark = |call, observation, entry| {
        observe_one(
            connection,
            News { call, observation, at, due: None, vendor: None, dial: None },
            entry,
            &mut none,
        )
    };
    let list = suppressions::List::open(connection)?;
    let mut seen = HashSet::with_capacity(calls.len());
    let mut is_whole = true;
    for id in calls {
        if !seen.insert(id) {
            continue;
        }
        let Some(before) = readable(connection, id)? else {
            is_whole = false;
            continue;
        };
        // The pause between two dials is over for whoever takes the call up, and nobody else.
        let pauses = !before.dials.is_empty() && before.held_until.is_some();
        if before.state != CallState::Scheduled || pauses {
            claim.others.push(before);
        } else if before.order.expire_time.is_some_and(|end| end <= at) {
            claim.others.push(mark(id, Observation::Expired, None)?);
        } else if let Some(error) = list.refuses(&before.order.to)? {
            claim.others.push(mark(id, Observation::Failed(error), None)?);
        } else {
            claim.left.push(before);
        }
    }
    if outbox.is_some() && !(is_whole && claim.others.is_empty()) {
        return Ok(claim);
    }
    let mut about_to: HashSet<_> = claim.left.iter().map(|call| call.id).collect();
    let kept = outbox.map(|entry| outbox::keep(connection, entry, &mut about_to)).transpose()?;
    let (key, members) = kept.flatten().unzip();
    let members: HashSet<CallId> = members.unwrap_or_default().into_iter().collect();
    for call in std::mem::take(&mut claim.left) {
        let entry = key.filter(|_| members.contains(&call.id));
        claim.mine.push(mark(call.id, Observation::Dispatching, entry)?);
    }
    Ok(claim)
}

/// A call, unless it is not there, or can't be read: that must not keep the others from being
/// handed over.
fn readable(connection: &Connection, id: CallId) -> Result<Option<Call>, Trouble> {
    match read::call(connection, id) {
        Err(trouble) if !trouble.is_of_the_store() => {
            let error = LedgerError::from(trouble);
            tracing::error!(%error, "a call that waits is passed over");
            Ok(None)
        }
        call => call,
    }
}

/// Applies news to a call, which is put into an outbox entry or stays in the one it is in.
fn observe_one(
    connection: &Connection,
    news: News,
    put: Option<i64>,
    released: &mut Released,
) -> Result<Call, Trouble> {
    let (key, entry, mut call) =
        read::keyed_call(connection, news.call)?.ok_or(LedgerError::NoSuchCall(news.call))?;
    let entry = put.or(entry);
    if news.vendor.is_some_and(|vendor| vendor != call.vendor) {
        return Ok(call);
    }
    let (vendor, vendor_call_id) = (call.vendor.clone(), call.vendor_call_id.clone());
    let (revision, dial) = (call.revision, call.dial());
    let mut changed = call.apply_to(news.dial, held::rounded(news.observation), news.at);
    held::round(&mut call);
    // Of this dial, and not of one that is over or was ended by this: the next one says when
    // it is looked at.
    let is_current = news.dial.is_none_or(|dial| dial == call.dial()) && dial == call.dial();
    if let Some(due) = news.due.filter(|_| is_current) {
        changed |= call.look_again(due::rounded(due));
    }
    if !changed {
        return Ok(call);
    }
    let (document, due) = (row::document(&call)?, due::column(&call));
    let held = held::column(&call);
    let state = code(call.state);
    let kept = entry.filter(|_| outbox::is_needed(call.state));
    entry.filter(|_| kept.is_none()).inspect(|entry| released.add(*entry));
    if (&call.vendor, &call.vendor_call_id) == (&vendor, &vendor_call_id) {
        let columns = (key, state, document, due, kept, held);
        connection.prepare_cached(sql::UPDATE_CALL)?.execute(columns)?;
    } else {
        connection.prepare_cached(sql::UPDATE_PLACED_CALL)?.execute((
            key,
            state,
            document,
            due,
            kept,
            held,
            &call.vendor,
            &call.vendor_call_id,
        ))?;
    }
    if let (Some(over), true) = (call.dials.last(), call.dial() > dial) {
        let columns = (key, &call.vendor, &over.vendor_call_id);
        connection.prepare_cached(sql::INSERT_DIAL)?.execute(columns)?;
    }
    if call.revision != revision {
        note(connection, key, &call)?;
    }
    Ok(call)
}

/// Writes down a revision of a call.
fn note(connection: &Connection, key: i64, call: &Call) -> Result<(), Trouble> {
    connection.prepare_cached(sql::INSERT_CHANGE)?.execute((
        key,
        &call.route,
        code(call.state),
        row::changing(call)?,
    ))?;
    Ok(())
}
