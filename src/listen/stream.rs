//! A connection: TCP or a Unix socket, in the clear or within TLS.

use std::{
    io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

use super::{Peer, Tls};

/// What a client of HTTP/2 says first.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection as the system gives it.
#[derive(Debug)]
pub enum Plain {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// A connection that can be talked over.
#[derive(Debug)]
pub struct Stream {
    wire: Wire,
    /// What was read to know the protocol, and has to be read again by who speaks it.
    said: [u8; PREFACE.len()],
    unread: Range<usize>,
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2, as a client says it that knows beforehand, or has agreed on it within TLS.
    Http2,
    /// Anything else, HTTP/1 most likely.
    Other,
}

#[derive(Debug)]
enum Wire {
    Clear(Plain),
    Tls(Box<TlsStream<Plain>>),
}

/// A connection that has not said anything yet.
#[derive(Debug)]
pub struct Handshake(pub(super) Plain);

/// Why nothing came of a connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// No TLS, no certificate that is trusted, or the other end left.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// It does not speak HTTP/2.
    #[error("not HTTP/2")]
    NotHttp2,
    /// The other end left.
    #[error("it broke: {0}")]
    Broken(#[from] io::Error),
}

impl Handshake {
    /// TLS, if that is spoken here. It has no end of its own: bound it.
    ///
    /// # Errors
    /// When the other end speaks none, or can't prove who it is where it has to.
    pub async fn with(self, tls: Option<&Tls>) -> Result<(Stream, Peer), HandshakeError> {
        let address = match &self.0 {
            Plain::Tcp(stream) => stream.peer_addr().ok(),
            Plain::Unix(_) => None,
        };
        let Some(tls) = tls else {
            let peer = Peer::default().at(address);
            return Ok((Stream::new(Wire::Clear(self.0)), peer));
        };
        let stream = tls.acceptor().accept(self.0).await.map_err(HandshakeError::Tls)?;
        let (_, session) = stream.get_ref();
        let own = session.peer_certificates().and_then(<[_]>::first);
        let peer = own.map(Peer::of).unwrap_or_default().at(address);
        Ok((Stream::new(Wire::Tls(Box::new(stream))), peer))
    }
}

impl Stream {
    fn new(wire: Wire) -> Self {
        Self { wire, said: [0; PREFACE.len()], unread: 0..0 }
    }

    /// Waits for what a client of HTTP/2 says first, and leaves it there. It has no end of its
    /// own: bound it.
    ///
    /// # Errors
    /// When it says anything else.
    pub async fn speaks_http2(&mut self) -> Result<(), HandshakeError> {
        match self.protocol().await? {
            Protocol::Http2 => Ok(()),
            Protocol::Other => Err(HandshakeError::NotHttp2),
        }
    }

    /// Waits until it is known which protocol a client speaks, and leaves there what it said. It
    /// has no end of its own: bound it.
    ///
    /// # Errors
    /// When the client left.
    pub async fn protocol(&mut self) -> Result<Protocol, HandshakeError> {
        let mut heard = 0;
        while let Some(rest) = self.said.get_mut(heard..).filter(|rest| !rest.is_empty()) {
            let count = match &mut self.wire {
                Wire::Clear(plain) => plain.read(rest).await?,
                Wire::Tls(tls) => tls.read(rest).await?,
            };
            if count == 0 {
                return Err(HandshakeError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
            heard += count;
            self.unread = 0..heard;
            if self.said.get(..heard) != PREFACE.get(..heard) {
                return Ok(Protocol::Other);
            }
        }
        Ok(Protocol::Http2)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let unread = self.said.get(self.unread.clone()).unwrap_or_default();
            let count = unread.len().min(buffer.remaining());
            buffer.put_slice(unread.get(..count).unwrap_or_default());
            self.unread.start += count;
            return Poll::Ready(Ok(()));
        }
        match &mut self.wire {
            Wire::Clear(plain) => Pin::new(plain).poll_read(context, buffer),
            Wire::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, buffer),
        }
    }
}

/// Has the parts of an enum do what the whole is asked to.
macro_rules! writes_as_its_parts {
    ($type:ty, $of:ident, { $($variant:path => $part:ident => $inner:expr),+ }) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match $of(self.get_mut()) {
                    $($variant($part) => Pin::new($inner).poll_write(context, bytes),)+
                }
            }

            fn poll_flush(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                match $of(self.get_mut()) {
                    $($variant($part) => Pin::new($inner).poll_flush(context),)+
                }
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                match $of(self.get_mut()) {
                    $($variant($part) => Pin::new($inner).poll_shutdown(context),)+
                }
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                parts: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match $of(self.get_mut()) {
                    $($variant($part) => Pin::new($inner).poll_write_vectored(context, parts),)+
                }
            }

            fn is_write_vectored(&self) -> bool {
                true
            }
        }
    };
}

fn itself(plain: &mut Plain) -> &mut Plain {
    plain
}

fn wire(stream: &mut Stream) -> &mut Wire {
    &mut stream.wire
}

writes_as_its_parts!(Plain, itself, { Plain::Tcp => tcp => tcp, Plain::Unix => unix => unix });
writes_as_its_parts!(Stream, wire, { Wire::Clear => plain => plain, Wire::Tls => tls => tls.as_mut() });

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Unix(unix) => Pin::new(unix).poll_read(context, buffer),
        }
    }
}
