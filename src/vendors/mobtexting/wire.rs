//! The JSON of `outgoing/send` and `outgoing/callstatus`. What is sent is typed; what
//! comes back changes its types from one page to the next, so it is read field by
//! field, and no field that isn't needed can spoil an answer.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// The body of `outgoing/send` (mobtexting.md 2).
#[derive(Serialize)]
pub struct Send<'a> {
    /// The number shown: digits.
    pub bridge: &'a str,
    /// The number called: country code and digits, no "+".
    pub to: &'a str,
    /// A flow made in the portal; this or `audio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_id: Option<&'a str>,
    /// A sound's id or address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<&'a str>,
    /// Minutes between retries; left out when none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// Where the vendor posts the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_id: Option<&'a str>,
    /// `variables[name]` each, as in every sample (mobtexting.md 6 #13).
    #[serde(flatten)]
    pub variables: BTreeMap<String, &'a str>,
}

/// A row of `data`: a call.
pub type Row = Map<String, Value>;

/// What surrounds every answer.
#[derive(Debug)]
pub struct Envelope {
    /// `status`: a number or a text.
    pub status: Option<String>,
    /// `code`, which many answers leave out.
    pub code: Option<String>,
    /// For people: never to be branched on (mobtexting.md 6 #5).
    pub message: String,
    /// `data`.
    pub rows: Vec<Row>,
}

/// What an answer's body says as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// `OK` or `200`.
    Yes,
    /// An HTTP status of 400 and above, in `status` or in `code`.
    No(u16),
    /// `ERROR`, without such a code.
    Error,
    /// Nothing, nothing known, or a yes with a code that isn't one.
    Other,
}

impl Envelope {
    /// None when the body is no JSON object.
    pub fn read(body: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else { return None };
        let rows = match fields.remove("data") {
            Some(Value::Array(items)) => items
                .into_iter()
                .filter_map(|item| match item {
                    Value::Object(row) => Some(row),
                    _ => None,
                })
                .collect(),
            Some(Value::Object(row)) => vec![row],
            _ => Vec::new(),
        };
        Some(Self {
            status: text(&fields, "status"),
            code: text(&fields, "code"),
            message: text(&fields, "message").unwrap_or_default(),
            rows,
        })
    }

    /// What it says, by `status` and `code` alone.
    pub fn says(&self) -> Says {
        let status = self.status.as_deref().map_or("", str::trim);
        let code = self.code.as_deref().map_or("", str::trim);
        let failure = |text: &str| text.parse().ok().filter(|n: &u16| (400..600).contains(n));
        if status == "200" || status.eq_ignore_ascii_case("OK") {
            let agrees = matches!(code, "" | "200" | "202") || code.eq_ignore_ascii_case("OK");
            return if agrees { Says::Yes } else { Says::Other };
        }
        match failure(status).or_else(|| failure(code)) {
            Some(code) => Says::No(code),
            None if status.eq_ignore_ascii_case("ERROR") => Says::Error,
            None => Says::Other,
        }
    }
}

/// A field that is a text or a number, as text, verbatim; none when it is empty,
/// missing or anything else.
pub fn text(row: &Row, key: &str) -> Option<String> {
    match row.get(key)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(body: &str) -> Says {
        Envelope::read(body.as_bytes()).unwrap().says()
    }

    #[test]
    fn yes_has_many_spellings() {
        for body in [
            r#"{"status":200}"#,
            r#"{"status":"200"}"#,
            r#"{"status":"OK"}"#,
            r#"{"status":"ok"}"#,
            r#"{"status":"Ok","code":200}"#,
            r#"{"status":"OK","code":"200"}"#,
            r#"{"status":"OK","code":null}"#,
        ] {
            assert_eq!(says(body), Says::Yes, "{body}");
        }
    }

    #[test]
    fn anything_else_is_not_yes() {
        for (body, expected) in [
            (r#"{"status":422}"#, Says::No(422)),
            (r#"{"status":"503"}"#, Says::No(503)),
            (r#"{"status":"ERROR","code":401}"#, Says::No(401)),
            (r#"{"status":"error","code":"402"}"#, Says::No(402)),
            (r#"{"code":500}"#, Says::No(500)),
            (r#"{"status":"ERROR"}"#, Says::Error),
            (r#"{"status":"Error","code":0}"#, Says::Error),
            (r#"{"status":"OK","code":422}"#, Says::Other),
            (r#"{"status":"queued"}"#, Says::Other),
            (r#"{"status":600}"#, Says::Other),
            (r#"{"status":399}"#, Says::Other),
            (r#"{"status":true}"#, Says::Other),
            (r#"{"status":null}"#, Says::Other),
            ("{}", Says::Other),
        ] {
            assert_eq!(says(body), expected, "{body}");
        }
    }

    #[test]
    fn only_objects_are_answers_and_only_objects_are_rows() {
        for body in ["", "[]", "null", "\"OK\"", "200", "<html>", "{", "{}{}"] {
            assert!(Envelope::read(body.as_bytes()).is_none(), "{body}");
        }
        for (body, rows) in [
            (r#"{"data":[{"id":1},7,null,{"id":2}]}"#, 2),
            (r#"{"data":{"id":1}}"#, 1),
            (r#"{"data":[]}"#, 0),
            (r#"{"data":null}"#, 0),
            (r#"{"data":"x"}"#, 0),
            ("{}", 0),
        ] {
            assert_eq!(Envelope::read(body.as_bytes()).unwrap().rows.len(), rows, "{body}");
        }
    }
}
