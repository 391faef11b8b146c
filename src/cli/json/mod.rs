//! Messages of the API in JSON, as protobuf maps them and grpcurl prints them: fields by their
//! lowerCamelCase names, those that are not set left out, 64-bit integers in quotes.
//!
//! It goes by the descriptors that the gateway has for reflection anyhow, so a field that is
//! added to the API is there without anybody thinking of it.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine, prelude::BASE64_STANDARD};
use prost::{Message, Name};

mod known;
mod shape;
mod wire;

pub(super) use known::time;

use shape::{Field, Kind, Shape, Shapes};
use wire::Raw;

/// How deep messages may lie in each other.
const MAX_DEPTH: usize = 64;

/// Writes messages in JSON.
pub(super) struct Json {
    shapes: Shapes,
}

impl Json {
    /// For all messages of the API, and the details of errors.
    pub(super) fn new() -> Self {
        Self { shapes: Shapes::of_the_api() }
    }

    /// A message, on one line.
    pub(super) fn line<M: Message + Name>(&self, message: &M) -> String {
        let mut out = String::new();
        self.message(&M::full_name(), &message.encode_to_vec(), MAX_DEPTH, &mut out);
        out
    }

    fn message(&self, name: &str, bytes: &[u8], depth: usize, out: &mut String) {
        let Some(depth) = depth.checked_sub(1) else { return out.push_str("null") };
        if self.known(name, bytes, depth, out) {
            return;
        }
        out.push('{');
        self.fields(name, bytes, depth, &mut Commas(true), out);
        out.push('}');
    }

    /// What stands between the braces.
    fn fields(
        &self,
        name: &str,
        bytes: &[u8],
        depth: usize,
        commas: &mut Commas,
        out: &mut String,
    ) {
        let Some(shape) = self.shapes.message(name) else { return };
        let values = wire::fields(bytes);
        for field in &shape.fields {
            let Some(values) = values.get(&field.number) else { continue };
            commas.next(out);
            string(&field.name, out);
            out.push(':');
            self.field(field, values, depth, out);
        }
    }

    fn field(&self, field: &Field, values: &[Raw<'_>], depth: usize, out: &mut String) {
        if let Some(entry) = self.map_of(field) {
            return self.map(entry, values, depth, out);
        }
        if !field.is_repeated {
            // The last one counts.
            return match values.last() {
                Some(value) => self.value(&field.kind, value, depth, out),
                None => out.push_str("null"),
            };
        }
        let mut commas = Commas(true);
        out.push('[');
        for value in values {
            for value in wire::unpacked(value, field.kind.is_packable()) {
                commas.next(out);
                self.value(&field.kind, &value, depth, out);
            }
        }
        out.push(']');
    }

    /// The entries' shape, if it is a map.
    fn map_of(&self, field: &Field) -> Option<&Shape> {
        let Kind::Message(name) = &field.kind else { return None };
        self.shapes.message(name).filter(|shape| shape.is_map_entry)
    }

    /// In the order of the keys.
    fn map(&self, entry: &Shape, values: &[Raw<'_>], depth: usize, out: &mut String) {
        let mut sorted = BTreeMap::new();
        for value in values {
            let Raw::Bytes(bytes) = value else { continue };
            let parts = wire::fields(bytes);
            let last = |number: u32| parts.get(&number).and_then(|values| values.last()).copied();
            sorted.insert(last(1).map(|key| key.text()).unwrap_or_default(), last(2));
        }
        let mut commas = Commas(true);
        out.push('{');
        for (key, value) in sorted {
            commas.next(out);
            string(&key, out);
            out.push(':');
            let Some(field) = entry.fields.iter().find(|field| field.number == 2) else { continue };
            match value {
                Some(value) => self.value(&field.kind, &value, depth, out),
                // Left out on the wire where it is empty.
                None => self.value(&field.kind, &field.kind.nothing(), depth, out),
            }
        }
        out.push('}');
    }

    fn value(&self, kind: &Kind, value: &Raw<'_>, depth: usize, out: &mut String) {
        match (kind, value) {
            (Kind::Message(name), Raw::Bytes(bytes)) => self.message(name, bytes, depth, out),
            (Kind::Text, Raw::Bytes(bytes)) => string(&String::from_utf8_lossy(bytes), out),
            (Kind::Bytes, Raw::Bytes(bytes)) => string(&BASE64_STANDARD.encode(bytes), out),
            (Kind::Bool, Raw::Number(n)) => out.push_str(if *n == 0 { "false" } else { "true" }),
            (Kind::Enum(name), Raw::Number(n)) => match self.shapes.value_name(name, *n) {
                Some(name) => string(name, out),
                None => number(*n as i64, out),
            },
            (Kind::Int32, Raw::Number(n)) => number(*n as i64, out),
            (Kind::Uint32, Raw::Number(n)) => number(*n, out),
            (Kind::Int64, Raw::Number(n)) => quoted(*n as i64, out),
            (Kind::Uint64, Raw::Number(n)) => quoted(*n, out),
            (Kind::Double, Raw::Number(n)) => double(f64::from_bits(*n), out),
            _ => out.push_str("null"),
        }
    }
}

/// Whether the next one is the first.
struct Commas(bool);

impl Commas {
    fn next(&mut self, out: &mut String) {
        if !std::mem::replace(&mut self.0, false) {
            out.push(',');
        }
    }
}

/// A text in JSON.
fn string(text: &str, out: &mut String) {
    // A string can always be written.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn number(n: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "{n}");
}

fn quoted(n: impl std::fmt::Display, out: &mut String) {
    let _ = write!(out, "\"{n}\"");
}

/// JSON has no other numbers.
fn double(value: f64, out: &mut String) {
    match serde_json::Number::from_f64(value) {
        // 12.0 is 12 for everybody who prints protobuf in JSON.
        Some(_) if value == 0.0 && value.is_sign_negative() => out.push_str("-0"),
        Some(_) if value.fract() == 0.0 && value.abs() < 1e15 => number(value as i64, out),
        Some(json) => number(json, out),
        None if value.is_nan() => out.push_str("\"NaN\""),
        None => out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }),
    }
}

#[cfg(test)]
mod tests;
