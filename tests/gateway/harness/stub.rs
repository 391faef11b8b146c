//! A vendor that answers whatever a test wants, and remembers what it was sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::Response,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// What the stub answers.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, content_type: "application/json", headers: Vec::new(), body: body.into() }
    }

    pub fn text(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A request as the stub got it.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub body: String,
    /// The header by which it says to which trace it belongs.
    pub traceparent: Option<String>,
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

struct Inner {
    script: Box<Script>,
    received: Mutex<Vec<Received>>,
}

/// A running stub.
pub struct Stub {
    pub address: SocketAddr,
    inner: Arc<Inner>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Stub {
    /// Answers each request as the script says.
    pub async fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let inner = Arc::new(Inner { script: Box::new(script), received: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router)
                .with_graceful_shutdown(async { drop(stopped.await) })
                .await;
        });
        Self { address, inner, stop, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 10 * 1024 * 1024).await.unwrap();
    let received = Received {
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        body: String::from_utf8_lossy(&body).into_owned(),
        traceparent: parts
            .headers
            .get("traceparent")
            .map(|value| value.to_str().unwrap().to_owned()),
    };
    let answer = (inner.script)(&received);
    inner.received.lock().unwrap().push(received);
    let mut response =
        Response::builder().status(answer.status).header("content-type", answer.content_type);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}
