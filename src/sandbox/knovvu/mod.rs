//! Knovvu: calls, their results, and the identity server.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    Spelling, System,
    fate::{self, End, Fate, Trouble},
    push::Telling,
    traffic::{Answer, Incoming, Reply},
    world::{NewCall, World},
};

mod identity;

pub(super) use identity::answer_identity;

/// Answers what lies under `/knovvu`. Errors have no documented form: a line of text.
pub(super) fn answer(world: &World, incoming: &Incoming, path: &str) -> Answer {
    match (path, &incoming.method) {
        ("/v2/call", &Method::POST) => call(world, incoming),
        ("/v2/callresult", &Method::POST) => results(world, incoming).into(),
        ("/v2/call" | "/v2/callresult", _) => {
            Reply::text(405, "only POST").with("allow", "POST").into()
        }
        _ => Reply::text(404, "no such path").into(),
    }
}

/// A call as asked for (`knovvu.md 2a`).
#[derive(Debug, PartialEq, Eq)]
struct Order {
    conversation: String,
    token: String,
    destination: String,
    display: String,
    result_to: Option<String>,
}

fn call(world: &World, incoming: &Incoming) -> Answer {
    let Some(object) = incoming.json() else { return Reply::text(400, "no JSON object").into() };
    let order = match read(&object) {
        Ok(order) => order,
        Err(field) => return Reply::text(400, format!("{field} is missing or wrong")).into(),
    };
    if !identity::is_good(world, incoming.now, &order.token) {
        return Reply::text(401, "AccessToken is not valid").into();
    }
    let fate = fate::of(&order.destination);
    match fate {
        Fate::Meets(Trouble::InvalidNumber) => {
            return Reply::text(400, "_Destination is not a phone number").into();
        }
        Fate::Meets(Trouble::NoBalance) => return Reply::text(402, "no credit left").into(),
        Fate::Meets(Trouble::TooFast) => {
            return Reply::text(429, "too many requests").with("retry-after", "1").into();
        }
        Fate::Meets(Trouble::Failure) => return Reply::text(500, "internal error").into(),
        Fate::Partial => return Reply::json(200, &json!({ "UniqueId": "" })).into(),
        Fate::Meets(_) | Fate::Ends(_) => {}
    }
    let id = world.new_id();
    let reply = Reply::json(200, &json!({ "UniqueId": id }));
    let call = NewCall {
        system: System::Knovvu,
        id,
        request_id: String::new(),
        owner: String::new(),
        numbers: vec![order.destination],
        reference: Some(order.conversation),
        caller: order.display,
        start: incoming.now,
        telling: Telling { destination: order.result_to, ..Telling::default() },
    };
    world.dial(incoming, vec![call]);
    match fate {
        Fate::Meets(Trouble::Hold) => Answer::Hold,
        Fate::Meets(Trouble::Reset) => Answer::Reset,
        Fate::Meets(Trouble::CutOff) => reply.cut_off().into(),
        _ => reply.into(),
    }
}

/// Gives the name of the first wrong field. Those that are not mandatory may be left
/// out, but not be empty or null.
fn read(object: &Map<String, Value>) -> Result<Order, &str> {
    for (name, value) in object {
        let right = match name.as_str() {
            "Project" | "Tenant" | "ConversationId" | "AccessToken" | "ScenarioPath"
            | "OrchestratorUrl" | "Locale" | "ResultDestination" => {
                value.as_str().is_some_and(|text| !text.is_empty())
            }
            "EndUser" => value.as_object().is_some_and(is_end_user),
            "ScenarioInputParameters" => value.is_array(),
            "SendResultImmediately" => value.is_boolean(),
            _ => false,
        };
        if !right {
            return Err(name);
        }
    }
    let text = |name: &'static str| {
        object.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(name)
    };
    for name in ["Project", "Tenant", "ScenarioPath", "OrchestratorUrl"] {
        text(name)?;
    }
    let parameters = object.get("ScenarioInputParameters").and_then(Value::as_array);
    let parameters = parameters.ok_or("ScenarioInputParameters")?;
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(parameter).collect::<Option<_>>().ok_or("ScenarioInputParameters")?;
    let parameter = |wanted: &'static str| {
        let mut values = parameters.iter().filter(|(name, _)| *name == wanted);
        match (values.next(), values.next()) {
            (Some((_, value)), None) if value.bytes().any(|byte| byte.is_ascii_digit()) => {
                Ok((*value).to_owned())
            }
            _ => Err(wanted),
        }
    };
    Ok(Order {
        conversation: text("ConversationId")?,
        token: text("AccessToken")?,
        destination: parameter("_Destination")?,
        display: parameter("_DisplayNumber")?,
        result_to: text("ResultDestination").ok(),
    })
}

fn is_end_user(user: &Map<String, Value>) -> bool {
    let known = |name: &str| ["Name", "Phone", "Email"].contains(&name);
    user.iter().all(|(name, value)| known(name) && value.is_string())
}

