//! `dialplane suppress`, as people run it.

use std::process::Command;

use dialplane::config::{Config, Listen};

use crate::{
    harness::with_sandbox,
    placing::on_disk,
    raw::{account, route},
    suppressions::{FREE, LISTED},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_keeps_the_list() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let Listen::Tcp(address) = gateway.running.address().clone() else { panic!("not TCP") };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("list.txt");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
        command.arg("suppress").args(arguments);
        command.env("DIALPLANE_SERVER", format!("http://{address}"));
        tokio::task::block_in_place(|| {
            let output = command.output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
        })
    };
    let lines: Vec<_> = (0..6_000).map(|n| format!("+91980000{n:04} # {n}\n\n")).collect();
    std::fs::write(&file, lines.concat()).unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = run(&["add", LISTED, "--file", file, "--reason", "asked"]);
    assert_eq!((code, out.lines().count(), err.as_str()), (0, 6_002, ""));
    let (code, out, _) = run(&["list", "--json"]);
    assert_eq!((code, out.lines().count()), (0, 6_001));
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["number"], &last["reason"]), (&LISTED.into(), &"asked".into()));
    let (code, out, _) = run(&["list", LISTED, FREE]);
    assert_eq!(code, 0);
    assert!(out.lines().nth(1).unwrap().ends_with("Z  asked") && out.lines().count() == 2, "{out}");
    gateway.call("knovvu", LISTED).await.unwrap_err();
    let (code, out, _) = run(&["remove", LISTED, FREE, "--json"]);
    assert_eq!((code, out.lines().count()), (0, 2));
    assert!(out.lines().next().unwrap().contains("true") && out.contains("false"), "{out}");
    gateway.call("knovvu", LISTED).await.unwrap();

    let (code, _, err) = run(&["add", FREE, "--reason", &"r".repeat(129)]);
    assert_eq!(code, 2);
    assert!(err.contains("INVALID_ARGUMENT, INVALID_REQUEST: reason: has 129"), "{err}");
    let (code, _, err) = run(&["add", "0123"]);
    assert!(code == 2 && err.contains("number 1: starts with 0"), "{err}");
    assert_eq!(run(&["remove"]).0, 2);
    gateway.stop().await;
    let (code, _, err) = run(&["list"]);
    assert!(code == 4 && err.contains("no gateway answers"), "{err}");
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_finds_a_gateway_on_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let server = format!("unix:{}", directory.path().join("s").display());
    let vendor = account("knovvu", "one", "http://127.0.0.1:9", "");
    let text = format!("[server]\nlisten = \"{server}\"\n{}{vendor}", on_disk(&directory))
        + &route("default", &["one"]);
    let config = Config::parse(&text, std::path::Path::new("."), &|_| None).unwrap();
    let running = dialplane::cli::start(&config).await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
    command.args(["suppress", "add", LISTED, "--server", &server]);
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().contains(LISTED));
    running.stop().await;
}
