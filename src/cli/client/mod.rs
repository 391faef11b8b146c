//! The connection of commands that talk to a running gateway.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Uri},
};

use crate::config::parse_duration;

mod again;
mod failed;
mod tls;

use again::patiently;
pub(super) use again::{has_no_turn, turn_of, wait_of};
pub(super) use failed::{FAILED, Failed, NOT_REACHED, SOME_FAILED, brief, explain, plain, words};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent while an answer is waited for, before the gateway is
/// asked whether it is still there; and for that answer.
const PROBE: Duration = Duration::from_secs(20);
/// The longest time that an argument may say: clocks can't be set to much later ones.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);
/// The port of https addresses without one.
const HTTPS: u16 = 443;
/// What a token may have at most: more than a gateway takes.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;
/// The variable with the token itself. Not an argument: those are seen by everybody on the
/// machine.
const TOKEN: &str = "DIALPLANE_TOKEN";

/// Which gateway is meant, and how to prove who asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Server {
    /// Where the gateway listens: http://HOST:PORT, https://HOST:PORT, or unix:/PATH.
    #[arg(
        long,
        env = "DIALPLANE_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051"
    )]
    server: String,
    /// Authorities of the gateway's certificate, in PEM. Without it, those of the system.
    #[arg(long, env = "DIALPLANE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A certificate to show to the gateway, in PEM, with its chain. Needs --key.
    #[arg(long, env = "DIALPLANE_CERTIFICATE", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    #[arg(long, env = "DIALPLANE_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file that holds the token to show. The token itself can be in DIALPLANE_TOKEN.
    #[arg(long, env = "DIALPLANE_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How long to try: a number and ms, s, m or h.
    #[arg(long, env = "DIALPLANE_TIMEOUT", value_name = "DURATION", default_value = "60s",
          value_parser = duration)]
    timeout: Duration,
}

/// A length of time of an argument.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|duration| !duration.is_zero() && *duration <= LONGEST).ok_or_else(
        || "expected a whole number and ms, s, m, h or d, such as 30s, up to 3650d".to_owned(),
    )
}

/// A connection that proves with each RPC who asks.
pub(super) type Services = InterceptedService<Channel, Shows>;

/// Shows a token, if there is one.
#[derive(Clone)]
pub(super) struct Shows(Option<MetadataValue<Ascii>>);

impl Interceptor for Shows {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl Server {
    /// Connects.
    ///
    /// # Errors
    /// With a sentence for people.
    pub(super) async fn connect(&self) -> Result<Services, Failed> {
        let server = &self.server;
        if !["http://", "https://", "unix:/"].iter().any(|scheme| server.starts_with(scheme)) {
            return Err(Failed::input(format!(
                "--server {server}: expected http://HOST:PORT, https://HOST:PORT or unix:/PATH, \
                 such as http://127.0.0.1:50051"
            )));
        }
        let wrong =
            |error: &dyn std::fmt::Display| Failed::input(format!("--server {server}: {error}"));
        let shows = Shows(self.token(std::env::var(TOKEN).ok())?);
        let endpoint = Endpoint::from_shared(server.clone()).map_err(|error| wrong(&error))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT)
            .timeout(self.timeout)
            .http2_keep_alive_interval(PROBE)
            .keep_alive_timeout(PROBE);
        let channel = match server.starts_with("https://") {
            true => {
                let identity = self.identity()?;
                let tls = tls::connector(self.ca.as_deref(), identity).map_err(Failed::input)?;
                let connect = tower::service_fn(move |uri| over_tls(tls.clone(), uri));
                endpoint.connect_with_connector(connect).await
            }
            false => {
                self.no_tls()?;
                endpoint.connect().await
            }
        };
        let channel = channel.map_err(|error| {
            let why = causes(&error);
            let message = format!(
                "no gateway answers at {server}{why}; is \"dialplane serve\" running there?"
            );
            Failed::new(message, NOT_REACHED)
        })?;
        Ok(InterceptedService::new(channel, shows))
    }

    /// How long to try.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Asks, and again as long as that does no harm and there is time.
    pub(super) async fn ask<Q: Clone, A>(
        &self,
        question: Q,
        mut ask: impl AsyncFnMut(Request<Q>) -> Result<tonic::Response<A>, Status>,
    ) -> Result<A, Status> {
        patiently(self.timeout, async |left| {
            let mut request = Request::new(question.clone());
            request.set_timeout(left);
            ask(request).await.map(tonic::Response::into_inner)
        })
        .await
    }

