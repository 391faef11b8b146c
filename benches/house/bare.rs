//! The least there can be between callers and vendors: a request is decoded, written as the
//! vendor's JSON, sent, and its answer is read. Nothing is checked and nothing is kept, so
//! whatever a gateway does for its callers is what it costs more than this.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use dialplane::{
    call::CallId,
    proto::{Call, CallSpec, CallState, CreateCallsRequest, CreateCallsResponse},
};
use futures_util::future::{BoxFuture, join_all};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    body::Bytes,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::{
    Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, UnaryService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

use super::IN_FLIGHT;

/// Serves CreateCalls at an address until the process ends.
pub async fn serve(grpc: SocketAddr, vendors: SocketAddr) {
    let listener = TcpListener::bind(grpc).await.unwrap();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let hop = Hop(Arc::new(Inner {
        client: Client::builder(TokioExecutor::new()).build(connector),
        turns: Semaphore::new(IN_FLIGHT),
        vendors,
    }));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .max_concurrent_streams(1_024)
        .add_service(hop)
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

#[derive(Clone)]
struct Hop(Arc<Inner>);

struct Inner {
    client: Client<HttpConnector, Full<Bytes>>,
    /// As many connections as a gateway has, and no more.
    turns: Semaphore,
    vendors: SocketAddr,
}

impl NamedService for Hop {
    const NAME: &'static str = "dialplane.v1.CallService";
}

impl Service<http::Request<Body>> for Hop {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let hop = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<CreateCallsResponse, CreateCallsRequest>::default();
            Ok(Grpc::new(codec).unary(hop, request).await)
        })
    }
}

impl UnaryService<CreateCallsRequest> for Hop {
    type Response = CreateCallsResponse;
    type Future = BoxFuture<'static, Result<Response<CreateCallsResponse>, Status>>;

    fn call(&mut self, request: tonic::Request<CreateCallsRequest>) -> Self::Future {
        let hop = Arc::clone(&self.0);
        Box::pin(async move { Ok(Response::new(hop.create(request.into_inner()).await)) })
    }
}

impl Inner {
    async fn create(&self, request: CreateCallsRequest) -> CreateCallsResponse {
        let CreateCallsRequest { request_id, route, calls, .. } = request;
        let now = prost_types::Timestamp::from(SystemTime::now());
        let mut placed: Vec<_> =
            calls.into_iter().map(|spec| shown(spec, &request_id, &route, now)).collect();
        if route == "mobtexting" {
            join_all(placed.iter_mut().map(|(call, spec)| self.one(call, spec))).await;
        } else {
            self.all(&mut placed).await;
        }
        let calls = placed.into_iter().map(|(call, _)| call).collect();
        CreateCallsResponse { calls, replayed: false, request_id }
    }

    /// Hands one call to MobTexting (mobtexting.md 2, 3).
    async fn one(&self, call: &mut Call, spec: &Spec) {
        let send = Send {
            bridge: "918000000001",
            to: call.to[0].trim_start_matches('+'),
            flow_id: "77",
            variables: spec
                .iter()
                .map(|(name, value)| (format!("variables[{name}]"), value.as_str()))
                .collect(),
        };
        let answer = self.exchange("/outgoing/send", serde_json::to_vec(&send).unwrap()).await;
        let answer: Sent<'_> = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer.status, "OK");
        call.vendor_call_id = answer.data[0].id.clone().into_owned();
    }

    /// Hands all calls to Phonon (phonon.md 2, 3).
    async fn all(&self, placed: &mut [(Call, Spec)]) {
        let entries = placed.iter().map(|(call, spec)| Entry {
            client_identifier: &call.call_id,
            start_time: "2026-03-01T10:00:00+05:30",
            contact_numbers: call.to.iter().map(|to| to.trim_start_matches('+')).collect(),
            keys: spec
                .iter()
                .map(|(name, value)| Key { name: format!("$flow.key.{name}"), value })
                .collect(),
        });
        let create = Create {
            api_version: "v2",
            security_id: super::SECURITY_ID,
            flow_id: "AbCd1234",
            calls: entries.collect(),
        };
        let answer = self.exchange("/calls", serde_json::to_vec(&create).unwrap()).await;
        let answer: Created<'_> = serde_json::from_slice(&answer).unwrap();
        assert_eq!((answer.code, answer.details.len()), (200, placed.len()));
        for ((call, _), detail) in placed.iter_mut().zip(answer.details) {
            assert_eq!(detail.client_identifier, call.call_id);
            call.vendor_call_id = detail.phonon_uuid.into_owned();
        }
    }

    async fn exchange(&self, path: &str, body: Vec<u8>) -> Bytes {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.vendors))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, "Bearer token")
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let _turn = self.turns.acquire().await.unwrap();
        let answer = self.client.request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap().to_bytes()
    }
}

/// The variables of a call.
type Spec = BTreeMap<String, String>;

/// A call as the answer shows it, but for the vendor's id.
fn shown(
    spec: CallSpec,
    request_id: &str,
    route: &str,
    now: prost_types::Timestamp,
) -> (Call, Spec) {
    let call = Call {
        call_id: CallId::generate().to_string(),
        request_id: request_id.to_owned(),
        client_reference: spec.client_reference,
        route: route.to_owned(),
        vendor: route.to_owned(),
        to: spec.to,
        state: CallState::Accepted.into(),
        create_time: Some(now),
        update_time: Some(now),
        revision: 1,
        ..Default::default()
    };
    (call, spec.variables)
}

#[derive(Serialize)]
struct Send<'a> {
    bridge: &'a str,
    to: &'a str,
    flow_id: &'a str,
    #[serde(flatten)]
    variables: BTreeMap<String, &'a str>,
}

#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    data: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Create<'a> {
    api_version: &'a str,
    security_id: &'a str,
    flow_id: &'a str,
    calls: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Entry<'a> {
    client_identifier: &'a str,
    start_time: &'a str,
    contact_numbers: Vec<&'a str>,
    keys: Vec<Key<'a>>,
}

#[derive(Serialize)]
struct Key<'a> {
    name: String,
    value: &'a str,
}

#[derive(Deserialize)]
struct Created<'a> {
    #[serde(rename = "api-response-code")]
    code: u16,
    #[serde(borrow, rename = "call-details")]
    details: Vec<Detail<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Detail<'a> {
    #[serde(borrow)]
    client_identifier: Cow<'a, str>,
    #[serde(borrow)]
    phonon_uuid: Cow<'a, str>,
}
