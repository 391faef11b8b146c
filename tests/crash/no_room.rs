//! A ledger that can't be written, and one that is in use.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use dialplane::proto::{CallSpec, CreateCallsRequest};
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    binary::Binary,
    town::{PATIENCE, Town, endpoint},
};

/// Limits how large the files of a process may become, which a full disk comes down to.
/// Says whether that is possible here.
fn limit_files(process: u32, bytes: &str) -> bool {
    // The soft limit alone, so that it can be raised again.
    let limit = format!("--fsize={bytes}:");
    let done = Command::new("prlimit").arg("--pid").arg(process.to_string()).arg(limit).status();
    done.is_ok_and(|status| status.success())
}

fn one_call(id: &str, number: &str) -> CreateCallsRequest {
    CreateCallsRequest {
        request_id: id.to_owned(),
        route: "realtime".to_owned(),
        calls: vec![CallSpec { to: vec![number.to_owned()], ..Default::default() }],
        ..Default::default()
    }
}

/// Waits until health is told so.
async fn until(health: &mut HealthClient<tonic::transport::Channel>, wanted: ServingStatus) {
    let request = HealthCheckRequest { service: "dialplane.v1.CallService".to_owned() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    let told = async { while watch.message().await.unwrap().unwrap().status() != wanted {} };
    assert!(timeout(PATIENCE, told).await.is_ok(), "health never becomes {wanted:?}");
}

#[tokio::test]
async fn without_room_on_the_disk_nothing_is_sent_and_it_recovers() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut town = Town::start(directory.path().to_owned(), "1h").await;
    town.serving().await;
    town.gateway.kill();
    let (config, log) = (directory.path().join("config.toml"), directory.path().join("log"));
    town.gateway = Binary::start_where_files_may_be_limited(&config, &log);
    town.serving().await;
    let (mut client, process) = (town.client(), town.gateway.id());
    let mut health = HealthClient::new(endpoint(town.grpc).connect_lazy());
    until(&mut health, ServingStatus::Serving).await;
    client.create_calls(one_call("before", "+919900000120")).await.unwrap();

    if !limit_files(process, "0") {
        println!("SKIPPED: no prlimit (util-linux) here, or it may not limit a process");
        town.stop().await;
        return;
    }
    // The log is a file as well: that it can't be written either must disturb nothing.
    let refused = client.create_calls(one_call("without", "+919900000220")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    until(&mut health, ServingStatus::NotServing).await;
    let still = client.create_calls(one_call("still", "+919900000320")).await.unwrap_err();
    assert_eq!(still.code(), Code::Unavailable, "{still:?}");
    assert_eq!(town.sandbox.dialed().len(), 1, "nothing is dialled that is not recorded");
    let orders =
        |town: &Town| town.sandbox.log().iter().filter(|e| e.path.ends_with("create")).count();
    assert_eq!(orders(&town), 1, "nothing is sent that is not recorded");

    assert!(limit_files(process, "unlimited"));
    until(&mut health, ServingStatus::Serving).await;
    let answer = client.create_calls(one_call("without", "+919900000220")).await.unwrap();
    assert_eq!(answer.into_inner().calls.len(), 1);
    assert_eq!(town.sandbox.dials_of("+919900000220"), 1);
    assert_eq!(town.sandbox.dials_of("+919900000320"), 0, "nobody asked for it again");
    town.stop().await;
}

#[tokio::test]
async fn a_second_gateway_on_the_same_file_ends_with_one_line_that_names_it() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut town = Town::start(directory.path().to_owned(), "1h").await;
    town.serving().await;
    let text = std::fs::read_to_string(directory.path().join("config.toml")).unwrap();
    let elsewhere: String = text
        .lines()
        .filter(|line| !line.starts_with("callbacks") && !line.starts_with("callback ="))
        .map(|line| if line.starts_with("listen") { "listen = \"127.0.0.1:0\"" } else { line })
        .map(|line| format!("{line}\n"))
        .collect();
    let config = directory.path().join("second.toml");
    std::fs::write(&config, elsewhere).unwrap();
    let log = directory.path().join("second.log");
    let mut second = Binary::start(&config, &log);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = second.ended() {
            break status;
        }
        assert!(begun.elapsed() < PATIENCE, "the second gateway runs");
        sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(status.code(), Some(1));
    assert_is_one_line(&log, &["calls.db", "another gateway uses it"]);
    town.serving().await;
    town.stop().await;
}

fn assert_is_one_line(log: &Path, words: &[&str]) {
    let text = std::fs::read_to_string(log).unwrap();
    // Warnings of the configuration come before.
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("WARN")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    for word in words {
        assert!(lines[0].contains(word), "{word}: {text}");
    }
}
