//! Sends one request, once, and says for certain what is known when no answer comes.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::{
    Request, Response, Uri,
    body::{Body as _, Incoming},
    header::{
        ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
        RETRY_AFTER, USER_AGENT,
    },
};
use jiff::{Timestamp, fmt::rfc2822};
use tokio::time::{Instant, error::Elapsed, timeout_at};
use url::{Position, Url};

use super::{
    Body, Failure, Header, HttpReply, HttpRequest, InDoubt, Line, Method, NotSent,
    connect::Connector,
    connection::{Connection, Written},
    failure::Source,
    pool::{Origin, Pool},
    trust::Trust,
};
use crate::{config::Link, telemetry::Trace};

/// The longest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

const OURSELVES: HeaderValue =
    HeaderValue::from_static(concat!("dialplane/", env!("CARGO_PKG_VERSION")));

/// Exchanges with one vendor. Never sends anything twice, follows no redirect, uses no
/// proxy and no cookies.
#[derive(Clone)]
pub struct VendorClient {
    connector: Arc<Connector>,
    pool: Pool,
    timeout: Duration,
    propagates: bool,
}

impl fmt::Debug for VendorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VendorClient").field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// A client can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't prepare the connection to the vendor: {0}")]
pub struct ClientError(Source);

impl VendorClient {
    /// A client for a link.
    ///
    /// # Errors
    /// When its certificates can't be used.
    pub fn new(link: &Link) -> Result<Self, ClientError> {
        let trust = Trust::new(link.ca.as_deref()).map_err(ClientError)?;
        Ok(Self::trusting(trust, link))
    }

    pub(super) fn trusting(trust: Trust, link: &Link) -> Self {
        // The time for connecting ends first, so that what runs out then is known.
        let connect = link.connect_timeout.min(link.timeout.mul_f32(0.9));
        let connector = Arc::new(Connector::new(trust, connect));
        Self {
            connector,
            pool: Pool::default(),
            timeout: link.timeout,
            propagates: link.propagate_trace,
        }
    }

    async fn exchange(&self, request: &HttpRequest) -> Result<HttpReply, Failure> {
        let deadline = Instant::now() + self.timeout;
        let origin = Origin::of(&request.url)
            .ok_or_else(|| unwritable("the address is neither http nor https"))?;
        let mut written = write(request)?;
        if self.propagates {
            propagate(written.headers_mut());
        }
        while let Some(kept) = self.pool.take(&origin) {
            match self.over(kept, &origin, written, deadline).await {
                Over::Ended(result) => return result,
                // It was closed while it waited, and none of this was written to it.
                Over::Unwritten(back, _) => written = back,
            }
        }
        let connected = self.connector.connect(&origin, deadline).await;
        let fresh = connected.map_err(|(kind, source)| Failure::NotSent { kind, source })?;
        match self.over(fresh, &origin, written, deadline).await {
            Over::Ended(result) => result,
            // Who is quicker, we with writing or the vendor with closing, is chance: whatever
            // a new connection ends by is in doubt.
            Over::Unwritten(_, source) => Err(in_doubt(InDoubt::NoAnswer, None, source)),
        }
    }

    /// One exchange over a connection, which is kept if it is good for another one.
    async fn over(
        &self,
        mut connection: Connection,
        origin: &Origin,
        written: Written,
        deadline: Instant,
    ) -> Over {
        let answer = match timeout_at(deadline, connection.send(written)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(mut error)) => {
                let back = error.take_message();
                let error = error.into_error();
                return match back {
                    Some(back) => Over::Unwritten(back, Source::of(&error)),
                    None => Over::Ended(Err(broken(&error, InDoubt::NoAnswer, None))),
                };
            }
            Err(late) => return Over::Ended(Err(too_late(&late, None))),
        };
        let status = answer.status().as_u16();
        let result = match timeout_at(deadline, read(&mut connection, answer)).await {
            Ok(result) => result,
            Err(late) => Err(too_late(&late, Some(status))),
        };
        if result.is_ok() && connection.is_free().await {
            self.pool.keep(origin, connection);
        }
        Over::Ended(result)
    }
}

/// What came of an exchange over one connection.
enum Over {
    /// The request was sent, perhaps.
    Ended(Result<HttpReply, Failure>),
    /// The connection was closed before a byte of the request was written, which is given
    /// back: only hyper's word for that counts.
    Unwritten(Written, Source),
}

#[async_trait]
impl Line for VendorClient {
    async fn send(&self, request: &HttpRequest) -> Result<HttpReply, Failure> {
        self.exchange(request).await
    }
}

fn unwritable(seen: impl Into<String>) -> Failure {
    Failure::NotSent { kind: NotSent::Request, source: Source::new(seen) }
}

