//! What Phonon posts (phonon.md 5b to 5e, 6.9, 6.18): two fixed formats, and whatever an
//! account makes of the custom one.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{
    place::VARIABLE_PREFIX,
    row::read_push,
    wire::{Fields, VendorId, plain},
};
use crate::{
    call::CallId,
    config::Secret,
    http::Delivery,
    vendors::{
        Callback, Malformed, Placed, Push, Pushed, Told,
        callback::{Posted, credentials, news, posted, posted_id},
    },
};

/// What the vendor authenticates with when it posts results: HTTP basic, the only proof it
/// offers.
#[derive(Debug)]
pub(super) struct Login {
    /// Compared like a credential, so that not even the user can be guessed by time.
    pub(super) user: Secret,
    pub(super) password: Secret,
}

/// Names that may be JSON text: in a form, or where a placeholder is within quotes.
const FOLDED: [&str; 4] = ["body", "calldetails", "keys", "recordingurls"];

/// Other channels of the flow: nothing of them is read, and they hold what was written to
/// people.
const PASSED_OVER: [&str; 2] = ["smsdetails", "emaildetails"];

/// Names under which our own id may come back, the surest first: a flow's variables, which
/// a push may list, may have the other one for a purpose of their own.
const OWN_IDS: [&str; 2] = ["dialplanecallid", "clientidentifier"];

impl Callback for Login {
    fn read(&self, delivery: &Delivery) -> Result<Push, Malformed> {
        let value = match posted(delivery) {
            Posted::Nothing => return Ok(Push::News(Vec::new())),
            Posted::Json(value) => value,
            Posted::Form(fields) => Value::Object(fields),
            Posted::Other => return Err(Malformed("is neither JSON nor a form")),
        };
        match value {
            // Says nothing at all: what a try of the address may send.
            Value::Object(fields) if fields.is_empty() => Ok(Push::News(Vec::new())),
            Value::Array(items) if items.is_empty() => Ok(Push::News(Vec::new())),
            Value::Array(items) => {
                let pieces: Result<Vec<_>, _> =
                    items.into_iter().filter_map(|item| piece(item).transpose()).collect();
                news(pieces?)
            }
            value => news(piece(value)?.into_iter().collect()),
        }
    }

    fn is_authentic(&self, delivery: &Delivery, _push: Option<&Push>) -> bool {
        let (given, (user, password)) = match basic(delivery) {
            Some(login) => (true, login),
            None => (false, Default::default()),
        };
        // Without stopping at the first that is wrong.
        let (is_user, is_password) = (self.user.is(&user), self.password.is(&password));
        // No token is ever configured, so an address with one is not ours.
        given & is_user & is_password & delivery.token.is_none()
    }

    fn challenge(&self) -> Option<&'static str> {
        Some("Basic realm=\"dialplane\"")
    }

    fn told(&self, said: &Value, call: &Placed<'_>) -> Told {
        let Some((uuid, report)) = read_push(&unfolded(said), call.to) else {
            return Told::Nothing;
        };
        // One call has one id for all its attempts (phonon.md 6.8).
        let is_another = uuid
            .zip(call.vendor_call_id)
            .is_some_and(|(told, known)| !told.eq_ignore_ascii_case(known));
        if is_another { Told::Nothing } else { Told::Result(report) }
    }
}

/// User and password (RFC 7617).
fn basic(delivery: &Delivery) -> Option<(String, String)> {
    let decoded = STANDARD.decode(credentials(delivery, "Basic")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// What is said of one call; none when none is named.
fn piece(said: Value) -> Result<Option<Pushed>, Malformed> {
    let whole = unfolded(&said);
    let Some(outer) = Fields::of(&whole) else { return Ok(None) };
    let inner = outer.get("body").and_then(Fields::of);
    let places: Vec<&Fields<'_>> = inner.iter().chain([&outer]).collect();
    let uuid = places.iter().map(|fields| fields.id("phononuuid"));
    let vendor_call_id = match uuid.into_iter().find(|id| *id != VendorId::Missing) {
        Some(VendorId::Is(id)) => Some(posted_id(id)?),
        Some(VendorId::Unreadable) => return Err(Malformed("has a phonon-uuid that can't be one")),
        Some(VendorId::Missing) | None => None,
    };
    let call_id = own_id(&places);
    let is_named = vendor_call_id.is_some() || call_id.is_some();
    Ok(is_named.then(|| Pushed {
        vendor_call_id,
        call_id,
        said: without_other_channels(said),
        keep: true,
    }))
}

/// Our own id, wherever the flow or the webhook puts it: beside the other fields, or among
/// the flow's variables (phonon.md 5c).
fn own_id(places: &[&Fields<'_>]) -> Option<CallId> {
    OWN_IDS.iter().find_map(|wanted| {
        places.iter().find_map(|fields| {
            let prefixed = format!("{VARIABLE_PREFIX}{wanted}");
            let beside = [*wanted, &prefixed].into_iter().find_map(|name| fields.text(name));
            let beside = beside.and_then(|id| id.parse().ok());
            beside.or_else(|| fields.list("keys").iter().find_map(|key| variable(key, wanted)))
        })
    })
}

/// The id in an entry of the flow's variables, if it is the one wanted.
fn variable(entry: &Value, wanted: &str) -> Option<CallId> {
    let fields = Fields::of(entry)?;
    let name = plain(&fields.text("name")?);
    let name = name.strip_prefix(VARIABLE_PREFIX).unwrap_or(&name);
    if name == wanted { fields.text("value")?.parse().ok() } else { None }
}

/// With JSON in place of its text, where lists and objects are expected.
fn unfolded(value: &Value) -> Value {
    let mut whole = value.clone();
    if let Value::Object(fields) = &mut whole {
        unfold(fields);
        let is_body = |name: &str| plain(name) == "body";
        for (_, body) in fields.iter_mut().filter(|(name, _)| is_body(name)) {
            if let Value::Object(inner) = body {
                unfold(inner);
            }
        }
    }
    whole
}

fn unfold(fields: &mut Map<String, Value>) {
    for (name, value) in fields {
        let Value::String(text) = value else { continue };
        let may_be_json = text.trim_start().starts_with(['{', '[']);
        if may_be_json && FOLDED.contains(&plain(name).as_str()) {
            *value = serde_json::from_str(text).unwrap_or(Value::Null);
        }
    }
}

fn without_other_channels(mut said: Value) -> Value {
    let drop = |fields: &mut Map<String, Value>| {
        fields.retain(|name, _| !PASSED_OVER.contains(&plain(name).as_str()));
    };
    if let Value::Object(fields) = &mut said {
        drop(fields);
        for (_, inner) in fields.iter_mut() {
            if let Value::Object(inner) = inner {
                drop(inner);
            }
        }
    }
    said
}

#[cfg(test)]
#[path = "callback_tests.rs"]
mod tests;
