//! Secrets and numbers are in nothing that is exported or logged.

use crate::{
    collector::Collector,
    house::{CALLER, House, text},
    stub::{Answer, Stub},
};

#[tokio::test]
async fn what_is_exported_holds_no_secrets_and_no_numbers() {
    let collector = Collector::grpc().await;
    // Says again what it was sent, as some do.
    let stub = Stub::start(|request| {
        let said = request.body.replace(['"', '\\'], " ");
        Answer::json(401, format!(r#"{{"status":"ERROR","message":"token 919812345600 {said}"}}"#))
    })
    .await;
    let mut variables = collector.variables("grpc");
    variables.push(("RUST_LOG", "trace".to_owned()));
    let text = text(stub.address, "propagate_trace = true");
    let mut house = House::start(&text, &variables).await;
    for route in ["mobtexting", "phonon", "919812345600"] {
        let _ = house.place(route, "+919812345600", Some(CALLER)).await;
        let _ = house.place(route, "919812345600 x", Some(CALLER)).await;
    }
    collector.until(|spans| spans.len() >= 8).await;
    assert!(house.end().await.success());
    let bytes = String::from_utf8_lossy(&collector.bytes()).into_owned();
    let log: Vec<_> = house.log();
    let ours =
        log.iter().filter(|l| l["target"].as_str().is_some_and(|t| t.starts_with("dialplane")));
    let ours = format!("{:?}", ours.collect::<Vec<_>>());
    for secret in [
        "9812345600",
        "0123456789abcdef0123",
        "a-secret-of-the-webhook",
        "path-token-of-the-webhook",
    ] {
        assert!(!bytes.contains(secret), "a span shows {secret}");
        assert!(!ours.contains(secret), "the log shows {secret}: {ours}");
    }
    stub.stop().await;
}