fn in_doubt(kind: InDoubt, status: Option<u16>, source: Source) -> Failure {
    Failure::InDoubt { kind, status, source }
}

fn too_late(late: &Elapsed, status: Option<u16>) -> Failure {
    in_doubt(InDoubt::Timeout, status, Source::of(late))
}

/// Whatever is seen once a request was handed to a connection, however early it looks, is
/// in doubt.
fn broken(error: &hyper::Error, kind: InDoubt, status: Option<u16>) -> Failure {
    let mut cause = error.source();
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return in_doubt(InDoubt::Timeout, status, Source::of(error));
        }
        cause = error.source();
    }
    in_doubt(kind, status, Source::of(error))
}

fn write(request: &HttpRequest) -> Result<Written, Failure> {
    let url = &request.url;
    let target = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery])
        .map_err(|_| unwritable("its path or query can't be written"))?;
    let (body, content_type) = match &request.body {
        Body::Empty => (Bytes::new(), None),
        Body::Json(bytes) => (bytes.clone(), Some("application/json")),
        Body::Form(bytes) => (bytes.clone(), Some("application/x-www-form-urlencoded")),
    };
    let mut written = Request::new(Full::new(body));
    *written.method_mut() = match request.method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
    };
    *written.uri_mut() = target;
    let headers = written.headers_mut();
    headers.reserve(request.headers.len() + 4);
    headers.insert(HOST, host(url).ok_or_else(|| unwritable("its host can't be written"))?);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, OURSELVES);
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    } else if request.method == Method::Post {
        // Left out otherwise, and some servers insist on it.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    for (name, value) in &request.headers {
        let (key, value) = header(name, value)
            .ok_or_else(|| unwritable(format!("the header {name} can't hold its value")))?;
        headers.insert(key, value);
    }
    Ok(written)
}

/// Says which trace the request belongs to. Beside what its adapter wrote: what is kept of a
/// request to be sent again is its address and its body.
fn propagate(headers: &mut HeaderMap) {
    Trace::with_current(|trace| {
        let both = [("traceparent", trace.parent_header()), ("tracestate", trace.state_header())];
        for (name, value) in both {
            if let Some(value) = value.and_then(|text| HeaderValue::try_from(text).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    });
}

fn host(url: &Url) -> Option<HeaderValue> {
    HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).ok()
}

fn header(name: &str, value: &Header) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let value = match value {
        Header::Plain(text) => HeaderValue::from_str(text).ok()?,
        Header::Secret(prefix, secret) => {
            let text = format!("{prefix}{}", secret.expose());
            let mut value = HeaderValue::from_str(&text).ok()?;
            value.set_sensitive(true);
            value
        }
    };
    Some((name, value))
}

async fn read(
    connection: &mut Connection,
    answer: Response<Incoming>,
) -> Result<HttpReply, Failure> {
    let (head, mut body) = answer.into_parts();
    let status = head.status.as_u16();
    let too_large = || {
        let seen = format!("it is longer than {MAX_ANSWER_BYTES} bytes");
        in_doubt(InDoubt::AnswerTooLarge, Some(status), Source::new(seen))
    };
    // As announced; nothing if it is not.
    let length = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if length > MAX_ANSWER_BYTES {
        return Err(too_large());
    }
    let mut text = BytesMut::with_capacity(length);
    while let Some(frame) = connection.frame(&mut body).await {
        let frame = frame.map_err(|error| broken(&error, InDoubt::AnswerCut, Some(status)))?;
        // What is no data is a trailer, which no vendor has.
        let Ok(piece) = frame.into_data() else { continue };
        if text.len() + piece.len() > MAX_ANSWER_BYTES {
            return Err(too_large());
        }
        text.extend_from_slice(&piece);
    }
    Ok(reply(status, &head.headers, text.freeze()))
}

fn reply(status: u16, headers: &HeaderMap, body: Bytes) -> HttpReply {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let media_type = text(&CONTENT_TYPE).and_then(|value| value.split(';').next());
    HttpReply {
        status,
        content_type: media_type.unwrap_or_default().trim().to_ascii_lowercase(),
        retry_after: text(&RETRY_AFTER).and_then(|value| retry_after(value, Timestamp::now())),
        location: text(&LOCATION).map(str::to_owned),
        body,
    }
}

/// `Retry-After`: seconds, or a date from which on it may be tried again (RFC 9110,
/// 10.2.3).
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()));
    }
    let date = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        let cases = [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("4294967295", Some(4_294_967_295)),
            ("4294967296", None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 01 Mar 2026 10:01:30 GMT", Some(90)),
            ("Sun, 01 Mar 2026 09:59:59 GMT", Some(0)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ];
        for (value, seconds) in cases {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_retry_after_is_read(value in "\\PC*") {
            let _ = retry_after(&value, Timestamp::UNIX_EPOCH);
        }
    }
}
