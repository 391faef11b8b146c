//! The gRPC server: where it listens, whom it lets in, what it serves besides the calls
//! (health and reflection), and how it ends.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};

use super::{
    callers::Callers,
    connection::{House, converse},
    health,
    observe::Observe,
    reading::ReadingRoom,
    services::Services,
};
use crate::{
    config::{self, Limits, Listen},
    gateway::Gateway,
    listen::{BindError, Current, Full, Room, Share, Socket, Tls, fitting},
};

/// How often it is looked whether there is room for more connections, or for fewer.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);
/// Permissions of a Unix socket.
const SOCKET_MODE: u32 = 0o600;

/// A socket that listens, and is served later.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    tls: Option<Tls>,
    edge: Edge,
}

/// What may be replaced while the server serves: connections that are made from then on have
/// these limits, RPCs that come from then on these callers. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// What is taken of whoever comes. How much is read at once stays as it was at first.
    pub limits: Current<Limits>,
    /// Who may use the API.
    pub callers: Current<Callers>,
}

/// Why the server is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("can't listen on {0}")]
    Listen(#[from] BindError),
    /// A certificate or its key has become wrong since the configuration was read.
    #[error("server.tls.{}: {}", .0.key, .0)]
    Tls(#[from] config::TlsError),
}

impl Bound {
    /// Takes the address, to serve anybody, in the clear, with the usual limits.
    ///
    /// # Errors
    /// When it can't be had: in use, not permitted, not an address of this machine.
    pub async fn new(address: &Listen) -> Result<Self, ServeError> {
        let socket = Socket::bind(address, SOCKET_MODE).await?;
        Ok(Self { socket, tls: None, edge: Edge::default() })
    }

    /// Takes the address, with all that the configuration says of it.
    ///
    /// # Errors
    /// When it can't be had, or a certificate can't be used.
    pub async fn configured(config: &config::Config) -> Result<Self, ServeError> {
        let server = &config.server;
        let tls = server.tls.as_ref().map(|files| Tls::new(files, Tls::HTTP2)).transpose()?;
        let socket = Socket::bind(&server.listen, server.socket_mode).await?;
        let edge = Edge {
            limits: Current::new(server.limits.clone()),
            callers: Current::new(Callers::new(&config.callers)),
        };
        Ok(Self { socket, tls, edge })
    }

    /// What may be replaced while it serves.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Its TLS, if it speaks any.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Where it listens, the port included.
    pub fn address(&self) -> &Listen {
        self.socket.address()
    }

    /// The TCP address, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.socket.tcp()
    }

    /// Serves the gateway until `stop` is there, then finishes what is under way.
    ///
    /// # Errors
    /// None at present: nothing but `stop` ends it.
    pub async fn serve(
        self,
        gateway: Gateway,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let Self { socket, tls, edge: Edge { limits, callers } } = self;
        let (health, watchman) = health::health(gateway.clone());
        // Both end with this future, however it ends.
        let mut besides = JoinSet::new();
        besides.spawn(watchman.run());
        if let Some(tls) = &tls {
            let metrics = Arc::clone(gateway.metrics());
            let tell = move |ends| metrics.certificate_expires("listen", ends);
            besides.spawn(tls.clone().follow("listen", tell));
        }
        let first = limits.get();
        let reading = ReadingRoom::new(first.reading_bytes);
        let room = Room::new(Full::Refused, places(&first), peers(&first));
        if places(&first) < first.connections as usize {
            let connections = places(&first);
            tracing::info!(connections, "fewer are taken than configured: see ulimit -n");
        }
        let house = Arc::new(House { limits, callers, tls, reading });
        let metrics = Arc::clone(gateway.metrics());
        let services = Services::new(gateway.clone(), health);
        let (ending, end) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        let mut looks = tokio::time::interval(ROOM_INTERVAL);
        loop {
            let (handshake, place) = tokio::select! {
                biased;
                () = &mut stop => break,
                _ = looks.tick() => {
                    let limits = house.limits.get();
                    room.resize(places(&limits), peers(&limits));
                    continue;
                }
                taken = socket.next(&room) => taken,
            };
            let (services, metrics) = (services.clone(), Arc::clone(&metrics));
            let observed = move |limits: &Limits| {
                Observe::new(services.taking(limits.request_bytes as usize), metrics)
            };
            let house = Arc::clone(&house);
            connections.spawn(converse(handshake, place, house, observed, end.clone()));
            while connections.try_join_next().is_some() {}
        }
        // Whoever watches hears of it before the connection ends.
        gateway.leave();
        drop((socket, ending));
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

/// As many as the limit says, and the system has descriptors for.
fn places(limits: &Limits) -> usize {
    fitting(limits.connections as usize, Share::Calls)
}

fn peers(limits: &Limits) -> Option<usize> {
    limits.connections_per_peer.map(|most| most as usize)
}
