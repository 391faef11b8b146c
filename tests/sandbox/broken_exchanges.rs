//! The numbers that break the exchange: dialled, and no readable answer.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use super::*;

/// A request for each system with a number that ends so.
fn dangerous(sandbox: &Sandbox, last_two: &str) -> Vec<(String, String, Value)> {
    let urls = sandbox.urls();
    let number = |area: &str| format!("9199000{area}00{last_two}");
    let of = |number: &str| phonon(&[&["919900000000"], &[number]]);
    let [a, b, c, d] = ["11", "22", "33", "44"].map(number);
    vec![
        (a.clone(), format!("{}{E1}", urls.phonon), of(&a)),
        (b.clone(), format!("{}{E1}", urls.phonon_bulk), of(&b)),
        (c.clone(), format!("{}outgoing/send?access_token=t", urls.mobtexting), mobtexting(&c)),
        (d.clone(), format!("{}/v2/call", urls.knovvu), knovvu(&d, "t")),
    ]
}

/// Sends a request on a bare connection.
fn raw(url: &str, body: &Value) -> TcpStream {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let body = body.to_string();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    stream
}

async fn eventually(what: impl Fn() -> bool) {
    let waited = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_14_is_dialled_and_held_until_the_sandbox_stops() {
    let sandbox = sandbox().await;
    let mut held = Vec::new();
    for (number, url, body) in dangerous(&sandbox, "14") {
        let stream = raw(&url, &body);
        eventually(|| sandbox.dials_of(&number) == 1).await;
        stream.set_nonblocking(true).unwrap();
        let nothing = (&stream).read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock, "{url}");
        stream.set_nonblocking(false).unwrap();
        held.push(stream);
    }
    assert!(sandbox.log().iter().all(|exchange| exchange.status.is_none()));
    // A client that keeps its connection for later, or sends half a request, must not keep it
    // from stopping either.
    let mut idle = raw(&format!("http://{}/elsewhere", sandbox.address()), &json!({}));
    assert_eq!(idle.read(&mut [0; 1024]).unwrap().min(1), 1);
    let mut half = TcpStream::connect(sandbox.address()).unwrap();
    half.write_all(b"POST /phonon HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").unwrap();
    tokio::time::timeout(PATIENCE, sandbox.stop()).await.unwrap();
    for mut stream in held {
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_14_whose_client_left_is_known_when_it_asks_again() {
    let sandbox = sandbox().await;
    let body = phonon(&[&["919900000014"]]);
    let url = format!("{}{E1}", sandbox.urls().phonon);
    let stream = raw(&url, &body);
    eventually(|| sandbox.dials_of("919900000014") == 1).await;
    drop(stream);
    assert_eq!(post(&url, &body).await.code(), (200, 201));
    assert_eq!(sandbox.dials_of("919900000014"), 1);
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_15_is_dialled_and_reset() {
    let sandbox = sandbox().await;
    for (number, url, body) in dangerous(&sandbox, "15") {
        let mut stream = raw(&url, &body);
        let reset = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset, "{url}");
        assert_eq!(sandbox.dials_of(&number), 1);
        assert!(posted(&url, body.to_string().replace("order", "again")).send().await.is_err());
    }
    assert!(sandbox.log().iter().all(|exchange| exchange.status.is_none()));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_16_is_dialled_and_its_answer_cut_off() {
    let sandbox = sandbox().await;
    for (number, url, body) in dangerous(&sandbox, "16") {
        let answer = post(&url, &body).await;
        assert!(matches!(answer.status, 200 | 202), "{url}");
        assert!(answer.text.starts_with('{'), "{url}");
        assert!(serde_json::from_str::<Value>(&answer.text).is_err(), "{url}");
        assert_eq!(sandbox.dials_of(&number), 1);
    }
    sandbox.stop().await;
}
