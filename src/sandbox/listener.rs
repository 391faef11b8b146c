//! Connections that can be reset on demand and that end when the sandbox stops.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Waits until the sandbox stops, or is gone.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Takes connections.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) stop: watch::Receiver<bool>,
}

/// The client's end of a connection, and the switch that breaks it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    broken: Arc<AtomicBool>,
}

impl Peer {
    fn new(address: SocketAddr) -> Self {
        Self { address, broken: Arc::new(AtomicBool::new(false)) }
    }

    /// Resets the connection in place of the next thing written to it.
    pub(super) fn reset(&self) {
        self.broken.store(true, Ordering::Release);
    }
}

impl Door {
    /// The next connection.
    pub(super) async fn accept(&self) -> (Connection, Peer) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // Only slower when it can't be set.
                    let _ = stream.set_nodelay(true);
                    let peer = Peer::new(address);
                    let broken = Arc::clone(&peer.broken);
                    let stop = Box::pin(stopped(self.stop.clone()));
                    return (Connection { stream, broken, stop, stopping: false }, peer);
                }
                // Out of file descriptors, say: others have to close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// A connection.
pub(super) struct Connection {
    stream: TcpStream,
    broken: Arc<AtomicBool>,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    stopping: bool,
}

impl Connection {
    /// Fails once the connection is to end, and wakes the task when the sandbox stops.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.broken.load(Ordering::Acquire) {
            // With no time to linger, closing sends a reset.
            let _ = self.stream.set_zero_linger();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if !self.stopping && self.stop.as_mut().poll(context).is_ready() {
            self.stopping = true;
        }
        if self.stopping { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
