//! `[server.limits]` and `[server.callback_limits]`: what whoever reaches a port may take of
//! the gateway. All of them are on unless told otherwise.

use std::time::Duration;

use super::Section;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: u32 = 1_024;
const MIB: u32 = 1_024 * KIB;

/// What one listener for gRPC takes, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections. Of one too many, the oldest on which nobody is known yet has to go; if
    /// there is none, the new one.
    pub connections: u32,
    /// Connections of one address (of a /64 in IPv6); none means no limit but the one above.
    pub connections_per_peer: Option<u32>,
    /// RPCs under way on one connection.
    pub streams: u32,
    /// An RPC's headers, in bytes as HTTP/2 counts them.
    pub header_bytes: u32,
    /// A request, in bytes.
    pub request_bytes: u32,
    /// All requests that are being read, in bytes; small ones don't count.
    pub reading_bytes: u32,
    /// For TLS and the first bytes of HTTP/2.
    pub handshake_timeout: Duration,
    /// For a request's message to be there.
    pub request_timeout: Duration,
    /// For a connection without an RPC.
    pub idle_timeout: Duration,
    /// A connection's age at which it is asked to end: give or take a tenth.
    pub connection_age: Duration,
    /// For RPCs under way on a connection that was asked to end.
    pub connection_grace: Duration,
    /// How often a connection is tried.
    pub keep_alive_interval: Duration,
    /// For the answer to that.
    pub keep_alive_timeout: Duration,
    /// RPCs that were given up by the caller before they were looked at.
    pub pending_resets: u32,
    /// RPCs that the gateway gave up for the caller's mistakes.
    pub error_resets: u32,
    /// Of an answer, waiting to be written, in bytes.
    pub send_buffer_bytes: u32,
    /// What a caller may send ahead for one RPC, in bytes.
    pub stream_window_bytes: u32,
    /// The same for all RPCs of a connection.
    pub connection_window_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_peer: None,
            streams: 1_024,
            header_bytes: 16 * KIB,
            request_bytes: 32 * MIB,
            reading_bytes: 256 * MIB,
            handshake_timeout: 10 * SECOND,
            request_timeout: 30 * SECOND,
            idle_timeout: 30 * MINUTE,
            connection_age: HOUR,
            connection_grace: HOUR,
            // More often than proxies cut a quiet one.
            keep_alive_interval: 20 * SECOND,
            keep_alive_timeout: 20 * SECOND,
            // As many as `streams`: who gives up all it has begun is no attack, and behind a proxy
            // others share its connection.
            pending_resets: 1_024,
            error_resets: 1_024,
            send_buffer_bytes: 400 * KIB,
            stream_window_bytes: MIB,
            connection_window_bytes: MIB,
        }
    }
}

/// What the listener for callbacks takes at once, and how long anything may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallbackLimits {
    /// Connections; more wait to be taken. A quiet one costs little.
    pub connections: usize,
    /// Connections of one address (of a /64 in IPv6); more are refused.
    pub connections_per_peer: usize,
    /// Bodies that are read or worked on; more wait, as long as one may take.
    pub bodies: usize,
    /// Deliveries that are worked on; more wait, as long as a body may take.
    pub deliveries: usize,
    /// For the head of a request, the wait for it included; and for TLS.
    pub head: Duration,
    /// For the whole body of a request.
    pub body: Duration,
    /// A request's body, in bytes.
    pub body_bytes: usize,
    /// A connection's age, after which it takes no more requests: whoever reads no
    /// answers does not stay for ever.
    pub age: Duration,
    /// For what is under way when a connection has to end.
    pub last: Duration,
}

impl Default for CallbackLimits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            connections_per_peer: 512,
            bodies: 256,
            deliveries: 64,
            head: 10 * SECOND,
            body: 10 * SECOND,
            body_bytes: 512 * 1_024,
            age: 5 * MINUTE,
            last: 15 * SECOND,
        }
    }
}

/// Reads `[server.limits]`.
pub(super) fn read(section: Option<Section<'_>>) -> Limits {
    let mut limits = Limits::default();
    let Some(mut section) = section else { return limits };
    let it = &mut limits;
    for (key, range, limit) in [
        ("connections", 1..=1_000_000, &mut it.connections),
        ("streams", 1..=100_000, &mut it.streams),
        ("header_bytes", KIB..=MIB, &mut it.header_bytes),
        ("request_bytes", KIB..=64 * MIB, &mut it.request_bytes),
        ("reading_bytes", MIB..=4_095 * MIB, &mut it.reading_bytes),
        ("pending_resets", 1..=10_000, &mut it.pending_resets),
        ("error_resets", 1..=100_000, &mut it.error_resets),
        ("send_buffer_bytes", 16 * KIB..=16 * MIB, &mut it.send_buffer_bytes),
        ("stream_window_bytes", 64 * KIB - 1..=64 * MIB, &mut it.stream_window_bytes),
        ("connection_window_bytes", 64 * KIB - 1..=64 * MIB, &mut it.connection_window_bytes),
    ] {
        *limit = section.integer(key, range).unwrap_or(*limit);
    }
    for (key, range, limit) in [
        ("handshake_timeout", 100 * MILLISECOND..=5 * MINUTE, &mut it.handshake_timeout),
        ("request_timeout", 100 * MILLISECOND..=HOUR, &mut it.request_timeout),
        ("idle_timeout", 100 * MILLISECOND..=7 * DAY, &mut it.idle_timeout),
        ("connection_age", 100 * MILLISECOND..=30 * DAY, &mut it.connection_age),
        ("connection_grace", 100 * MILLISECOND..=30 * DAY, &mut it.connection_grace),
        ("keep_alive_interval", 100 * MILLISECOND..=DAY, &mut it.keep_alive_interval),
        ("keep_alive_timeout", 100 * MILLISECOND..=HOUR, &mut it.keep_alive_timeout),
    ] {
        *limit = section.duration(key, range).unwrap_or(*limit);
    }
    it.connections_per_peer = section.integer("connections_per_peer", 1..=1_000_000);
    section.finish();
    if limits.reading_bytes < limits.request_bytes {
        // Otherwise the largest request could never be read.
        limits.reading_bytes = limits.request_bytes;
    }
    limits
}

/// Reads `[server.callback_limits]`.
pub(super) fn read_callbacks(section: Option<Section<'_>>) -> CallbackLimits {
    let mut limits = CallbackLimits::default();
    let Some(mut section) = section else { return limits };
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    if let Some(most) = section.integer("connections", 1..=1_000_000) {
        limits.connections = size(most);
        limits.connections_per_peer = size(most).div_ceil(2);
    }
    if let Some(most) = section.integer("connections_per_peer", 1..=1_000_000) {
        limits.connections_per_peer = size(most);
    }
    if let Some(most) = section.integer("deliveries", 1..=10_000) {
        limits.deliveries = size(most);
        limits.bodies = limits.bodies.max(size(most));
    }
    if let Some(most) = section.integer("body_bytes", KIB..=16 * MIB) {
        limits.body_bytes = size(most);
    }
    if let Some(timeout) = section.duration("timeout", 100 * MILLISECOND..=5 * MINUTE) {
        (limits.head, limits.body) = (timeout, timeout);
    }
    section.finish();
    limits
}
