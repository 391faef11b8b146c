//! What a caller notices of an attack: how long its calls take while others send what is
//! meant to harm, beside how long they take when all is quiet.
//!
//! `cargo bench --bench attack` prints, for each attack, the caller's median and 99th
//! percentile in it and right before it. The attackers are a process of their own, with the
//! lowest priority: it is the gateway's work that is measured, and not theirs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dialplane::{
    cli::start,
    config::{Config, Listen},
    proto::{CallSpec, CreateCallsRequest, call_service_client::CallServiceClient},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};
use tonic::transport::{Channel, Endpoint};

#[path = "../tests/gateway/harness/stub.rs"]
#[allow(dead_code, missing_docs)]
mod stub;

use stub::{Answer, Stub};

const ATTACKS: [&str; 7] = [
    "10,000 silent connections",
    "streams begun and reset",
    "headers without an end",
    "a byte a second",
    "headers of 1 MiB",
    "messages of 5 MiB",
    "connections begun and left",
];
/// For each measurement.
const TIME: Duration = Duration::from_secs(5);

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.iter().position(|argument| argument == "--attack") {
        Some(at) => {
            let number = arguments[at + 1].parse().unwrap();
            runtime.block_on(attack(number, arguments[at + 2].parse().unwrap()));
        }
        None => runtime.block_on(measure()),
    }
}

async fn measure() {
    let stub = Stub::start(|_| Answer::json(200, "{\"UniqueId\":\"v-1\"}")).await;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[ledger]\nurl = \"sqlite::memory:\"\n\
         [vendors.k]\nkind = \"knovvu\"\nbase_url = \"{}\"\nproject = \"p\"\naccess_token = \"a\"\n\
         scenario_path = \"https://s.example.test\"\norchestrator_url = \"https://o.example.test\"\n\
         display_number = \"200\"\nmax_in_flight = 64\n[routes.default]\nvendors = [\"k\"]\n",
        stub.url()
    );
    let config = Config::parse(&text, Path::new("."), &|_| None).unwrap();
    let running = start(&config).await.unwrap();
    let Listen::Tcp(address) = running.address().clone() else { panic!("not TCP") };
    let mut caller = caller(address).await;
    calls(&mut caller, TIME).await;
    println!("{:28} {:>18} {:>18}  p99", "", "quiet p50/p99 ms", "attack p50/p99 ms");
    for (number, name) in ATTACKS.iter().enumerate() {
        let quiet = calls(&mut caller, TIME).await;
        let mut attackers = attackers(number, address);
        let mut line = String::new();
        BufReader::new(attackers.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let attacked = calls(&mut caller, TIME).await;
        attackers.kill().unwrap();
        attackers.wait().unwrap();
        println!(
            "{name:28} {:>9.2}/{:>8.2} {:>9.2}/{:>8.2} x{:.2}  {}",
            quiet.0,
            quiet.1,
            attacked.0,
            attacked.1,
            attacked.1 / quiet.1,
            line.trim()
        );
        sleep(Duration::from_secs(1)).await;
    }
    running.stop().await;
    stub.stop().await;
}

fn attackers(number: usize, address: SocketAddr) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(own).args(["--attack", &number.to_string()]);
    command.arg(address.to_string()).stdout(Stdio::piped()).spawn().unwrap()
}

async fn caller(address: SocketAddr) -> CallServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    CallServiceClient::new(endpoint.connect().await.unwrap())
}

