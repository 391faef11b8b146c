//! Messages that protobuf writes in JSON in ways of their own.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use prost::Message;
use prost_types::{Any, Duration, ListValue, Struct, Value, value};

use super::{Commas, Json, double, string};

/// Those that may be in an Any as well, where what they are written as is its "value".
const KNOWN: [&str; 4] = [
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.Struct",
    "google.protobuf.Any",
];

impl Json {
    /// Whether it is one of those, which is written then.
    pub(super) fn known(&self, name: &str, bytes: &[u8], depth: usize, out: &mut String) -> bool {
        match name {
            "google.protobuf.Timestamp" => string(&time(&read(bytes)), out),
            "google.protobuf.Duration" => string(&duration(&read(bytes)), out),
            "google.protobuf.Struct" => object(&read(bytes), out),
            "google.protobuf.Any" => self.any(&read(bytes), depth, out),
            _ => return false,
        }
        true
    }

    /// Whatever it holds, with its type.
    fn any(&self, any: &Any, depth: usize, out: &mut String) {
        if *any == Any::default() {
            return out.push_str("{}");
        }
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        let mut commas = Commas(false);
        out.push_str("{\"@type\":");
        string(&any.type_url, out);
        match self.shapes.message(name) {
            _ if KNOWN.contains(&name) => {
                out.push_str(",\"value\":");
                self.message(name, &any.value, depth, out);
            }
            Some(_) if !name.starts_with("google.protobuf.") => {
                self.fields(name, &any.value, depth, &mut commas, out);
            }
            _ => {
                out.push_str(",\"value\":");
                string(&BASE64_STANDARD.encode(&any.value), out);
            }
        }
        out.push('}');
    }
}

fn read<M: Message + Default>(bytes: &[u8]) -> M {
    M::decode(bytes).unwrap_or_default()
}

/// As RFC 3339 writes it, in UTC.
pub(in crate::cli) fn time(time: &prost_types::Timestamp) -> String {
    match Timestamp::new(time.seconds, 0) {
        Ok(seconds) => {
            format!("{}{}Z", seconds.strftime("%Y-%m-%dT%H:%M:%S"), fraction(time.nanos))
        }
        Err(_) => String::new(),
    }
}

fn duration(duration: &Duration) -> String {
    let sign = if duration.seconds < 0 || duration.nanos < 0 { "-" } else { "" };
    format!("{sign}{}{}s", duration.seconds.unsigned_abs(), fraction(duration.nanos))
}

/// In three, six or nine digits.
fn fraction(nanos: i32) -> String {
    match nanos.unsigned_abs() {
        0 => String::new(),
        n if n % 1_000_000 == 0 => format!(".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => format!(".{:06}", n / 1_000),
        n => format!(".{n:09}"),
    }
}

fn object(object: &Struct, out: &mut String) {
    let mut commas = Commas(true);
    out.push('{');
    for (key, value) in &object.fields {
        commas.next(out);
        string(key, out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

fn list(list: &ListValue, out: &mut String) {
    let mut commas = Commas(true);
    out.push('[');
    for value in &list.values {
        commas.next(out);
        write(value, out);
    }
    out.push(']');
}

// Protobuf has bounded the depth in decoding it.
fn write(value: &Value, out: &mut String) {
    match &value.kind {
        None | Some(value::Kind::NullValue(_)) => out.push_str("null"),
        Some(value::Kind::BoolValue(yes)) => out.push_str(if *yes { "true" } else { "false" }),
        Some(value::Kind::NumberValue(number)) => double(*number, out),
        Some(value::Kind::StringValue(text)) => string(text, out),
        Some(value::Kind::StructValue(inner)) => object(inner, out),
        Some(value::Kind::ListValue(inner)) => list(inner, out),
    }
}
