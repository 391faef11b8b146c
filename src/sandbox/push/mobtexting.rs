//! MobTexting's push (`mobtexting.md 5b`).

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::{
    MobTextingBody, MobTextingWebhook, Telling,
    post::{FORM, JSON, Letter, loopback},
};
use crate::sandbox::{
    fate::End,
    journal::Call,
    mobtexting::{local, seconds, word},
};

pub(super) fn letter(
    webhook: &MobTextingWebhook,
    call: &Call,
    telling: &Telling,
) -> Option<Letter> {
    let (content_type, body) = match webhook.body {
        MobTextingBody::Standard => (JSON, standard(call, telling).to_string()),
        MobTextingBody::Composed => {
            let fields = composed(call).into_iter();
            let fields = fields.map(|(name, value)| (name.to_owned(), Value::from(value)));
            (JSON, Value::Object(fields.collect()).to_string())
        }
        MobTextingBody::ComposedForm => {
            (FORM, Serializer::new(String::new()).extend_pairs(composed(call)).finish())
        }
    };
    let secret = webhook.secret.as_str();
    Some(Letter {
        system: call.system,
        url: loopback(&webhook.url).ok()?,
        authorization: (!secret.is_empty()).then(|| format!("Bearer {secret}")),
        content_type,
        body,
    })
}

/// Numbers are JSON numbers here, and the duration, which counts the ringing, a string.
/// `mid` is said to be the campaign's message id; whether it is the call's, as here, is
/// not.
fn standard(call: &Call, telling: &Telling) -> Value {
    let mut body = json!({
        "bridge": number(&call.caller),
        "from": number(&call.caller),
        "to": number(to(call)),
        "source": "OBD",
        "mid": call.id,
        "start_at": local(call.life.start()),
        "end_at": local(call.life.finish()),
        "duration": seconds(call).to_string(),
        "status": word(call.life.end),
    });
    let Some(fields) = body.as_object_mut() else { return body };
    if !telling.flow.is_empty() {
        fields.insert("flow_id".to_owned(), number(&telling.flow));
        if call.life.end == End::Answered {
            let recording = format!("https://recordings.example.test/{}.mp3", call.id);
            fields.insert("recording_url".to_owned(), recording.into());
        }
    }
    body
}

/// What an account's own template with these placeholders comes to.
fn composed(call: &Call) -> [(&'static str, String); 6] {
    [
        ("id", call.id.clone()),
        ("to", to(call).to_owned()),
        ("status", word(call.life.end).to_owned()),
        ("start_at", local(call.life.start())),
        ("end_at", local(call.life.finish())),
        ("duration", seconds(call).to_string()),
    ]
}

fn to(call: &Call) -> &str {
    call.numbers.first().map_or("", String::as_str)
}

/// Bare digits, if it is digits.
fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| text.into(), Value::from)
}
