//! TLS, and certificates that are replaced while it is spoken.

use std::{path::Path, sync::Arc};

use dialplane::{
    api::Bound,
    config::Config,
    gateway::{Clock, Gateway},
    ledger::{Ledger, sqlite::SqliteLedger},
    listen::{Looked, Tls},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::sync::oneshot;

use crate::{
    house::{House, certificates, soon, text, tls},
    wire::Wire,
};

const TLS: &str = "tls = { certificate = \"server.pem\", key = \"server.key\" }";
const MUTUAL: &str =
    "tls = { certificate = \"server.pem\", key = \"server.key\", client_ca = \"clients.pem\" }";

#[tokio::test]
async fn rpcs_are_served_over_tls_and_not_in_the_clear() {
    let house = House::open(TLS).await;
    let mut caller = house.caller_over_tls(None, "").await.unwrap();
    assert!(caller.is_served().await);
    caller.call("").await.unwrap();
    let mut clear = Wire::silent(house.address).await;
    clear.write(crate::wire::PREFACE).await;
    clear.ended().await;
    let stream = tls(house.address, None, b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(tls(house.address, None, b"http/1.1").await.is_err());
    house.end().await;
}

#[tokio::test]
async fn clients_have_to_show_a_certificate_of_their_authority() {
    let house = House::open(MUTUAL).await;
    for certificate in ["billing", "reports"] {
        let mut caller = house.caller_over_tls(Some(certificate), "").await.unwrap();
        assert!(caller.is_served().await, "{certificate}");
    }
    for certificate in [None, Some("forged"), Some("server")] {
        // With TLS 1.3 a client hears of it only once it reads.
        if let Ok(mut caller) = house.caller_over_tls(certificate, "").await {
            assert!(!caller.is_served().await, "{certificate:?}");
        }
    }
    house.end().await;
}

#[tokio::test]
async fn certificates_are_replaced_without_cutting_anybody() {
    let directory = tempfile::tempdir().unwrap();
    let place = |from: &str, to: &str| {
        std::fs::copy(certificates().join(from), directory.path().join(to)).unwrap();
    };
    place("server.pem", "server.pem");
    place("server.key", "server.key");
    let text = text(&format!("listen = \"127.0.0.1:0\"\n{TLS}"), "", "http://127.0.0.1:1");
    let config = Config::parse(&text, directory.path(), &|_| None).unwrap();
    let bound = Bound::configured(&config).await.unwrap();
    let (address, files) = (bound.tcp().unwrap(), bound.tls().unwrap().clone());
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::open("sqlite::memory:").unwrap());
    let gateway = Gateway::new(&config, Arc::clone(&ledger), Clock::system()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(bound.serve(gateway, async { drop(stopped.await) }));

    let shown = async || {
        let stream = tls(address, None, b"h2").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let is = |name: &str| {
        CertificateDer::from_pem_slice(&std::fs::read(certificates().join(name)).unwrap()).unwrap()
    };
    let mut before = tls(address, None, b"h2").await.unwrap();
    assert_eq!(shown().await, is("server.pem"));
    assert!(matches!(files.look(), Looked::Same));

    // One after the other, as files are replaced: in between they don't belong together.
    place("next.pem", "server.pem");
    let Looked::Refused(error) = files.look() else { panic!("a key of another certificate") };
    assert_eq!((error.key, error.to_string().as_str()), ("key", "is not that of the certificate"));
    assert!(matches!(files.look(), Looked::Same), "it is said once");
    assert_eq!(shown().await, is("server.pem"));
    place("next.key", "server.key");
    assert!(matches!(files.look(), Looked::Replaced));
    assert_eq!(shown().await, is("next.pem"));

    std::fs::remove_file(directory.path().join("server.pem")).unwrap();
    let Looked::Refused(error) = files.look() else { panic!("no certificate") };
    assert_eq!(error.key, "certificate");
    assert!(matches!(files.look(), Looked::Same));
    std::fs::write(directory.path().join("server.pem"), "no PEM").unwrap();
    assert!(matches!(files.look(), Looked::Refused(_)));
    assert_eq!(shown().await, is("next.pem"));
    place("next.pem", "server.pem");
    assert!(matches!(files.look(), Looked::Replaced));

    // Who was there before is there still.
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    before.write_all(crate::wire::PREFACE).await.unwrap();
    before.write_all(&crate::wire::frame(crate::wire::SETTINGS, 0, 0, &[])).await.unwrap();
    assert_eq!(soon("settings", before.read_u8()).await.unwrap(), 0);
    drop((before, stop));
    soon("the end", server).await.unwrap().unwrap();
    ledger.close().await;
}

#[test]
fn nothing_of_a_key_is_printed() {
    let config =
        Config::parse(&text(MUTUAL, "", "http://127.0.0.1:1"), &certificates(), &|_| None).unwrap();
    let files = config.server.tls.clone().unwrap();
    let tls = Tls::new(&files, Tls::HTTP2).unwrap();
    let key = std::fs::read_to_string(certificates().join("server.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    for shown in [format!("{tls:?}"), format!("{:?}", files.read().unwrap()), format!("{config:?}")]
    {
        assert!(!shown.contains(line) && !shown.contains("PrivateKey("), "{shown}");
    }
    assert!(Path::new(&files.key).is_absolute());
}
