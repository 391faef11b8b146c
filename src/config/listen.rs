//! `[server]`: where the gateway listens.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::SocketAddr as SocketPath,
    time::Duration,
};

use super::{
    CallbackLimits, Limits, Listen, Section, Server, Tls, limits, nearest::did_you_mean, tls,
};

const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50_051);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const TCP: &str = "an IP address and a port, such as \"127.0.0.1:8080\"";
const TCP_OR_UNIX: &str =
    "an IP address and a port, such as \"127.0.0.1:50051\", or \"unix:/path/of/a/socket\"";
/// The keys of addresses.
const LISTENERS: [&str; 3] = ["listen", "callbacks", "admin"];
/// A socket for the user alone who runs the gateway.
const SOCKET_MODE: u32 = 0o600;

/// Reads the section; without one, the gateway listens for gRPC on loopback only.
pub(super) fn read(section: Option<Section<'_>>, knows_callers: bool) -> Server {
    let Some(mut section) = section else {
        return Server {
            listen: Listen::Tcp(DEFAULT),
            socket_mode: SOCKET_MODE,
            tls: None,
            limits: Limits::default(),
            callbacks: None,
            callbacks_tls: None,
            callback_limits: CallbackLimits::default(),
            admin: None,
            admin_tls: None,
            require_request_id: false,
            drain: None,
            drain_notice: Duration::ZERO,
        };
    };
    let insecure = insecure(&mut section);
    let tls = tls::read(&mut section, "tls");
    let callbacks_tls = tls::read(&mut section, "callbacks_tls");
    let admin_tls = tls::read(&mut section, "admin_tls");
    let knows = |tls: Option<&Tls>| tls.is_some_and(|tls| tls.client_ca.is_some());
    let guards = [
        // Where the table is there and wrong, its own mistakes are enough.
        Guard {
            encrypts: section.has("tls"),
            knows: knows_callers || knows(tls.as_ref()) || (section.has("tls") && tls.is_none()),
            wanted: "tls and a way to know callers (client_ca in it, or [callers.NAME] sections)",
        },
        // Each vendor proves with every post who it is.
        Guard { encrypts: section.has("callbacks_tls"), knows: true, wanted: "callbacks_tls" },
        Guard {
            encrypts: section.has("admin_tls"),
            knows: knows(admin_tls.as_ref()) || (section.has("admin_tls") && admin_tls.is_none()),
            wanted: "admin_tls with client_ca",
        },
    ];
    let [for_grpc, for_callbacks, for_admin] = guards;
    let is_allowed = |key: &str| insecure.contains(key);
    let listen = listen(&mut section, for_grpc, is_allowed("listen"));
    let callbacks = address(&mut section, "callbacks", for_callbacks, is_allowed("callbacks"));
    let admin = address(&mut section, "admin", for_admin, is_allowed("admin"));
    let socket_mode = socket_mode(&mut section, &listen);
    let require_request_id = section.boolean("require_request_id").unwrap_or(false);
    let limits = limits::read(section.section("limits"));
    let callback_limits = limits::read_callbacks(section.section("callback_limits"));

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
    Server {
        listen,
        socket_mode,
        tls,
        limits,
        callbacks,
        callbacks_tls,
        callback_limits,
        admin,
        admin_tls,
        require_request_id,
        drain,
        drain_notice: drain_notice.unwrap_or_default(),
    }
}