/// Places one call after the other; the median and the 99th percentile in milliseconds.
async fn calls(caller: &mut CallServiceClient<Channel>, time: Duration) -> (f64, f64) {
    let (begun, mut took) = (Instant::now(), Vec::new());
    while begun.elapsed() < time {
        let call = CallSpec { to: vec!["+919900000100".into()], ..Default::default() };
        let request = CreateCallsRequest { calls: vec![call], ..Default::default() };
        let asked = Instant::now();
        caller.create_calls(request).await.unwrap();
        took.push(asked.elapsed().as_secs_f64() * 1_000.0);
    }
    took.sort_by(f64::total_cmp);
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn headers() -> Vec<u8> {
    let path = "/dialplane.v1.CallService/CreateCalls";
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend(path.as_bytes());
    block.extend([0x01, 1, b'x', 0, 12]);
    block.extend(b"content-type");
    block.push(16);
    block.extend(b"application/grpc");
    block
}

async fn open(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.ok()?;
    stream.write_all(&frame(4, 0, 0, &[])).await.ok()?;
    Some(stream)
}

/// Does harm until it is killed. Says a word once it has begun.
async fn attack(number: usize, address: SocketAddr) {
    match number {
        0 => silent(address).await,
        1 => {
            let flood: Vec<_> = (1..2_001)
                .step_by(2)
                .flat_map(|stream| {
                    let begun = frame(1, 5, stream, &headers());
                    [begun, frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
                })
                .collect();
            repeat(address, 4, flood, Duration::from_millis(20)).await;
        }
        2 | 4 => {
            let mut block = Vec::new();
            while block.len() < 16_000 {
                block.extend([0, 1, b'x', 100]);
                block.extend([b'y'; 100]);
            }
            let mut flood = frame(1, 0, 1, &headers());
            flood.extend(frame(9, 0, 1, &block).repeat(64));
            if number == 4 {
                flood.extend(frame(9, 4, 1, &[]));
            }
            repeat(address, 4, flood, Duration::from_millis(20)).await;
        }
        3 => drip(address).await,
        5 => {
            let mut message = vec![0];
            message.extend((5_u32 * 1024 * 1024).to_be_bytes());
            message.resize(5 * 1024 * 1024 + 5, 0x1a);
            for _ in 0..2 {
                let message = message.clone();
                tokio::spawn(async move {
                    loop {
                        let mut call = CallSpec { to: vec!["9".into()], ..Default::default() };
                        call.labels.insert("x".into(), "y".repeat(message.len()));
                        let request =
                            CreateCallsRequest { calls: vec![call], ..Default::default() };
                        let _ = caller(address).await.create_calls(request).await;
                        sleep(Duration::from_millis(100)).await;
                    }
                });
            }
            println!("20 a second at most");
            std::future::pending::<()>().await;
        }
        _ => repeat(address, 8, Vec::new(), Duration::from_millis(5)).await,
    }
}

async fn silent(address: SocketAddr) {
    let mut all = Vec::new();
    while all.len() < 10_000 {
        match TcpStream::connect(address).await {
            Ok(stream) => all.push(stream),
            Err(_) => break,
        }
    }
    println!("{} of them", all.len());
    // And goes on: whoever is cut is replaced.
    loop {
        for place in &mut all {
            if let Ok(stream) = TcpStream::connect(address).await {
                *place = stream;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn repeat(address: SocketAddr, attackers: usize, flood: Vec<u8>, pause: Duration) {
    for _ in 0..attackers {
        let flood = flood.clone();
        tokio::spawn(async move {
            loop {
                if let Some(mut stream) = open(address).await {
                    let _ = stream.write_all(&flood).await;
                }
                sleep(pause).await;
            }
        });
    }
    println!("{} a second at most", attackers as u128 * 1_000 / pause.as_millis());
    std::future::pending::<()>().await;
}

async fn drip(address: SocketAddr) {
    let mut all = Vec::new();
    for _ in 0..50 {
        let Some(mut stream) = open(address).await else { continue };
        for number in (1..201).step_by(2) {
            let _ = stream.write_all(&frame(1, 4, number, &headers())).await;
        }
        all.push(stream);
    }
    println!("{} RPCs", all.len() * 100);
    loop {
        for stream in &mut all {
            for number in (1..201).step_by(2) {
                let _ = stream.write_all(&frame(0, 0, number, &[0])).await;
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
}
