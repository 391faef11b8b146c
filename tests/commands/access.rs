//! Who asks: certificates and tokens, and a gateway that is not there.

use std::{path::Path, process::Command};

use dialplane::config::{Config, Listen};

use crate::{
    harness::{Answer, Stub},
    house::{Ran, command, ran},
};

const TOKEN: &str = "0123456789abcdef";

/// The command at a gateway with TLS, with the arguments that prove who asks.
fn run(server: &str, line: &str, proof: &[&str], token: &str) -> Ran {
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let mut command: Command = command(line, server);
    for argument in proof {
        match argument.strip_prefix('@') {
            Some(file) => command.arg(certificates.join(file)),
            None => command.arg(argument),
        };
    }
    if !token.is_empty() {
        command.env("DIALPLANE_TOKEN", token);
    }
    ran(&mut command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_tokens_are_shown() {
    let stub = Stub::start(|_| Answer::json(200, "{\"UniqueId\":\"v\"}")).await;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"server.pem\", key = \"server.key\", client_ca = \"clients.pem\" }}\n\
         [ledger]\nurl = \"sqlite::memory:\"\n\
         [callers.billing]\ncertificate = \"billing.example.test\"\ntoken = \"{TOKEN}\"\n\
         [vendors.one]\nkind = \"knovvu\"\nbase_url = \"{}\"\nproject = \"p\"\naccess_token = \"a\"\n\
         scenario_path = \"https://s.example.test\"\norchestrator_url = \"https://o.example.test\"\n\
         display_number = \"200\"\n[routes.default]\nvendors = [\"one\"]\n",
        stub.url()
    );
    let certificates = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let config = Config::parse(&text, &certificates, &|_| None).unwrap();
    let running = dialplane::cli::start(&config).await.unwrap();
    let Listen::Tcp(address) = running.address().clone() else { panic!("not TCP") };
    let server = format!("https://localhost:{}", address.port());
    let proof = ["--ca", "@ca.pem", "--certificate", "@billing.pem", "--key", "@billing.key"];

    assert_eq!(run(&server, "vendors", &proof, TOKEN).code, 0);
    assert_eq!(run(&server, "call +919900000100", &proof, TOKEN).code, 0);
    assert_eq!(run(&server, "suppress list", &proof, TOKEN).code, 0);
    let health = run(&server, "health", &proof, "");
    assert!(health.out.contains("SERVING"), "{health:?}");

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let with_file = [&proof[..], &["--token-file", file.to_str().unwrap()]].concat();
    assert_eq!(run(&server, "vendors", &with_file, "").code, 0);

    run(&server, "vendors", &proof, "").failed(1, "UNAUTHENTICATED");
    let wrong = run(&server, "vendors", &proof, "fedcba9876543210");
    wrong.failed(1, "UNAUTHENTICATED");
    assert!(!wrong.err.contains("fedcba"), "{wrong:?}");
    // Not the authority of the gateway's certificate.
    run(&server, "vendors", &["--ca", "@clients.pem"], TOKEN).failed(4, "no gateway answers");
    // The gateway cuts who shows none, with TLS 1.3 only after the handshake.
    let nobody = run(&server, "vendors", &["--ca", "@ca.pem", "--timeout", "1s"], TOKEN);
    assert_eq!(nobody.code, 4, "{nobody:?}");
    running.stop().await;
    stub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_not_there_is_said_to_be_so() {
    for line in
        ["vendors", "results x", "cancel x", "watch x", "call +919900000100", "suppress list"]
    {
        run("http://127.0.0.1:1", line, &[], "").failed(4, "is \"dialplane serve\" running there?");
    }
    run("nonsense", "vendors", &[], "").failed(2, "expected http://HOST:PORT");
    run("http://127.0.0.1:1", "vendors", &["--ca", "@ca.pem"], "")
        .failed(2, "--ca is for https://");
    run("http://127.0.0.1:1", "vendors", &["--timeout", "5"], "").failed(2, "--timeout");
}
