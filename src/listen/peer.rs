//! Who is at the other end.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

use super::der::{SEQUENCE, next};

/// Where a connection comes from, as connections are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An address; of IPv6 the first 64 bits, for one host has all of the others.
    Address([u8; 8]),
    /// This machine, over a Unix socket.
    Here,
}

impl Origin {
    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        let mut bytes = [0; 8];
        match address.to_canonical() {
            // 0.0.0.0/8 is no part of IPv6 that anybody has.
            IpAddr::V4(v4) => bytes[4..].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => {
                let octets = v6.octets();
                let (network, _) = octets.split_at(8);
                bytes.copy_from_slice(network);
            }
        }
        Self::Address(bytes)
    }
}

/// Where somebody is, and what a verified client certificate says of its owner: its DNS names,
/// its URIs, or, without any, its common names. Without a certificate there are none.
#[derive(Clone, Default)]
pub struct Peer {
    names: Arc<[String]>,
    address: Option<SocketAddr>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peer(***)")
    }
}

impl Peer {
    /// Of the certificate that TLS has verified.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Self::default() };
        let mut names: Vec<String> = certificate.valid_dns_names().map(str::to_owned).collect();
        names.extend(certificate.valid_uri_names().map(str::to_owned));
        // Where there are others it is no name, but what somebody typed: authorities look at
        // these alone.
        if names.is_empty() {
            names.extend(common_names(certificate.subject()));
        }
        Self { names: names.into(), address: None }
    }

    /// The same, at this address; none over a Unix socket.
    #[must_use]
    pub fn at(self, address: Option<SocketAddr>) -> Self {
        Self { address, ..self }
    }

    /// Where it is; none over a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether it is one of its names.
    pub fn is(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }
}

/// 2.5.4.3 as DER has it.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// The common names of a subject: sets of pairs of a kind and a text.
fn common_names(mut subject: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((SET, mut set)) = next(&mut subject) {
        while let Some((SEQUENCE, mut pair)) = next(&mut set) {
            let kind = next(&mut pair);
            let text = next(&mut pair);
            if let (
                Some((OBJECT_IDENTIFIER, COMMON_NAME)),
                Some((UTF8_STRING | PRINTABLE_STRING, text)),
            ) = (kind, text)
            {
                names.extend(std::str::from_utf8(text).ok().map(str::to_owned));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart_and_not_their_addresses() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn common_names_are_found() {
        let pair = |kind: u8, text: &str| {
            let text = text.as_bytes();
            let mut pair = vec![0x06, 3, 0x55, 0x04, kind, 0x0c, text.len() as u8];
            pair.extend(text);
            [vec![0x31, pair.len() as u8 + 2, 0x30, pair.len() as u8], pair].concat()
        };
        let subject = [pair(10, "Example"), pair(3, "billing"), pair(3, "zweiter")].concat();
        assert_eq!(common_names(&subject), ["billing", "zweiter"]);
        for cut in 0..subject.len() {
            common_names(&subject[..cut]);
        }
        let long = "x".repeat(200);
        let subject = {
            let mut pair = vec![0x06, 3, 0x55, 0x04, 3, 0x0c, 0x81, 200];
            pair.extend(long.as_bytes());
            let inner = pair.len() as u8;
            [vec![0x31, 0x81, inner + 3, 0x30, 0x81, inner], pair].concat()
        };
        assert_eq!(common_names(&subject), [long]);
    }
}
