//! From orders to requests (phonon.md 2a, 6.3, 6.16): what can't be asked for, which
//! calls go together, and the bytes.

use std::{borrow::Cow, collections::HashMap, io};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::Offset};
use serde::Serialize;

use super::{
    settings::{Settings, is_flow_id},
    wire::{Create, Encrypted, Entry, Key, plain},
};
use crate::{
    call::{Cause, E164, Fault, Order, Script},
    http::{Body, HttpRequest, Method},
    vendors::{Objection, Outgoing},
};

/// Calls in one request (phonon.md 1).
pub(super) const MAX_CALLS: usize = 500;
/// Numbers of one person. The vendor names no limit; more than these is a mistake.
pub(super) const MAX_NUMBERS: usize = 10;
/// The longest body. The vendor takes 256 KB; some room is left (phonon.md 6.16).
pub(super) const MAX_BODY_BYTES: usize = 200_000;

/// Before a flow variable's name on the wire (phonon.md 2a).
pub(super) const VARIABLE_PREFIX: &str = "$flow.key.";
/// A name that starts so is on the wire as it is.
const VENDOR_PREFIX: &str = "$flow.";

/// The flow variable that holds our own id of the call, for the flow to give back when it
/// posts results: no published push has the `client-identifier` (phonon.md 5d, 6.6, 6.7).
const OWN_ID: &str = "dialplane_call_id";

/// The last part of a day in India in which a call starts on the next one. A start on a
/// past date is refused, and a request written before midnight may be read after it
/// (phonon.md 6.3), the later when it is sent a second time.
const MIDNIGHT_LEAD: SignedDuration = SignedDuration::from_secs(60);

/// Why the vendor would not take an order.
pub(super) fn check(settings: &Settings, order: &Order) -> Vec<Objection> {
    let mut objections = Vec::new();
    if let Some(Script::Audio(_)) = &order.script {
        objections.push(Objection::unsupported(
            "audio",
            "Phonon plays no audio files by themselves; name a flow",
        ));
    } else {
        objections.extend(check_flow(settings, order));
    }
    if order.caller_id.is_some() {
        objections.push(Objection::unsupported(
            "caller_id",
            "Phonon shows the number mapped to the flow; leave it out",
        ));
    }
    if order.to.len() > MAX_NUMBERS {
        objections.push(Objection::unsupported(
            "to",
            format!("has {} numbers; at most {MAX_NUMBERS} are tried", order.to.len()),
        ));
    }
    objections.extend(check_variables(settings, order));
    let flow = flow_of(settings, order.script.as_ref()).unwrap_or_default();
    if body_bytes(settings, envelope_bytes(settings, flow), entry_bytes(settings, order), flow)
        > MAX_BODY_BYTES
    {
        objections.push(Objection::invalid(
            "variables",
            format!("are too long: Phonon takes {MAX_BODY_BYTES} bytes in all for a call"),
        ));
    }
    objections
}

fn check_flow(settings: &Settings, order: &Order) -> Option<Objection> {
    match flow_of(settings, order.script.as_ref()) {
        None => Some(Objection::invalid(
            "flow",
            "is empty, and neither the route nor the vendor has one; expected 8 letters and digits",
        )),
        Some(flow) if !is_flow_id(flow) => Some(Objection::invalid(
            "flow",
            "is not one of Phonon's; expected 8 letters and digits, such as AbCd1234",
        )),
        Some(_) => None,
    }
}

