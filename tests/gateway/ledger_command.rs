//! `dialplane ledger`, as an operator runs it: a copy made beside a running gateway, checked, and put to
//! work after the original is lost.

use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, SystemTime},
};

use dialplane::proto::{
    CallSpec, CallState, CancelCallsRequest, CreateCallsRequest, WatchCallResultsRequest,
};
use tonic::Code;

use crate::{
    harness::{Explained, Gateway, to},
    placing::recorded,
    raw::{account, route},
};

async fn run(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
    command.arg("ledger").args(arguments).arg("--config").arg(config);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_in_a_copy_is_in_doubt_and_not_dialled() {
    let folder = tempfile::tempdir().unwrap();
    let vendors = account("knovvu", "one", "http://127.0.0.1:9", "") + &route("default", &["one"]);
    let ledger = |name: &str| {
        let path = folder.path().join(name);
        format!("{vendors}\n[ledger]\nurl = \"sqlite:{}\"\n", path.display())
    };
    let config = |name: &str| {
        let path = folder.path().join(name).with_extension("toml");
        std::fs::write(&path, ledger(name)).unwrap();
        path
    };
    let (original, copied) = (config("original.db"), config("copied.db"));
    let copy = folder.path().join("copied.db");
    let copy = copy.to_str().unwrap();

    let mut gateway = Gateway::start(&ledger("original.db")).await;
    let start_time = SystemTime::now() + Duration::from_secs(3_600);
    let later = CallSpec { start_time: Some(start_time.into()), ..to("+905300000001") };
    let request = CreateCallsRequest {
        request_id: "later".into(),
        calls: vec![later],
        ..CreateCallsRequest::default()
    };
    let all = WatchCallResultsRequest::default();
    let mut watch = gateway.client.watch_call_results(all).await.unwrap().into_inner();
    gateway.send(request.clone()).await.unwrap();
    let cursor = watch.message().await.unwrap().unwrap().cursor;
    drop(watch);

    let (code, text) = said(&run(&original, &["backup", "--to", copy]).await);
    assert!(code == Some(0) && text.starts_with("copied "), "{text}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(copy).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds people's numbers");
    let (code, text) = said(&run(&original, &["backup", "--to", copy]).await);
    assert!(code == Some(1) && text.contains("there is a file already"), "{text}");
    let (code, text) = said(&run(&original, &["restored"]).await);
    assert!(code == Some(1) && text.contains("another gateway uses it"), "{text}");
    // What the copy does not know of: the call was taken back.
    let cancel = CancelCallsRequest { request_id: "later".into(), ..Default::default() };
    gateway.client.cancel_calls(cancel).await.unwrap();
    assert_eq!(recorded(&mut gateway, "later").await.state(), CallState::Canceled);
    gateway.stop().await;

    let (code, text) = said(&run(&copied, &["check"]).await);
    assert!(code == Some(0) && text.contains("1 of these wait\nit is whole"), "{text}");
    for times in [1, 0] {
        let (code, text) = said(&run(&copied, &["restored"]).await);
        assert!(code == Some(0) && text.starts_with(&format!("{times} calls")), "{text}");
    }
    let mut gateway = Gateway::start(&ledger("copied.db")).await;
    let call = recorded(&mut gateway, "later").await;
    assert_eq!(call.state(), CallState::Unconfirmed);
    assert_eq!(Explained::of_call(&call).info.reason, "LEDGER_RESTORED");
    assert_eq!(Explained::of_call(&call).meta("dialed"), "maybe");
    assert!(gateway.send(request).await.unwrap().replayed, "its id is remembered");
    let from = WatchCallResultsRequest { cursor, ..Default::default() };
    let refused = gateway.client.watch_call_results(from).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_ledger_is_told_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let config = folder.path().join("none.toml");
    let vendors = account("knovvu", "one", "http://127.0.0.1:9", "") + &route("default", &["one"]);
    let text = format!("{vendors}\n[ledger]\nurl = \"sqlite:{}\"\n", path.display());
    std::fs::write(&config, text).unwrap();
    let copy = folder.path().join("copy.db");
    let commands: [&[&str]; 3] =
        [&["backup", "--to", copy.to_str().unwrap()], &["check"], &["restored"]];
    for command in commands {
        let (code, text) = said(&run(&config, command).await);
        assert!(code == Some(1) && text.contains("there is no such file"), "{command:?}: {text}");
        assert!(!path.exists() && !copy.exists(), "{command:?}");
    }
    std::fs::write(&path, "Dear diary, ".repeat(1_000)).unwrap();
    for command in commands {
        let (code, text) = said(&run(&config, command).await);
        assert!(code == Some(1) && text.contains("not an SQLite database"), "{command:?}: {text}");
        assert!(!copy.exists(), "{command:?}");
    }
}
