//! What the edge says of the vendor's side, for everything that a vendor or the network
//! can do, with the number of requests that reached the vendor.

use std::{net::TcpListener, time::Duration};

use bytes::Bytes;
use url::Url;

use super::{trust::Trust, *};
use crate::config::{Link, Secret};

mod kept;
mod server;

use server::{Server, Step};

const CA: &[u8] = include_bytes!("../../../tests/certificates/ca.pem");
const CANARY: &str = "c4n4ry-s3cr3t";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}";

fn link() -> Link {
    // Long enough for a busy machine, short enough to wait for where a test does.
    Link {
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(10),
        ca: None,
        propagate_trace: false,
    }
}

fn impatient() -> Link {
    let timeout = Duration::from_millis(400);
    Link { timeout, connect_timeout: timeout, ca: None, propagate_trace: false }
}

fn post(url: &str) -> HttpRequest {
    let mut url = Url::parse(url).unwrap();
    url.set_query(Some("access_token=c4n4ry-s3cr3t"));
    HttpRequest {
        method: Method::Post,
        url,
        headers: vec![("Authorization", Header::Secret("Bearer ", Secret::new(CANARY)))],
        body: Body::Json(Bytes::from_static(b"{\"to\":\"919812345001\"}")),
    }
}

async fn send(link: &Link, url: &str) -> Result<HttpReply, Failure> {
    let result = VendorClient::new(link).unwrap().send(&post(url)).await;
    if let Err(failure) = &result {
        let shown = format!("{failure} {failure:?} {}", failure.reason());
        for private in [CANARY, "access_token", "919812345001"] {
            assert!(!shown.contains(private), "{shown}");
        }
    }
    result
}

