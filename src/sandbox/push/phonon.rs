//! Phonon's push, in each of its formats (`phonon.md 5b` to `5d`).

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use super::{
    PhononBody, PhononWebhook, Telling,
    post::{FORM, JSON, Letter, loopback},
    queue::Part,
};
use crate::sandbox::{
    fate::End,
    journal::Call,
    phonon::{leg_json, status},
};

/// The variable that accounts with a body of their own have echoed, for an adapter that
/// carries its id of a call in it: bulk calls have no other.
const ECHOED: &str = "dialplane_call_id";

pub(super) fn letter(
    webhook: &PhononWebhook,
    call: &Call,
    telling: &Telling,
    part: Part,
) -> Option<Letter> {
    let legs = legs(call, part);
    let (content_type, body) = match webhook.body {
        PhononBody::Dlr => (JSON, dlr(call, telling, legs).to_string()),
        PhononBody::FlowEnd => (JSON, flow_end(call, telling, part, legs).to_string()),
        PhononBody::Custom => (JSON, Value::Object(custom(call, telling, part, legs)).to_string()),
        PhononBody::CustomForm => (FORM, form(&custom(call, telling, part, legs))),
    };
    let address = webhook.flows.get(&telling.flow).unwrap_or(&webhook.url);
    let address = address.replace("{flow}", &telling.flow);
    let address = address.replace("{system}", call.system.name());
    let has_login = !webhook.user.is_empty() || !webhook.password.is_empty();
    let login = || BASE64.encode(format!("{}:{}", webhook.user, webhook.password));
    Some(Letter {
        system: call.system,
        url: loopback(&address).ok()?,
        authorization: has_login.then(|| format!("Basic {}", login())),
        content_type,
        body,
    })
}

/// The legs told of, each as `phonon.md 5b` has it.
fn legs(call: &Call, part: Part) -> Vec<Value> {
    let told = match part {
        Part::Legs(count) => count,
        Part::Whole => call.life.legs.len(),
    };
    let legs = call.life.legs.iter().take(told).enumerate();
    legs.map(|(index, leg)| leg_json(call, index, leg)).collect()
}

/// `phonon.md 5b`. What comes behind its middle is not public: `keys` is put there as
/// the format before had it. What has nothing to say is left out.
fn dlr(call: &Call, telling: &Telling, legs: Vec<Value>) -> Value {
    let mut body = Map::new();
    body.insert("phonon-uuid".to_owned(), call.id.as_str().into());
    if !legs.is_empty() {
        body.insert("callDetails".to_owned(), legs.into());
    }
    if !telling.variables.is_empty() {
        body.insert("keys".to_owned(), keys(telling));
    }
    json!({ "body": body })
}

/// `phonon.md 5c`: fewer fields, and the duration in seconds.
fn flow_end(call: &Call, telling: &Telling, part: Part, legs: Vec<Value>) -> Value {
    const FIELDS: [&str; 7] = [
        "calleeNumber",
        "connectTime",
        "didNumber",
        "endTime",
        "hangupCause",
        "incoming",
        "startTime",
    ];
    let details = legs.into_iter().zip(&call.life.legs).map(|(json, leg)| {
        let mut fields = Map::new();
        for name in FIELDS {
            if let Some(value) = json.get(name) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
        fields.insert("duration".to_owned(), leg.talked().as_secs().to_string().into());
        Value::Object(fields)
    });
    let mut recordings = Vec::new();
    if part == Part::Whole && call.life.end == End::Answered {
        recordings.push(json!({
            "recordedFileName": format!("{}.wav", call.id),
            "recordedFilePublicPath": format!("https://recordings.example.test/{}.wav", call.id),
        }));
    }
    json!({
        "callDetails": details.collect::<Vec<_>>(),
        "keys": keys(telling),
        "phonon-uuid": call.id,
        "recordingUrls": recordings,
    })
}

/// The vendor's sample of a body of one's own (`phonon.md 5d`), with the variable of an
/// adapter beside it.
fn custom(call: &Call, telling: &Telling, part: Part, legs: Vec<Value>) -> Map<String, Value> {
    let status = match part {
        Part::Legs(_) => "REATTEMPT_SCHEDULED",
        Part::Whole => status(call),
    };
    let mut body = Map::new();
    body.insert("flowStatus".to_owned(), status.into());
    body.insert("phonon-uuid".to_owned(), call.id.as_str().into());
    body.insert("method".to_owned(), "POST".into());
    body.insert("callDetails".to_owned(), legs.into());
    let echoed = format!("$flow.key.{ECHOED}");
    if let Some((_, value)) = telling.variables.iter().find(|(name, _)| *name == echoed) {
        body.insert(ECHOED.to_owned(), value.as_str().into());
    }
    body
}

/// Texts as they are; the legs, which no form has a place for, as JSON.
fn form(fields: &Map<String, Value>) -> String {
    let mut form = Serializer::new(String::new());
    for (name, value) in fields {
        match value {
            Value::String(text) => form.append_pair(name, text),
            other => form.append_pair(name, &other.to_string()),
        };
    }
    form.finish()
}

fn keys(telling: &Telling) -> Value {
    let keys = telling.variables.iter();
    keys.map(|(name, value)| json!({ "name": name, "value": value })).collect()
}
