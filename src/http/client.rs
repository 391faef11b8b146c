//! Sends one request, once, and says for certain what is known when no answer comes.

use std::{error::Error, io, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{
    Certificate, Client, ClientBuilder, Request, Response,
    header::{
        CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    },
};

use super::{
    Body, Failure, Header, HttpReply, HttpRequest, InDoubt, Line, Method, NotSent, failure::Source,
};
use crate::config::Link;

/// The longest answer that is read.
pub const MAX_ANSWER_BYTES: usize = 1 << 20;

/// How long a connection waits for its next request. Below the 5 s after which common
/// servers close theirs: a request that meets the closing is in doubt.
const IDLE: Duration = Duration::from_secs(4);

const USER_AGENT: &str = concat!("dialplane/", env!("CARGO_PKG_VERSION"));

const NO_AUTHORITIES: &str = "no certificate authorities were found on this system; install its \
                              package of them (ca-certificates) or set ca_file";

/// Exchanges with one vendor. Never sends anything twice, follows no redirect, uses no
/// proxy and no cookies.
#[derive(Debug, Clone)]
pub struct VendorClient {
    client: Client,
    /// Whether there is anybody to trust: without, http still works.
    has_authorities: bool,
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
        let certificates = match &link.ca {
            Some(pem) => Certificate::from_pem_bundle(pem).map_err(failed)?,
            None => Vec::new(),
        };
        let built = builder(link).tls_certs_merge(certificates.clone()).build();
        match built {
            Ok(client) => Ok(Self { client, has_authorities: true }),
            // A system without authorities, such as a minimal container, where a vendor
            // or the sandbox may still be reached over http.
            Err(_) if certificates.is_empty() => Self::without_authorities(link),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) fn without_authorities(link: &Link) -> Result<Self, ClientError> {
        let client = builder(link).tls_certs_only([]).build().map_err(failed)?;
        Ok(Self { client, has_authorities: false })
    }

    async fn exchange(&self, request: &HttpRequest) -> Result<HttpReply, Failure> {
        let is_https = request.url.scheme() == "https";
        if is_https && !self.has_authorities {
            return Err(Failure::NotSent {
                kind: NotSent::Tls,
                source: Source::new(NO_AUTHORITIES),
            });
        }
        let written = write(request)?;
        let answer = self.client.execute(written).await;
        read(answer.map_err(|error| judge(error, is_https))?).await
    }
}

#[async_trait]
impl Line for VendorClient {
    async fn send(&self, request: &HttpRequest) -> Result<HttpReply, Failure> {
        self.exchange(request).await
    }
}

fn failed(error: reqwest::Error) -> ClientError {
    ClientError(Source::of(error))
}

fn builder(link: &Link) -> ClientBuilder {
    // Time that runs out while connecting is known to be that only as long as the time
    // for connecting ends first.
    let connect = link.connect_timeout.min(link.timeout.mul_f32(0.9));
    Client::builder()
        .user_agent(USER_AGENT)
        .timeout(link.timeout)
        .connect_timeout(connect)
        .pool_idle_timeout(IDLE)
        .http1_only()
        .no_proxy()
        .referer(false)
        .redirect(reqwest::redirect::Policy::none())
        // A request on a connection that turns out to be closed before a byte of it was
        // written still gets a new one, underneath: that is not sending it twice.
        .retry(reqwest::retry::never())
}

fn write(request: &HttpRequest) -> Result<Request, Failure> {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
    };
    let mut written = Request::new(method, request.url.clone());
    let body = match &request.body {
        Body::Empty => None,
        Body::Json(bytes) => Some((bytes, "application/json")),
        Body::Form(bytes) => Some((bytes, "application/x-www-form-urlencoded")),
    };
    if let Some((bytes, content_type)) = body {
        written.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        *written.body_mut() = Some(bytes.clone().into());
    } else if request.method == Method::Post {
        // Left out otherwise, and some servers insist on it.
        written.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    for (name, value) in &request.headers {
        let (key, value) = header(name, value).ok_or_else(|| Failure::NotSent {
            kind: NotSent::Request,
            source: Source::new(format!("the header {name} can't hold its value")),
        })?;
        written.headers_mut().insert(key, value);
    }
    Ok(written)
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

// Only an error of the connector itself, or of a request that can't be made, comes before
// the first byte for certain: hyper-util hands a request over to a connection only after
// the connector gave one. Every other error, however early it looks, is in doubt.
fn judge(error: reqwest::Error, is_https: bool) -> Failure {
    let kind = if error.is_builder() {
        NotSent::Request
    } else if !error.is_connect() {
        let kind = if error.is_timeout() { InDoubt::Timeout } else { InDoubt::NoAnswer };
        return Failure::InDoubt { kind, status: None, source: Source::of(error) };
    } else if error.is_dns() {
        NotSent::Name
    } else if error.is_timeout() {
        NotSent::Timeout
    } else if is_https && !is_of_tcp(&error) {
        NotSent::Tls
    } else {
        NotSent::Connect
    };
    Failure::NotSent { kind, source: Source::of(error) }
}

fn is_of_tcp(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return matches!(
                io.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::NetworkDown
                    | io::ErrorKind::AddrNotAvailable
                    | io::ErrorKind::PermissionDenied
            );
        }
        cause = error.source();
    }
    false
}

async fn read(mut response: Response) -> Result<HttpReply, Failure> {
    let status = response.status().as_u16();
    let too_large = || Failure::InDoubt {
        kind: InDoubt::AnswerTooLarge,
        status: Some(status),
        source: Source::new(format!("it is longer than {MAX_ANSWER_BYTES} bytes")),
    };
    let limit = u64::try_from(MAX_ANSWER_BYTES).unwrap_or(u64::MAX);
    if response.content_length().is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cut(error, status))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(reply(status, response.headers(), body.freeze()))
}

fn cut(error: reqwest::Error, status: u16) -> Failure {
    let kind = if error.is_timeout() { InDoubt::Timeout } else { InDoubt::AnswerCut };
    Failure::InDoubt { kind, status: Some(status), source: Source::of(error) }
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
