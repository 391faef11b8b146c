//! Whoever reaches the port costs little.

use std::time::{Duration, Instant};

use dialplane::callbacks::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{House, SECRET, rest, written};

const SHORT: Duration = Duration::from_millis(200);

fn short() -> Limits {
    Limits { head: SHORT, body: SHORT, ..Limits::default() }
}

async fn still_serves(house: &House) {
    house.taken("one", &json!([])).await;
}

#[tokio::test]
async fn a_slow_head_ends_the_connection() {
    let house = House::limited(short()).await;
    for sent in ["", "P", "POST /callbacks/one HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = house.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert!(!rest(&mut stream).await.contains(" 200 "));
    }
    still_serves(&house).await;
    house.stop().await;
}

#[tokio::test]
async fn a_slow_body_is_told_and_ends_the_connection() {
    let house = House::limited(short()).await;
    let whole = written("one", &json!([{ "id": "a" }]));
    for sent in [&whole[..whole.len() - 1], &whole[..whole.find("\r\n\r\n").unwrap() + 4]] {
        let mut stream = house.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    assert_eq!(house.ledger.kept_count(), 0);
    still_serves(&house).await;
    house.stop().await;
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let house = House::open().await;
    let limit = Limits::default().body_bytes;
    for (size, status) in [(limit, 200), (limit + 1, 413), (3 * limit, 413)] {
        let body = format!("[{}]", " ".repeat(size - 2));
        let request = house.client.post(house.url("/callbacks/one")).bearer_auth(SECRET);
        assert_eq!(request.body(body).send().await.unwrap().status(), status, "{size}");
    }
    // Announced and never sent; and of unknown length.
    let head =
        format!("POST /callbacks/one HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\n");
    let answer = house.raw(format!("{head}content-length: 999999999999\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let chunk = format!("{:x}\r\n{}\r\n", limit, " ".repeat(limit));
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    let answer = house.raw(chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    still_serves(&house).await;
    house.stop().await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let house = House::open().await;
    let many = "a: b\r\n".repeat(65);
    let long = format!("a: {}\r\n", "b".repeat(64 * 1024));
    for headers in [many, long] {
        let request = format!("POST /callbacks/one HTTP/1.1\r\n{headers}\r\n");
        let answer = house.raw(request.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let path = "x".repeat(64 * 1024);
    let answer = house.raw(format!("POST /callbacks/{path} HTTP/1.1\r\n\r\n").as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    still_serves(&house).await;
    house.stop().await;
}

#[tokio::test]
async fn connections_wait_for_room() {
    let house = House::limited(Limits { connections: 2, ..short() }).await;
    let started = Instant::now();
    let (mut first, mut second) = (house.connect().await, house.connect().await);
    first.write_all(b"P").await.unwrap();
    second.write_all(b"P").await.unwrap();
    // Answered once one of those is given up.
    still_serves(&house).await;
    assert!(started.elapsed() >= SHORT);
    rest(&mut first).await;
    rest(&mut second).await;
    house.stop().await;
}

#[tokio::test]
async fn a_connection_does_not_stay_for_ever() {
    let house = House::limited(Limits { age: SHORT, ..Limits::default() }).await;
    let mut stream = house.connect().await;
    stream.write_all(written("one", &json!([])).as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    house.stop().await;
}

#[tokio::test]
async fn bodies_beyond_the_bound_are_put_off() {
    let house = House::limited(Limits { bodies: 1, body: SHORT, ..Limits::default() }).await;
    house.ledger.open.send_replace(false);
    let mut busy = house.connect().await;
    busy.write_all(written("one", &json!([{ "id": "a" }])).as_bytes()).await.unwrap();
    house.ledger.begun.acquire().await.unwrap().forget();
    let answer = house.post("two", &json!([])).await;
    assert_eq!(answer.status().as_u16(), 503);
    house.ledger.open.send_replace(true);
    let mut status = [0; 12];
    busy.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    house.stop().await;
}

#[tokio::test]
async fn deliveries_beyond_the_bound_are_put_off() {
    let house = House::limited(Limits { deliveries: 1, body: SHORT, ..Limits::default() }).await;
    house.ledger.open.send_replace(false);
    let mut busy = house.connect().await;
    let body = json!([{ "id": "a" }]);
    busy.write_all(written("one", &body).as_bytes()).await.unwrap();
    house.ledger.begun.acquire().await.unwrap().forget();
    let answer = house.post("two", &json!([])).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    house.ledger.open.send_replace(true);
    let mut status = [0; 12];
    busy.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    house.stop().await;
}

#[tokio::test]
async fn garbage_breaks_nothing() {
    let house = House::limited(short()).await;
    let good = written("one", &json!([]));
    let mut sent: Vec<Vec<u8>> = [
        "\0",
        "\r\n\r\n\r\n",
        "GET",
        "POST /callbacks/one HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "CONNECT one:80 HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "POST http://[::1/callbacks/one HTTP/1.1\r\n\r\n",
        "POST /callbacks/one HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        "POST /callbacks/one HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "POST /callbacks/one HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "POST /callbacks/one HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\nzz\r\n",
        "POST /callbacks/one HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "POST /callbacks/one HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "POST /callbacks/one/%zz%f HTTP/1.1\r\nexpect: 100-continue\r\n\r\n",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    // Behind a good one, and as bytes of any kind.
    let behind: Vec<_> = sent.iter().map(|bytes| [good.as_bytes(), bytes].concat()).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for size in 1..50 {
        let mut bytes = Vec::new();
        for _ in 0..size * 7 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.push(state as u8);
        }
        sent.push(bytes);
    }
    for bytes in sent {
        assert!(
            !house.raw(&bytes).await.contains(" 200 "),
            "{:?}",
            String::from_utf8_lossy(&bytes)
        );
    }
    for bytes in behind {
        let answer = house.raw(&bytes).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(answer.matches(" 200 OK").count(), 1, "{answer}");
    }
    // Several good ones at once are as many answers.
    let answer = house.raw(good.repeat(3).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    house.stop().await;
}
