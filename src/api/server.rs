//! The gRPC server: where it listens, what it serves besides the calls (health and
//! reflection), and how it ends.

use std::{future::Future, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Server, server::TcpIncoming};
use tower::util::MapRequestLayer;

use super::{
    CallApi, KEEP_ALIVE, MAX_MESSAGE_BYTES, MAX_REQUEST_BYTES, SuppressionApi, deadline, health,
    observe, reflection,
};
use crate::{
    config::Listen,
    gateway::Gateway,
    proto::{
        call_service_server::CallServiceServer,
        suppression_service_server::SuppressionServiceServer,
    },
};

/// Streams that one connection may have open.
const MAX_STREAMS: u32 = 1_024;
/// Headers that one request may have, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// A socket that listens, and is served later.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: Listen,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why the server is not there.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address can't be had.
    #[error("can't listen on {address}: {source}{}", hint(.source))]
    Listen {
        /// Where.
        address: Listen,
        /// Why not.
        source: io::Error,
    },
    /// It broke while it ran.
    #[error("the gRPC server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: stop it, or choose another address"
        }
        io::ErrorKind::PermissionDenied => {
            "; choose a port above 1023, or a path that can be written"
        }
        _ => "",
    }
}

impl Bound {
    /// Takes the address.
    ///
    /// # Errors
    /// When it can't be had: in use, not permitted, not an address of this machine.
    pub async fn new(address: &Listen) -> Result<Self, ServeError> {
        let failed = |source| ServeError::Listen { address: address.clone(), source };
        match address {
            Listen::Tcp(tcp) => {
                let listener = TcpListener::bind(tcp).await.map_err(failed)?;
                let address = Listen::Tcp(listener.local_addr().map_err(failed)?);
                Ok(Self { socket: Socket::Tcp(listener), address })
            }
            Listen::Unix(path) => {
                let listener = bind_unix(path).await.map_err(failed)?;
                Ok(Self { socket: Socket::Unix(listener), address: address.clone() })
            }
        }
    }

    /// Where it listens, the port included.
    pub fn address(&self) -> &Listen {
        &self.address
    }

    /// The TCP address, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self.address {
            Listen::Tcp(address) => Some(address),
            Listen::Unix(_) => None,
        }
    }

    /// Serves the gateway until `stop` is there, then finishes what is under way.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve(
        self,
        gateway: Gateway,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let (health, watchman) = health::health(gateway.clone());
        let watch = tokio::spawn(watchman.run());
        let leaving = gateway.clone();
        let suppressions = SuppressionServiceServer::new(SuppressionApi::new(gateway.clone()))
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let observe = observe::ObserveLayer { metrics: Arc::clone(gateway.metrics()) };
        let calls = CallServiceServer::new(CallApi::new(gateway))
            .max_decoding_message_size(MAX_REQUEST_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (reflection, reflection_alpha) = reflection::both();
        let router = Server::builder()
            .max_concurrent_streams(MAX_STREAMS)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .http2_keepalive_interval(Some(KEEP_ALIVE))
            .http2_keepalive_timeout(Some(Duration::from_secs(20)))
            .layer(MapRequestLayer::new(deadline::note_arrival))
            .layer(observe)
            .add_service(calls)
            .add_service(suppressions)
            .add_service(health)
            .add_service(reflection)
            .add_service(reflection_alpha);
        let stop = async {
            stop.await;
            // Whoever watches hears of it before the connection ends.
            leaving.leave();
        };
        let served = match self.socket {
            Socket::Tcp(listener) => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                router.serve_with_incoming_shutdown(incoming, stop).await
            }
            Socket::Unix(listener) => {
                let incoming = UnixListenerStream::new(listener);
                router.serve_with_incoming_shutdown(incoming, stop).await
            }
        };
        watch.abort();
        if let Listen::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
        Ok(served?)
    }
}

/// A socket file that nobody listens on is left over from a run that was killed.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match UnixStream::connect(path).await {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)?;
                    UnixListener::bind(path)
                }
                _ => Err(error),
            }
        }
        bound => bound,
    }
}
