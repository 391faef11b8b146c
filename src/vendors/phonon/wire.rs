//! Phonon's JSON: what is written (phonon.md 2a, 2b, 5a), and how its answers are
//! read, whose names and types differ from page to page (phonon.md 6.12).

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::Value;

use crate::vendors::bounds::MAX_ID_BYTES;

// None of these print: they hold the credential and people's numbers.

/// Places calls (phonon.md 2a). The order of the fields is that of the document.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Create<'a> {
    pub(super) api_version: &'a str,
    pub(super) security_id: &'a str,
    pub(super) flow_id: &'a str,
    pub(super) calls: Vec<Entry<'a>>,
}

/// One call of [`Create`].
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Entry<'a> {
    pub(super) client_identifier: String,
    pub(super) start_time: String,
    pub(super) contact_numbers: Vec<&'a str>,
    pub(super) keys: Vec<Key<'a>>,
}

/// One flow variable of [`Entry`].
#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Cow<'a, str>,
}

/// The encrypted form of [`Create`] (phonon.md 2b).
#[derive(Serialize)]
pub(super) struct Encrypted<'a> {
    #[serde(rename = "requestEncryptedValue")]
    pub(super) value: &'a str,
    /// The wrapped key, whatever its name says.
    #[serde(rename = "requestDigitalSignatureValue")]
    pub(super) wrapped_key: &'a str,
    #[serde(rename = "flow-id")]
    pub(super) flow_id: &'a str,
}

/// Asks about calls (phonon.md 5a). Version 1 has neither credential nor flow.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Ask<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) security_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_id: Option<&'a str>,
    pub(super) phonon_uuids: Vec<&'a str>,
    pub(super) fetch_attempt: &'static str,
}

/// An object of the vendor's, by names without case, "-" and "_": `phonon-uuid`,
/// `phonon_uuid` and `phononUuid` are one. A null is as good as missing.
pub(super) struct Fields<'a>(BTreeMap<String, &'a Value>);

impl<'a> Fields<'a> {
    /// None when the value is not an object.
    pub(super) fn of(value: &'a Value) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for (name, value) in value.as_object()? {
            if !value.is_null() {
                fields.entry(plain(name)).or_insert(value);
            }
        }
        Some(Self(fields))
    }

    /// The value at a name, which is given in its plain form.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).copied()
    }

    /// A text, or a number as a text, without blanks around it; none when it is empty.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        text_of(self.get(name)?)
    }

    /// Yes or no, as such or as a text.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(yes) => Some(*yes),
            Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// A whole number, as such or as a text. A fraction is cut off.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        text.split('.').next().and_then(|whole| whole.parse().ok())
    }

    /// A list; a lone object is a list of one.
    pub(super) fn list(&self, name: &str) -> &'a [Value] {
        match self.get(name) {
            Some(Value::Array(items)) => items,
            Some(lone @ Value::Object(_)) => std::slice::from_ref(lone),
            _ => &[],
        }
    }

    /// One of the vendor's ids.
    pub(super) fn id(&self, name: &str) -> VendorId {
        match self.get(name) {
            None => VendorId::Missing,
            Some(Value::String(text)) if text.trim().is_empty() => VendorId::Missing,
            Some(Value::String(text)) if text.len() <= MAX_ID_BYTES => VendorId::Is(text.clone()),
            Some(_) => VendorId::Unreadable,
        }
    }
}

/// One of the vendor's ids, as an answer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum VendorId {
    /// Verbatim.
    Is(String),
    /// Not there, null or empty.
    Missing,
    /// Not a text, or longer than [`MAX_ID_BYTES`].
    Unreadable,
}

impl VendorId {
    /// The id, if it can be read.
    pub(super) fn readable(self) -> Option<String> {
        match self {
            Self::Is(id) => Some(id),
            Self::Missing | Self::Unreadable => None,
        }
    }
}

/// A text, or a number as a text, without blanks around it; none when it is empty.
pub(super) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.trim())).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// A name without case, "-" and "_".
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_read_in_every_spelling() {
        for name in ["phonon-uuid", "phonon_uuid", "phononUuid", "PhononUUID"] {
            let value = json!({ name: "u-1" });
            assert_eq!(Fields::of(&value).unwrap().text("phononuuid").unwrap(), "u-1", "{name}");
        }
        let both = json!({ "phonon-uuid": null, "phononUuid": "u-1" });
        assert_eq!(Fields::of(&both).unwrap().text("phononuuid").unwrap(), "u-1");
        assert!(Fields::of(&json!([])).is_none());
    }

    #[test]
    fn types_are_read_leniently() {
        let value = json!({
            "a": "125230", "b": 125230, "c": 125230.0, "d": " true ", "e": false, "f": "  ",
            "g": null, "h": -1, "i": "FALSE", "j": {}, "k": [{}, 1],
        });
        let fields = Fields::of(&value).unwrap();
        for name in ["a", "b", "c"] {
            assert_eq!(fields.number(name), Some(125_230), "{name}");
        }
        assert_eq!(
            (fields.flag("d"), fields.flag("e"), fields.flag("i")),
            (Some(true), Some(false), Some(false))
        );
        assert_eq!((fields.text("f"), fields.text("g"), fields.number("h")), (None, None, None));
        assert_eq!(
            (fields.list("j").len(), fields.list("k").len(), fields.list("a").len()),
            (1, 2, 0)
        );
    }

    #[test]
    fn ids_are_texts_of_at_most_128_bytes() {
        let value = json!({ "a": "x".repeat(128), "b": "x".repeat(129), "c": "", "d": 7 });
        let fields = Fields::of(&value).unwrap();
        assert_eq!(fields.id("a").readable().map(|id| id.len()), Some(128));
        assert_eq!(fields.id("b"), VendorId::Unreadable);
        assert_eq!(fields.id("c"), VendorId::Missing);
        assert_eq!(fields.id("d"), VendorId::Unreadable);
        assert_eq!(fields.id("z"), VendorId::Missing);
    }
}
