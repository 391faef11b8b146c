//! The gateway as a process, with the variables that a test gives it.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use dialplane::proto::{
    CallSpec, CreateCallsRequest, CreateCallsResponse, call_service_client::CallServiceClient,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};
use tonic::{Request, Status, transport::Channel};

/// What callers of a test say of their trace.
pub const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub const CALLERS_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const CALLERS_SPAN: &str = "00f067aa0ba902b7";

/// After which nobody waits for a line any more.
const LONGEST: Duration = Duration::from_secs(20);

type Log = Arc<Mutex<Vec<Value>>>;

/// A running gateway; killed with the value.
pub struct House {
    child: Child,
    log: Log,
    count: watch::Receiver<usize>,
    reader: Option<JoinHandle<()>>,
    pub client: CallServiceClient<Channel>,
    pub callbacks: SocketAddr,
    _directory: TempDir,
}

/// A configuration for vendors at an address.
pub fn text(vendors: SocketAddr, more: &str) -> String {
    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let fast = "rate = { calls = 1000000, per = \"1s\" }";
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ncallbacks = \"127.0.0.1:0\"\n[ledger]\nurl = \"sqlite::memory:\"\n\
         [vendors.mobtexting]\nkind = \"mobtexting\"\nbase_url = \"http://{vendors}\"\naccess_token = \"token\"\n\
         bridge = \"918000000001\"\nflow_id = \"77\"\n\
         callback = {{ secret = \"a-secret-of-the-webhook\", token = \"path-token-of-the-webhook\" }}\n{fast}\n{more}\n\
         [vendors.phonon]\nkind = \"phonon\"\nproduct = \"multicast\"\nlane = \"realtime\"\n\
         base_url = \"http://{vendors}\"\nsecurity_id = \"{ID}\"\nflow_id = \"AbCd1234\"\nmax_in_flight = 2\n{fast}\n{more}\n\
         [routes.mobtexting]\nvendors = [\"mobtexting\"]\n[routes.phonon]\nvendors = [\"phonon\"]\n"
    )
}

impl House {
    /// Starts it, and waits until it serves.
    pub async fn start(text: &str, variables: &[(&str, String)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dialplane.toml");
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
        command.args(["--log-format", "json", "serve", "--config"]).arg(&path);
        // None of whoever runs the tests.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
            command.env_remove(name);
        }
        command.env("RUST_LOG", "info").envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (log, told) = (Log::default(), watch::Sender::new(0));
        let count = told.subscribe();
        let (lines, copy) =
            (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        let reader = thread::spawn(move || {
            for line in lines {
                let line = line.unwrap();
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                copy.lock().unwrap().push(line);
                told.send_modify(|count| *count += 1);
            }
        });
        let mut heard = Heard { log: Arc::clone(&log), count: count.clone() };
        let address = heard.until("serving").await["address"].as_str().unwrap().to_owned();
        let callbacks = heard.until("taking callbacks").await["address"].as_str().unwrap().parse();
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        let client = CallServiceClient::new(channel.connect().await.unwrap());
        let (reader, callbacks) = (Some(reader), callbacks.unwrap());
        Self { child, log, count, reader, client, callbacks, _directory: directory }
    }

    /// Places a call, with what its caller says of its trace.
    pub async fn place(
        &self,
        route: &str,
        to: &str,
        traceparent: Option<&str>,
    ) -> Result<CreateCallsResponse, Status> {
        let call = CallSpec { to: vec![to.to_owned()], ..Default::default() };
        let calls = vec![call];
        let mut request =
            Request::new(CreateCallsRequest { route: route.into(), calls, ..Default::default() });
        if let Some(traceparent) = traceparent {
            request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
        }
        self.client.clone().create_calls(request).await.map(tonic::Response::into_inner)
    }

    /// The first line with this message, once it is there.
    pub async fn line(&self, message: &str) -> Value {
        let mut heard = Heard { log: Arc::clone(&self.log), count: self.count.clone() };
        heard.until(message).await
    }

    /// Has it end, and waits for that.
    pub async fn end(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut count = self.count.clone();
        // Its log ends with it.
        while count.changed().await.is_ok() {}
        self.reader.take().unwrap().join().unwrap();
        self.child.wait().unwrap()
    }

    /// What it logged.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }
}

struct Heard {
    log: Log,
    count: watch::Receiver<usize>,
}

impl Heard {
    async fn until(&mut self, message: &str) -> Value {
        loop {
            self.count.borrow_and_update();
            let found = self.log.lock().unwrap().iter().find(|l| l["message"] == message).cloned();
            if let Some(found) = found {
                return found;
            }
            let more = timeout(LONGEST, self.count.changed()).await;
            assert!(
                matches!(more, Ok(Ok(()))),
                "{message} was not told: {:?}",
                self.log.lock().unwrap()
            );
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
