//! Gets a connection to a vendor: name, TCP, TLS. Whatever fails here, nothing of a
//! request was sent.

use std::{
    error::Error,
    fmt, io, iter,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use hyper::{
    Uri,
    rt::{Read, ReadBufCursor, Write},
};
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        dns::{GaiAddrs, GaiResolver, Name},
    },
    rt::TokioIo,
};
use rustls_pki_types::ServerName;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::client::TlsStream;
use tower::{Service, ServiceExt};

use super::{NotSent, connection::Connection, failure::Source, pool::Origin, trust::Trust};

/// How long a connection may be silent before the system asks whether the other end is
/// still there, and between such questions; after so many of them it is not.
const PROBE: (Duration, u32) = (Duration::from_secs(15), 3);

/// How long what was sent may stay without the other end's confirmation.
#[cfg(target_os = "linux")]
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// What a connection did not come about by, and what was seen.
pub(crate) type Missed = (NotSent, Source);

/// Makes connections.
pub(crate) struct Connector {
    tcp: HttpConnector<Names>,
    trust: Trust,
    limit: Duration,
}

impl Connector {
    /// One whose connections come about within a time, or not at all.
    pub(crate) fn new(trust: Trust, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Names(GaiResolver::new()));
        // Shared out among all addresses of a name.
        tcp.set_connect_timeout(Some(limit));
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(PROBE.0));
        tcp.set_keepalive_interval(Some(PROBE.0));
        tcp.set_keepalive_retries(Some(PROBE.1));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNCONFIRMED));
        Self { tcp, trust, limit }
    }

    /// A new connection, before an exchange's time is over.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<Connection, Missed> {
        let stream = self.stream_by(origin, deadline).await?;
        Connection::over(stream).await.map_err(|error| (NotSent::Connect, Source::of(&error)))
    }

    /// A new stream, before a time is over.
    pub(crate) async fn stream_by(
        &self,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<Stream, Missed> {
        let deadline = deadline.min(Instant::now() + self.limit);
        let connected = timeout_at(deadline, self.stream(origin)).await;
        connected.map_err(|late| (NotSent::Timeout, Source::of(&late)))?
    }

    async fn stream(&self, origin: &Origin) -> Result<Stream, Missed> {
        // First of all: without anybody to trust there is nothing to connect for.
        let tls = match origin.is_https {
            true => Some(self.trust.tls().map_err(|none| (NotSent::Tls, none))?),
            false => None,
        };
        let address = format!("http://{}:{}/", origin.host, origin.port);
        let address =
            Uri::try_from(address).map_err(|error| (NotSent::Request, Source::of(&error)))?;
        let tcp = self.tcp.clone().oneshot(address).await.map_err(|error| {
            let kind = if is_of_name(&error) { NotSent::Name } else { NotSent::Connect };
            (if is_late(&error) { NotSent::Timeout } else { kind }, Source::of(&error))
        })?;
        let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
        let name = origin.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name =
            ServerName::try_from(name).map_err(|error| (NotSent::Tls, Source::of(&error)))?;
        let session = tls.connect(name, tcp.into_inner()).await;
        let session = session.map_err(|error| (NotSent::Tls, Source::of(&error)))?;
        Ok(Stream::Tls(Box::new(TokioIo::new(session))))
    }
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

fn is_of_name(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(<dyn Error>::is::<Unresolved>)
}

fn is_late(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .filter_map(<dyn Error>::downcast_ref::<io::Error>)
        .any(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// The system's resolver, whose errors can be told from others.
#[derive(Clone)]
struct Names(GaiResolver);

#[derive(Debug)]
struct Unresolved(io::Error);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Unresolved {}

impl Service<Name> for Names {
    type Response = GaiAddrs;
    type Error = Unresolved;
    type Future = BoxFuture<'static, Result<GaiAddrs, Unresolved>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        self.0.poll_ready(context).map_err(Unresolved)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let looked_up = self.0.call(name);
        Box::pin(async move { looked_up.await.map_err(Unresolved) })
    }
}

/// What a connection goes over.
pub(crate) enum Stream {
    /// http.
    Plain(TokioIo<TcpStream>),
    /// https.
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, parts),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(context, parts),
        }
    }
}
