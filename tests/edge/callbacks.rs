//! The port that vendors post to.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use crate::house::{House, soon, tls};

const REQUEST: &[u8] = b"POST /callbacks/nobody HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";

fn callbacks(house: &House) -> SocketAddr {
    house.running.callbacks().unwrap()
}

/// The first line of the answer; none if there is none.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<String> {
    soon("a write", stream.write_all(REQUEST)).await.ok()?;
    let mut line = [0; 12];
    soon("an answer", stream.read_exact(&mut line)).await.ok()?;
    Some(String::from_utf8_lossy(&line).into_owned())
}

#[tokio::test]
async fn vendors_may_post_over_tls() {
    let house = House::open(
        "callbacks = \"127.0.0.1:0\"\n\
         callbacks_tls = { certificate = \"server.pem\", key = \"server.key\" }",
    )
    .await;
    let address = callbacks(&house);
    let stream = tls(address, None, b"http/1.1").await.unwrap();
    assert_eq!(answer(stream).await.as_deref(), Some("HTTP/1.1 404"));
    assert!(tls(address, None, b"h2").await.is_err());
    let clear = answer(TcpStream::connect(address).await.unwrap()).await;
    assert!(clear.is_none_or(|line| !line.starts_with("HTTP/1.1")));
    // And RPCs are still in the clear.
    assert!(house.caller().await.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn a_certificate_is_asked_for_if_one_is_wanted() {
    let house = House::open(
        "callbacks = \"127.0.0.1:0\"\n\
         callbacks_tls = { certificate = \"server.pem\", key = \"server.key\", client_ca = \"clients.pem\" }",
    )
    .await;
    let address = callbacks(&house);
    let stream = tls(address, Some("billing"), b"http/1.1").await.unwrap();
    assert_eq!(answer(stream).await.as_deref(), Some("HTTP/1.1 404"));
    if let Ok(stream) = tls(address, None, b"http/1.1").await {
        assert_eq!(answer(stream).await, None);
    }
    house.end().await;
}

#[tokio::test]
async fn one_address_does_not_take_all_of_the_room() {
    let house = House::open(
        "callbacks = \"127.0.0.1:0\"\ncallback_limits = { connections = 8, connections_per_peer = 2 }",
    )
    .await;
    let address = callbacks(&house);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"P").await.unwrap();
        held.push(stream);
    }
    assert_eq!(answer(TcpStream::connect(address).await.unwrap()).await, None);
    drop(held);
    let freed =
        async { while answer(TcpStream::connect(address).await.unwrap()).await.is_none() {} };
    soon("room", freed).await;
    house.end().await;
}

#[tokio::test]
async fn its_limits_are_configured() {
    let house =
        House::open("callbacks = \"127.0.0.1:0\"\ncallback_limits = { timeout = \"200ms\" }").await;
    let mut silent = TcpStream::connect(callbacks(&house)).await.unwrap();
    let mut read = Vec::new();
    let _ = soon("the end", silent.read_to_end(&mut read)).await;
    assert!(!read.starts_with(b"HTTP/1.1 2"));
    house.end().await;
}