/// Which of the listeners may be reached in the clear.
fn insecure(section: &mut Section<'_>) -> BTreeSet<&'static str> {
    const KEY: &str = "insecure";
    const EXPECTED: &str =
        "true or false, or a list of some of \"listen\", \"callbacks\" and \"admin\"";
    if !section.is_list(KEY) {
        let all = section.boolean_or(KEY, EXPECTED).unwrap_or(false);
        return if all { LISTENERS.into() } else { BTreeSet::new() };
    }
    let mut some = BTreeSet::new();
    for (text, at) in section.strings_at(KEY).unwrap_or_default() {
        match LISTENERS.iter().find(|key| **key == text) {
            Some(key) => drop(some.insert(*key)),
            None => section.problem_at(at, KEY, format!("holds {text:?}; expected {EXPECTED}")),
        }
    }
    some
}

/// Permissions are written as everywhere else: in octal digits.
fn socket_mode(section: &mut Section<'_>, listen: &Listen) -> u32 {
    const KEY: &str = "socket_mode";
    let Some(text) = section.string(KEY) else { return SOCKET_MODE };
    let digits = Some(&text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let Some(mode) = mode.filter(|mode| mode & !0o777 == 0 && mode & 0o600 == 0o600) else {
        section.problem(
            KEY,
            format!(
                "is {text:?}; expected octal digits from \"0600\" to \"0777\", such as \"0660\""
            ),
        );
        return SOCKET_MODE;
    };
    if matches!(listen, Listen::Tcp(_)) {
        section.problem(KEY, "is for a Unix socket, and listen is none; leave the key out");
    }
    mode
}

/// What stands between a listener and those who reach it.
#[derive(Clone, Copy)]
struct Guard {
    encrypts: bool,
    /// Whoever comes has to prove who it is.
    knows: bool,
    /// What there should be, if the one or the other is not so.
    wanted: &'static str,
}

fn listen(section: &mut Section<'_>, guard: Guard, insecure: bool) -> Listen {
    const KEY: &str = "listen";
    let fallback = Listen::Tcp(DEFAULT);
    let Some(text) = section.string(KEY) else { return fallback };
    let Some(path) = text.strip_prefix("unix:") else {
        return checked(section, KEY, &text, guard, insecure, TCP_OR_UNIX)
            .map_or(fallback, Listen::Tcp);
    };
    if path.is_empty() || path.contains('\0') {
        section.problem(KEY, format!("is {text:?}; expected {TCP_OR_UNIX}"));
        return fallback;
    }
    if SocketPath::from_pathname(path).is_err() {
        section.problem(KEY, "is too long for a socket's path; expected some 100 bytes at most");
    }
    Listen::Unix(path.into())
}

fn address(
    section: &mut Section<'_>,
    key: &'static str,
    guard: Guard,
    insecure: bool,
) -> Option<SocketAddr> {
    let text = section.string(key)?;
    checked(section, key, &text, guard, insecure, TCP)
}

// Calls cost money and whoever reaches the port may place them, so that leaving
// loopback without encryption, or without knowing callers, has to be said aloud.
fn checked(
    section: &Section<'_>,
    key: &str,
    text: &str,
    guard: Guard,
    insecure: bool,
    expected: &str,
) -> Option<SocketAddr> {
    let Ok(address) = text.parse::<SocketAddr>() else {
        let meant = did_you_mean(meant(text).map(|address| format!("{:?}", address.to_string())));
        section.problem(key, format!("is {text:?}; expected {expected}{meant}"));
        return None;
    };
    let is_open = !(guard.encrypts && guard.knows);
    if !address.ip().to_canonical().is_loopback() && is_open && !insecure {
        let lacks = match guard.encrypts {
            false => "nothing encrypts what is said there",
            true => "whoever reaches it may use it",
        };
        let wanted = guard.wanted;
        section.problem(
            key,
            format!(
                "{address} can be reached from other machines, and {lacks}; expected a loopback \
                 address, or {wanted}, or insecure = true in [server] when something in front of \
                 the gateway encrypts and authenticates"
            ),
        );
        return None;
    }
    Some(address)
}

/// An address without its host, or with a name for it that only this machine has.
fn meant(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    let port: u16 = port.trim().parse().ok()?;
    Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // An IPv4 address has a form in IPv6 as well.
    let [x, y] = [a, b].map(|address| address.ip().to_canonical());
    let same_host = x == y || x.is_unspecified() || y.is_unspecified();
    // Port 0 asks the system for a free one.
    a.port() == b.port() && a.port() != 0 && same_host
}
