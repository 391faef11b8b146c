//! The JSON of `/v2/call` and `/v2/callresult`, names in PascalCase both ways.

use serde::Serialize;
use serde_json::{Map, Value};

/// The body of `/v2/call` (knovvu.md 2a).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Call<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The call's own id: the vendor wants one and never names it again.
    pub conversation_id: String,
    /// Travels in the body, not in a header.
    pub access_token: &'a str,
    /// The scenario's address.
    pub scenario_path: &'a str,
    /// The orchestrator's address.
    pub orchestrator_url: &'a str,
    /// The tenant's name.
    pub tenant: &'a str,
    /// Who is called.
    pub end_user: EndUser<'a>,
    /// Of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<&'a str>,
    /// The two the vendor wants, then the script's variables.
    pub scenario_input_parameters: Vec<Parameter<'a>>,
    /// Left out rather than sent empty (knovvu.md 6.15).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_destination: Option<&'a str>,
    /// As soon as the scenario ends, and not some time later.
    pub send_result_immediately: bool,
}

/// The person called.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndUser<'a> {
    /// Their name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: &'a str,
    /// Their number.
    pub phone: &'a str,
    /// Their e-mail address.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub email: &'a str,
}

/// A value for the scenario.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Parameter<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// The parameter that holds the number shown.
pub const DISPLAY_NUMBER: &str = "_DisplayNumber";
/// The parameter that holds the number called.
pub const DESTINATION: &str = "_Destination";

/// The body of `/v2/callresult` (knovvu.md 2b).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Question<'a> {
    /// As `/v2/call` gave them.
    pub unique_ids: Vec<&'a str>,
}

/// The object in a body, if there is one.
pub fn object(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// A field, in whatever case: what writes such names writes `uniqueId` after one
/// change of a setting.
pub fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields
        .get(name)
        .or_else(|| fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v))
}

/// A field that is a text or a number, as text (knovvu.md 6.2); none when it is empty,
/// missing or anything else.
pub fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    match field(fields, name)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_texts_or_numbers_in_any_case() {
        let fields =
            object(br#"{"UniqueId":"a1","uniqueid":"b2","n":7,"e":" ","z":null,"l":["x"]}"#)
                .unwrap();
        for (name, expected) in [
            ("UniqueId", Some("a1")),
            ("uniqueid", Some("b2")),
            ("N", Some("7")),
            ("e", None),
            ("z", None),
            ("l", None),
            ("missing", None),
        ] {
            assert_eq!(text(&fields, name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn only_objects_are_answers() {
        for body in ["", "[]", "null", "\"a1b2c3\"", "{", "<html>"] {
            assert!(object(body.as_bytes()).is_none(), "{body}");
        }
    }
}
