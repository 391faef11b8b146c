//! Posts to this machine, and nowhere else.

use std::{
    array,
    convert::Infallible,
    future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, header};
use hyper_util::{
    client::legacy::{
        self,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioTimer},
};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use tower::Service;
use url::{Position, Url};

use crate::sandbox::System;

/// How long an answer is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A request to be posted.
pub(in crate::sandbox) struct Letter {
    pub(in crate::sandbox) system: System,
    pub(in crate::sandbox) url: Url,
    pub(in crate::sandbox) authorization: Option<String>,
    pub(in crate::sandbox) content_type: &'static str,
    pub(in crate::sandbox) body: String,
}

pub(super) const JSON: &str = "application/json";
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Outcome {
    /// This HTTP status came back.
    Answered(u16),
    /// Nobody was there.
    Refused,
    /// No answer came.
    Broken,
}

impl Outcome {
    pub(super) fn status(self) -> Option<u16> {
        match self {
            Self::Answered(status) => Some(status),
            Self::Refused | Self::Broken => None,
        }
    }
}

impl From<Option<u16>> for Outcome {
    fn from(status: Option<u16>) -> Self {
        status.map_or(Self::Refused, Self::Answered)
    }
}

/// Posts over connections that it keeps for a while.
pub(super) type Client = legacy::Client<HttpConnector<Here>, Full<Bytes>>;

/// The addresses of this machine, whatever it takes its name for.
#[derive(Debug, Clone)]
pub(super) struct Here;

impl Service<Name> for Here {
    type Response = array::IntoIter<SocketAddr, 2>;
    type Error = Infallible;
    type Future = future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        future::ready(Ok(both.map(|address| SocketAddr::new(address, 0)).into_iter()))
    }
}

pub(super) fn client() -> Client {
    let mut connector = HttpConnector::new_with_resolver(Here);
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

pub(super) async fn post(client: &Client, letter: &Letter) -> Outcome {
    match send(client, letter).await {
        Ok(response) => Outcome::Answered(response.status().as_u16()),
        Err(outcome) => outcome,
    }
}

/// Posts, and gives the head of the answer.
pub(super) async fn send(client: &Client, letter: &Letter) -> Result<Response<Incoming>, Outcome> {
    let request = write(letter).ok_or(Outcome::Broken)?;
    match timeout(PATIENCE, client.request(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) if error.is_connect() => Err(Outcome::Refused),
        Ok(Err(_)) | Err(_) => Err(Outcome::Broken),
    }
}

/// None if it can't be written: a line end in what goes into its head, say.
fn write(letter: &Letter) -> Option<Request<Full<Bytes>>> {
    let url = &letter.url;
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let path = &url[Position::BeforePath..Position::AfterQuery];
    let mut request = Request::post(format!("http://{host}{path}"))
        .header(header::CONTENT_TYPE, letter.content_type);
    if let Some(authorization) = letter.authorization.clone().or_else(|| basic(url)) {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(Full::from(letter.body.clone())).ok()
}

/// The credentials of an address, as they are sent.
fn basic(url: &Url) -> Option<String> {
    let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let both = format!("{}:{}", decoded(user), decoded(password.unwrap_or_default()));
    Some(format!("Basic {}", BASE64_STANDARD.encode(both)))
}

/// Reads an address on this machine.
///
/// # Errors
/// What is wrong with it, without repeating it: it may hold a token.
pub(super) fn loopback(address: &str) -> Result<Url, &'static str> {
    let url = Url::parse(address).map_err(|_| "is no address")?;
    if url.scheme() != "http" {
        return Err("is no http address");
    }
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if is_loopback { Ok(url) } else { Err("is not on this machine (127.0.0.1, ::1 or localhost)") }
}

/// An address without credentials and query.
pub(super) fn bare(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for addresses without a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_posted_to() {
        for address in [
            "http://127.0.0.1:8080/callbacks/a",
            "http://127.1.2.3/",
            "http://localhost:1/x",
            "http://LOCALHOST/",
            "http://[::1]:8080/x?y=z",
            "http://[::ffff:127.0.0.1]/",
            "http://2130706433/",
            "http://user:password@127.0.0.1/",
        ] {
            assert!(loopback(address).is_ok(), "{address}");
        }
        for address in [
            "http://10.0.0.1/",
            "http://0.0.0.0/",
            "http://[::]/",
            "http://example.test/",
            "http://localhost.example.test/",
            "http://127.0.0.1.example.test/",
            "http://127.0.0.1@example.test/",
            "http://example.test#@127.0.0.1/",
            "https://127.0.0.1/",
            "ftp://127.0.0.1/",
            "file:///tmp/x",
            "127.0.0.1:80",
            "/callbacks",
            "",
        ] {
            assert!(loopback(address).is_err(), "{address}");
        }
    }

    #[test]
    fn an_address_is_shown_without_credentials() {
        let url = loopback("http://user:s3cret@127.0.0.1:1/a/b?token=s3cret#x").unwrap();
        assert_eq!(bare(&url), "http://127.0.0.1:1/a/b");
    }
}
