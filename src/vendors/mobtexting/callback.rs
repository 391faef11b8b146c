//! What MobTexting posts (mobtexting.md 5b): the standard body, and those that an account
//! composes from the vendor's placeholders.

use serde_json::{Map, Value, json};

use super::{
    MobTexting, results,
    settings::Proof,
    wire::{Row, text},
};
use crate::{
    call::E164,
    http::Delivery,
    vendors::{
        Callback, Malformed, Placed, Push, Pushed, Told,
        callback::{Posted, credentials, news, posted, posted_id},
    },
};

/// The longest challenge of a handshake, in bytes: it is sent back, to whoever sent it.
const MAX_CHALLENGE_BYTES: usize = 1_024;

impl Callback for MobTexting {
    fn read(&self, delivery: &Delivery) -> Result<Push, Malformed> {
        match posted(delivery) {
            Posted::Json(Value::Object(fields)) => match fields.get("challenge") {
                Some(challenge) => handshake(&fields, challenge),
                None => piece(fields),
            },
            Posted::Form(fields) => piece(fields),
            Posted::Nothing | Posted::Json(_) | Posted::Other => {
                Err(Malformed("is neither a JSON object nor a form"))
            }
        }
    }

    fn is_authentic(&self, delivery: &Delivery, push: Option<&Push>) -> bool {
        let Some(proof) = &self.settings.callback else { return false };
        // An address with a token is ours only if one is configured.
        let is_address = delivery.token.as_deref().is_none_or(|token| is_token(proof, token));
        let is_proven = match push {
            Some(Push::Handshake { proof: key, .. }) => {
                let is_key = is_token(proof, key.as_deref().unwrap_or_default());
                let tokens = delivery.query.iter().filter(|(name, _)| name == "token");
                // Of several each has to be right.
                let is_query = tokens.fold(true, |fine, (_, text)| fine & is_token(proof, text));
                is_key & is_query
            }
            Some(Push::News(_)) | None => {
                let given = credentials(delivery, "Bearer").unwrap_or_default();
                proof.secret.is(given)
            }
        };
        is_address & is_proven
    }

    fn challenge(&self) -> Option<&'static str> {
        Some("Bearer")
    }

    fn told(&self, said: &Value, call: &Placed<'_>) -> Told {
        let Some(row) = said.as_object() else { return Told::Nothing };
        let id = text(row, "id").filter(|id| !id.trim().is_empty());
        let is_another = id
            .as_deref()
            .zip(call.vendor_call_id)
            .is_some_and(|(told, known)| !results::is_same_id(told, known));
        if is_another {
            return Told::Nothing;
        }
        match results::number_text(row).map(|text| text.trim().parse::<E164>()) {
            Some(Ok(number)) if call.to.contains(&number) => {}
            None => {}
            // The id is right; the number may be masked, or written in another way.
            Some(_) if id.is_some() => return Told::Ask,
            Some(_) => return Told::Nothing,
        }
        // Only `id` is stated to be the call's: `mid` is that of a campaign's message, and
        // what comes with it is no more than a hint.
        let report = id.and_then(|_| results::pushed(call, row, &self.settings.time_zone));
        report.map_or(Told::Ask, Told::Result)
    }
}

/// Never without a configured one.
fn is_token(proof: &Proof, text: &str) -> bool {
    proof.token.as_ref().is_some_and(|token| token.is(text))
}

fn handshake(fields: &Map<String, Value>, challenge: &Value) -> Result<Push, Malformed> {
    let text = challenge.as_str().ok_or(Malformed("has a challenge that is no text"))?;
    if text.len() > MAX_CHALLENGE_BYTES {
        return Err(Malformed("has a challenge that is too long"));
    }
    let proof = fields.get("validation_key").and_then(Value::as_str).map(str::to_owned);
    Ok(Push::Handshake { proof, answer: json!({ "challenge": text }) })
}

fn piece(fields: Row) -> Result<Push, Malformed> {
    let named = |name| text(&fields, name).filter(|id| !id.trim().is_empty());
    // A "mid" is stated to be a campaign's: most name no call of ours.
    let keep = named("id").is_some();
    let Some(id) = named("id").or_else(|| named("mid")) else {
        return Err(Malformed("has neither an id nor a mid"));
    };
    let vendor_call_id = Some(posted_id(id)?);
    news(vec![Pushed { vendor_call_id, call_id: None, said: Value::Object(fields), keep }])
}

#[cfg(test)]
#[path = "callback/tests.rs"]
mod tests;
