//! The HTTP side: reads a request to its end, lets the system it is for answer, and
//! does with the connection what the answer says.

use std::{convert::Infallible, pin::pin, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    response::Response,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::{
    control,
    listener::{Connection, Door, Peer, stopped},
    push::Overtaking,
    traffic::{Answer, Incoming, Reply},
    vendors::{attend, split},
    world::World,
};

/// The longest body that is read. The vendors' own limits are far below.
const MAX_BODY: usize = 4 * 1024 * 1024;

#[derive(Clone)]
struct Server {
    world: Arc<World>,
    stop: watch::Receiver<bool>,
}

/// Serves until the sandbox stops and its last connection is closed.
pub(super) async fn run(listener: TcpListener, world: Arc<World>, stop: watch::Receiver<bool>) {
    let door = Door { listener, stop: stop.clone() };
    let server = Server { world, stop: stop.clone() };
    let mut connections = JoinSet::new();
    let mut stopping = pin!(stopped(stop));
    loop {
        tokio::select! {
            () = &mut stopping => break,
            (connection, peer) = door.accept() => {
                connections.spawn(converse(server.clone(), connection, peer));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    // Nobody else gets in.
    drop(door);
    while connections.join_next().await.is_some() {}
}

/// Serves a connection until it is closed, or the sandbox stops and nothing is under way.
async fn converse(server: Server, connection: Connection, peer: Peer) {
    let stop = server.stop.clone();
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let (server, peer) = (server.clone(), peer.clone());
        async move { Ok::<_, Infallible>(handle(server, peer, request.map(Body::new)).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(connection), service);
    let mut connection = pin!(connection);
    // One that breaks is only closed.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopped(stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

async fn handle(server: Server, peer: Peer, request: Request) -> Response {
    let incoming = read(&peer, request).await;
    let address = incoming.path.clone();
    let (first, rest) = split(&address);
    if first == "sandbox" {
        return respond(control::answer(&server.world, &incoming, rest).await);
    }
    let world = &server.world;
    let (number, answer) = attend(world, &incoming);
    incoming.overtaking.done().await;
    match answer {
        Answer::Reply(reply) => {
            world.note_answer(number, reply.status);
            respond(reply)
        }
        Answer::Hold => {
            stopped(server.stop).await;
            peer.reset();
            Response::default()
        }
        Answer::Reset => {
            peer.reset();
            Response::default()
        }
    }
}

async fn read(peer: &Peer, request: Request) -> Incoming {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.ok();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = head.headers.iter();
    Incoming {
        now: Timestamp::now(),
        peer: peer.address.ip().to_canonical(),
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
        body,
        overtaking: Overtaking::default(),
    }
}

fn respond(reply: Reply) -> Response {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap_or_else(|_| {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
