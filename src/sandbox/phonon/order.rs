//! Reads a request for calls as strictly as Phonon's pages allow (`phonon.md 2a`).
//! What is missing is code 210, what has the wrong type or an unknown name 400.

use std::collections::HashSet;

use jiff::{Timestamp, civil};
use serde_json::{Map, Value};

use super::codes::Code;
use crate::sandbox::india;

/// Who asks: read first, since it decides what else is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) security_id: String,
    pub(super) flow_id: String,
}

impl Account {
    /// What a question must know to be told of a call.
    pub(super) fn owner(&self) -> String {
        format!("{} {}", self.security_id, self.flow_id)
    }

    /// Reads and checks the two ids.
    pub(super) fn read(object: &Map<String, Value>) -> Result<Self, Code> {
        let security_id = text(object, "security-id")?;
        let flow_id = text(object, "flow-id")?;
        let is_zero = security_id.bytes().all(|byte| byte == b'0');
        if !is_alphanumeric(security_id, 64) || is_zero {
            return Err(Code::INVALID_SECURITY_ID);
        }
        if !is_alphanumeric(flow_id, 8) || flow_id == "NOFLOW00" {
            return Err(Code::INVALID_FLOW_ID);
        }
        if let Some(code) = Code::asked_for_by(flow_id) {
            return Err(code);
        }
        Ok(Self { security_id: security_id.to_owned(), flow_id: flow_id.to_owned() })
    }
}

fn is_alphanumeric(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Which version of a flow is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Production,
    Testing,
}

/// A request's version.
pub(super) fn version(object: &Map<String, Value>) -> Result<Version, Code> {
    match text(object, "api-version")? {
        "1.0" => Ok(Version::Production),
        "TEST" => Ok(Version::Testing),
        _ => Err(Code::INVALID_API_VERSION),
    }
}

/// One entry of `calls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) reference: String,
    pub(super) start: Timestamp,
    pub(super) numbers: Vec<String>,
    /// Names as sent, values.
    pub(super) variables: Vec<(String, String)>,
}

/// The entries of `calls`.
pub(super) fn orders(object: &Map<String, Value>, now: Timestamp) -> Result<Vec<Order>, Code> {
    let calls = list(object, "calls")?;
    if calls.is_empty() {
        return Err(Code::EMPTY_CALL_LIST);
    }
    if calls.len() > 500 {
        return Err(Code::MAX_DATA_LIST_SIZE_EXCEEDED);
    }
    let orders: Vec<Order> = calls.iter().map(|call| order(call, now)).collect::<Result<_, _>>()?;
    // The answer names calls by them, so stricter than Phonon's pages (`phonon.md 6.7`).
    let mut known = HashSet::with_capacity(orders.len());
    if orders.iter().all(|order| !order.reference.is_empty() && known.insert(&order.reference)) {
        Ok(orders)
    } else {
        Err(Code::INVALID_MANDATORY_PARAMETERS)
    }
}

fn order(call: &Value, now: Timestamp) -> Result<Order, Code> {
    let call = call.as_object().ok_or(Code::INVALID_FORMAT)?;
    only(call, &["client-identifier", "start-time", "contact-numbers", "keys"])?;
    let reference = text(call, "client-identifier")?.to_owned();
    let start = start_time(text(call, "start-time")?, now)?;
    let numbers = list(call, "contact-numbers")?;
    if numbers.is_empty() {
        return Err(Code::INVALID_MANDATORY_PARAMETERS);
    }
    let numbers = numbers.iter().map(number).collect::<Result<_, _>>()?;
    let variables = list(call, "keys")?.iter().map(key).collect::<Result<_, _>>()?;
    Ok(Order { reference, start, numbers, variables })
}

fn number(value: &Value) -> Result<String, Code> {
    let number = value.as_str().ok_or(Code::INVALID_FORMAT)?;
    let is_number =
        (5..=15).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { Ok(number.to_owned()) } else { Err(Code::INVALID_CONTACT_NUMBER) }
}

fn key(value: &Value) -> Result<(String, String), Code> {
    let key = value.as_object().ok_or(Code::INVALID_FORMAT)?;
    only(key, &["name", "value"])?;
    let name = text(key, "name")?;
    let value = text(key, "value")?;
    match name.strip_prefix("$flow.key.") {
        Some(variable) if !variable.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Code::INVALID_MANDATORY_PARAMETERS),
    }
}

/// Reads `2024-07-01T10:15:00+05:30`, the newest of the three forms in print. A date
/// before today's in India is refused; a time gone by today means now.
fn start_time(text: &str, now: Timestamp) -> Result<Timestamp, Code> {
    const FORM: &str = "%Y-%m-%dT%H:%M:%S";
    let local = text.strip_suffix("+05:30").ok_or(Code::INVALID_FORMAT)?;
    let time = civil::DateTime::strptime(FORM, local).map_err(|_| Code::INVALID_FORMAT)?;
    // Reading is laxer than writing: a space, a missing zero.
    if time.strftime(FORM).to_string() != local || time.date() < india::clock(now).date() {
        return Err(Code::INVALID_FORMAT);
    }
    india::time(time).ok_or(Code::INVALID_FORMAT)
}

