//! `watch`, and `call --watch`.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::{
    harness::six_systems,
    house::{House, command, ran, read},
};

const ANSWERED: &str = "+919900000100";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_followed_to_their_end() {
    let house = House::open().await;
    let followed = house.run(&format!("call {ANSWERED} --route mobtexting --watch --json"));
    let calls = followed.json();
    let revisions: Vec<_> = calls.iter().map(|call| call["revision"].as_str().unwrap()).collect();
    assert_eq!(revisions[0], "1");
    assert_eq!(calls.last().unwrap()["state"], "CALL_STATE_ANSWERED", "{followed:?}");
    let id = calls[0]["callId"].as_str().unwrap();

    let again = house.run(&format!("watch {id} --json"));
    let changes = again.json();
    assert_eq!(changes.len(), calls.len());
    assert_eq!(changes[0]["call"]["callId"], id);
    let cursor = changes.last().unwrap()["cursor"].as_str().unwrap();
    assert!(again.err.contains(&format!("cursor: {cursor}")), "{again:?}");
    let first = changes[0]["cursor"].as_str().unwrap();
    assert_eq!(
        house.run(&format!("watch {id} --cursor {first} --json")).json().len(),
        calls.len() - 1
    );
    house.run(&format!("watch {id} --cursor x")).failed(2, "cursor");
    house.run("watch --route nowhere").failed(1, "NOT_FOUND");
    house.run(&format!("watch {id} --route knovvu")).failed(2, "cannot be used with");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_by_references_ends_when_all_are_over() {
    let house = House::open().await;
    let line = "--route phonon-outbound --at 2190-01-01T00:00:00Z";
    house.run(&format!("call {ANSWERED} --reference a {line}"));
    let mut watching = house.command("watch --reference a --reference b --json");
    let mut watching = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = || -> Value {
        let line = tokio::task::block_in_place(|| lines.next().unwrap().unwrap());
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(next()["call"]["clientReference"], "a");
    house.run("cancel --reference a");
    assert_eq!(next()["call"]["state"], "CALL_STATE_CANCELED");
    house.run(&format!("call {ANSWERED} --reference b {line}"));
    assert_eq!(next()["call"]["clientReference"], "b");
    house.run("cancel --reference b");
    assert_eq!(next()["call"]["state"], "CALL_STATE_CANCELED");
    let ended = tokio::task::block_in_place(|| read(watching.wait_with_output().unwrap()));
    assert!(ended.code == 0 && ended.err.contains("cursor: "), "{ended:?}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_after_a_restart_of_the_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let House { sandbox, gateway, .. } = House::open().await;
    gateway.stop().await;
    let socket = directory.path().join("s");
    let server = format!("unix:{}", socket.display());
    let text = format!(
        "[server]\nlisten = \"{server}\"\n[ledger]\nurl = \"sqlite:{}\"\n{}",
        directory.path().join("l.db").display(),
        six_systems(&sandbox, "20s")
    );
    let config =
        dialplane::config::Config::parse(&text, std::path::Path::new("."), &|_| None).unwrap();
    let running = dialplane::cli::start(&config).await.unwrap();
    let run = |line: &str| ran(&mut command(line, &server));
    let placed = run(&format!(
        "call {ANSWERED} --route knovvu --at 2190-01-01T00:00:00Z --request-id r --json"
    ));
    assert_eq!(placed.json().len(), 1);
    let mut watching = command("watch --request-id r --json", &server);
    let mut watching = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut next = || tokio::task::block_in_place(|| lines.next().map(Result::unwrap));
    assert!(next().unwrap().contains("SCHEDULED"));
    running.stop().await;
    let running = dialplane::cli::start(&config).await.unwrap();
    assert_eq!(run("cancel --request-id r").code, 0);
    let last = next().unwrap();
    assert!(last.contains("CALL_STATE_CANCELED"), "{last}");
    assert_eq!(next(), None, "nothing twice");
    let ended = tokio::task::block_in_place(|| read(watching.wait_with_output().unwrap()));
    assert_eq!(ended.code, 0, "{ended:?}");
    running.stop().await;
    run("watch --request-id r").failed(4, "no gateway answers");
    sandbox.stop().await;
}
