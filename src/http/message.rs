//! An HTTP exchange as data: what an adapter writes and reads.

use std::{fmt, time::Duration};

use bytes::Bytes;
use url::Url;

use crate::config::Secret;

/// A request to a vendor. Prints without its body, its query and its header values,
/// for these hold credentials and people's numbers.
#[derive(Clone)]
pub struct HttpRequest {
    /// The verb.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// In order.
    pub headers: Vec<(&'static str, Header)>,
    /// The body, final: it may be sent again byte by byte.
    pub body: Body,
}

/// A verb that vendors use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Everything else.
    Post,
}

/// A header's value.
#[derive(Debug, Clone)]
pub enum Header {
    /// May be seen.
    Plain(String),
    /// `prefix` and a secret.
    Secret(&'static str, Secret),
}

impl From<&str> for Header {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

/// A request's body.
#[derive(Clone)]
pub enum Body {
    /// None.
    Empty,
    /// JSON, sent with its content type.
    Json(Bytes),
    /// A URL-encoded form, sent with its content type.
    Form(Bytes),
}

impl Body {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Json(bytes) | Self::Form(bytes) => bytes,
        }
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("path", &self.url.path())
            .field("body_bytes", &self.body.bytes().len())
            .finish_non_exhaustive()
    }
}

/// A vendor's answer, whatever its status. Prints without its body.
#[derive(Clone)]
pub struct HttpReply {
    /// The HTTP status.
    pub status: u16,
    /// The media type without parameters, in lower case; empty when none was sent.
    pub content_type: String,
    /// `Retry-After`, when it names a wait.
    pub retry_after: Option<Duration>,
    /// `Location`, of a redirect (never followed).
    pub location: Option<String>,
    /// The whole body: a longer one than the limit is no reply but a failure.
    pub body: Bytes,
}

impl HttpReply {
    /// An answer with JSON in it, for tests and simulations.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: "application/json".to_owned(),
            retry_after: None,
            location: None,
            body: body.into(),
        }
    }
}

/// A request that a vendor sends to us. Prints without its secrets: token, query, header
/// values and body.
#[derive(Clone, Default)]
pub struct Delivery {
    /// The part of the path after the vendor's name, decoded.
    pub token: Option<String>,
    /// The query's fields, decoded.
    pub query: Vec<(String, String)>,
    /// The media type without parameters, in lower case; empty when none was sent.
    pub content_type: String,
    /// The `Authorization` header; none when there is none, or more than one.
    pub authorization: Option<String>,
    /// The whole body: a longer one than the limit never gets here.
    pub body: Bytes,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpReply")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
