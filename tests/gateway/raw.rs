//! Vendors that do with a connection whatever a test says, and accounts at their address.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};

use crate::harness::SECURITY_ID;

/// What becomes of a connection.
#[derive(Debug, Clone)]
pub enum Does {
    /// Reads the request, writes this and ends the connection.
    Says(String),
    /// The same a moment later.
    SaysLate(String),
    /// Ends the connection without having read anything.
    HangsUp,
    /// Reads the request, and resets the connection.
    Resets,
    /// Reads the request, and says nothing for as long as the other side stays.
    Keeps,
    /// Reads the request, writes this, and nothing more for as long as the other side stays.
    Stalls(String),
    /// Reads the request, and writes this once there is a permit.
    SaysWhen(Arc<Semaphore>, String),
}

/// An answer as it is on the wire.
pub fn answer(status: u16, headers: &str, body: &str) -> Does {
    Does::Says(written(status, headers, body))
}

/// The same as text: `headers` are lines, each with its line end.
pub fn written(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// A vendor on a free port.
pub struct Raw {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    bodies: Vec<String>,
}

impl Raw {
    /// Does with each connection what the script says of its number, from 0.
    pub async fn start(script: impl Fn(usize) -> Does + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut seen = shared.lock().unwrap();
                    seen.connections += 1;
                    seen.connections - 1
                };
                tokio::spawn(serve(stream, script(number), Arc::clone(&shared)));
            }
        });
        Self { address, seen, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often a connection was made. Each carries one request at most.
    pub fn asked(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Waits until so many requests were read.
    pub async fn read(&self, count: usize) {
        until("requests are read", || self.bodies().len() >= count).await;
    }

    /// The bodies of the requests that were read, oldest first.
    pub fn bodies(&self) -> Vec<String> {
        self.seen.lock().unwrap().bodies.clone()
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, does: Does, seen: Arc<Mutex<Seen>>) {
    if matches!(does, Does::HangsUp) {
        return;
    }
    let Some(body) = read(&mut stream).await else { return };
    seen.lock().unwrap().bodies.push(body);
    let text = match does {
        Does::HangsUp => return,
        Does::Resets => {
            // With no time to linger, closing sends a reset.
            stream.set_zero_linger().unwrap();
            return;
        }
        Does::Keeps => {
            let _ = stream.read(&mut [0]).await;
            return;
        }
        Does::Stalls(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.read(&mut [0]).await;
            return;
        }
        Does::Says(text) => text,
        Does::SaysWhen(allowed, text) => {
            if let Ok(permit) = allowed.acquire().await {
                permit.forget();
            }
            text
        }
        Does::SaysLate(text) => {
            tokio::time::sleep(Duration::from_millis(50)).await;
            text
        }
    };
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The body of a request, read to its end.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(body.to_owned());
            }
        }
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
}

/// Waits until something is so; longer than anything takes, and the test has failed.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not so in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A port that nobody listens on at this moment.
pub async fn closed_port() -> String {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    format!("http://{address}")
}

/// An account of one of the six systems at an address, under a name of its own. `keys` are
/// further lines of its section.
pub fn account(system: &str, name: &str, url: &str, keys: &str) -> String {
    let phonon = |product: &str| {
        format!(
            "kind = \"phonon\"\n{product}\nsecurity_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\""
        )
    };
    let of_its_kind = match system {
        "phonon-outbound" => phonon("product = \"outbound\""),
        "phonon-dialer" => phonon("product = \"dialer\""),
        "phonon-multicast" => phonon("product = \"multicast\"\nlane = \"realtime\""),
        "phonon-bulk" => phonon("product = \"multicast\"\nlane = \"bulk\""),
        "mobtexting" => "kind = \"mobtexting\"\naccess_token = \"sandbox-token\"\n\
                         bridge = \"918000000001\"\nflow_id = \"77\""
            .to_owned(),
        "knovvu" => "kind = \"knovvu\"\nproject = \"DemoProject\"\naccess_token = \"sandbox-token\"\n\
                     scenario_path = \"https://ivr.example.test/scenario\"\n\
                     orchestrator_url = \"https://orchestrator.example.test\"\ndisplay_number = \"200\""
            .to_owned(),
        other => panic!("no system {other}"),
    };
    format!("[vendors.{name}]\n{of_its_kind}\nbase_url = \"{url}\"\n{keys}\n\n")
}

/// A route.
pub fn route(name: &str, vendors: &[&str]) -> String {
    format!("[routes.{name}]\nvendors = {vendors:?}\n\n")
}

/// What each system says to a call that it takes.
pub fn yes(system: &str) -> &'static str {
    match system {
        "phonon-bulk" => {
            r#"{"api-response-code":202,"api-response-message":"Accepted","request-id":"r-1"}"#
        }
        "mobtexting" => r#"{"status":"OK","message":"Queued","data":[{"id":"v-1"}]}"#,
        "knovvu" => r#"{"UniqueId":"v-1"}"#,
        _ => {
            r#"{"api-response-code":200,"api-response-message":"Success","request-id":"r-1","call-details":[{"phonon-uuid":"v-1"}]}"#
        }
    }
}
