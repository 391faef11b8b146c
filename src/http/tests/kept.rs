//! Connections that carry more than one request, and how they may end in between. However
//! they do, no request arrives twice.

use super::*;

/// Two requests of one client to a server with these connections: what came of them, and
/// the requests that the server read.
async fn two(link: &Link, scripts: Vec<Vec<Step>>, body: Body) -> ([Ended; 2], Vec<String>) {
    let server = Server::start(scripts);
    let client = VendorClient::new(link).unwrap();
    let mut ended = Vec::new();
    for path in ["first", "second"] {
        let mut request = post(&format!("http://{}/{path}", server.address));
        request.body = body.clone();
        ended.push(client.send(&request).await.map(|reply| reply.status));
    }
    drop(client);
    (ended.try_into().unwrap(), server.finish().await)
}

type Ended = Result<u16, Failure>;

fn json() -> Body {
    Body::Json(Bytes::from_static(b"{}"))
}

#[tokio::test]
async fn one_that_breaks_under_its_second_request_leaves_it_in_doubt() {
    // With how many requests the server read.
    let ends = [
        ("reset before reading", vec![Step::Peek], 1),
        ("reset after reading most", vec![Step::ReadAllButOne], 2),
        ("closed after reading", vec![Step::Read], 2),
        (
            "closed within the head of the answer",
            vec![Step::Read, Step::write("HTTP/1.1 200 OK\r\nContent-")],
            2,
        ),
        ("answered with something else", vec![Step::Read, Step::write("220 ready\r\n")], 2),
    ];
    for (name, end, read) in ends {
        let first = vec![Step::Read, Step::write(OK)];
        let script = [first, end].concat();
        let ([first, second], requests) = two(&link(), vec![script], json()).await;
        assert_eq!(first.unwrap(), 200, "{name}");
        // A server with a single connection: a second try would find nobody, and be told
        // as not sent.
        let Err(Failure::InDoubt { kind, status, .. }) = second else {
            panic!("{name}: {second:?}")
        };
        assert_eq!((kind, status), (InDoubt::NoAnswer, None), "{name}");
        assert_eq!(requests.len(), read, "{name}");
    }
}

#[tokio::test]
async fn one_whose_second_answer_is_late_or_cut_is_in_doubt() {
    let first = [Step::Read, Step::write(OK)];
    let late = [first.as_slice(), &[Step::Read, Step::Hold]].concat();
    let ([_, second], requests) = two(&impatient(), vec![late], json()).await;
    assert!(matches!(second, Err(Failure::InDoubt { kind: InDoubt::Timeout, .. })), "{second:?}");
    assert_eq!(requests.len(), 2);

    let head = Step::write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\"");
    let cut = [first.as_slice(), &[Step::Read, head]].concat();
    let ([_, second], requests) = two(&link(), vec![cut], json()).await;
    assert!(matches!(second, Err(Failure::InDoubt { kind: InDoubt::AnswerCut, .. })), "{second:?}");
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn one_that_is_good_for_nothing_more_is_not_kept() {
    let again = vec![Step::Read, Step::write(OK)];
    let closing = OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let old = OK.replace("HTTP/1.1", "HTTP/1.0");
    let more = format!("{OK}HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    for (name, answer) in [("it says so", closing), ("its version", old), ("it goes on", more)] {
        let once = vec![Step::Read, Step::write(answer), Step::Hold];
        let (ended, requests) = two(&link(), vec![once, again.clone()], json()).await;
        assert_eq!(ended.map(Result::unwrap), [200, 200], "{name}");
        assert_eq!(requests.len(), 2, "{name}");
    }

    // Answered before the request was written: what is left of it must not be taken for
    // a part of the next one.
    let long = Body::Json(Bytes::from(vec![b' '; 32 << 20]));
    let early = vec![Step::Peek, Step::write(OK), Step::Stall];
    let (ended, requests) = two(&link(), vec![early.clone(), early], long).await;
    assert_eq!(ended.map(Result::unwrap), [200, 200]);
    assert_eq!(requests.len(), 0);
}

