//! Takes a call (`mobtexting.md 2` and `3`).

use serde_json::{Map, Value, json};

use super::{
    error,
    status::{is_digits, local},
    too_fast,
};
use crate::sandbox::{
    AnswerForm, System,
    fate::{self, Fate, Trouble},
    push::Telling,
    traffic::{Answer, Incoming, Reply},
    world::{NewCall, World},
};

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Order {
    bridge: String,
    to: String,
    flow_id: Option<String>,
}

pub(super) fn answer(world: &World, incoming: &Incoming) -> Answer {
    let Some(object) = incoming.json() else {
        return error(400, "The body is not a JSON object").into();
    };
    let order = match read(&object) {
        Ok(order) => order,
        Err(field) => return invalid(field).into(),
    };
    let fate = fate::of(&order.to);
    match fate {
        Fate::Meets(Trouble::InvalidNumber) => return invalid("to").into(),
        Fate::Meets(Trouble::NoBalance) => return error(402, "Insufficient balance").into(),
        Fate::Meets(Trouble::TooFast) => return too_fast(1).into(),
        Fate::Meets(Trouble::Failure) => return error(500, "Server Error").into(),
        // Nothing was queued, although the status says OK.
        Fate::Partial => return accepted(world, Vec::new()).into(),
        Fate::Meets(_) | Fate::Ends(_) => {}
    }
    let reply = dial(world, incoming, order);
    match fate {
        Fate::Meets(Trouble::Hold) => Answer::Hold,
        Fate::Meets(Trouble::Reset) => Answer::Reset,
        Fate::Meets(Trouble::CutOff) => reply.cut_off().into(),
        _ => reply.into(),
    }
}

/// Gives the name of the first wrong field.
fn read(object: &Map<String, Value>) -> Result<Order, &str> {
    for (name, value) in object {
        let right = match name.as_str() {
            "bridge" | "to" => value.as_str().is_some_and(is_digits),
            "flow_id" => value.as_str().is_some_and(|text| !text.is_empty()),
            "audio" => value.as_str().is_some_and(is_audio),
            "name" => value.is_string(),
            "webhook_id" => value.as_str().is_some_and(is_uuid),
            "interval" => value.as_u64().is_some_and(|n| [5, 15, 30, 45, 60].contains(&n)),
            // Flattened only: a nested `variables` is documented nowhere.
            variable => is_variable(variable) && value.is_string(),
        };
        if !right {
            return Err(name);
        }
    }
    let text = |name| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let (flow_id, audio) = (text("flow_id"), text("audio"));
    if flow_id.is_some() == audio.is_some() {
        return Err("flow_id");
    }
    let bridge = text("bridge").ok_or("bridge")?;
    Ok(Order { bridge, to: text("to").ok_or("to")?, flow_id })
}

fn is_variable(name: &str) -> bool {
    let inner = name.strip_prefix("variables[").and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| !inner.is_empty() && !inner.contains(['[', ']']))
}

/// An uploaded sound's id, or an address anyone can reach.
fn is_audio(text: &str) -> bool {
    let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    is_uuid(text) || address.is_some_and(|rest| !rest.is_empty())
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A 422. Its shape is documented nowhere beyond that of every error.
fn invalid(field: &str) -> Reply {
    error(422, &format!("The {field} field is missing or invalid."))
}

fn dial(world: &World, incoming: &Incoming, order: Order) -> Reply {
    let now = incoming.now;
    let form = world.options.mobtexting_answers;
    let mut id = world.new_id();
    if form == AnswerForm::Older {
        id.push_str(":1");
    }
    let row = match form {
        AnswerForm::Older => json!({
            "id": id,
            "mobile": order.to,
            "charges": "0.5000",
            "customid": "",
            "customid1": "",
            "iso_code": null,
            "submitted_at": local(now),
        }),
        AnswerForm::Newest => json!({
            "id": id,
            "channel": "outgoing",
            "caller_id": order.bridge,
            "mobile": order.to,
            "flow_id": order.flow_id,
            "credits": 1,
            "created_at": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            "foreign_id": null,
            "options": null,
            "status": "queued",
        }),
    };
    let call = NewCall {
        system: System::MobTexting,
        id,
        request_id: String::new(),
        owner: String::new(),
        numbers: vec![order.to],
        reference: None,
        caller: order.bridge,
        start: now,
        telling: Telling { flow: order.flow_id.unwrap_or_default(), ..Telling::default() },
    };
    world.dial(incoming, vec![call]);
    accepted(world, vec![row])
}

fn accepted(world: &World, rows: Vec<Value>) -> Reply {
    let body = match world.options.mobtexting_answers {
        AnswerForm::Older => json!({
            "status": 200,
            "message": format!("{} numbers accepted for delivery.", rows.len()),
            "data": rows,
        }),
        AnswerForm::Newest => {
            json!({ "status": "OK", "message": "Calls queued successfully", "data": rows })
        }
    };
    Reply::json(200, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_field_is_wrong() {
        let right = json!({
            "bridge": "918000000001",
            "to": "919900000002",
            "flow_id": "77",
            "name": "reminder",
            "interval": 15,
            "webhook_id": "0b6f3f0e-1111-4222-8333-444455556666",
            "variables[otp]": "4711",
        });
        assert!(read(right.as_object().unwrap()).is_ok());
        for (field, value, wrong) in [
            ("bridge", json!("+918000000001"), "bridge"),
            ("to", json!("91 99"), "to"),
            ("to", json!(919_900_000_002_u64), "to"),
            ("to", json!(""), "to"),
            ("flow_id", json!(77), "flow_id"),
            ("flow_id", json!(""), "flow_id"),
            ("audio", json!("https://example.test/a.mp3"), "flow_id"),
            ("audio", json!("a.mp3"), "audio"),
            ("interval", json!(0), "interval"),
            ("interval", json!(10), "interval"),
            ("interval", json!("15"), "interval"),
            ("webhook_id", json!("x"), "webhook_id"),
            ("variables", json!({ "otp": "4711" }), "variables"),
            ("variables[otp]", json!(4711), "variables[otp]"),
            ("variables[otp]", json!({ "a": "b" }), "variables[otp]"),
            ("variables[]", json!("a"), "variables[]"),
            ("variables[a][b]", json!("a"), "variables[a][b]"),
            ("ivr_id", json!("77"), "ivr_id"),
        ] {
            let mut body = right.clone();
            body[field] = value;
            assert_eq!(read(body.as_object().unwrap()), Err(wrong), "{body}");
        }
        for missing in ["bridge", "to", "flow_id"] {
            let mut body = right.clone();
            body.as_object_mut().unwrap().remove(missing);
            assert_eq!(read(body.as_object().unwrap()), Err(missing));
        }
    }

    #[test]
    fn audio_takes_the_place_of_a_flow() {
        for audio in ["0b6f3f0e-1111-4222-8333-444455556666", "http://example.test/a.mp3"] {
            let body = json!({ "bridge": "91", "to": "91", "audio": audio });
            assert_eq!(read(body.as_object().unwrap()).unwrap().flow_id, None);
        }
    }
}
