//! Takes calls (E1 to E5).

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use super::{
    codes::Code,
    order::{self, Account, Order, Version},
    sealed,
};
use crate::sandbox::{
    System,
    fate::{self, Fate, Trouble},
    push::Telling,
    traffic::{Answer, Incoming, Reply},
    world::{KeptOut, NewCall, World},
};

/// The ways in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// E1 and E3.
    Plain,
    /// E4 and E5: encrypted.
    Sealed,
    /// E2: no ids come back.
    Bulk,
}

pub(super) fn answer(world: &World, incoming: &Incoming, lane: Lane) -> Answer {
    take(world, incoming, lane).unwrap_or_else(|code| code.reply().into())
}

fn take(world: &World, incoming: &Incoming, lane: Lane) -> Result<Answer, Code> {
    let bytes = incoming.body.as_deref().unwrap_or_default();
    let checksum = digest::digest(&digest::SHA256, bytes).as_ref().to_vec();
    let mut object = incoming.json().ok_or(Code::INVALID_FORMAT)?;
    if lane == Lane::Sealed {
        object = unsealed(world, &object)?;
    }
    order::only(&object, &["api-version", "security-id", "flow-id", "calls"])?;
    let account = Account::read(&object)?;
    // Before anything that depends on the time: the same bytes stay a repetition.
    if world.is_repeated(&checksum) {
        return Err(Code::CHECKSUM_REPEATED);
    }
    let version = order::version(&object)?;
    if version == Version::Testing && lane == Lane::Bulk {
        return Err(Code::INVALID_API_VERSION);
    }
    let orders = order::orders(&object, incoming.now)?;
    if version == Version::Testing && !all_on_test_list(world, &orders) {
        return Err(Code::PHONE_NOT_WHITELISTED);
    }
    let trouble = orders.iter().find_map(|order| match fate_of(order) {
        Fate::Meets(trouble) => Some(trouble),
        _ => None,
    });
    if let Some(refused) = trouble.and_then(refusal) {
        return refused;
    }
    match world.admit(incoming.now, checksum, orders.len(), lane != Lane::Bulk) {
        Ok(()) => {}
        Err(KeptOut::Repeated) => return Err(Code::CHECKSUM_REPEATED),
        Err(KeptOut::TooFast(seconds)) => return Ok(too_fast(seconds).into()),
    }
    let reply = dial(world, incoming, lane, &account, orders);
    Ok(match trouble {
        Some(Trouble::Hold) => Answer::Hold,
        Some(Trouble::Reset) => Answer::Reset,
        Some(Trouble::CutOff) => reply.cut_off().into(),
        _ => reply.into(),
    })
}

/// The body inside an encrypted one, which must be for the flow named outside.
fn unsealed(world: &World, object: &Map<String, Value>) -> Result<Map<String, Value>, Code> {
    let names = ["requestEncryptedValue", "requestDigitalSignatureValue", "flow-id"];
    order::only(object, &names)?;
    let sealed = order::text(object, "requestEncryptedValue")?;
    let wrapped_key = order::text(object, "requestDigitalSignatureValue")?;
    let flow_id = order::text(object, "flow-id")?;
    let key = world.key().ok_or(Code::FAILURE)?;
    let json = sealed::open(key, wrapped_key, sealed).ok_or(Code::INVALID_FORMAT)?;
    match serde_json::from_slice(&json) {
        Ok(Value::Object(inside))
            if inside.get("flow-id").and_then(Value::as_str) == Some(flow_id) =>
        {
            Ok(inside)
        }
        Ok(Value::Object(_)) => Err(Code::INVALID_FLOW_ID),
        _ => Err(Code::INVALID_FORMAT),
    }
}

fn all_on_test_list(world: &World, orders: &[Order]) -> bool {
    let mut numbers = orders.iter().flat_map(|order| &order.numbers);
    numbers.all(|number| world.options.phonon_test_numbers.contains(number))
}

fn fate_of(order: &Order) -> Fate {
    order.numbers.first().map_or(Fate::Partial, |number| fate::of(number))
}

/// The trouble that comes in place of dialling.
fn refusal(trouble: Trouble) -> Option<Result<Answer, Code>> {
    Some(match trouble {
        Trouble::InvalidNumber => Err(Code::INVALID_CONTACT_NUMBER),
        Trouble::NoBalance => Err(Code::INSUFFICIENT_BALANCE),
        Trouble::TooFast => Ok(too_fast(1).into()),
        Trouble::Failure => Err(Code::FAILURE),
        Trouble::Hold | Trouble::Reset | Trouble::CutOff => return None,
    })
}

/// Not documented. Given as the gateways in front of such services do: an HTTP status
/// and no code of Phonon's.
fn too_fast(seconds: i64) -> Reply {
    Reply::json(429, &json!({ "message": "Too Many Requests" }))
        .with("retry-after", seconds.to_string())
}

/// Takes every call but those whose number says 17, and writes the answer.
fn dial(
    world: &World,
    incoming: &Incoming,
    lane: Lane,
    account: &Account,
    orders: Vec<Order>,
) -> Reply {
    let request_id = world.new_id();
    let mut details = Vec::new();
    let mut calls = Vec::new();
    let mut code = Code::SUCCESS;
    for order in orders {
        if lane != Lane::Bulk && fate_of(&order) == Fate::Partial {
            code = Code::PARTIAL_SUCCESS;
            details.push(json!({ "client-identifier": order.reference }));
            continue;
        }
        let id = world.new_id();
        details.push(json!({ "client-identifier": order.reference, "phonon-uuid": id }));
        calls.push(NewCall {
            system: if lane == Lane::Bulk { System::PhononBulk } else { System::Phonon },
            id,
            request_id: request_id.clone(),
            owner: account.owner(),
            numbers: order.numbers,
            reference: Some(order.reference),
            caller: "912200000000".to_owned(),
            start: order.start,
            telling: Telling {
                flow: account.flow_id.clone(),
                variables: order.variables,
                destination: None,
            },
        });
    }
    world.dial(incoming, calls);
    // No place in the list is promised: only the identifier tells which call is meant.
    details.reverse();
    if lane == Lane::Bulk {
        let body = json!({
            "api-response-code": 202,
            "api-response-message": "Accepted",
            "request-id": request_id,
            "call-details": null,
        });
        return Reply::json(202, &body);
    }
    let body = json!({
        "api-response-code": code.0,
        "api-response-message": code.message(),
        "request-id": request_id,
        "call-details": details,
    });
    Reply::json(200, &body)
}
