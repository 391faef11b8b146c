//! TLS for who connects, with certificates that may change while it is spoken.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::{Current, validity};
use crate::config::{self, TlsError};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// What speaks TLS on one listener. Clones are one.
#[derive(Debug, Clone)]
pub struct Tls {
    files: Arc<config::Tls>,
    protocols: &'static [&'static [u8]],
    server: Current<ServerConfig>,
    /// When the certificate ends that is shown.
    ends: Current<Option<Timestamp>>,
    /// What was found there last, whether or not it was any good.
    found: Arc<Mutex<Result<[u8; 32], String>>>,
}

/// What a look at the files came to.
#[derive(Debug)]
pub enum Looked {
    /// They are as they were.
    Same,
    /// They have changed: whoever connects from now on is shown the new certificate.
    Replaced,
    /// They have changed into something that can't be used: the old certificate stays.
    Refused(TlsError),
}

impl Tls {
    /// For HTTP/2.
    pub const HTTP2: &'static [&'static [u8]] = &[b"h2"];
    /// For HTTP/1.1.
    pub const HTTP1: &'static [&'static [u8]] = &[b"http/1.1"];

    /// For both.
    pub const HTTP: &'static [&'static [u8]] = &[b"h2", b"http/1.1"];

    /// Reads the files. These protocols are spoken over it.
    ///
    /// # Errors
    /// When one of them is not what it should be.
    pub fn new(files: &config::Tls, protocols: &'static [&'static [u8]]) -> Result<Self, TlsError> {
        let found = files.read()?;
        let server = found.server(protocols)?;
        let ends = found.certificate().ok().as_ref().and_then(validity::ends);
        Ok(Self {
            files: Arc::new(files.clone()),
            protocols,
            server: Current::new(server),
            ends: Current::new(ends),
            found: Arc::new(Mutex::new(Ok(found.digest()))),
        })
    }

    /// What does it, with the certificate of this moment.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.server.get())
    }

    /// Looks at the files. What was said about a change once is not said again.
    pub fn look(&self) -> Looked {
        let now = self.files.read();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let now = match now {
            Ok(files) => files,
            Err(error) => {
                let told = error.to_string();
                if found.as_ref().is_err_and(|before| *before == told) {
                    return Looked::Same;
                }
                *found = Err(told);
                return Looked::Refused(error);
            }
        };
        if found.as_ref().is_ok_and(|before| *before == now.digest()) {
            return Looked::Same;
        }
        let server = now.server(self.protocols);
        let ends = now.certificate().ok().as_ref().and_then(validity::ends);
        *found = Ok(now.digest());
        drop(found);
        match server {
            Ok(server) => {
                self.server.set(server);
                self.ends.set(ends);
                Looked::Replaced
            }
            Err(error) => Looked::Refused(error),
        }
    }

    /// When the certificate ends that is shown, as far as that can be read.
    pub fn ends(&self) -> Option<Timestamp> {
        *self.ends.get()
    }

    /// Looks at the files again and again, and tells each time when the certificate ends.
    pub async fn follow(self, of: &'static str, tell: impl Fn(Timestamp)) {
        loop {
            if let Some(ends) = self.ends() {
                tell(ends);
            }
            sleep(INTERVAL).await;
            let tls = self.clone();
            // A file system may take its time.
            match tokio::task::spawn_blocking(move || tls.look()).await {
                Ok(Looked::Same) | Err(_) => {}
                Ok(Looked::Replaced) => {
                    tracing::info!(listener = of, "the certificate was replaced");
                }
                Ok(Looked::Refused(error)) => tracing::error!(
                    listener = of,
                    file = error.key,
                    %error,
                    "new certificates can't be used; the old ones stay"
                ),
            }
        }
    }
}
