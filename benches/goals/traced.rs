//! What it costs to tell of every RPC: lines of the access log, and traces over OTLP.

use std::{convert::Infallible, net::SocketAddr};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{
    AtMost, Run,
    cells::{Cell, Subject, tell},
    load,
};

/// Takes whatever it is sent, and throws it away.
async fn collector() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(take)),
            );
        }
    });
    address
}

async fn take(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A gateway that is killed does not say goodbye.
    let _ = request.into_body().collect().await;
    Ok(Response::default())
}

/// Against a gateway that tells nothing.
pub async fn traced(run: &mut Run) {
    let collector = collector().await;
    let telling = |lines, sampled: Option<u32>| Subject::Telling {
        lines,
        traces: sampled.map(|sampled| (sampled, collector)),
    };
    let (log, some) = (telling(true, None), telling(false, Some(10)));
    let subjects = [
        telling(false, None),
        telling(false, Some(0)),
        some.clone(),
        telling(false, Some(1000)),
        log,
    ];
    for load in [load("phonon", 1, 256), load("mobtexting", 1, 32)] {
        let cell = Cell::measure(run, load, &subjects).await;
        tell(&[&cell]);
        let what = format!("traced ({load}), 1 % sampled, processor for a call");
        run.goal(&what, cell.ratio(&some).cost, AtMost(1.05), " times");
    }
}