fn check_variables(settings: &Settings, order: &Order) -> Vec<Objection> {
    let mut objections = Vec::new();
    for name in order.variables.keys() {
        let field = || format!("variables[{name:?}]");
        let bare = name.strip_prefix(VARIABLE_PREFIX).or(name.strip_prefix(VENDOR_PREFIX));
        if bare.unwrap_or(name).trim().is_empty() {
            objections.push(Objection::invalid(field(), "has no name"));
        }
        let given = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(name);
        if settings.callback.is_some() && plain(given) == plain(OWN_ID) {
            objections.push(Objection::invalid(field(), "is set by the gateway"));
        }
        // Both would be one variable on the wire, with two values.
        let twin = name.strip_prefix(VARIABLE_PREFIX);
        if twin.is_some_and(|twin| order.variables.contains_key(twin)) {
            objections.push(Objection::invalid(
                field(),
                "is given twice, with and without the vendor's prefix",
            ));
        }
    }
    objections
}

/// The flow that runs: the call's, else the configured one.
pub(super) fn flow_of<'a>(settings: &'a Settings, script: Option<&'a Script>) -> Option<&'a str> {
    match script {
        Some(Script::Flow(flow)) => Some(flow),
        Some(Script::Audio(_)) => None,
        None => settings.flow_id.as_deref(),
    }
}

/// Orders of one flow together, as many as fit.
pub(super) fn batches(settings: &Settings, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>> {
    struct Open {
        batch: usize,
        envelope_bytes: usize,
        entries_bytes: usize,
    }
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut open: HashMap<&str, Open> = HashMap::new();
    for (index, outgoing) in orders.iter().enumerate() {
        let flow = flow_of(settings, outgoing.order.script.as_ref()).unwrap_or_default();
        let bytes = entry_bytes(settings, outgoing.order);
        if let Some(open) = open.get_mut(flow)
            && let Some(batch) = batches.get_mut(open.batch)
        {
            // And the comma.
            let entries_bytes = open.entries_bytes + 1 + bytes;
            let body_bytes = body_bytes(settings, open.envelope_bytes, entries_bytes, flow);
            if batch.len() < MAX_CALLS && body_bytes <= MAX_BODY_BYTES {
                batch.push(index);
                open.entries_bytes = entries_bytes;
                continue;
            }
        }
        let envelope_bytes = envelope_bytes(settings, flow);
        open.insert(flow, Open { batch: batches.len(), envelope_bytes, entries_bytes: bytes });
        batches.push(vec![index]);
    }
    batches
}

/// The request for a batch.
pub(super) fn request(
    settings: &Settings,
    batch: &[Outgoing<'_>],
    now: Timestamp,
) -> Result<HttpRequest, Fault> {
    let flow = batch.first().and_then(|first| flow_of(settings, first.order.script.as_ref()));
    let Some(flow) = flow else {
        return Err(Fault::new(Cause::InvalidCall, "NO_FLOW", "there is no flow to run"));
    };
    let entries = batch.iter().map(|outgoing| {
        let start = start_time(now, outgoing.order.start_time, outgoing.order.expire_time);
        entry(settings, outgoing.id.to_string(), reference(outgoing), start, outgoing.order)
    });
    let unwritten = |what: &str| {
        Fault::new(Cause::Operator, "REQUEST_NOT_WRITTEN", format!("{what}; nothing was sent"))
    };
    let json = serde_json::to_vec(&create(settings, flow, entries.collect()))
        .map_err(|error| unwritten(&error.to_string()))?;
    let body = match &settings.encryption {
        None => json,
        Some(encryption) => encryption
            .body(&json, flow)
            .map_err(|_| unwritten("the request could not be encrypted"))?,
    };
    Ok(HttpRequest {
        method: Method::Post,
        url: settings.create_url.clone(),
        headers: Vec::new(),
        body: Body::Json(Bytes::from(body)),
    })
}

fn create<'a>(settings: &'a Settings, flow: &'a str, calls: Vec<Entry<'a>>) -> Create<'a> {
    Create {
        api_version: settings.api_version.as_str(),
        security_id: settings.security_id.expose(),
        flow_id: flow,
        calls,
    }
}

/// The `client-identifier`: another one for each dial of a call, so that the vendor can't
/// take the second for a repetition of the first, whatever its start time (phonon.md 6.5).
pub(super) fn reference(outgoing: &Outgoing<'_>) -> String {
    outgoing.id.of_dial(outgoing.dial).to_string()
}

