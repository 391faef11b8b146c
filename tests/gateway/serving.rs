//! `dialplane serve` as a process: signals, and files that change.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dialplane::proto::{CallState, CreateCallsRequest, call_service_client::CallServiceClient};
use tonic::transport::{Channel, Endpoint};

use crate::{
    harness::{Answer, FAST, SECURITY_ID, Stub, to},
    raw::{account, route, yes},
};

/// A running gateway, killed with the value.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Served {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
        command.args(["serve", "--config"]).arg(folder.join("dialplane.toml"));
        command.current_dir(folder).env("RUST_LOG", "info");
        let log = fs::File::create(folder.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self(command.spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    async fn ends(&mut self) -> i32 {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until the log says so, so many times.
async fn says(folder: &Path, what: &str, times: usize) -> String {
    let begun = Instant::now();
    loop {
        let log = fs::read_to_string(folder.join("log")).unwrap();
        if log.matches(what).count() >= times {
            return log;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what:?} is not in {log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn client(folder: &Path) -> CallServiceClient<Channel> {
    let socket = folder.join("socket");
    says(folder, "serving", 1).await;
    let channel =
        Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap().connect().await;
    CallServiceClient::new(channel.unwrap())
}

async fn place(client: &mut CallServiceClient<Channel>, number: &str) -> CallState {
    let request = CreateCallsRequest { calls: vec![to(number)], ..Default::default() };
    client.create_calls(request).await.unwrap().into_inner().calls[0].state()
}

/// One that Phonon would give.
fn secret(which: &str) -> String {
    format!("{which}s3cret{}\n", "0".repeat(53))
}

/// A configuration in a folder of its own, with a token in a file.
fn write(folder: &Path, url: &str, server: &str, more: &str) {
    let vendor = account("phonon-multicast", "one", url, FAST)
        .replace(&format!("security_id = \"{SECURITY_ID}\""), "security_id = { file = \"token\" }");
    let text = format!(
        "[server]\nlisten = \"unix:{}\"\n{server}\n[ledger]\nurl = \"sqlite::memory:\"\n\n{vendor}{}{more}",
        folder.join("socket").display(),
        route("default", &["one"]),
    );
    fs::write(folder.join("dialplane.toml"), text).unwrap();
}

#[tokio::test]
async fn a_changed_file_and_sighup_reload_and_a_bad_one_changes_nothing() {
    let stub = Stub::start(|_| Answer::json(200, yes("phonon-multicast"))).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("token"), secret("first")).unwrap();
    write(folder, &stub.url(), "", "");
    let mut served = Served::start(folder);
    let mut client = client(folder).await;
    assert_eq!(place(&mut client, "+919900000100").await, CallState::Accepted);

    // Nobody has to say that a secret is another.
    fs::write(folder.join("token"), secret("other")).unwrap();
    says(folder, "reloaded", 1).await;
    assert_eq!(place(&mut client, "+919900000200").await, CallState::Accepted);

    let broken = "[routes.bad]\nvendors = [\"nobody\", \"one\"]\nqueu = true\n";
    write(folder, &stub.url(), "", broken);
    served.signal("-HUP");
    let log = says(folder, "refused", 1).await;
    assert!(log.contains("routes.bad.vendors") && log.contains("routes.bad.queu"), "{log}");
    assert_eq!(place(&mut client, "+919900000300").await, CallState::Accepted);

    // What takes a restart is named, and the rest is applied.
    write(
        folder,
        &stub.url(),
        "callbacks = \"127.0.0.1:1\"\ndrain = \"7s\"",
        &route("more", &["one"]),
    );
    served.signal("-HUP");
    let log = says(folder, "they take a restart", 1).await;
    assert!(log.contains("server.callbacks"), "{log}");
    let log = says(folder, "+more", 1).await;
    assert!(log.contains("server.drain"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");

    served.signal("-TERM");
    assert_eq!(served.ends().await, 0);
    let with = |token: &str| {
        let all = stub.received();
        all.iter().filter(|request| request.body.contains(token)).count()
    };
    assert_eq!((with("firsts3cret"), with("others3cret")), (1, 2));
    stub.stop().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let stub = Stub::start(|_| Answer::json(200, yes("phonon-multicast"))).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("token"), SECURITY_ID).unwrap();
    write(folder, &stub.url(), "drain_notice = \"5m\"", "");
    let mut served = Served::start(folder);
    let mut client = client(folder).await;
    served.signal("-INT");
    says(folder, "stopping", 1).await;
    // It takes calls for those who have not heard of it.
    assert_eq!(place(&mut client, "+919900000100").await, CallState::Accepted);
    served.signal("-TERM");
    assert_eq!(served.ends().await, 1);
    says(folder, "ended at once", 1).await;
    stub.stop().await;
}