    fn identity(&self) -> Result<Option<(&Path, &Path)>, Failed> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Failed::input("--certificate needs its --key")),
            (None, Some(_)) => Err(Failed::input("--key needs its --certificate")),
        }
    }

    /// Whoever names certificates means them to be used.
    fn no_tls(&self) -> Result<(), Failed> {
        let named =
            [("--ca", &self.ca), ("--certificate", &self.certificate), ("--key", &self.key)];
        match named.iter().find(|(_, file)| file.is_some()) {
            Some((name, _)) => Err(Failed::input(format!(
                "{name} is for https://, and --server {} is not",
                self.server
            ))),
            None => Ok(()),
        }
    }

    /// What is shown for a token: that of the file, or else that of the environment.
    fn token(&self, variable: Option<String>) -> Result<Option<MetadataValue<Ascii>>, Failed> {
        let (token, place) = match &self.token_file {
            Some(file) => {
                let place = format!("--token-file {}", file.display());
                let text = read(file, MAX_TOKEN_BYTES)
                    .map_err(|error| Failed::input(format!("{place}: {error}")))?;
                (text, place)
            }
            None => (variable.unwrap_or_default(), TOKEN.to_owned()),
        };
        let token = token.trim();
        if token.is_empty() {
            return match &self.token_file {
                Some(_) => Err(Failed::input(format!("{place}: is empty"))),
                None => Ok(None),
            };
        }
        let shown: Result<MetadataValue<Ascii>, _> = format!("Bearer {token}").parse();
        // What is wrong with it would show it.
        let mut shown = shown.map_err(|_| {
            Failed::input(format!("{place}: has characters that no token can have"))
        })?;
        shown.set_sensitive(true);
        Ok(Some(shown))
    }
}

fn read(file: &Path, most: u64) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

/// A connection whose other end has proved to be the host of the address.
async fn over_tls(
    tls: TlsConnector,
    uri: Uri,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(HTTPS);
    let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(tls.connect(name, stream).await?))
}

/// What an error came from, the last of it: those above say the same in other words.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    let mut last = None;
    while let Some(error) = source {
        last = Some(error);
        source = error.source();
    }
    if let Some(last) = last {
        let _ = write!(text, " ({last})");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        Server {
            server: url.into(),
            ca: None,
            certificate: None,
            key: None,
            token_file: None,
            timeout: CONNECT,
        }
    }

    async fn refused(server: Server) -> String {
        let failed = server.connect().await.err().unwrap();
        assert_eq!(failed.code(), super::super::WRONG_INPUT);
        failed.to_string()
    }

    #[tokio::test]
    async fn what_is_no_address_is_said() {
        for url in ["127.0.0.1:50051", "ftp://x", "unix:x"] {
            let error = refused(server(url)).await;
            assert!(error.contains("expected http://HOST:PORT"), "{error}");
        }
    }

    #[tokio::test]
    async fn certificates_are_used_or_refused() {
        let file = Some(PathBuf::from("Cargo.toml"));
        let with = |url: &str| Server { certificate: file.clone(), ..server(url) };
        assert!(refused(with("http://x")).await.contains("--certificate is for https://"));
        assert!(refused(with("https://x")).await.contains("needs its --key"));
        let both = Server { key: file.clone(), ..with("https://x") };
        assert!(refused(both).await.contains("Cargo.toml: has no certificate"));
        let ca = Server { ca: file.clone(), ..server("https://x") };
        assert!(refused(ca).await.contains("Cargo.toml: has no certificate"));
    }

    #[test]
    fn times_are_those_that_clocks_have() {
        assert_eq!(duration("3650d"), Ok(LONGEST));
        for wrong in ["0s", "x", "3651d", "99999999999999d", "213503982334d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_shown_and_never_printed() {
        let token = |variable: &str| server("x").token(Some(variable.into()));
        let shown = token(" 0123456789abcdef\n").unwrap().unwrap();
        assert_eq!(shown.to_str().unwrap(), "Bearer 0123456789abcdef");
        assert!(shown.is_sensitive() && !format!("{shown:?}").contains("0123"));
        assert!(token("").unwrap().is_none());
        let error = token("se\u{1}cret").unwrap_err().to_string();
        assert!(error.contains("DIALPLANE_TOKEN: has characters") && !error.contains("cret"));
        let file = |name: &str| Server { token_file: Some(name.into()), ..server("x") };
        let error = file("/nowhere/token").token(None).unwrap_err().to_string();
        assert!(error.starts_with("--token-file /nowhere/token: "), "{error}");
        let error = file("/dev/null").token(None).unwrap_err().to_string();
        assert!(error.ends_with("is empty"), "{error}");
    }
}