fn entry<'a>(
    settings: &Settings,
    own_id: String,
    client_identifier: String,
    start_time: String,
    order: &'a Order,
) -> Entry<'a> {
    let name = |name: &str| format!("{VARIABLE_PREFIX}{name}");
    let mut keys: Vec<_> = order
        .variables
        .iter()
        .map(|(key, value)| Key {
            name: if key.starts_with(VENDOR_PREFIX) {
                Cow::Borrowed(key.as_str())
            } else {
                Cow::Owned(name(key))
            },
            value: Cow::Borrowed(value.as_str()),
        })
        .collect();
    if settings.callback.is_some() {
        let value = Cow::Owned(own_id);
        keys.push(Key { name: Cow::Owned(name(OWN_ID)), value });
    }
    keys.sort_unstable();
    let contact_numbers = order.to.iter().map(E164::digits).collect();
    Entry { client_identifier, start_time, contact_numbers, keys }
}

/// Every id and every start time have the same length, so an entry's is known before.
fn entry_bytes(settings: &Settings, order: &Order) -> usize {
    const ID: &str = "00000000-0000-0000-0000-000000000000";
    const START: &str = "0000-00-00T00:00:00+05:30";
    json_bytes(&entry(settings, ID.to_owned(), ID.to_owned(), START.to_owned(), order))
}

/// What is around the entries: of the JSON and, when requests are encrypted, of the
/// body.
fn envelope_bytes(settings: &Settings, flow: &str) -> usize {
    json_bytes(&create(settings, flow, Vec::new()))
}

/// The length of the body that is sent.
fn body_bytes(settings: &Settings, envelope: usize, entries: usize, flow: &str) -> usize {
    let json = envelope + entries;
    match &settings.encryption {
        None => json,
        Some(encryption) => {
            let around = json_bytes(&Encrypted { value: "", wrapped_key: "", flow_id: flow });
            encryption.body_bytes(json, around)
        }
    }
}

/// How long a value is as JSON, without writing it anywhere.
fn json_bytes(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // What can't be written fits nowhere; it is refused before it is sent.
        Err(_) => MAX_BODY_BYTES + 1,
    }
}

/// The time in India, which has no daylight saving.
pub(super) fn india() -> Offset {
    Offset::constant(5).saturating_add(SignedDuration::from_mins(30))
}

/// `start-time`, in India's time without a fraction: the time asked for, rounded up to
/// the second, or now. Close to midnight the next day's beginning, unless the call has
/// expired by then: the vendor may refuse it as it stands, but does not dial too late.
pub(super) fn start_time(
    now: Timestamp,
    asked: Option<Timestamp>,
    expires: Option<Timestamp>,
) -> String {
    let today = india().to_datetime(now);
    let start = match asked.filter(|asked| *asked > now) {
        Some(asked) => india().to_datetime(rounded_up(asked)),
        None => today,
    };
    let start = match midnight_after(today) {
        Some((midnight, at))
            if start.date() == today.date()
                && at.duration_since(now) <= MIDNIGHT_LEAD
                && expires.is_none_or(|expires| expires > at) =>
        {
            midnight
        }
        _ => start,
    };
    start.strftime("%Y-%m-%dT%H:%M:%S+05:30").to_string()
}

fn rounded_up(time: Timestamp) -> Timestamp {
    if time.subsec_nanosecond() == 0 {
        return time;
    }
    let floor = time.as_second() - i64::from(time.subsec_nanosecond() < 0);
    Timestamp::from_second(floor + 1).unwrap_or(time)
}

fn midnight_after(today: DateTime) -> Option<(DateTime, Timestamp)> {
    let midnight = today.date().tomorrow().ok()?.at(0, 0, 0, 0);
    let at = india().to_timestamp(midnight).ok()?;
    Some((midnight, at))
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
