//! The listener: takes connections as long as there is room, and ends in order.

use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::Desk;

/// What one connection may hold unread of a request's head, in bytes: no less than hyper takes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// The pause after a connection could not be taken: out of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How much is taken at once, and how long anything may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections; more wait to be taken.
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
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

/// Why the listener is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("can't listen for metrics and probes on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

impl Bound {
    /// Takes the address.
    ///
    /// # Errors
    /// When it can't be had: in use, not permitted, not an address of this machine.
    pub async fn new(address: SocketAddr) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, limits: Limits::default() })
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

    /// Serves until `stop` is over; what is under way then still has its answer, within
    /// bounds. Nothing else ends it.
    pub async fn serve(self, desk: Arc<Desk>, stop: impl Future<Output = ()>) {
        let Self { listener, limits, .. } = self;
        let places = Arc::new(Semaphore::new(limits.connections));
        let answers = Arc::new(Semaphore::new(limits.answers));
        let (ending, end) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            let taken = tokio::select! {
                biased;
                () = &mut stop => None,
                taken = take(&listener, &places) => taken,
            };
            let Some((stream, place)) = taken else { break };
            let (desk, answers) = (Arc::clone(&desk), Arc::clone(&answers));
            connections.spawn(converse(stream, place, desk, answers, limits, end.clone()));
            while connections.try_join_next().is_some() {}
        }
        drop((listener, ending));
        // Each has a bound of its own; this one is for those that began just now.
        let over = async { while connections.join_next().await.is_some() {} };
        if timeout(limits.last, over).await.is_err() {
            connections.shutdown().await;
        }
    }
}

/// The next connection, once there is room for it.
async fn take(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Only slower when it can't be set.
                let _ = stream.set_nodelay(true);
                return Some((stream, place));
            }
            Err(error) => {
                tracing::debug!(%error, "an admin connection can't be taken");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one connection's requests, one after the other, until either side ends it.
async fn converse(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    desk: Arc<Desk>,
    answers: Arc<Semaphore>,
    limits: Limits,
    mut end: watch::Receiver<()>,
) {
    let serve =
        service_fn(|request| Arc::clone(&desk).answer(request, Arc::clone(&answers), limits));
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
    drop(place);
}
