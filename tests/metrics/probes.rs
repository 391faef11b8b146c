//! Whether it lives, and whether it takes calls.

use std::sync::Arc;

use dialplane::{
    admin::{Bound, Desk, Limits},
    gateway::Gateway,
    proto::{ListVendorsRequest, call_service_client::CallServiceClient},
};
use reqwest::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    house::{House, ask, get},
    text,
};

#[tokio::test]
async fn before_there_is_a_gateway_it_is_starting() {
    let desk = Arc::new(Desk::default());
    let bound = Bound::new("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(bound.serve(Arc::clone(&desk), async {
        let _ = stopped.await;
    }));
    assert_eq!(get(address, "/livez").await.status, 200);
    let ready = get(address, "/readyz").await;
    assert_eq!((ready.status, ready.text.as_str()), (503, "starting\n"));
    let told = text::read(&get(address, "/metrics").await.text, false);
    assert_eq!(told["dialplane_ready"].samples.values().collect::<Vec<_>>(), [&0.0]);
    assert_eq!(told["dialplane_build_info"].samples.len(), 1);

    let house = House::start().await;
    desk.opened(house.running.gateway().clone());
    assert_eq!(get(address, "/readyz").await.status, 200);
    // As soon as it begins to stop.
    Gateway::stop(house.running.gateway());
    let ready = get(address, "/readyz").await;
    assert_eq!((ready.status, ready.text.as_str()), (503, "stopping\n"));
    assert_eq!(get(address, "/livez").await.status, 200);
    house.stop().await;
    assert_eq!(get(address, "/livez").await.status, 200, "the last that ends");
    drop(stop);
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn health_is_told_over_grpc_as_well() {
    let desk = Arc::new(Desk::default());
    let bound = Bound::new("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(bound.serve(Arc::clone(&desk), async {
        let _ = stopped.await;
    }));
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    let question = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let starting = health.check(question("")).await.unwrap_err();
    assert_eq!((starting.code(), starting.message()), (Code::Unavailable, "starting"));

    let house = House::start().await;
    desk.opened(house.running.gateway().clone());
    // Nobody serves before the ledger was asked for the first time.
    let mut status = ServingStatus::NotServing;
    while status == ServingStatus::NotServing {
        tokio::task::yield_now().await;
        if let Ok(answer) = health.check(question("")).await {
            status = answer.into_inner().status();
        }
    }
    assert_eq!(status, ServingStatus::Serving);
    for service in ["dialplane.v1.CallService", "vendors/knovvu", "routes/default"] {
        let answer = health.check(question(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    assert_eq!(health.check(question("x")).await.unwrap_err().code(), Code::NotFound);
    let long = question(&"x".repeat(5_000));
    assert_eq!(health.check(long).await.unwrap_err().code(), Code::OutOfRange);
    // Nothing else of the API is here.
    let mut calls = CallServiceClient::new(channel);
    let other = calls.list_vendors(ListVendorsRequest {}).await.unwrap_err();
    assert_eq!(other.code(), Code::Unimplemented, "{other:?}");

    let mut watch = health.watch(question("")).await.unwrap().into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    Gateway::leave(house.running.gateway());
    let last = watch.message().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    house.stop().await;
    drop((watch, stop));
    server.await.unwrap();
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let house = House::start().await;
    let address = house.admin();
    for (method, path, status) in [
        (Method::GET, "/", 404),
        (Method::POST, "/callbacks/mobtexting", 404),
        (Method::GET, "/metrics/", 404),
        (Method::GET, "/debug/pprof", 404),
        (Method::POST, "/metrics", 405),
        (Method::DELETE, "/readyz", 405),
        (Method::HEAD, "/readyz", 200),
        (Method::GET, "/livez?verbose", 200),
    ] {
        let answer = ask(address, method.clone(), path, "").await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    let verbose = get(address, "/readyz?verbose").await;
    assert!(verbose.text.starts_with("ok\nversion "), "{}", verbose.text);
    assert!(verbose.text.contains("\nvendor knovvu: breaker closed\n"), "{}", verbose.text);
    house.stop().await;
}

#[tokio::test]
async fn bodies_are_not_read() {
    let house = House::start().await;
    let mut stream = TcpStream::connect(house.admin()).await.unwrap();
    let head = "GET /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    house.stop().await;
}

#[tokio::test]
async fn connections_are_bounded() {
    let bound = Bound::new("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = bound.address();
    let limits = Limits { connections: 1, ..Limits::default() };
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(bound.limited(limits).serve(Arc::default(), async {
        let _ = stopped.await;
    }));
    let mut first = TcpStream::connect(address).await.unwrap();
    let question = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut byte = [0];
    first.write_all(question).await.unwrap();
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(question).await.unwrap();
    second.read_exact(&mut byte).await.unwrap();
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"ok\n"), "the oldest had its answer, and is cut");
    drop((second, stop));
    server.await.unwrap();
}

#[tokio::test]
async fn probes_are_answered_while_others_say_nothing() {
    let house = House::start().await;
    let mut silent = Vec::new();
    for said in [&b""[..], b"G", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        for _ in 0..64 {
            let mut stream = TcpStream::connect(house.admin()).await.unwrap();
            let _ = stream.write_all(said).await;
            silent.push(stream);
        }
        let answer = get(house.admin(), "/livez");
        let answer = tokio::time::timeout(std::time::Duration::from_secs(10), answer).await;
        assert_eq!(answer.expect("not in time").status, 200);
    }
    house.stop().await;
}
