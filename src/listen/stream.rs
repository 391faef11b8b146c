//! A connection: TCP or a Unix socket, in the clear or within TLS.

use std::{
    io,
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
    /// Bytes of the preface that were read, and have to be read again by who speaks HTTP/2.
    ahead: usize,
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
        let Some(tls) = tls else {
            return Ok((Stream { wire: Wire::Clear(self.0), ahead: 0 }, Peer::default()));
        };
        let stream = tls.acceptor().accept(self.0).await.map_err(HandshakeError::Tls)?;
        let (_, session) = stream.get_ref();
        let own = session.peer_certificates().and_then(<[_]>::first);
        let peer = own.map(Peer::of).unwrap_or_default();
        Ok((Stream { wire: Wire::Tls(Box::new(stream)), ahead: 0 }, peer))
    }
}

impl Stream {
    /// Waits for what a client of HTTP/2 says first, and leaves it there. It has no end of its
    /// own: bound it.
    ///
    /// # Errors
    /// When it says anything else.
    pub async fn speaks_http2(&mut self) -> Result<(), HandshakeError> {
        let mut said = [0; PREFACE.len()];
        let mut heard = 0;
        while let Some(rest) = said.get_mut(heard..).filter(|rest| !rest.is_empty()) {
            let count = match &mut self.wire {
                Wire::Clear(plain) => plain.read(rest).await?,
                Wire::Tls(tls) => tls.read(rest).await?,
            };
            heard += count;
            if count == 0 || said.get(..heard) != PREFACE.get(..heard) {
                return Err(HandshakeError::NotHttp2);
            }
        }
        self.ahead = PREFACE.len();
        Ok(())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead > 0 {
            let said = PREFACE.get(PREFACE.len() - self.ahead..).unwrap_or_default();
            let count = said.len().min(buffer.remaining());
            buffer.put_slice(said.get(..count).unwrap_or_default());
            self.ahead -= count;
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
