//! TLS to a gateway.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

/// Makes sure of the gateway by the authorities in a file, or by those of the system, and shows
/// a certificate with its key.
///
/// # Errors
/// With a sentence for people.
pub(super) fn connector(
    ca: Option<&Path>,
    identity: Option<(&Path, &Path)>,
) -> Result<TlsConnector, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match ca {
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("--ca", file)? {
                roots.add(certificate).map_err(|error| said("--ca", file, &error))?;
            }
            builder.with_root_certificates(roots)
        }
        None => {
            let verifier = Verifier::new(provider).map_err(|_| {
                "no certificate authorities were found on this system; name a file of them with \
                 --ca"
                    .to_owned()
            })?;
            // Not another way of verifying than the usual one: that of the system.
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = match identity {
        Some((certificate, key)) => {
            let chain = certificates("--certificate", certificate)?;
            // What is wrong with a key would tell of it.
            let key_der = PrivateKeyDer::from_pem_file(key)
                .map_err(|_| format!("--key {}: has no private key in PEM", key.display()))?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|error| said("--certificate", certificate, &error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(name: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<_, _>>);
    match found {
        Ok(found) if found.is_empty() => Err(said(name, file, &"has no certificate in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(said(name, file, &error)),
    }
}

fn said(name: &str, file: &Path, what: &dyn std::fmt::Display) -> String {
    format!("{name} {}: {what}", file.display())
}