#[tokio::test]
async fn one_with_tls_is_used_again_and_replaced_when_it_was_closed() {
    let once = [Step::Read, Step::write(OK)];
    let server = Server::start_tls(vec![[once.clone(), once.clone()].concat(), once.to_vec()]);
    let client = VendorClient::new(&Link { ca: Some(CA.to_vec()), ..link() }).unwrap();
    let url = format!("https://localhost:{}/", server.address.port());
    for _ in 0..2 {
        assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    }
    // The first connection is closed by now, or about to be: this one is answered over the
    // second, or met the closing.
    let third = client.send(&post(&url)).await;
    if let Err(failure) = third {
        assert_eq!(in_doubt(Err(failure)), InDoubt::NoAnswer);
        assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    }
    drop(client);
    assert_eq!(server.finish().await.len(), 3);
}

#[tokio::test]
async fn one_that_waits_for_long_is_closed() {
    let once = vec![Step::Read, Step::write(OK), Step::Hold];
    let server = Server::start(vec![once]);
    let client = VendorClient::new(&link()).unwrap();
    let url = format!("http://{}/", server.address);
    assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3)).await;
    for _ in 0..3 {
        // Who closes it looks once in a while.
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    // The server waits until it is closed.
    assert_eq!(server.finish().await.len(), 1);
    drop(client);
}

#[tokio::test]
async fn one_that_has_waited_for_long_is_not_used() {
    let once = vec![Step::Read, Step::write(OK), Step::Hold];
    let server = Server::start(vec![once.clone(), once]);
    let client = VendorClient::new(&link()).unwrap();
    let url = format!("http://{}/", server.address);
    assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(4)).await;
    tokio::time::resume();
    assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    drop(client);
    assert_eq!(server.finish().await.len(), 2);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let twice = vec![Step::Read, Step::write(OK), Step::Read, Step::write(OK)];
    let server = Server::start(vec![twice]);
    let url = format!("http://{}/", server.address);
    let client = VendorClient::new(&link()).unwrap();
    for _ in 0..2 {
        assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    }
    assert_eq!(server.finish().await.len(), 2);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let script = vec![Step::Read, Step::write(OK)];
    let (closed, is_closed) = std::sync::mpsc::channel();
    // Asked for its second script, the server has closed the first connection.
    let scripts = [script.clone(), script].into_iter().inspect(move |_| closed.send(()).unwrap());
    let server = Server::start(scripts);
    let url = format!("http://{}/", server.address);
    let client = VendorClient::new(&link()).unwrap();
    assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    is_closed.recv().unwrap();
    is_closed.recv().unwrap();
    // The news has come; the runtime picks it up when it has nothing else to do.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(client.send(&post(&url)).await.unwrap().status, 200);
    assert_eq!(server.finish().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_meets_the_closing_of_a_connection_never_arrives_twice() {
    const ROUNDS: usize = 200;
    // Every connection is closed right after its one answer, while the next request is on
    // its way.
    let server = Server::start(vec![vec![Step::Read, Step::write(OK)]; ROUNDS]);
    let client = VendorClient::new(&link()).unwrap();
    let mut answered = Vec::new();
    for round in 0..ROUNDS {
        let url = format!("http://{}/{round}/", server.address);
        match client.send(&post(&url)).await {
            Ok(reply) => {
                assert_eq!(reply.status, 200);
                answered.push(round);
            }
            Err(Failure::InDoubt { kind, .. }) => assert_eq!(kind, InDoubt::NoAnswer),
            Err(failure) => panic!("{failure:?}"),
        }
    }
    // Requests that met a closing were not read: as many connections are left over.
    for _ in answered.len()..ROUNDS {
        let url = format!("http://{}/rest/", server.address);
        VendorClient::new(&link()).unwrap().send(&post(&url)).await.unwrap();
    }
    let requests = server.finish().await;
    for round in 0..ROUNDS {
        let start = format!("POST /{round}/?");
        let count = requests.iter().filter(|request| request.starts_with(&start)).count();
        assert_eq!(count, usize::from(answered.contains(&round)), "{round}");
    }
}
