//! Posts to this machine, and nowhere else.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use reqwest::{Client, Url, header, redirect::Policy};

use crate::sandbox::System;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// None when this machine can't make one.
pub(super) fn client() -> Option<Client> {
    let loopback: [SocketAddr; 2] =
        [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()];
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .http1_only()
        .timeout(PATIENCE)
        // Whatever the machine takes that name for.
        .resolve_to_addrs("localhost", &loopback)
        .build()
        .ok()
}

pub(super) async fn post(client: &Client, letter: &Letter) -> Outcome {
    let mut request = client
        .post(letter.url.clone())
        .header(header::CONTENT_TYPE, letter.content_type)
        .body(letter.body.clone());
    if let Some(authorization) = &letter.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    match request.send().await {
        Ok(response) => Outcome::Answered(response.status().as_u16()),
        Err(error) if error.is_connect() => Outcome::Refused,
        Err(_) => Outcome::Broken,
    }
}

/// Reads an address on this machine.
///
/// # Errors
/// What is wrong with it, without repeating it: it may hold a token.
pub(super) fn loopback(address: &str) -> Result<Url, &'static str> {
    let url = Url::parse(address).map_err(|_| "is no address")?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("is no http or https address");
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
            "https://localhost:1/x",
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
