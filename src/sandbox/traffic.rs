//! A request and its answer as plain data: what a simulated vendor reads and writes.

use std::{collections::HashMap, net::IpAddr};

use axum::{
    body::Bytes,
    extract::Query,
    http::{Method, Uri},
};
use jiff::Timestamp;
use serde_json::Value;

use super::push::Overtaking;

/// A request, read to its end.
pub(super) struct Incoming {
    pub(super) now: Timestamp,
    pub(super) peer: IpAddr,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// None when it was larger than the sandbox reads.
    pub(super) body: Option<Bytes>,
    /// What is to be pushed before it is answered.
    pub(super) overtaking: Overtaking,
}

impl Incoming {
    /// A header's value; empty when there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The media type of the body without parameters, in lower case.
    pub(super) fn content_type(&self) -> String {
        let value = self.header("content-type");
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// The body as a JSON object, when it is one and is labelled so.
    pub(super) fn json(&self) -> Option<serde_json::Map<String, Value>> {
        if self.content_type() != "application/json" {
            return None;
        }
        match serde_json::from_slice(self.body.as_ref()?) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// The query's parameters.
    pub(super) fn parameters(&self) -> HashMap<String, String> {
        url_decoded(&self.query)
    }

    /// The body's fields, when it is a form and is labelled so.
    pub(super) fn form(&self) -> Option<HashMap<String, String>> {
        if self.content_type() != "application/x-www-form-urlencoded" {
            return None;
        }
        Some(url_decoded(std::str::from_utf8(self.body.as_ref()?).ok()?))
    }
}

/// Reads `a=1&b=2`. Whatever can't be read has no parameters.
fn url_decoded(text: &str) -> HashMap<String, String> {
    let Ok(uri) = format!("/?{text}").parse::<Uri>() else { return HashMap::new() };
    Query::try_from_uri(&uri).map(|Query(map)| map).unwrap_or_default()
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// An HTTP answer.
    Reply(Reply),
    /// None is ever sent: the connection stays open until one side goes.
    Hold,
    /// None is sent: the connection is reset.
    Reset,
}

/// An HTTP answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// JSON.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }

    /// Plain text.
    pub(super) fn text(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        Self { status, headers, body: body.into().into_bytes() }
    }

    /// One more header.
    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with the second half of its body missing.
    #[must_use]
    pub(super) fn cut_off(mut self) -> Self {
        self.body.truncate(self.body.len() / 2);
        self
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}