/// A mandatory string.
pub(super) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, Code> {
    match object.get(name) {
        None | Some(Value::Null) => Err(Code::INVALID_MANDATORY_PARAMETERS),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Code::INVALID_FORMAT),
    }
}

/// A mandatory array.
pub(super) fn list<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], Code> {
    match object.get(name) {
        None | Some(Value::Null) => Err(Code::INVALID_MANDATORY_PARAMETERS),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(Code::INVALID_FORMAT),
    }
}

/// Nothing but these names.
pub(super) fn only(object: &Map<String, Value>, names: &[&str]) -> Result<(), Code> {
    let known = object.keys().all(|name| names.contains(&name.as_str()));
    if known { Ok(()) } else { Err(Code::INVALID_FORMAT) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// 23:59:59 on 30 June in India.
    fn now() -> Timestamp {
        "2024-06-30T18:29:59Z".parse().unwrap()
    }

    #[test]
    fn start_times() {
        let read = |text| start_time(text, now()).map(|time| time.to_string());
        assert_eq!(read("2024-07-01T10:15:00+05:30"), Ok("2024-07-01T04:45:00Z".to_owned()));
        assert_eq!(read("2024-06-30T00:00:00+05:30"), Ok("2024-06-29T18:30:00Z".to_owned()));
        for wrong in [
            "2024-06-29T23:59:59+05:30",
            "2024-07-01T10:15:00Z",
            "2024-07-01T10:15:00+00:00",
            "2024-07-01T10:15:00.000+05:30",
            "2021-04-28T03:48:07.111Z+05:30",
            "2024-07-01 10:15:00+05:30",
            "2024-7-1T10:15:00+05:30",
            "2024-02-30T10:15:00+05:30",
            "+05:30",
            "",
        ] {
            assert_eq!(read(wrong), Err(Code::INVALID_FORMAT), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_call() {
        let right = json!({
            "client-identifier": "a",
            "start-time": "2024-07-01T10:15:00+05:30",
            "contact-numbers": ["919900000001", "919900000002"],
            "keys": [{ "name": "$flow.key.name", "value": "Asha" }],
        });
        assert_eq!(order(&right, now()).unwrap().numbers.len(), 2);
        for (field, value, code) in [
            ("client-identifier", Value::Null, 210),
            ("client-identifier", json!(1), 400),
            ("start-time", json!(1), 400),
            ("contact-numbers", json!([]), 210),
            ("contact-numbers", json!("919900000001"), 400),
            ("contact-numbers", json!([919_900_000_001_u64]), 400),
            ("contact-numbers", json!(["+919900000001"]), 205),
            ("contact-numbers", json!(["919900000001", "x"]), 205),
            ("contact-numbers", json!(["1234567890123456"]), 205),
            ("keys", Value::Null, 210),
            ("keys", json!({}), 400),
            ("keys", json!([{ "name": "name", "value": "" }]), 210),
            ("keys", json!([{ "name": "$flow.key.", "value": "" }]), 210),
            ("keys", json!([{ "name": "$flow.key.a", "value": 1 }]), 400),
            ("keys", json!([{ "name": "$flow.key.a" }]), 210),
            ("keys", json!([{ "name": "$flow.key.a", "value": "", "x": 1 }]), 400),
            ("other", json!(1), 400),
        ] {
            let mut wrong = right.clone();
            wrong[field] = value;
            assert_eq!(order(&wrong, now()), Err(Code(code)), "{wrong}");
        }
    }

    #[test]
    fn an_account_has_two_ids_of_fixed_length() {
        let read = |security: &str, flow: &str| {
            let object = json!({ "security-id": security, "flow-id": flow });
            Account::read(object.as_object().unwrap()).map(|_| ()).map_err(|code| code.0)
        };
        let good = "a".repeat(64);
        assert_eq!(read(&good, "AbCd1234"), Ok(()));
        assert_eq!(read(&"a".repeat(63), "AbCd1234"), Err(202));
        assert_eq!(read(&"-".repeat(64), "AbCd1234"), Err(202));
        assert_eq!(read(&"0".repeat(64), "AbCd1234"), Err(202));
        assert_eq!(read(&good, "AbCd123"), Err(301));
        assert_eq!(read(&good, "AbCd123!"), Err(301));
        assert_eq!(read(&good, "NOFLOW00"), Err(301));
        assert_eq!(read(&good, "CODE0208"), Err(208));
    }

    proptest! {
        #[test]
        fn start_time_never_panics(text: String) {
            let _ = start_time(&text, now());
            let _ = start_time(&format!("{text}+05:30"), now());
        }
    }
}
