//! A vendor that takes every call at once, whichever it is asked to be.

use std::{
    borrow::Cow,
    convert::Infallible,
    fmt::Write,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{net::TcpListener, sync::oneshot};

/// MobTexting and Phonon, on a thread of their own.
pub struct Vendor {
    /// Where both of them are.
    pub address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    calls: AtomicU64,
    /// When each request came, while somebody wants to know.
    arrivals: Mutex<Option<Vec<Instant>>>,
}

impl Vendor {
    /// Starts it.
    pub async fn start() -> Self {
        let counts = Arc::new(Counts::default());
        let (tell, address) = oneshot::channel();
        let of_thread = Arc::clone(&counts);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let counts = Arc::clone(&of_thread);
                    tokio::spawn(async move {
                        let answer = service_fn(|request| answer(&counts, request));
                        // A gateway that is killed does not say goodbye.
                        let _ = http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), answer)
                            .await;
                    });
                }
            });
        });
        Self { address: address.await.unwrap(), counts }
    }

    /// Requests it got so far, and calls it took.
    pub fn counted(&self) -> (u64, u64) {
        (self.counts.requests.load(Relaxed), self.counts.calls.load(Relaxed))
    }

    /// Notes from now on when each request comes.
    pub fn note_arrivals(&self) {
        *self.counts.arrivals.lock().unwrap() = Some(Vec::new());
    }

    /// When they came, in order; that is not noted any more.
    pub fn arrivals(&self) -> Vec<Instant> {
        self.counts.arrivals.lock().unwrap().take().unwrap_or_default()
    }
}

async fn answer(
    counts: &Counts,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Some(arrivals) = counts.arrivals.lock().unwrap().as_mut() {
        arrivals.push(Instant::now());
    }
    let is_mobtexting = request.uri().path() == "/outgoing/send";
    let body = request.into_body().collect().await.unwrap().to_bytes();
    counts.requests.fetch_add(1, Relaxed);
    let text = if is_mobtexting { mobtexting(counts) } else { phonon(counts, &body) };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}

/// A call taken (mobtexting.md 3).
fn mobtexting(counts: &Counts) -> String {
    let number = counts.calls.fetch_add(1, Relaxed);
    format!(
        r#"{{"status":"OK","message":"Calls queued successfully","data":[{{"id":"{}","channel":"outgoing","caller_id":"918000000001","mobile":"919900000001","flow_id":"77","credits":1,"created_at":"2024-07-01T04:45:00.000000Z","foreign_id":null,"options":null,"status":"queued"}}]}}"#,
        Id::of(number)
    )
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    calls: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry<'a> {
    #[serde(borrow)]
    client_identifier: Cow<'a, str>,
}

/// All calls taken (phonon.md 2).
fn phonon(counts: &Counts, body: &[u8]) -> String {
    let batch: Batch<'_> = serde_json::from_slice(body).unwrap();
    let first = counts.calls.fetch_add(batch.calls.len() as u64, Relaxed);
    let mut text = format!(
        r#"{{"api-response-code":200,"api-response-message":"Success","request-id":"{}","call-details":["#,
        Id::of(first)
    );
    for (number, entry) in (first..).zip(&batch.calls) {
        let comma = if number == first { "" } else { "," };
        let (id, own) = (Id::of(number), &entry.client_identifier);
        let row = format_args!(r#"{comma}{{"client-identifier":"{own}","phonon-uuid":"{id}"}}"#);
        text.write_fmt(row).unwrap();
    }
    text.push_str("]}");
    text
}

/// A vendor's id of a call.
pub struct Id(u64);

impl Id {
    /// Another one for each number, in no order, as those of vendors.
    fn of(number: u64) -> Self {
        // No two give the same, for the factor is odd.
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// One of so many, spread over all there are. An index is filled in order, which is fast,
    /// and then once more in between, which leaves its pages as full as no order would.
    pub fn spread(number: u64, of: u64) -> Self {
        let half = of.div_ceil(2);
        let place = if number < half { 2 * number } else { 2 * (number - half) + 1 };
        Self(place * (u64::MAX / (of + 1)))
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d] = [48, 32, 16, 0].map(|by| self.0 >> by & 0xffff);
        write!(f, "{a:04x}{b:04x}-{c:04x}-4000-8000-00000000{d:04x}")
    }
}
