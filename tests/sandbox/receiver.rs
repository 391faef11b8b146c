//! Somebody to push to.

use std::sync::Arc;

use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
};
use dialplane::sandbox::{MobTextingWebhook, PhononBody, PhononWebhook};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

use super::*;

/// A push as it came over the wire.
pub struct Got {
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Got {
    pub fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_str(&self.body).unwrap()
    }

    /// Its fields, in their order.
    pub fn form(&self) -> Vec<(String, String)> {
        assert_eq!(self.headers["content-type"], "application/x-www-form-urlencoded");
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// Status and body of the answer to a push, by its number and what it is.
type Answers = dyn Fn(usize, &Got) -> (u16, String) + Send + Sync;

#[derive(Clone)]
struct Side {
    answers: Arc<Answers>,
    got: mpsc::UnboundedSender<Got>,
    gate: Arc<Semaphore>,
    count: Arc<std::sync::atomic::AtomicUsize>,
}

pub struct Receiver {
    pub url: String,
    got: mpsc::UnboundedReceiver<Got>,
    gate: Arc<Semaphore>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    /// Answers 200 to everything.
    pub async fn start() -> Self {
        Self::answering(|_, _| (200, String::new())).await
    }

    /// Answers each push with the next of these statuses, and then with 200.
    pub async fn with_statuses(statuses: &'static [u16]) -> Self {
        Self::answering(|index, _| (*statuses.get(index).unwrap_or(&200), String::new())).await
    }

    pub async fn answering(
        answers: impl Fn(usize, &Got) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        Self::run(Arc::new(answers), Semaphore::MAX_PERMITS).await
    }

    /// Answers only once it is let.
    pub async fn held() -> Self {
        Self::run(Arc::new(|_, _| (200, String::new())), 0).await
    }

    async fn run(answers: Arc<Answers>, permits: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, got) = mpsc::unbounded_channel();
        let gate = Arc::new(Semaphore::new(permits));
        let side = Side { answers, got: sender, gate: Arc::clone(&gate), count: Arc::default() };
        let app = Router::new().fallback(receive).with_state(side);
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, got, gate, server }
    }

    /// Lets one answer go.
    pub fn let_go(&self) {
        self.gate.add_permits(1);
    }

    /// The next push.
    pub async fn next(&mut self) -> Got {
        timeout(PATIENCE, self.got.recv()).await.unwrap().unwrap()
    }

    /// What has come and was not looked at.
    pub fn rest(&mut self) -> usize {
        std::iter::from_fn(|| self.got.try_recv().ok()).count()
    }

    pub fn phonon(&self, body: PhononBody) -> Option<PhononWebhook> {
        let url = format!("{}/{{system}}/{{flow}}", self.url);
        Some(PhononWebhook {
            url,
            user: "user".into(),
            password: "pass word".into(),
            body,
            ..PhononWebhook::default()
        })
    }

    pub fn mobtexting(&self, body: MobTextingBody) -> Option<MobTextingWebhook> {
        let url = format!("{}/mobtexting?a=b", self.url);
        let (secret, token) = ("s3cret-s3cret".into(), "t0ken t0ken".into());
        Some(MobTextingWebhook { url, secret, token, body })
    }
}

async fn receive(State(side): State<Side>, request: Request) -> (StatusCode, HeaderMap, String) {
    let (head, body) = request.into_parts();
    assert_eq!(head.method, "POST");
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let got = Got {
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let index = side.count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let (status, body) = (side.answers)(index, &got);
    let _ = side.got.send(got);
    side.gate.acquire().await.unwrap().forget();
    let mut headers = HeaderMap::new();
    // Followed by nobody.
    headers.insert(header::LOCATION, "/elsewhere".parse().unwrap());
    (StatusCode::from_u16(status).unwrap(), headers, body)
}

/// A request for one call, with the variable of an adapter.
pub fn phonon_with_id(numbers: &[&str]) -> Value {
    let mut body = phonon(&[numbers]);
    body["calls"][0]["keys"] = json!([
        { "name": "$flow.key.name", "value": "Asha & \"Co\"" },
        { "name": "$flow.key.dialplane_call_id", "value": "call-1" },
    ]);
    body
}

/// Places a call and gives its id.
pub async fn phonon_call(sandbox: &Sandbox, body: &Value) -> String {
    let taken = post(&format!("{}{E1}", sandbox.urls().phonon), body).await;
    taken.json()["call-details"][0]["phonon-uuid"].as_str().unwrap().to_owned()
}

/// Places a call and gives its id.
pub async fn mobtexting_call(sandbox: &Sandbox, to: &str) -> String {
    let taken = mobtexting_send(sandbox, &mobtexting(to)).await.json();
    taken["data"][0]["id"].as_str().unwrap().to_owned()
}

pub async fn pushing_sandbox(webhooks: Webhooks, pushing: Pushing) -> Sandbox {
    Sandbox::start(Options { webhooks, pushing, ..Options::default() }).await.unwrap()
}

/// The log of pushes, as soon as there are so many.
pub async fn pushes(sandbox: &Sandbox, count: usize) -> Vec<Posted> {
    let enough = async {
        loop {
            let pushes = sandbox.pushes();
            if pushes.len() >= count {
                return pushes;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, enough).await.unwrap()
}
