//! `dialplane health`, as a probe runs it.

use std::process::Command;

use dialplane::config::Config;

use crate::{
    placing::on_disk,
    raw::{account, route},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_over_a_unix_socket_tells_who_takes_calls() {
    let directory = tempfile::tempdir().unwrap();
    let server = format!("unix:{}", directory.path().join("s").display());
    let vendor = account("knovvu", "one", "http://127.0.0.1:9", "");
    let text = format!("[server]\nlisten = \"{server}\"\n{}{vendor}", on_disk(&directory))
        + &route("default", &["one"]);
    let config = Config::parse(&text, std::path::Path::new("."), &|_| None).unwrap();
    let probe = |service: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
        command.args(["health", service, "--server", &server]);
        let output = tokio::task::block_in_place(|| command.output().unwrap());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = probe("");
    assert!(code == 1 && out.is_empty() && err.contains("no gateway answers"), "{out}{err}");

    let running = dialplane::cli::start(&config).await.unwrap();
    // What it says before the ledger was asked for the first time.
    while probe("") == (1, "NOT_SERVING\n".to_owned(), String::new()) {}
    assert_eq!(probe(""), (0, "SERVING\n".to_owned(), String::new()));
    assert_eq!(probe("dialplane.v1.CallService").0, 0);
    let (code, _, err) = probe("dialplane.v1.Nothing");
    assert!(code == 1 && err.contains("knows no service \"dialplane.v1.Nothing\""), "{err}");
    running.stop().await;
    assert_eq!(probe("").0, 1);
}