/// `{ "Name": …, "Value": … }` and nothing else.
fn parameter(value: &Value) -> Option<(&str, &str)> {
    let object = value.as_object().filter(|object| object.len() == 2)?;
    let name = object.get("Name")?.as_str().filter(|name| !name.is_empty())?;
    Some((name, object.get("Value")?.as_str()?))
}

/// A row for each call that is over (`knovvu.md 5a`). Nothing protects it.
fn results(world: &World, incoming: &Incoming) -> Reply {
    let Some(object) = incoming.json() else { return Reply::text(400, "no JSON object") };
    let ids = object.get("UniqueIds").and_then(Value::as_array).filter(|ids| !ids.is_empty());
    let ids: Option<Vec<&str>> = ids.and_then(|ids| ids.iter().map(Value::as_str).collect());
    let (Some(ids), 1) = (ids, object.len()) else {
        return Reply::text(400, "UniqueIds is missing or wrong");
    };
    // Nothing promises the order of the question.
    let calls = ids.iter().rev().filter_map(|id| world.call(System::Knovvu, id));
    let rows: Vec<Value> = calls
        .filter(|call| call.life.is_over(incoming.now))
        .map(|call| {
            let state = state(call.life.end, world.options.knovvu_states);
            json!({ "UniqueId": call.id, "CallRequestId": "", "CallState": state })
        })
        .collect();
    Reply::json(200, &json!({ "CallResults": rows }))
}

fn state(end: End, spelling: Spelling) -> String {
    let spaced = match end {
        End::Answered => "Answered",
        End::Busy => "Busy",
        End::NoAnswer => "No Answer",
        End::Rejected => "Rejected",
        End::InvalidNumber => "Invalid Number",
        End::Unavailable => "Temporarily Unavailable",
        End::Error => "Error",
    };
    match spelling {
        Spelling::Spaced => spaced.to_owned(),
        Spelling::Joined => spaced.replace(' ', ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_field_is_wrong() {
        let right = json!({
            "Project": "Demo",
            "ConversationId": "c-1",
            "AccessToken": "t",
            "ScenarioPath": "https://ivr.example.test/scenario",
            "OrchestratorUrl": "https://orchestrator.example.test",
            "Tenant": "Default",
            "EndUser": { "Name": "Jane", "Phone": "5000000000", "Email": "jane@example.test" },
            "Locale": "tr-TR",
            "ScenarioInputParameters": [
                { "Name": "_DisplayNumber", "Value": "200" },
                { "Name": "_Destination", "Value": "05000000000" },
                { "Name": "customer_name", "Value": "" },
            ],
            "ResultDestination": "https://adapter.example.test/results",
            "SendResultImmediately": false,
        });
        let order = read(right.as_object().unwrap()).unwrap();
        assert_eq!((order.destination.as_str(), order.display.as_str()), ("05000000000", "200"));
        for name in ["EndUser", "Locale", "ResultDestination", "SendResultImmediately"] {
            let mut body = right.clone();
            body.as_object_mut().unwrap().remove(name);
            assert!(read(body.as_object().unwrap()).is_ok(), "{name} is not mandatory");
        }
        for name in right.as_object().unwrap().keys() {
            let mut body = right.clone();
            body[name] = json!(7);
            assert_eq!(read(body.as_object().unwrap()), Err(name.as_str()));
        }
        for name in ["Project", "ConversationId", "AccessToken", "ScenarioPath", "OrchestratorUrl"]
            .into_iter()
            .chain(["Tenant", "ScenarioInputParameters"])
        {
            let mut body = right.clone();
            body.as_object_mut().unwrap().remove(name);
            assert_eq!(read(body.as_object().unwrap()), Err(name));
        }
        let shown = json!({ "Name": "_DisplayNumber", "Value": "200" });
        for (parameters, wrong) in [
            (json!([shown]), "_Destination"),
            (json!([shown, { "Name": "_Destination", "Value": "" }]), "_Destination"),
            (json!([{ "Name": "_Destination", "Value": "1" }]), "_DisplayNumber"),
            (json!([shown, shown, { "Name": "_Destination", "Value": "1" }]), "_DisplayNumber"),
            (json!([{ "Name": "a", "Value": 1 }]), "ScenarioInputParameters"),
            (json!([{ "Name": "a" }]), "ScenarioInputParameters"),
        ] {
            let mut body = right.clone();
            body["ScenarioInputParameters"] = parameters;
            assert_eq!(read(body.as_object().unwrap()), Err(wrong), "{body}");
        }
    }

    #[test]
    fn states_have_two_spellings() {
        assert_eq!(state(End::Unavailable, Spelling::Spaced), "Temporarily Unavailable");
        assert_eq!(state(End::Unavailable, Spelling::Joined), "TemporarilyUnavailable");
    }
}
