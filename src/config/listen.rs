//! `[server]`: where the gateway listens.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use super::{Listen, Section, Server};

const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50_051);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const TCP: &str = "an IP address and a port, such as \"127.0.0.1:8080\"";
const TCP_OR_UNIX: &str =
    "an IP address and a port, such as \"127.0.0.1:50051\", or \"unix:/path/of/a/socket\"";

/// Reads the section; without one, the gateway listens for gRPC on loopback only.
pub(super) fn read(section: Option<Section<'_>>) -> Server {
    let Some(mut section) = section else {
        return Server {
            listen: Listen::Tcp(DEFAULT),
            callbacks: None,
            admin: None,
            require_request_id: false,
            drain: None,
            drain_notice: Duration::ZERO,
        };
    };
    let insecure = section.boolean("insecure").unwrap_or(false);
    let listen = listen(&mut section, insecure);
    let callbacks = address(&mut section, "callbacks", insecure);
    let admin = address(&mut section, "admin", insecure);
    let require_request_id = section.boolean("require_request_id").unwrap_or(false);

    let drain = section.duration("drain", SECOND..=60 * MINUTE);
    let drain_notice = section.duration("drain_notice", Duration::ZERO..=5 * MINUTE);

    let tcp = match &listen {
        Listen::Tcp(address) => Some(*address),
        Listen::Unix(_) => None,
    };
    let taken = [("listen", tcp), ("callbacks", callbacks), ("admin", admin)];
    for (index, (key, address)) in taken.iter().enumerate() {
        for (other, before) in taken.iter().take(index) {
            if let (Some(address), Some(before)) = (address, before)
                && overlap(*address, *before)
            {
                section.problem(
                    key,
                    format!("is the address of {other} as well; expected one of its own"),
                );
            }
        }
    }
    section.finish();
    let drain_notice = drain_notice.unwrap_or_default();
    Server { listen, callbacks, admin, require_request_id, drain, drain_notice }
}

fn listen(section: &mut Section<'_>, insecure: bool) -> Listen {
    const KEY: &str = "listen";
    let fallback = Listen::Tcp(DEFAULT);
    let Some(text) = section.string(KEY) else { return fallback };
    let Some(path) = text.strip_prefix("unix:") else {
        return checked(section, KEY, &text, insecure, TCP_OR_UNIX).map_or(fallback, Listen::Tcp);
    };
    if path.is_empty() || path.contains('\0') {
        section.problem(KEY, format!("is {text:?}; expected {TCP_OR_UNIX}"));
        return fallback;
    }
    Listen::Unix(path.into())
}

fn address(section: &mut Section<'_>, key: &'static str, insecure: bool) -> Option<SocketAddr> {
    let text = section.string(key)?;
    checked(section, key, &text, insecure, TCP)
}

// Calls cost money and whoever reaches the port may place them, so that leaving
// loopback without encryption has to be said aloud.
fn checked(
    section: &Section<'_>,
    key: &str,
    text: &str,
    insecure: bool,
    expected: &str,
) -> Option<SocketAddr> {
    let Ok(address) = text.parse::<SocketAddr>() else {
        section.problem(key, format!("is {text:?}; expected {expected}"));
        return None;
    };
    if !address.ip().to_canonical().is_loopback() && !insecure {
        section.problem(
            key,
            format!(
                "{address} can be reached from other machines, and there is no TLS yet; expected \
                 a loopback address, or insecure = true in [server] when something in front of \
                 the gateway encrypts and authenticates"
            ),
        );
        return None;
    }
    Some(address)
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let same_host = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    // Port 0 asks the system for a free one.
    a.port() == b.port() && a.port() != 0 && same_host
}
