//! The listener: takes connections as long as there is room, and ends in order.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::Desk;
use crate::{
    config::{self, Listen},
    listen::{
        BindError, Full, Handshake, HandshakeError, Place, Protocol, Room, Share, Socket, Stream,
        Tls, fitting,
    },
};

/// What one connection may hold unread of a request's head, in bytes: no less than hyper takes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// Requests at a time on a connection with HTTP/2: some look after several services.
const MAX_STREAMS: u32 = 32;
/// Permissions of a Unix socket; this one is never one.
const SOCKET_MODE: u32 = 0o600;

/// How much is taken at once, and how long anything may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections; for one more the oldest is cut.
    pub connections: usize,
    /// Answers that are made at the same time; more wait, as long as one may take.
    pub answers: usize,
    /// For the head of a request, the wait for it included: scrapers that come every minute
    /// keep their connection.
    pub head: Duration,
    /// For an answer to be made.
    pub answer: Duration,
    /// A connection's age, after which it takes no more requests.
    pub age: Duration,
    /// For what is under way when a connection has to end.
    pub last: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            answers: 4,
            head: Duration::from_secs(90),
            answer: Duration::from_secs(10),
            age: Duration::from_secs(15 * 60),
            last: Duration::from_secs(2),
        }
    }
}

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
    #[error("can't listen for metrics and probes on {0}")]
    Listen(#[from] BindError),
    /// A certificate or its key has become wrong since the configuration was read.
    #[error("server.admin_tls.{}: {}", .0.key, .0)]
    Tls(#[from] config::TlsError),
}

/// What all connections have in common.
struct House {
    desk: Arc<Desk>,
    answers: Arc<Semaphore>,
    tls: Option<Tls>,
    limits: Limits,
}

impl Bound {
    /// Takes the address, to be asked in the clear.
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
        let tls = config.admin_tls.as_ref();
        let tls = tls.map(|files| Tls::new(files, Tls::HTTP)).transpose()?;
        Ok(Self { tls, ..Self::new(address).await? })
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

    /// Its TLS, if it speaks any.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Serves until `stop` is over; what is under way then still has its answer, within
    /// bounds. Nothing else ends it.
    pub async fn serve(self, desk: Arc<Desk>, stop: impl Future<Output = ()>) {
        let Self { socket, tls, limits, .. } = self;
        // Who asks now goes before who has asked: a probe that has to wait is one that failed.
        let room = Room::new(Full::Refused, fitting(limits.connections, Share::Admin), None);
        let mut besides = JoinSet::new();
        besides.spawn(Arc::clone(&desk).look_after_health());
        if let Some(tls) = &tls {
            let desk = Arc::clone(&desk);
            besides.spawn(tls.clone().follow("admin", move |ends| desk.certificate_expires(ends)));
        }
        let answers = Arc::new(Semaphore::new(limits.answers));
        let house = Arc::new(House { desk, answers, tls, limits });
        let (ending, end) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let (handshake, place) = tokio::select! {
                biased;
                () = &mut stop => break,
                taken = socket.next(&room) => taken,
            };
            connections.spawn(begin(handshake, place, Arc::clone(&house), end.clone()));
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
    house: Arc<House>,
    mut end: watch::Receiver<()>,
) {
    let first = async {
        let (mut stream, _) = handshake.with(house.tls.as_ref()).await?;
        let protocol = stream.protocol().await?;
        Ok::<_, HandshakeError>((stream, protocol))
    };
    let begun = tokio::select! {
        biased;
        begun = timeout(house.limits.head, first) => begun,
        () = place.gone() => return,
        // Dropped when the listener ends.
        _ = end.changed() => return,
    };
    match begun {
        Ok(Ok((stream, protocol))) => {
            tokio::select! {
                biased;
                () = converse(stream, protocol, house, end) => {}
                () = place.gone() => tracing::debug!("an admin connection makes room"),
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "nothing came of an admin connection"),
        Err(_) => tracing::debug!("an admin connection said nothing, and is cut"),
    }
}

/// Answers one connection's requests until either side ends it.
async fn converse(
    stream: Stream,
    protocol: Protocol,
    house: Arc<House>,
    mut end: watch::Receiver<()>,
) {
    let limits = house.limits;
    let serve = service_fn(|request: hyper::Request<Incoming>| {
        let (desk, answers) = (Arc::clone(&house.desk), Arc::clone(&house.answers));
        desk.answer(request, answers, limits)
    });
    // The two kinds of connection have nothing in common but the names of what they do.
    macro_rules! until_the_end {
        ($connection:expr) => {{
            let mut connection = pin!($connection);
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "an admin connection broke");
                    }
                    return;
                }
                // Dropped when the listener ends.
                _ = end.changed() => {}
                () = sleep(limits.age) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = timeout(limits.last, connection).await;
        }};
    }
    match protocol {
        Protocol::Http2 => until_the_end!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEAD_BYTES as u32)
                .keep_alive_interval(limits.head)
                .keep_alive_timeout(limits.answer)
                .serve_connection(TokioIo::new(stream), serve)
        ),
        Protocol::Other => until_the_end!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head)
                .max_headers(MAX_HEADERS)
                // Who has said all there is to say may still want the answer.
                .half_close(true)
                .max_buf_size(MAX_HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), serve)
        ),
    }
}
