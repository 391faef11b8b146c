//! Whom to believe that they are a vendor.

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::failure::Source;

const NO_AUTHORITIES: &str = "no certificate authorities were found on this system; install its \
                              package of them (ca-certificates) or set ca_file";

/// The system's authorities, and those of a file besides.
pub(crate) struct Trust {
    besides: Vec<CertificateDer<'static>>,
    /// The protocol that is spoken over TLS, by its registered name.
    speaks: &'static [u8],
    /// Made for the first https address: reading all of a system's authorities takes some
    /// milliseconds and some hundred kilobytes, and a system may have none.
    tls: OnceLock<Result<TlsConnector, Source>>,
}

impl Trust {
    /// In the system's authorities, and those of a bundle in PEM, for HTTP/1.1.
    pub(super) fn new(bundle: Option<&[u8]>) -> Result<Self, Source> {
        Self::speaking(bundle, b"http/1.1")
    }

    /// The same for another protocol.
    pub(crate) fn speaking(bundle: Option<&[u8]>, speaks: &'static [u8]) -> Result<Self, Source> {
        let mut besides = Vec::new();
        for certificate in bundle.into_iter().flat_map(CertificateDer::pem_slice_iter) {
            besides.push(certificate.map_err(|error| Source::of(&error))?);
        }
        let mut tried = RootCertStore::empty();
        for certificate in &besides {
            tried.add(certificate.clone()).map_err(|error| Source::of(&error))?;
        }
        Ok(Self { besides, speaks, tls: OnceLock::new() })
    }

    /// In nobody, as on a system without authorities.
    #[cfg(test)]
    pub(super) fn in_nobody() -> Self {
        let tls = OnceLock::from(Err(Source::new(NO_AUTHORITIES)));
        Self { besides: Vec::new(), speaks: b"http/1.1", tls }
    }

    /// What makes sure of it.
    pub(super) fn tls(&self) -> Result<&TlsConnector, Source> {
        self.tls
            .get_or_init(|| connector(&self.besides, self.speaks))
            .as_ref()
            .map_err(Clone::clone)
    }
}

fn connector(besides: &[CertificateDer<'static>], speaks: &[u8]) -> Result<TlsConnector, Source> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(besides.iter().cloned(), Arc::clone(&provider));
    let verifier = verifier.map_err(|error| match besides {
        [] => Source::new(NO_AUTHORITIES),
        _ => Source::of(&error),
    })?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Source::of(&error))?
        // Not another way of verifying than the usual one: that of the system.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![speaks.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