fn not_sent(result: Result<HttpReply, Failure>) -> NotSent {
    match result {
        Err(Failure::NotSent { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

fn in_doubt(result: Result<HttpReply, Failure>) -> InDoubt {
    match result {
        Err(Failure::InDoubt { kind, .. }) => kind,
        other => panic!("{other:?}"),
    }
}

/// Sends a request over one connection with a script; gives the result and how many
/// requests the server read.
async fn exchange(link: &Link, script: Vec<Step>) -> (Result<HttpReply, Failure>, usize) {
    let server = Server::start(vec![script]);
    let result = send(link, &format!("http://{}/calls", server.address)).await;
    (result, server.finish().await.len())
}

#[tokio::test]
async fn a_request_arrives_as_it_was_written() {
    let server = Server::start(vec![vec![Step::Read, Step::write(OK)]]);
    let reply = send(&link(), &format!("http://{}/calls", server.address)).await.unwrap();
    assert_eq!((reply.status, reply.content_type.as_str()), (200, "application/json"));
    assert_eq!((reply.body.as_ref(), reply.retry_after), (b"{}".as_slice(), None));

    let host = server.address.to_string();
    let requests = server.finish().await;
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
    lines[1..].sort();
    assert_eq!(
        lines,
        [
            "POST /calls?access_token=c4n4ry-s3cr3t HTTP/1.1".to_owned(),
            "accept: */*".to_owned(),
            "authorization: Bearer c4n4ry-s3cr3t".to_owned(),
            "content-length: 21".to_owned(),
            "content-type: application/json".to_owned(),
            format!("host: {host}"),
            format!("user-agent: dialplane/{}", env!("CARGO_PKG_VERSION")),
        ]
    );
    assert_eq!(body, "{\"to\":\"919812345001\"}");
}

#[tokio::test]
async fn bodies_have_their_type_unless_the_adapter_gives_another() {
    let exchange = [Step::Read, Step::write(OK)];
    let server = Server::start(vec![[exchange.clone(), exchange.clone(), exchange].concat()]);
    let client = VendorClient::new(&link()).unwrap();
    let mut request = post(&format!("http://{}/", server.address));
    request.body = Body::Form(Bytes::from_static(b"a=1"));
    client.send(&request).await.unwrap();
    request.headers = vec![("Content-Type", "text/plain".into())];
    client.clone().send(&request).await.unwrap();
    request.headers.clear();
    request.body = Body::Empty;
    client.send(&request).await.unwrap();

    let requests = server.finish().await;
    assert!(requests[0].contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"));
    assert!(requests[1].contains("\r\ncontent-type: text/plain\r\n"));
    assert!(requests[2].contains("\r\ncontent-length: 0\r\n"));
    assert!(!requests[2].contains("content-type"));
}

#[tokio::test]
async fn a_port_where_nobody_listens_gets_nothing() {
    // Bound and not listening once it is dropped: nobody else gets it this quickly.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(not_sent(send(&link(), &format!("http://{address}/")).await), NotSent::Connect);
    assert_eq!(not_sent(send(&link(), &format!("https://{address}/")).await), NotSent::Connect);
}

#[tokio::test]
async fn a_name_without_an_address_gets_nothing() {
    // RFC 6761 keeps .invalid free of names. A resolver that can't be reached may take
    // its time.
    let kind = not_sent(send(&link(), "http://name.invalid/").await);
    assert!(matches!(kind, NotSent::Name | NotSent::Timeout), "{kind:?}");
}

#[tokio::test]
async fn a_header_that_would_split_the_request_is_not_sent() {
    let mut request = post("http://127.0.0.1:1/");
    request.headers = vec![("X-Tenant", Header::Secret("", Secret::new("c4n4ry-s3cr3t\r\nA: b")))];
    let failure = VendorClient::new(&link()).unwrap().send(&request).await.unwrap_err();
    let shown = format!("{failure} {failure:?}");
    assert!(shown.contains("the header X-Tenant") && !shown.contains(CANARY), "{shown}");
    assert_eq!(not_sent(Err(failure)), NotSent::Request);
}

#[tokio::test]
async fn tls_that_does_not_come_about_is_nothing_sent() {
    let plain = Server::start(vec![vec![Step::Peek, Step::write("HTTP/1.1 400 No\r\n\r\n")]]);
    let url = format!("https://{}/", plain.address);
    assert_eq!(not_sent(send(&link(), &url).await), NotSent::Tls);
    assert_eq!(plain.finish().await.len(), 0);

    let resets = Server::start(vec![vec![Step::Peek]]);
    let url = format!("https://{}/", resets.address);
    assert_eq!(not_sent(send(&link(), &url).await), NotSent::Tls);
    assert_eq!(resets.finish().await.len(), 0);

    let silent = Server::start(vec![vec![Step::Hold]]);
    let url = format!("https://{}/", silent.address);
    assert_eq!(not_sent(send(&impatient(), &url).await), NotSent::Timeout);
    assert_eq!(silent.finish().await.len(), 0);
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_configured() {
    let answering = || vec![Step::Read, Step::write(OK)];
    let trusting = Link { ca: Some(CA.to_vec()), ..link() };

    let server = Server::start_tls(vec![answering()]);
    let url = format!("https://localhost:{}/", server.address.port());
    assert_eq!(send(&trusting, &url).await.unwrap().status, 200);
    assert_eq!(server.finish().await.len(), 1);

    let unknown = Server::start_tls(vec![answering()]);
    let url = format!("https://localhost:{}/", unknown.address.port());
    assert_eq!(not_sent(send(&link(), &url).await), NotSent::Tls);
    assert_eq!(unknown.finish().await.len(), 0);

    let other_name = Server::start_tls(vec![answering()]);
    let url = format!("https://ip6-localhost.localhost:{}/", other_name.address.port());
    let kind = not_sent(send(&trusting, &url).await);
    // Names under localhost have an address on some systems only.
    assert!(matches!(kind, NotSent::Tls | NotSent::Name), "{kind:?}");
}

#[tokio::test]
async fn without_authorities_there_is_http_only() {
    let client = VendorClient::trusting(Trust::in_nobody(), &link());
    let server = Server::start(vec![vec![Step::Read, Step::write(OK)]]);
    let url = format!("http://{}/", server.address);
    assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    let failure = client.send(&post("https://127.0.0.1:1/")).await.unwrap_err();
    assert!(failure.to_string().contains("set ca_file"), "{failure}");
    assert_eq!(not_sent(Err(failure)), NotSent::Tls);
}

#[tokio::test]
async fn an_exchange_that_breaks_is_in_doubt() {
    let long = "x".repeat(2 << 20);
    let cases: Vec<(&str, Vec<Step>, InDoubt, usize)> = vec![
        ("reset before reading", vec![Step::Peek], InDoubt::NoAnswer, 0),
        ("reset after reading", vec![Step::ReadAllButOne], InDoubt::NoAnswer, 1),
        ("closed at once", vec![], InDoubt::NoAnswer, 0),
        ("closed after reading", vec![Step::Read], InDoubt::NoAnswer, 1),
        (
            "closed within the head",
            vec![Step::Read, Step::write("HTTP/1.1 200 OK\r\nContent-")],
            InDoubt::NoAnswer,
            1,
        ),
        ("no HTTP", vec![Step::Read, Step::write("220 mail ready\r\n")], InDoubt::NoAnswer, 1),
        (
            "a head without end",
            vec![Step::Read, Step::write(format!("HTTP/1.1 200 OK\r\nX: {long}"))],
            InDoubt::NoAnswer,
            1,
        ),
        (
            "closed within the body",
            vec![Step::Read, Step::write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\"")],
            InDoubt::AnswerCut,
            1,
        ),
        (
            "closed within a chunk",
            vec![
                Step::Read,
                Step::write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}"),
            ],
            InDoubt::AnswerCut,
            1,
        ),
        (
            "a body announced too large",
            vec![Step::Read, Step::write("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n")],
            InDoubt::AnswerTooLarge,
            1,
        ),
        (
            "a body that becomes too large",
            vec![Step::Read, Step::write(format!("HTTP/1.1 200 OK\r\n\r\n{long}"))],
            InDoubt::AnswerTooLarge,
            1,
        ),
    ];
    for (name, script, kind, read) in cases {
        let (result, requests) = exchange(&link(), script).await;
        assert_eq!((in_doubt(result), requests), (kind, read), "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_is_in_doubt() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n";
    let scripts = [
        vec![Step::Read, Step::Hold],
        vec![Step::Read, Step::write(head), Step::Hold],
        vec![Step::Read, Step::write(head), Step::Trickle],
        vec![Step::Read, Step::write("HTTP/1.1 200 OK\r\nX: "), Step::Trickle],
    ];
    for script in scripts {
        let (result, requests) = exchange(&impatient(), script).await;
        assert_eq!((in_doubt(result), requests), (InDoubt::Timeout, 1));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_with_its_status() {
    let told = |result: Result<HttpReply, Failure>| match result {
        Err(Failure::InDoubt { status, .. }) => status,
        other => panic!("{other:?}"),
    };
    let long = "x".repeat(MAX_ANSWER_BYTES + 1);
    for status in [200, 302, 429, 500, 502] {
        let head = format!("HTTP/1.1 {status} So\r\n");
        let scripts = [
            vec![Step::write(format!("{head}Content-Length: 9\r\n\r\n{{\"a\""))],
            vec![Step::write(format!("{head}Transfer-Encoding: chunked\r\n\r\n9\r\n{{}}"))],
            vec![Step::write(format!("{head}Content-Length: 1048577\r\n\r\n"))],
            vec![Step::write(format!("{head}\r\n{long}"))],
            vec![Step::write(format!("{head}Content-Length: 9\r\n\r\n")), Step::Hold],
            vec![Step::write(format!("{head}Content-Length: 900000\r\n\r\n")), Step::Trickle],
        ];
        for rest in scripts {
            let patient = !matches!(rest.last(), Some(Step::Hold | Step::Trickle));
            let link = if patient { link() } else { impatient() };
            let (result, _) = exchange(&link, [vec![Step::Read], rest].concat()).await;
            assert_eq!(told(result), Some(status));
        }
        let (result, _) = exchange(&link(), vec![Step::Read, Step::write(head)]).await;
        assert_eq!(told(result), None, "its head has no end");
    }
    assert_eq!(told(exchange(&link(), vec![Step::Read]).await.0), None);
}

#[tokio::test]
async fn the_largest_answer_is_read() {
    let body = "x".repeat(MAX_ANSWER_BYTES);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (result, _) = exchange(&link(), vec![Step::Read, Step::write(answer)]).await;
    let reply = result.unwrap();
    assert_eq!((reply.body.len(), reply.content_type.as_str()), (MAX_ANSWER_BYTES, ""));
}

#[tokio::test]
async fn answers_are_told_whatever_their_status() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let (result, requests) = exchange(&link(), vec![Step::Read, Step::write(busy)]).await;
    let reply = result.unwrap();
    assert_eq!((reply.status, reply.retry_after), (503, Some(Duration::from_secs(7))));
    assert_eq!(requests, 1);

    let first = "HTTP/1.1 100 Continue\r\n\r\n";
    let script = vec![Step::Read, Step::write(first), Step::write(OK)];
    assert_eq!(exchange(&link(), script).await.0.unwrap().status, 200);
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let elsewhere = Server::start(vec![]);
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://{}/", elsewhere.address);
        let moved =
            format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let (result, requests) = exchange(&link(), vec![Step::Read, Step::write(moved)]).await;
        let reply = result.unwrap();
        assert_eq!((reply.status, reply.location), (status, Some(location)));
        assert_eq!(requests, 1);
    }
}
