//! The listener: takes connections as long as there is room, and ends in order.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Limits, request::Desk};
use crate::{
    config::{self, Listen},
    gateway::Gateway,
    listen::{BindError, Full, Handshake, Place, Room, Share, Socket, Stream, Tls, fitting},
};

/// What one connection may hold unread of a request's head, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;

/// Permissions of a Unix socket; callbacks have none.
const SOCKET_MODE: u32 = 0o600;

/// A socket that listens, and is served later.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: SocketAddr,
    tls: Option<Tls>,
    limits: Limits,
}

/// Why the listener is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("can't listen for callbacks on {0}")]
    Listen(#[from] BindError),
    /// A certificate or its key has become wrong since the configuration was read.
    #[error("server.callbacks_tls.{}: {}", .0.key, .0)]
    Tls(#[from] config::TlsError),
}

impl Bound {
    /// Takes the address, to be posted to in the clear.
    ///
    /// # Errors
    /// When it can't be had: in use, not permitted, not an address of this machine.
    pub async fn new(address: SocketAddr) -> Result<Self, ServeError> {
        let socket = Socket::bind(&Listen::Tcp(address), SOCKET_MODE).await?;
        let address = socket.tcp().unwrap_or(address);
        Ok(Self { socket, address, tls: None, limits: Limits::default() })
    }

    /// Takes the address, with all that the configuration says of it.
    ///
    /// # Errors
    /// When it can't be had, or a certificate can't be used.
    pub async fn configured(
        address: SocketAddr,
        config: &config::Server,
    ) -> Result<Self, ServeError> {
        let tls = config.callbacks_tls.as_ref();
        let tls = tls.map(|files| Tls::new(files, Tls::HTTP1)).transpose()?;
        Ok(Self { tls, ..Self::new(address).await?.limited(config.callback_limits) })
    }

    /// With other limits.
    #[must_use]
    pub fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Where it listens, the port included.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes deliveries until `stop` is there, then finishes what is under way, within
    /// bounds. Nothing else ends it.
    pub async fn serve(self, gateway: Gateway, stop: impl Future<Output = ()>) {
        let Self { socket, tls, limits, .. } = self;
        let metrics = Arc::clone(gateway.metrics());
        let desk = Arc::new(Desk::new(gateway, limits));
        // Not every vendor posts again: better that one waits than that it is refused.
        let most = fitting(limits.connections, Share::Callbacks);
        let room = Room::new(Full::Waits, most, Some(limits.connections_per_peer));
        let mut besides = JoinSet::new();
        if let Some(tls) = &tls {
            let tell = move |ends| metrics.certificate_expires("callbacks", ends);
            besides.spawn(tls.clone().follow("callbacks", tell));
        }
        let (ending, end) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let (handshake, place) = tokio::select! {
                biased;
                () = &mut stop => break,
                taken = socket.next(&room) => taken,
            };
            let begin = begin(handshake, place, tls.clone(), Arc::clone(&desk), end.clone());
            connections.spawn(begin);
            while connections.try_join_next().is_some() {}
        }
        drop((socket, ending));
        // Each has a bound of its own; this one is for those that began just now.
        let over = async { while connections.join_next().await.is_some() {} };
        if timeout(limits.last, over).await.is_err() {
            connections.shutdown().await;
        }
    }
}

/// Does what comes before the first request.
async fn begin(
    handshake: Handshake,
    place: Place,
    tls: Option<Tls>,
    desk: Arc<Desk>,
    mut end: watch::Receiver<()>,
) {
    let begun = tokio::select! {
        biased;
        begun = timeout(desk.limits().head, handshake.with(tls.as_ref())) => begun,
        // Dropped when the listener ends.
        _ = end.changed() => return,
    };
    match begun {
        Ok(Ok((stream, _))) => converse(stream, place, desk, end).await,
        Ok(Err(error)) => tracing::debug!(%error, "nothing came of a callback connection"),
        Err(_) => tracing::debug!("a callback connection said nothing, and is cut"),
    }
}

/// Answers one connection's requests, one after the other, until either side ends it.
async fn converse(stream: Stream, place: Place, desk: Arc<Desk>, mut end: watch::Receiver<()>) {
    let limits = desk.limits();
    let serve = service_fn(|request| Arc::clone(&desk).answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(MAX_HEADERS)
        // Who has said all there is to say may still want the answer.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), serve);
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a callback connection broke");
            }
            return;
        }
        // Dropped when the listener ends.
        _ = end.changed() => {}
        () = sleep(limits.age) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(limits.last, connection).await;
    drop(place);
}
