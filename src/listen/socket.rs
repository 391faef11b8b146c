//! Addresses that are listened on.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    time::sleep,
};

use super::{Handshake, Origin, Place, Room, stream::Plain};
use crate::config::Listen;

/// The pause after a connection could not be taken: out of file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often that is worth a word.
const COMPLAINT: Duration = Duration::from_secs(60);

/// A socket that listens. Its file, if it has one, goes with it.
#[derive(Debug)]
pub struct Socket {
    listener: Listener,
    address: Listen,
    complained: Mutex<Option<Instant>>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why an address can't be had.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {source}{}", hint(.source))]
pub struct BindError {
    /// Where.
    pub address: Listen,
    /// Why not.
    pub source: io::Error,
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

impl Socket {
    /// Takes an address. The file of a Unix socket gets these permissions.
    ///
    /// # Errors
    /// When it can't be had: in use, not permitted, not an address of this machine.
    pub async fn bind(address: &Listen, mode: u32) -> Result<Self, BindError> {
        let failed = |source| BindError { address: address.clone(), source };
        let (listener, address) = match address {
            Listen::Tcp(tcp) => {
                let listener = TcpListener::bind(tcp).await.map_err(failed)?;
                let address = Listen::Tcp(listener.local_addr().map_err(failed)?);
                (Listener::Tcp(listener), address)
            }
            Listen::Unix(path) => {
                let listener = bind_unix(path, mode).await.map_err(failed)?;
                (Listener::Unix(listener), address.clone())
            }
        };
        Ok(Self { listener, address, complained: Mutex::new(None) })
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

    /// The next connection for which there is room. None is lost when the future is dropped.
    pub async fn next(&self, room: &Arc<Room>) -> (Handshake, Place) {
        loop {
            room.ready().await;
            let (plain, origin) = self.accept().await;
            if let Some(place) = room.enter(origin) {
                return (Handshake(plain), place);
            }
        }
    }

    async fn accept(&self) -> (Plain, Origin) {
        loop {
            let accepted = match &self.listener {
                Listener::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                    // Only slower when it can't be set.
                    let _ = stream.set_nodelay(true);
                    (Plain::Tcp(stream), Origin::of(peer.ip()))
                }),
                Listener::Unix(listener) => {
                    listener.accept().await.map(|(stream, _)| (Plain::Unix(stream), Origin::Here))
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) => {
                    self.complain(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn complain(&self, error: &io::Error) {
        let mut last = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= COMPLAINT) {
            *last = Some(Instant::now());
            tracing::warn!(%error, address = %self.address, "connections can't be taken");
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Listen::Unix(path) = &self.address {
            let _ = fs::remove_file(path);
        }
    }
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// A socket file that nobody listens on is left over from a run that was killed.
async fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        // Anything else that has this name is somebody's, and nobody listens on it either.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_socket(path) => {
            match UnixStream::connect(path).await {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path)?;
                    UnixListener::bind(path)
                }
                _ => Err(error),
            }
        }
        bound => bound,
    }?;
    // Whoever connects between the two is who may by the umask, and waits to be taken: nothing
    // is served yet.
    if let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(mode)) {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    Ok(listener)
}
