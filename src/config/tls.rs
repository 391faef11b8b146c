//! Certificates of a listener: where they lie, and whether they are what they should be.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ::aws_lc_rs::digest::{Context, SHA256};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{Section, file};

/// The files of `tls = { certificate, key, client_ca }`. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the listener's certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: who may vouch for clients. With it, each has to show a certificate.
    pub client_ca: Option<PathBuf>,
}

/// What the files hold, as they are at one moment.
pub struct TlsFiles {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsFiles(***)")
    }
}

/// What is wrong with a file, and under which key of the table it stands.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct TlsError {
    /// `certificate`, `key` or `client_ca`.
    pub key: &'static str,
    problem: String,
}

fn wrong(key: &'static str, problem: impl Into<String>) -> TlsError {
    TlsError { key, problem: problem.into() }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them can't be read.
    pub fn read(&self) -> Result<TlsFiles, TlsError> {
        Ok(TlsFiles {
            certificate: read_file("certificate", &self.certificate)?,
            key: read_file("key", &self.key)?,
            client_ca: self.client_ca.as_ref().map(|ca| read_file("client_ca", ca)).transpose()?,
        })
    }
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    file::read(path, file::LARGEST)
        .map_err(|error| wrong(key, format!("can't read {}: {error}", path.display())))
}

impl TlsFiles {
    /// Tells them from other ones; nothing of a key is kept for it.
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        for file in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()] {
            context.update(&file.map_or(u64::MAX, |file| file.len() as u64).to_be_bytes());
            context.update(file.map(Vec::as_slice).unwrap_or_default());
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        bytes
    }

    /// The listener's own certificate.
    ///
    /// # Errors
    /// When the file holds none.
    pub fn certificate(&self) -> Result<CertificateDer<'static>, TlsError> {
        let chain = certificates("certificate", &self.certificate)?;
        chain.into_iter().next().ok_or_else(|| wrong("certificate", "holds no certificate in PEM"))
    }

    /// What a listener needs to speak TLS with them, and these protocols over it.
    ///
    /// # Errors
    /// When a file is not what it should be, or the key is another certificate's.
    pub fn server(&self, protocols: &[&[u8]]) -> Result<ServerConfig, TlsError> {
        let chain = certificates("certificate", &self.certificate)?;
        // Whatever is wrong with a key, nothing of it is repeated.
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| wrong("key", "holds no private key in PEM"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("certificate", error.to_string()))?;
        let builder = match &self.client_ca {
            Some(ca) => builder.with_client_cert_verifier(verifier(ca, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => wrong("key", "is not that of the certificate"),
            rustls::Error::InvalidCertificate(error) => {
                wrong("certificate", format!("holds a certificate that can't be used: {error:?}"))
            }
            _ => wrong("key", "can't be used"),
        })?;
        server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(server)
    }
}

fn verifier(
    ca: &[u8],
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    const KEY: &str = "client_ca";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(KEY, ca)? {
        roots.add(certificate).map_err(|error| {
            wrong(KEY, format!("holds a certificate that can't be used: {error}"))
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|error| wrong(KEY, error.to_string()))
}

fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(wrong(key, "holds no certificate in PEM")),
        Ok(all) => Ok(all),
        Err(error) => Err(wrong(key, format!("is not PEM: {error}"))),
    }
}

/// Reads a table of files, and makes sure of what is in them.
pub(super) fn read(server: &mut Section<'_>, key: &'static str) -> Option<Tls> {
    let mut section = server.section(key)?;
    let (certificate, private, client_ca) = (
        required(&mut section, "certificate"),
        required(&mut section, "key"),
        section.path_of("client_ca"),
    );
    let tls = match (certificate, private) {
        (Some(certificate), Some(key)) => Some(Tls { certificate, key, client_ca }),
        _ => None,
    };
    if let Some(tls) = &tls
        && let Err(error) = tls.read().and_then(|files| files.server(&[]).map(drop))
    {
        section.problem(error.key, error.to_string());
    }
    section.finish();
    tls
}

fn required(section: &mut Section<'_>, key: &'static str) -> Option<PathBuf> {
    if !section.has(key) {
        section.missing(key, "the path of a file in PEM");
    }
    section.path_of(key)
}
